"""A need for a right, and the needs that are the same wherever they come up."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.authoring.templates import below


class Need(NamedTuple):
    """An IAM action on a resource (in the notation of Fn::Sub, `*` for what only a run knows), and who needs it."""

    action: str
    resource: str
    why: str


def arn(service: str, rest: str) -> str:
    """The ARN of something in the stack's own account and region."""
    return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}"


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket that is known by name."""
    return f"arn:${{AWS::Partition}}:s3:::{bucket}"


def reading(address: str, why: str) -> Iterator[Need]:
    """What reading the objects under `bucket/prefix` takes."""
    bucket, _, prefix = address.partition("/")
    yield Need("s3:GetObject", f"{bucket_arn(bucket)}/{prefix.rstrip('*')}*", why)
    yield Need("s3:ListBucket", below(bucket_arn(bucket), f"{prefix.rstrip('*')}*"), why)
    # SageMaker and Athena ask where a bucket lies before they use it.
    yield Need("s3:GetBucketLocation", bucket_arn(bucket), why)


def writing(address: str, why: str) -> Iterator[Need]:
    """What writing objects under `bucket/prefix` takes; a large object is several uploads, which may be given up."""
    bucket, _, prefix = address.partition("/")
    for action in ("s3:AbortMultipartUpload", "s3:PutObject"):
        yield Need(action, f"{bucket_arn(bucket)}/{prefix.rstrip('*')}*", why)
    yield Need("s3:GetBucketLocation", bucket_arn(bucket), why)


# A service that carries out encrypted work for a role asks for the key in the role's name.
ENCRYPTED = ("firehose:", "glue:", "kinesis:", "s3:", "sns:", "sqs:", "sagemaker:")


def key_use(needs: list[Need]) -> Iterator[Need]:
    """The optional key, for a role that reads or writes what it encrypts."""
    touching = next((need for need in needs if need.action.startswith(ENCRYPTED)), None)
    if touching is not None:
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            yield Need(action, "${KmsKeyArn}", f"{touching.action} may meet the key")
