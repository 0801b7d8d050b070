"""The training jobs of a tuning job."""

from localaws.sagemaker.service import Service, arn, listing, validation_error
from localaws.store import Document

KIND = "hyper-parameter-tuning-job"
METRIC = "FinalHyperParameterTuningJobObjectiveMetric"
SORT = {"Name": "TrainingJobName", "Status": "TrainingJobStatus", "FinalObjectiveMetricValue": "Value"}


class TuningJobs:
    """Handler of ListTrainingJobsForHyperParameterTuningJob; the other operations are those of every kind of job."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add({"ListTrainingJobsForHyperParameterTuningJob": self.list_jobs})

    def list_jobs(self, request: Document) -> Document:
        """ListTrainingJobsForHyperParameterTuningJob."""
        name, status = request["HyperParameterTuningJobName"], request.get("StatusEquals")
        job = self.store.get(KIND, arn(f"{KIND}/{name}"))
        if job is None:
            raise validation_error(f"Tuning job {name} could not be found.")
        trainings = job["Trainings"]
        for each in trainings:
            # Jobs without a value come first.
            each["Value"] = each.get(METRIC, {}).get("Value", float("-inf"))
        return listing(
            "ListTrainingJobsForHyperParameterTuningJob",
            trainings,
            request,
            matches=lambda each: status in (None, each["TrainingJobStatus"]),
            order="Ascending",
            by=SORT.get(request.get("SortBy", ""), "CreationTime"),
        )
