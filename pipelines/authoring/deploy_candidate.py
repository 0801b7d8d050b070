"""States of `deploy` that choose the package: the newest approved one whose deployment has not failed."""

from typing import Any

from pipelines.authoring.step_functions import StateMachine, added, chain

# CustomerMetadataProperties.DeploymentStatus of a package.
SERVING, REPLACED, FAILED = "Serving", "Replaced", "Failed"
METADATA = "$states.result.CustomerMetadataProperties"


def newest_approved(s: StateMachine, then: Any, nothing: Any, name: str, **members: str) -> Any:
    """The newest approved package whose deployment has not failed before, unless it has been approved again since.

    The input has `event` {package, id}, `tried`, names of packages, and `stop`, whether none is usable.
    name: the package's, a JSONata expression.
    members: further ones of the output, likewise.
    """
    describe, skip = candidate(s, then, name, members)
    first, choice = approved(s, "HasApproved", describe, nothing)
    chain(skip, choice)
    return first


def approved(s: StateMachine, name: str, then: Any, nothing: Any) -> tuple[Any, Any]:
    """(list the approved packages into `approved`, newest first, the choice `name` of whether there is one)."""
    request = {
        "ModelPackageGroupName": "${ModelPackageGroupName}",
        "ModelApprovalStatus": "Approved",
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 100,
    }
    integration = "aws-sdk:sagemaker:listModelPackages"
    output = added(
        approved="{'arns': [$states.result.ModelPackageSummaryList.ModelPackageArn], "
        "'next': [$states.result.NextToken]}"
    )
    first = s.jsonata("ApprovedModels", integration, request, output)
    # A page may be empty and not be the last: pages are cut before they are filtered.
    token = {"NextToken": "{% $states.input.approved.next[0] %}"}
    page = s.jsonata("MoreApprovedModels", integration, {**request, **token}, output)
    choice = s.choice(
        name,
        (s.present("$.approved.arns[0]"), then),
        (s.present("$.approved.next[0]"), page),
        otherwise=nothing,
    )
    chain(page, choice)
    return chain(first, choice), choice


def candidate(s: StateMachine, then: Any, name: str, members: dict[str, str]) -> tuple[Any, Any]:
    """(describe the first package of the list, remove it from the list).

    A package whose deployment has failed is skipped: within this execution, and where the failed deployment was started
    by the same event or this event is about another package.
    """
    describe = s.jsonata(
        "Candidate",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": "{% $states.input.approved.arns[0] %}"},
        added(package=described(name), **members),
    )
    usable = s.compute(
        "CandidateUse",
        use="""$not($states.input.stop) and $not($states.input.package.name in $states.input.tried)
            and ($states.input.package.status != 'Failed'
            or ($states.input.package.arn = $states.input.event.package
                and $states.input.package.event != $states.input.event.id))""",
    )
    others = "$filter($states.input.approved.arns, function($arn, $i) { $i > 0 })"
    skip = s.compute("SkipCandidate", approved=f"{{'arns': [{others}], 'next': $states.input.approved.next}}")
    chain(describe, usable, s.choice("IsCandidateUsable", (s.is_true("$.use"), then), otherwise=skip))
    return describe, skip


def described(name: str) -> str:
    """What is needed of a described package, a JSONata object. name: its name, a JSONata expression."""
    metadata = {
        "evaluation": ("Evaluation", ""),
        "sha256": ("ArtifactSha256", "unknown"),
        "cut_off": ("CutOff", "unknown"),
        "status": ("DeploymentStatus", ""),
        "event": ("DeploymentEvent", ""),
        "override": ("OverrideReason", "none"),
        "criteria": ("FailedCriteria", "none"),
    }
    members = {
        "arn": "$states.result.ModelPackageArn",
        "version": "$string($states.result.ModelPackageVersion)",
        "name": name,
        "tested": f"$append({METADATA}.DeploymentStatus, [''])[0] in ['{SERVING}', '{REPLACED}']",
        **{name: f"$append({METADATA}.{key}, ['{default}'])[0]" for name, (key, default) in metadata.items()},
        "model": "$states.result.InferenceSpecification.Containers[0].ModelDataUrl",
        "container": "$states.result.InferenceSpecification.Containers[0].{'Image': Image, "
        "'Environment': $append(Environment, [{}])[0]}",
        "by": "$append($append($states.result.LastModifiedBy.UserProfileName, "
        "$states.result.LastModifiedBy.IamIdentity.Arn), [''])[0]",
        "at": "$append($states.result.LastModifiedTime, [''])[0]",
        "note": "$append($states.result.ApprovalDescription, [''])[0]",
    }
    return "{" + ", ".join(f"'{name}': {text}" for name, text in members.items()) + "}"
