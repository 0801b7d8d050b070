"""Settings of a deployed pipeline, and the files that are uploaded before it is upserted."""

from dataclasses import dataclass

from pipelines.authoring import archives

# What a run executes: the GitCommit of an upsert is the last commit of these.
SOURCES = ("processing", "training", "evaluation", "cloudformation/pipeline.json", "cloudformation/images.json")


@dataclass(frozen=True)
class Settings:
    """Names, bucket and roles of a deployed pipeline. The defaults are placeholders for `--print`."""

    region: str = "us-east-1"
    pipeline_name: str = "tapline-ibu"
    artifact_bucket: str = "tapline-artifacts"
    pipeline_role_arn: str = "arn:aws:iam::111122223333:role/tapline-pipeline"
    job_role_arn: str = "arn:aws:iam::111122223333:role/tapline-job"
    model_package_group_name: str = "tapline-ibu"
    git_commit: str = "unknown"
    # Encrypts the jobs' outputs and volumes; empty: AWS's own keys.
    kms_key_arn: str = ""

    @property
    def home(self) -> str:
        """The S3 prefix of the pipeline."""
        return f"s3://{self.artifact_bucket}/{self.pipeline_name}"


def assets(settings: Settings) -> list[archives.Asset]:
    """The files that the definition refers to; an upsert uploads them to the artifact bucket."""
    shipped = [
        *archives.step_folder("processing"),
        archives.source_archive("training"),
        *archives.step_folder("evaluation"),
    ]
    mine = [archives.Asset(f"{settings.pipeline_name}/{each.key}", each.content) for each in shipped]
    return [*mine, archives.NO_CHAMPION, archives.LOST_CHAMPION]
