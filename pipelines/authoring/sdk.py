"""Shared helpers of the SageMaker SDK: quiet import, offline session, image URI, retry policies.

Importing the SDK changes the logging configuration, prints a notice of its end of support (2027-07-06) and replaces
sys.excepthook; `quiet` reverts all three.
"""

import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The newest scikit-learn image of SageMaker: Python 3.12, scikit-learn 1.9.0. This tag is never moved; 1.9-0-cpu-py3 is
# the one that AWS moves to patched images. The SDK knows older versions, whose registry's account is the same.
# https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
KNOWN_VERSION, IMAGE_TAG = "1.2-1", "1.9-0-1.0.0.0"


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which to import the SDKs: no notices, logging and sys.excepthook unchanged."""
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    # Otherwise boto3 may query the EC2 instance metadata service for credentials.
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    hook, disabled = sys.excepthook, logging.root.manager.disable
    handlers, level = list(logging.root.handlers), logging.root.level
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:], logging.root.level = handlers, level
        sys.excepthook = hook


@functools.cache
def image_uri(region: str) -> str:
    """The URI of the scikit-learn image in a region."""
    from sagemaker import image_uris

    known = image_uris.retrieve("sklearn", region, KNOWN_VERSION, py_version="py3", instance_type="ml.m5.large")
    return f"{str(known).partition(':')[0]}:{IMAGE_TAG}"


def regions() -> list[str]:
    """The regions that have the image."""
    from sagemaker import image_uris

    versions = image_uris.config_for_framework("sklearn")["training"]["versions"]
    return sorted(versions[KNOWN_VERSION]["registries"])


@functools.cache
def offline_boto(region: str) -> Any:
    """A boto3 session with dummy credentials, cached, as it loads service models from disk."""
    import boto3

    return boto3.session.Session(region_name=region, aws_access_key_id="offline", aws_secret_access_key="offline")


def offline_session(region: str, artifact_bucket: str) -> Any:
    """A PipelineSession that sends no request: code is referenced by S3 URIs, so nothing is uploaded."""
    from sagemaker.workflow.pipeline_context import PipelineSession

    boto = offline_boto(region)
    session = PipelineSession(
        boto_session=boto, sagemaker_client=boto.client("sagemaker"), default_bucket=artifact_bucket
    )
    # default_bucket() would call S3.
    session._default_bucket = artifact_bucket
    session.sagemaker_config = {
        "SchemaVersion": "1.0",
        "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
    }
    return session


@functools.cache
def retries() -> Any:
    """Retry policies for transient faults of AWS; a failing script is not retried.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
    """
    from sagemaker.workflow.retry import (
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )

    return [
        StepRetryPolicy(
            exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
            interval_seconds=10,
            backoff_rate=2.0,
            max_attempts=5,
        ),
        SageMakerJobStepRetryPolicy(
            exception_types=[
                SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
                SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT,
            ],
            interval_seconds=60,
            backoff_rate=2.0,
            max_attempts=5,
        ),
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
            interval_seconds=10,
            backoff_rate=2.0,
            max_attempts=2,
        ),
    ]
