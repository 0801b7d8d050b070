"""A needed permission, and the needs that several checks share."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.authoring.templates import below


class Need(NamedTuple):
    """An IAM action on a resource (in the notation of Fn::Sub, `*` for what only a run knows), and what needs it."""

    action: str
    resource: str
    why: str


def arn(service: str, rest: str) -> str:
    """An ARN in the stack's own account and region."""
    return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}"


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket by its name."""
    return f"arn:${{AWS::Partition}}:s3:::{bucket}"


def reading(address: str, why: str) -> Iterator[Need]:
    """Needs for reading objects under `bucket/prefix`."""
    bucket, _, prefix = address.partition("/")
    yield Need("s3:GetObject", f"{bucket_arn(bucket)}/{prefix.rstrip('*')}*", why)
    yield Need("s3:ListBucket", below(bucket_arn(bucket), f"{prefix.rstrip('*')}*"), why)
    # SageMaker and Athena query a bucket's region before they use it.
    yield Need("s3:GetBucketLocation", bucket_arn(bucket), why)


def writing(address: str, why: str) -> Iterator[Need]:
    """Needs for writing objects under `bucket/prefix`, large ones by multipart upload."""
    bucket, _, prefix = address.partition("/")
    for action in ("s3:AbortMultipartUpload", "s3:PutObject"):
        yield Need(action, f"{bucket_arn(bucket)}/{prefix.rstrip('*')}*", why)
    yield Need("s3:GetBucketLocation", bucket_arn(bucket), why)


# Services that use the KMS key with the permissions of the calling role.
ENCRYPTED = ("firehose:", "glue:", "kinesis:", "s3:", "sns:", "sqs:", "sagemaker:")


def key_use(needs: list[Need]) -> Iterator[Need]:
    """Needs for the optional KMS key, of a role that reads or writes encrypted data."""
    touching = next((need for need in needs if need.action.startswith(ENCRYPTED)), None)
    if touching is not None:
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            yield Need(action, "${KmsKeyArn}", f"{touching.action} may meet the key")
