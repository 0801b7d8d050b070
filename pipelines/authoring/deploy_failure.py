"""States of `deploy` after an error: read everything again, or mark the package and go on with the next one."""

from typing import Any

from pipelines.authoring.deploy_candidate import FAILED, SERVING
from pipelines.authoring.step_functions import StateMachine, added, chain, expression

NOW = "$substringBefore($now(), '.') & 'Z'"
# Characters of a metadata value.
LIMIT = 256
# Characters that a metadata value cannot have.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
REFUSED = r"/[^A-Za-z0-9 _.:\/=+@-]+/"
# So many errors of one deployment are a failure.
ATTEMPTS = 3


def retry(s: StateMachine, name: str, again: Any, failed: Any) -> Any:
    """After an error: read everything again, as another execution or a person may have changed it."""
    count = s.compute(f"Count{name}Error", attempts="$states.input.attempts + 1")
    last = (s.rule.NumericGreaterThanEquals("$.attempts", ATTEMPTS), failed)
    return chain(count, s.choice(f"IsLast{name}Attempt", last, otherwise=again))


def record(s: StateMachine, name: str, package: str, status: str, reason: str, then: Any) -> Any:
    """Write the outcome into a package's metadata; where that fails, the state machine goes on.

    package: its ARN, reason: a text; both JSONata expressions. status: a text or a field that is one.
    """
    task = s.jsonata(
        name,
        "aws-sdk:sagemaker:updateModelPackage",
        {
            "ModelPackageArn": expression(package),
            "CustomerMetadataProperties": {
                "DeploymentStatus": status,
                "DeploymentTime": expression(NOW),
                "DeploymentEvent": "{% $states.input.event.id %}",
                "DeploymentReason": expression(f"$substring($replace({reason}, {REFUSED}, ' '), 0, {LIMIT})"),
            },
        },
        "{% $states.input %}",
        {"States.ALL": then},
    )
    return chain(task, then)


def record_failure(s: StateMachine, then: Any) -> Any:
    """Mark the package as failed, if it is still approved; the first failure is the execution's error.

    One that serves is not to blame: the parameters have changed, and no other package is tried with them.
    """
    serves = f"$states.input.package.status = '{SERVING}'"
    noted = s.compute(
        "NextCandidate",
        failure="$exists($states.input.tried[0]) ? $states.input.failure : $states.input.error",
        tried="[$append($states.input.tried, $states.input.package.name)]",
        stop=serves,
        attempts="0",
    )
    chain(noted, then)
    reason = f"""({serves} ? 'It serves as before its parameters changed. ' : '')
        & $states.input.error.Error & ': ' & $states.input.error.Cause"""
    status = expression(f"{serves} ? '{SERVING}' : '{FAILED}'")
    recorded = record(s, "RecordFailure", "$states.input.package.arn", status, reason, noted)
    # Where it is not, another execution has taken it back, which looks like a failure here.
    still = s.jsonata(
        "FailedPackage",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": "{% $states.input.package.arn %}"},
        added(still_approved="$states.result.ModelApprovalStatus = 'Approved'"),
        {"States.ALL": recorded},
    )
    return chain(still, s.choice("IsStillApproved", (s.is_true("$.still_approved"), recorded), otherwise=then))


def end(s: StateMachine, name: str, remark: str, then: Any) -> Any:
    """The end of an execution: `then`, or the first failure with a remark, a JSONata expression, on what serves."""
    failed = s.compute(
        f"{name}AfterFailure",
        error=f"{{'Error': $states.input.failure.Error, 'Cause': $states.input.failure.Cause & '; ' & {remark}}}",
    )
    chain(failed, s.failed)
    return s.choice(f"Is{name}AfterFailure", (s.present("$.tried[0]"), failed), otherwise=then)
