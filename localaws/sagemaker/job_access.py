"""What a job's container knows of AWS: its region, its role's credentials, and the endpoint that it can reach.

With EnableNetworkIsolation there is nothing of it: the container cannot call any AWS service, S3 included.
https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
"""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from localaws.sagemaker import s3
from localaws.store import Document

ISOLATED = "EnableNetworkIsolation is on: this job can call no AWS service, S3 included"
# What boto3 and the AWS CLI raise or print without credentials or without a network.
NO_AWS = re.compile(
    r"NoCredentialsError|EndpointConnectionError|ConnectTimeoutError|NoRegionError|Unable to locate credentials"
    r"|Could not connect to the endpoint URL"
)


@dataclass(frozen=True)
class Access:
    """environment: variables of the AWS SDKs. port: of the endpoint at 127.0.0.1, or 0 for none. note: for the log."""

    note: str
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0

    def explain(self, log_tail: str) -> str:
        """Why a failed command had no AWS; empty when that is not what it failed for."""
        return f" ({ISOLATED}.)" if not self.port and NO_AWS.search(log_tail) else ""


def is_isolated(job: Document) -> bool:
    """Whether a job's request asks for network isolation."""
    return bool(job.get("EnableNetworkIsolation") or job.get("NetworkConfig", {}).get("EnableNetworkIsolation"))


def for_job(job: Document, job_arn: str) -> Access:
    """The access of a job's container."""
    region = job_arn.split(":")[3]
    variables = {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    if is_isolated(job):
        return Access(ISOLATED, variables)
    url = os.environ["AWS_ENDPOINT_URL"]
    variables |= {"AWS_ENDPOINT_URL": url, **_credentials(job["RoleArn"])}
    return Access(f"AWS at {url} as {job['RoleArn']}", variables, urlsplit(url).port or 0)


def _credentials(role_arn: str) -> dict[str, str]:
    """The variables with a session of the job's role."""
    session = s3.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="SageMaker")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
