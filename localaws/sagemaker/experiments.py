"""Experiments and trials of pipelines, derived from their executions.

An execution is in the trial that its definition's PipelineExperimentConfig names; the trial components of its jobs are
the trial's. https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-experiments.html
"""

from collections.abc import Iterator

from localaws import shapes
from localaws.sagemaker.pipelines import EXECUTION
from localaws.sagemaker.service import Service, arn, here, listing, not_found
from localaws.store import Document, Store

CONFIG = "PipelineExperimentConfig"


class Experiments:
    """Handlers of the operations that read experiments and trials."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "ListExperiments": self.list_experiments,
                "DescribeExperiment": self.describe_experiment,
                "ListTrials": self.list_trials,
                "DescribeTrial": self.describe_trial,
            }
        )

    def list_experiments(self, request: Document) -> Document:
        """ListExperiments, newest first by default."""
        by = "ExperimentName" if request.get("SortBy") == "Name" else "CreationTime"
        return listing("ListExperiments", _first(self._experiments(), "ExperimentArn"), request, by=by)

    def describe_experiment(self, request: Document) -> Document:
        """DescribeExperiment."""
        return self._described("Experiment", _first(self._experiments(), "ExperimentArn"), request)

    def list_trials(self, request: Document) -> Document:
        """ListTrials, newest first by default."""
        experiment, component = request.get("ExperimentName"), request.get("TrialComponentName")
        return listing(
            "ListTrials",
            _first(self._trials(), "TrialArn"),
            request,
            matches=lambda each: (
                experiment in (None, each["ExperimentName"]) and component in (None, *self._components(each))
            ),
            by="TrialName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def describe_trial(self, request: Document) -> Document:
        """DescribeTrial."""
        return self._described("Trial", _first(self._trials(), "TrialArn"), request)

    def _described(self, noun: str, found: list[Document], request: Document) -> Document:
        name = request[f"{noun}Name"]
        for each in found:
            if each[f"{noun}Name"].lower() == name.lower():
                return shapes.project(shapes.output_shape("sagemaker", f"Describe{noun}"), each)
        raise not_found(f"{noun} '{name}' does not exist.")

    def _experiments(self) -> Iterator[Document]:
        for execution in tracked(self.store):
            source = {"SourceArn": execution["PipelineArn"]}
            yield _entity("Experiment", "experiment", execution, source)

    def _trials(self) -> Iterator[Document]:
        for execution in tracked(self.store):
            source = {"SourceArn": execution["PipelineExecutionArn"]}
            trial = _entity("Trial", "experiment-trial", execution, source)
            yield {**trial, "ExperimentName": execution[CONFIG]["ExperimentName"]}

    def _components(self, trial: Document) -> list[str]:
        """The names of a trial's components."""
        jobs = jobs_of(self.store, {"TrialName": trial["TrialName"]}) or ()
        found = (job.rpartition(":")[2].split("/") for job in jobs)
        return [f"{name}-aws-{kind}" for kind, name in found]


def tracked(store: Store) -> list[Document]:
    """The executions in the request's region and account that are in a trial, oldest first."""
    found = here(store.all(EXECUTION), "PipelineExecutionArn")
    return [each for each in found if {"ExperimentName", "TrialName"} <= set(each.get(CONFIG) or {})]


def jobs_of(store: Store, request: Document) -> set[str] | None:
    """The ARNs of the jobs in a request's experiment or trial; None when it names neither."""
    wanted = {name: request[name] for name in ("ExperimentName", "TrialName") if name in request}
    if not wanted:
        return None
    chosen = (each for each in tracked(store) if wanted.items() <= each[CONFIG].items())
    steps = (step for each in chosen for step in store.all(f"step {each['PipelineExecutionArn']}"))
    return {entry["Arn"] for step in steps for entry in step.get("Metadata", {}).values() if "Arn" in entry}


def _entity(noun: str, resource: str, execution: Document, source: Document) -> Document:
    """An experiment or a trial, made by the first execution that names it."""
    name = execution[CONFIG][f"{noun}Name"]
    return {
        f"{noun}Name": name,
        f"{noun}Arn": arn(f"{resource}/{name.lower()}"),
        "DisplayName": name,
        "Source": source,
        f"{noun}Source": source,
        "CreationTime": execution["CreationTime"],
        "LastModifiedTime": execution["LastModifiedTime"],
    }


def _first(found: Iterator[Document], member: str) -> list[Document]:
    """The first document of each ARN."""
    first: dict[str, Document] = {}
    for each in found:
        first.setdefault(each[member], each)
    return list(first.values())
