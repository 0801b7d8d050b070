"""Model packages: the versions of a group, and the evaluation.json that each points to."""

from localaws.errors import CONFLICT, NOT_FOUND, ExpectedError
from pipelines.account import s3
from pipelines.account.clients import Clients, aws_errors
from pipelines.cli.output import Document

# Values of ModelApprovalStatus.
APPROVED, REJECTED, PENDING = "Approved", "Rejected", "PendingManualApproval"
# The metrics that lists and runs show. Errors are in IBU; r2, accuracy and macro_f1 have no unit.
METRICS = ("mae", "rmse", "r2", "accuracy", "macro_f1", "baseline_mae")


class Registry:
    """The model package group of an environment."""

    def __init__(self, clients: Clients, group: str) -> None:
        self.clients = clients
        self.group = group

    def summaries(self) -> list[Document]:
        """Every version as ListModelPackages returns it, oldest first."""
        with aws_errors(f"listing the models of {self.group}"):
            pages = self.clients.sagemaker.get_paginator("list_model_packages").paginate(
                ModelPackageGroupName=self.group,
                SortBy="CreationTime",
                SortOrder="Ascending",
                PaginationConfig={"PageSize": 100},
            )
            return [each for page in pages for each in page["ModelPackageSummaryList"]]

    def package(self, version: int) -> Document:
        """One version, described; raises ExpectedError when there is no such version."""
        return self.packages(version)[0]

    def packages(self, *versions: int) -> list[Document]:
        """These versions, described; raises ExpectedError when one does not exist."""
        arns = {each["ModelPackageVersion"]: each["ModelPackageArn"] for each in self.summaries()}
        missing = [version for version in versions if version not in arns]
        if missing:
            raise ExpectedError(
                f"there is no version {missing[0]} (have: {', '.join(map(str, arns)) or 'none'})",
                where=f"model package group {self.group}",
                hint=self.clients.command("registry", "list"),
                code=NOT_FOUND,
            )
        return [self.describe(arns[version]) for version in versions]

    def describe(self, arn: str) -> Document:
        """DescribeModelPackage."""
        with aws_errors(f"reading the model package {arn}"):
            found: Document = self.clients.sagemaker.describe_model_package(ModelPackageName=arn)
        return found

    def decide(self, version: int, status: str, note: str, *, again: bool = False) -> str:
        """Give a version another approval status; returns the one before.

        note: stored with the package. Raises ExpectedError when the version has that status already and not `again`.
        """
        package = self.package(version)
        before = str(package["ModelApprovalStatus"])
        if before == status and not again:
            raise ExpectedError(
                f"version {version} is {before} already",
                where=package["ModelPackageArn"],
                hint=self.clients.command("registry", "show", str(version)),
                code=CONFLICT,
            )
        with aws_errors(f"deciding about version {version}"):
            self.clients.sagemaker.update_model_package(
                ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus=status, ApprovalDescription=note
            )
        return before

    def evaluation(self, package: Document) -> Document:
        """The evaluation.json of a described package."""
        return s3.read_json(self.clients, self.evaluation_uri(package))

    def evaluation_uri(self, package: Document) -> str:
        """The S3 address of a package's evaluation.json; raises ExpectedError when it has none."""
        if not has_evaluation(package):
            raise ExpectedError(
                f"version {package['ModelPackageVersion']} has no evaluation: the pipeline did not register it",
                where=package["ModelPackageArn"],
                hint=self.clients.command("registry", "list"),
                code=NOT_FOUND,
            )
        return evaluation_uri(package)


def deployment(package: Document) -> Document:
    """What the state machine `deploy` has written into a described package: {"status", "reason", "time"}, or {}."""
    metadata = package.get("CustomerMetadataProperties", {})
    names = ("Status", "Reason", "Time")
    return {name.lower(): metadata[f"Deployment{name}"] for name in names if f"Deployment{name}" in metadata}


def has_failed(package: Document) -> bool:
    """Whether the deployment of a described package has failed: `deploy` skips it until it is approved again."""
    return bool(deployment(package).get("status") == "Failed")


def has_evaluation(package: Document) -> bool:
    """Whether a model package points to an evaluation; one that the pipeline did not register has none."""
    return "Statistics" in package.get("ModelMetrics", {}).get("ModelQuality", {})


def evaluation_uri(package: Document) -> str:
    """The S3 address of the evaluation.json of a package that has one."""
    return str(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"])


def rounded_metrics(evaluation: Document) -> dict[str, float]:
    """METRICS with four decimal places."""
    return {name: round(value, 4) for name, value in metrics(evaluation).items()}


def metrics(evaluation: Document) -> dict[str, float]:
    """METRICS, from evaluation.json."""
    regression, classes = evaluation["regression_metrics"], evaluation["multiclass_classification_metrics"]
    return {
        **{name: regression[name]["value"] for name in ("mae", "rmse", "r2")},
        **{name: classes[name]["value"] for name in ("accuracy", "macro_f1")},
        "baseline_mae": evaluation["baseline"]["mae"]["value"],
    }
