"""How jobs and steps fail: the exception types of retry policies, and the failure reasons that SageMaker gives.

A script's own failure is an AlgorithmError. It has no retry exception type: the same script would fail again, and
SageMaker Pipelines does not retry it either.
"""

from localaws.store import Document

# A retry policy's exception types and the failure reasons:
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
REASONS = {
    "Step.SERVICE_FAULT": "InternalFailure: The downstream service answered with a 5xx error.",
    "Step.THROTTLING": "ThrottlingException: Rate exceeded",
    "SageMaker.JOB_INTERNAL_ERROR": "InternalServerError: We encountered an internal error. Please try again.",
    "SageMaker.CAPACITY_ERROR": "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type.",
    "SageMaker.RESOURCE_LIMIT": "ResourceLimitExceeded: The account-level service limit for this instance type "
    "is exceeded.",
}
INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
# Fault injection: a variable of a job's environment that names the failure of each attempt.
# `Step.THROTTLING,Step.SERVICE_FAULT` fails the first two. AWS ignores it: a definition can test its retries here.
FAULTS = "LOCALAWS_FAULTS"


class JobFailed(Exception):
    """A job ended without success. reason: its FailureReason. kind: a key of REASONS, or None: not to be retried."""

    def __init__(self, reason: str, kind: str | None = None, status: str = "Failed") -> None:
        super().__init__(reason)
        self.reason = reason[:1024]
        self.kind = kind
        self.status = status


class JobStopped(Exception):
    """A job was ended because its execution is being stopped."""


def inject_failure(arguments: Document, attempt: int, prefix: str) -> None:
    """Fault injection: raise what LOCALAWS_FAULTS names for this attempt (from 1), if its kind begins with `prefix`."""
    planned = arguments.get("Environment", {}).get(FAULTS, "").split(",")
    kind = planned[attempt - 1].strip() if attempt <= len(planned) else ""
    if kind.startswith(prefix) and kind in REASONS:
        raise JobFailed(REASONS[kind], kind)
