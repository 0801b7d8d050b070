"""Hyperparameter tuning: training jobs over ranges, and the best of them."""

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.definitions import Project, until
from localaws.sagemaker.hyperparameters import candidates, ranges_problem

# The smaller |x - 3|, the better.
SCORE = """
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument('-x', type=float, required=True)
    given, _ = parser.parse_known_args()
    if given.x == 99: raise SystemExit('no such x')
    print(f'score={-abs(given.x - 3)};')
"""


def tune(
    project: Project, ranges: dict[str, Any], strategy: str, most: int | None, parent: str = "", **config: Any
) -> dict[str, Any]:
    """Run a tuning job, with a warm start where a parent is named; returns its description."""
    request = dict(project.training("Train", SCORE)["Arguments"])
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "score", "Regex": "score=(.*?);"}]
    request["StaticHyperParameters"] = request.pop("HyperParameters")
    limits = {"MaxParallelTrainingJobs": 2} | ({"MaxNumberOfTrainingJobs": most} if most else {})
    warm: dict[str, Any] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    name = {"HyperParameterTuningJobName": f"{project.name}{'-2' if parent else ''}"}
    project.clients.sagemaker.create_hyper_parameter_tuning_job(
        **name,
        **({"WarmStartConfig": warm} if parent else {}),
        HyperParameterTuningJobConfig={
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": limits,
            "ParameterRanges": ranges,
            **config,
        },
        TrainingJobDefinition=request,
    )

    def ended() -> Any:
        job = project.clients.sagemaker.describe_hyper_parameter_tuning_job(**name)
        return job["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") and job

    found: dict[str, Any] = until(ended, "the tuning job")
    return found


def test_a_grid_is_tried_whole_and_the_best_is_found(project: Project) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "4", "9"]}]}
    job = tune(project, ranges, "Grid", None)
    assert (job["HyperParameterTuningJobStatus"], job["TrainingJobStatusCounters"]["Completed"]) == ("Completed", 3)
    best = job["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "4"}
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize",
        "MetricName": "score",
        "Value": -1.0,
    }
    api = project.clients.sagemaker
    listed = api.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=project.name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["TrainingJobSummaries"]
    assert [each["TunedHyperParameters"]["x"] for each in listed] == ["4", "1", "9"]
    training = api.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert training["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    # The SDK's HyperparameterTuner.deploy reads it.
    assert training["OutputDataConfig"]["KmsKeyId"] == ""
    assert training["HyperParameters"]["_tuning_objective_metric"] == "score"


def test_a_warm_start_knows_the_best_job_of_its_parents_too(project: Project) -> None:
    def grid(value: str) -> dict[str, Any]:
        return {"CategoricalParameterRanges": [{"Name": "x", "Values": [value]}]}

    with pytest.raises(ClientError, match="The parent tuning job nowhere does not exist"):
        tune(project, grid("9"), "Grid", None, parent="nowhere")
    best = tune(project, grid("4"), "Grid", None)["BestTrainingJob"]
    job = tune(project, grid("9"), "Grid", None, parent=project.name)
    assert (job["BestTrainingJob"]["TunedHyperParameters"], job["OverallBestTrainingJob"]) == ({"x": "9"}, best)


def test_random_values_stop_at_the_limit(project: Project) -> None:
    ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "6"}]}
    job = tune(project, ranges, "Random", 3, RandomSeed=7)
    assert job["TrainingJobStatusCounters"]["Completed"] == 3
    assert 0 <= float(job["BestTrainingJob"]["TunedHyperParameters"]["x"]) <= 6


def test_a_tuning_job_without_a_success_has_failed(project: Project) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["99"]}]}
    job = tune(project, ranges, "Grid", None)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 1 attempts.")
    listed = project.clients.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=project.name, MaxResults=100)
    (summary,) = listed["HyperParameterTuningJobSummaries"]
    assert (summary["Strategy"], summary["TrainingJobStatusCounters"]["NonRetryableError"]) == ("Grid", 1)


def test_a_tuning_job_can_be_stopped(project: Project) -> None:
    api = project.clients.sagemaker
    request = dict(project.training("Train", "import time; time.sleep(20)")["Arguments"])
    request["StaticHyperParameters"] = request.pop("HyperParameters")
    api.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=project.name,
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 2},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "5"}]},
        },
        TrainingJobDefinition=request,
    )
    name = {"HyperParameterTuningJobName": project.name}
    counters = "TrainingJobStatusCounters"
    until(lambda: api.describe_hyper_parameter_tuning_job(**name)[counters]["InProgress"] == 1, "the training job")
    api.stop_hyper_parameter_tuning_job(**name)
    status = "HyperParameterTuningJobStatus"
    until(lambda: api.describe_hyper_parameter_tuning_job(**name)[status] == "Stopped", "the stop")
    (training,) = api.list_training_jobs_for_hyper_parameter_tuning_job(**name)["TrainingJobSummaries"]
    assert training["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("ranges", "strategy", "problem"),
    [
        ({}, "Random", "at least one range"),
        ({"IntegerParameterRanges": [{"Name": "x", "MinValue": "2", "MaxValue": "1"}]}, "Random", "must be less than"),
        (
            {"IntegerParameterRanges": [{"Name": "x", "MinValue": "a", "MaxValue": "1"}]},
            "Random",
            "is not one of numbers",
        ),
        (
            {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "2"}]},
            "Grid",
            "categorical parameters",
        ),
        (
            {
                "ContinuousParameterRanges": [
                    {"Name": "x", "MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"}
                ]
            },
            "Bayesian",
            "must be above 0",
        ),
    ],
)
def test_ranges_that_are_refused(ranges: dict[str, Any], strategy: str, problem: str) -> None:
    assert problem in ranges_problem(ranges, strategy)


def test_values_lie_in_their_ranges_and_follow_the_scale() -> None:
    ranges = {
        "IntegerParameterRanges": [{"Name": "i", "MinValue": "1", "MaxValue": "3"}],
        "ContinuousParameterRanges": [
            {"Name": "l", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"},
            {"Name": "r", "MinValue": "0.5", "MaxValue": "0.9999", "ScalingType": "ReverseLogarithmic"},
        ],
    }
    found = candidates(ranges, "Random", random.Random(1))
    chosen = [next(found) for _ in range(400)]
    assert {each["i"] for each in chosen} == {"1", "2", "3"}
    logarithmic, reverse = ([float(each[name]) for each in chosen] for name in "lr")
    assert 0.0001 <= min(logarithmic) <= max(logarithmic) <= 1
    # Half of them below the geometric mean.
    assert 150 < sum(value < 0.01 for value in logarithmic) < 250
    assert 0.5 <= min(reverse) <= max(reverse) <= 0.9999
