"""Hyperparameter tuning: training jobs with values from ranges, and the best of them.

Random and Grid choose values as AWS does. Bayesian chooses them at random here: it needs no fewer jobs, but finds a
good value less often. What a warm start's parents found changes no choice, only the overall best.
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-how-it-works.html
"""

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from localaws.sagemaker import runnable
from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.hyperparameters import candidates, not_offered, ranges_problem
from localaws.sagemaker.job_directory import JobDirectory, Phase
from localaws.sagemaker.jobs import UNDER_WAY, JobKind, Jobs
from localaws.sagemaker.service import arn, scope, validation_error
from localaws.store import Document

# AWS gives up after so many failures without a success.
HOPELESS = 5
COPIED = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
)


class Linked(threading.Event):
    """An event that is set while a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._condition = condition

    def is_set(self) -> bool:
        """Whether the condition holds."""
        return self._condition()


class Tunings:
    """Runs tuning jobs; the training jobs are of the kind `training`."""

    def __init__(self, jobs: Jobs, training: JobKind) -> None:
        self.jobs = jobs
        self.training = training
        self.kind = JobKind("HyperParameterTuning", self.run, created=_created, check=self.check)

    def run(self, job: Document, directory: JobDirectory, phase: Phase) -> None:
        """Run the training jobs. Raises JobFailed when none succeeded, or JobStopped."""
        waiting = _trainings(job)
        limits = job["HyperParameterTuningJobConfig"]["ResourceLimits"]
        parallel = limits["MaxParallelTrainingJobs"]
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(parallel, thread_name_prefix="tuning") as pool:
            while not directory.stop() and not _hopeless(job):
                while len(running) < parallel and (training := next(waiting, None)):
                    job["Trainings"].append(training)
                    running.add(pool.submit(_scoped(self._train), job, training, directory))
                if not running:
                    break
                self._update(job, phase)
                _, running = wait(running, return_when=FIRST_COMPLETED)
        self._update(job, phase)
        if directory.stop():
            raise JobStopped
        if "BestTrainingJob" not in job:
            raise JobFailed(
                f"No training job succeeded after {len(job['Trainings'])} attempts. For additional details, please "
                "take a look at the training job failures by listing training jobs for the hyperparameter tuning job."
            )

    def _train(self, job: Document, training: Document, directory: JobDirectory) -> None:
        """Run one training job; its summary has the outcome."""
        stop = Linked(directory.stop)
        request = {name: value for name, value in training["Request"].items()}
        request["TuningJobArn"] = job["HyperParameterTuningJobArn"]
        job_arn = training["TrainingJobArn"]
        try:
            document = self.jobs.finish(self.training, self.jobs.begin(self.training, request, job_arn), stop)
            training["ObjectiveStatus"] = "Failed"
            for metric in document.get("FinalMetricDataList", []):
                if metric["MetricName"] == training["Objective"]["MetricName"]:
                    value = {"MetricName": metric["MetricName"], "Value": metric["Value"]}
                    value["Type"] = training["Objective"]["Type"]
                    training["FinalHyperParameterTuningJobObjectiveMetric"] = value
                    training["ObjectiveStatus"] = "Succeeded"
        except (JobFailed, JobStopped):
            document = self.jobs.store.get(self.training.kind, job_arn) or {}
            training["ObjectiveStatus"] = "Failed"
        members = ("TrainingJobStatus", "CreationTime", "TrainingStartTime", "TrainingEndTime", "FailureReason")
        training.update({name: document[name] for name in members if name in document})

    def _update(self, job: Document, phase: Phase) -> None:
        """Store the counters and the best job."""
        statuses = [each["TrainingJobStatus"] for each in job["Trainings"]]
        objectives = [each["ObjectiveStatus"] for each in job["Trainings"]]
        job["TrainingJobStatusCounters"] = {
            "Completed": statuses.count("Completed"),
            "InProgress": statuses.count("InProgress"),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        }
        names = ("Succeeded", "Pending", "Failed")
        job["ObjectiveStatusCounters"] = {name: objectives.count(name) for name in names}
        best = _best(job["Trainings"])
        if best:
            job["BestTrainingJob"] = best
        if job.get("WarmStartConfig", {}).get("WarmStartType") == "IdenticalDataAndAlgorithm":
            parents = [each for parent in self._parents(job) for each in parent["Trainings"]]
            overall = _best([*job["Trainings"], *parents])
            if overall:
                job["OverallBestTrainingJob"] = overall
        phase("Training")

    def check(self, request: Document) -> None:
        """Refuse a CreateHyperParameterTuningJob request that AWS refuses, or that is not offered here."""
        _check(request)
        runnable.require_tuning(request)
        for parent in self._parents(request):
            if parent["HyperParameterTuningJobStatus"] in UNDER_WAY:
                raise validation_error(
                    f"The parent tuning job {parent['HyperParameterTuningJobName']} has not ended: its status is "
                    f"{parent['HyperParameterTuningJobStatus']}."
                )

    def _parents(self, request: Document) -> list[Document]:
        """The tuning jobs of a warm start. Raises ApiError for one that does not exist.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-warm-start.html
        """
        found = []
        for each in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
            name = each["HyperParameterTuningJobName"]
            parent = self.jobs.store.get(self.kind.kind, arn(f"{self.kind.kind}/{name}"))
            if parent is None:
                raise validation_error(f"The parent tuning job {name} does not exist.")
            found.append(parent)
        return found


def _created(request: Document) -> Document:
    counters = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
    objectives = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
    strategy = request["HyperParameterTuningJobConfig"]["Strategy"]
    counted = {"TrainingJobStatusCounters": counters, "ObjectiveStatusCounters": objectives}
    return {"Strategy": strategy, "Trainings": [], **counted}


def _check(request: Document) -> None:
    """Refuse a request by its own members."""
    problem = not_offered(request)
    if problem:
        raise validation_error(problem)
    config = request["HyperParameterTuningJobConfig"]
    if ("TrainingJobDefinition" in request) == bool(request.get("TrainingJobDefinitions")):
        raise validation_error("Exactly one of TrainingJobDefinition and TrainingJobDefinitions must be specified.")
    if config["Strategy"] != "Grid" and "MaxNumberOfTrainingJobs" not in config["ResourceLimits"]:
        raise validation_error(f"The strategy {config['Strategy']} needs ResourceLimits.MaxNumberOfTrainingJobs.")
    for definition in _definitions(request):
        if not definition["Objective"]:
            raise validation_error("A tuning job needs HyperParameterTuningJobObjective or TuningObjective.")
        problem = ranges_problem(definition["Ranges"], config["Strategy"])
        if problem:
            raise validation_error(problem)


def _definitions(request: Document) -> list[Document]:
    """The training job definitions, each with its Objective and Ranges."""
    config = request["HyperParameterTuningJobConfig"]
    found = request.get("TrainingJobDefinitions") or [request["TrainingJobDefinition"]]
    return [
        {
            **definition,
            "Objective": definition.get("TuningObjective") or config.get("HyperParameterTuningJobObjective"),
            "Ranges": definition.get("HyperParameterRanges") or config.get("ParameterRanges") or {},
        }
        for definition in found
    ]


def _trainings(job: Document) -> Iterator[Document]:
    """The training jobs to run: their requests and summaries, the definitions in turn."""
    config = job["HyperParameterTuningJobConfig"]
    chance = random.Random(config.get("RandomSeed"))
    definitions = _definitions(job)
    sources = [candidates(each["Ranges"], config["Strategy"], chance) for each in definitions]
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    number = 0
    while sources and (most is None or number < most):
        turn = number % len(sources)
        tuned = next(sources[turn], None)
        if tuned is None:
            # A grid has an end.
            del sources[turn], definitions[turn]
            continue
        number += 1
        yield _training(job, definitions[turn], tuned, number)


def _training(job: Document, definition: Document, tuned: dict[str, str], number: int) -> Document:
    name = f"{job['HyperParameterTuningJobName']}-{number:03}-{uuid.uuid4().hex[:8]}"
    request = {member: definition[member] for member in COPIED if member in definition}
    resources = definition.get("HyperParameterTuningResourceConfig", {})
    if "ResourceConfig" not in request:
        members = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
        first = {**resources, **(resources.get("InstanceConfigs") or [{}])[0]}
        request["ResourceConfig"] = {name: first[name] for name in members if name in first}
    objective = definition["Objective"]
    fixed = {**definition.get("StaticHyperParameters", {}), "_tuning_objective_metric": objective["MetricName"]}
    request |= {"TrainingJobName": name, "HyperParameters": {**fixed, **tuned}}
    summary = {
        "TrainingJobName": name,
        "TrainingJobArn": f"{job['HyperParameterTuningJobArn'].partition(':hyper-')[0]}:training-job/{name}",
        "TrainingJobStatus": "InProgress",
        "CreationTime": job["CreationTime"],
        "TunedHyperParameters": tuned,
        "ObjectiveStatus": "Pending",
        "Objective": objective,
        "Request": request,
    }
    if "DefinitionName" in definition:
        summary["TrainingJobDefinitionName"] = definition["DefinitionName"]
    return summary


def _best(trainings: list[Document]) -> Document | None:
    """The summary of the job with the best value of the first definition's objective; None without a value."""
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    measured = [each for each in trainings if metric in each]
    if not measured:
        return None
    sign = 1 if measured[0]["Objective"]["Type"] == "Maximize" else -1
    best = max(measured, key=lambda each: sign * each[metric]["Value"])
    return {name: value for name, value in best.items() if name not in ("Request", "Objective")}


def _hopeless(job: Document) -> bool:
    statuses = [each["TrainingJobStatus"] for each in job["Trainings"]]
    return "Completed" not in statuses and statuses.count("Failed") >= HOPELESS


def _scoped(work: Callable[..., None]) -> Callable[..., None]:
    """`work` with the caller's account and region, which a pool's thread does not inherit."""
    from ministack.core import responses

    region, account = scope()

    def inside(*arguments: object) -> None:
        with responses.request_scope(account, region):
            work(*arguments)

    return inside
