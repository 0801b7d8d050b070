"""The project's rules on access and protection: who may do what, and what is encrypted, private and retained.

No linter sees these. A rule is a function from a template to its findings, one line each, beginning with the
logical id at fault; no finding means that the template follows it. Exceptions are data, each with its reason.
"""

import re
from collections.abc import Callable

from tests.support.cfn import (
    Template,
    actions,
    branches,
    conditions,
    grants,
    references,
    resources,
    services,
    text,
    texts,
)

# The actions that are asked on no resource, by the reason they are needed: the only ones allowed on all of them.
ANY_RESOURCE = {
    "Step Functions sets up the delivery of its logs in the account": {
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    },
    "logging in to a registry, before an image is pulled": {"ecr:GetAuthorizationToken"},
    "metrics of a job; unbounded_metrics wants a namespace": {"cloudwatch:PutMetricData"},
    "lists of SageMaker's": {"sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints", "sagemaker:ListModels"},
    "a key has no name before it is made": {"kms:CreateKey"},
}
# Those of them for which AWS offers a resource in other uses than ours.
OFFERED_OTHERWISE = {
    "cloudwatch:PutMetricData": "a data set; the metrics of a job go to a namespace",
}

# The roles of one stack of one environment.
_STACKS_ROLES = re.compile(r".*:role/tapline-\$\{Environment\}-(ingestion|pipelines|deployment)-\*")

# Services that document which aws:SourceArn they present when they assume a role. Lambda and Firehose do not;
# the account is what limits those two.
PRESENTS_ARN = {
    "events.amazonaws.com",
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
}

HOLDS_DATA = ("KMS::Key", "S3::Bucket", "SageMaker::ModelPackageGroup")

PUBLIC_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def wildcard_actions(template: Template) -> list[str]:
    """Of roles' policies; in a key's own policy the account keeps all rights, or nobody could manage it."""
    return [
        f"{name}: allows {action}"
        for name, statement in grants(template)
        for action in actions(statement)
        if "*" in action
    ]


def wildcard_resources(template: Template) -> list[str]:
    return [
        f"{name}: {action} on every resource"
        for name, statement in grants(template)
        if "*" in texts(statement["Resource"])
        for action in actions(statement)
        if action not in set().union(*ANY_RESOURCE.values())
    ]


def unbounded_metrics(template: Template) -> list[str]:
    return [
        f"{name}: cloudwatch:PutMetricData in every namespace"
        for name, statement in grants(template)
        if "cloudwatch:PutMetricData" in actions(statement) and "cloudwatch:namespace" not in conditions(statement)
    ]


def whole_buckets(template: Template) -> list[str]:
    """Objects are granted by prefix, so that raw, cleaned and errors stay apart."""
    return [
        f"{name}: {action} on all of {resource}"
        for name, statement in grants(template)
        for action in actions(statement)
        if action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        for resource in texts(statement["Resource"])
        if re.search(r"(Bucket(\.Arn)?\}|:::[^/]*)/\*$", resource)
    ]


def loose_pass_role(template: Template) -> list[str]:
    found = []
    for name, statement in grants(template):
        if "iam:PassRole" in actions(statement):
            if any("*" in each and not _STACKS_ROLES.fullmatch(each) for each in texts(statement["Resource"])):
                found.append(f"{name}: passes any role")
            if not conditions(statement).get("iam:PassedToService"):
                found.append(f"{name}: passes a role to any service")
    return found


def shared_roles(template: Template) -> list[str]:
    """One role per component: two that share one hold each other's rights."""
    users: dict[str, list[str]] = {name: [] for name, _ in resources(template, "IAM::Role")}
    for name, resource in template["Resources"].items():
        if not resource["Type"].startswith("AWS::IAM::"):
            for role in users.keys() & references(resource):
                users[role].append(name)
    return [f"{role}: shared by {', '.join(names)}" for role, names in users.items() if len(names) > 1]


# An environment's own name, and that of its scheduled runs of dbt, which wait for no reviewer.
SUBJECTS = ("repo:${Repository}:environment:${Environment}", "repo:${Repository}:environment:${Environment}-warehouse")


def open_federation(template: Template) -> list[str]:
    """Everybody on GitHub gets tokens from its provider; only the subject identifies the repository."""
    found = []
    for name, role in resources(template, "IAM::Role"):
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if statement["Action"] == "sts:AssumeRoleWithWebIdentity":
                exact = statement.get("Condition", {}).get("StringEquals", {})
                wanted = {key.rpartition(":")[2]: text(value) for key, value in exact.items()}
                if wanted.get("aud") != "sts.amazonaws.com":
                    found.append(f"{name}: takes tokens made for others")
                if wanted.get("sub") not in SUBJECTS:
                    found.append(f"{name}: admits more than one environment of one repository")
                if role.get("MaxSessionDuration") != 3600:
                    found.append(f"{name}: its sessions are not limited to an hour")
    return found


def confused_deputies(template: Template) -> list[str]:
    """A service acts for many accounts; without a condition it may act on ours for another's sake."""
    found = []
    for name, service, statement in services(template):
        keys = conditions(statement)
        if keys.get("aws:SourceAccount") != ["${AWS::AccountId}"] and "kms:EncryptionContext:aws:logs:arn" not in keys:
            found.append(f"{name}: {service} from any account")
        if statement["Action"] == "sts:AssumeRole" and service in PRESENTS_ARN and "aws:SourceArn" not in keys:
            found.append(f"{name}: {service} for any of its resources")
    return found


def open_buckets(template: Template) -> list[str]:
    found = []
    for name, bucket in resources(template, "S3::Bucket"):
        blocks = bucket.get("PublicAccessBlockConfiguration", {})
        if [blocks.get(key) for key in PUBLIC_BLOCKS] != [True] * len(PUBLIC_BLOCKS):
            found.append(f"{name}: may become public")
        if "BucketEncryption" not in bucket:
            found.append(f"{name}: is not encrypted")
        if bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
            found.append(f"{name}: obeys access control lists")
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            found.append(f"{name}: forgets what is overwritten")
        if not any(_refuses_plain_http(name, policy) for _, policy in resources(template, "S3::BucketPolicy")):
            found.append(f"{name}: answers without TLS")
    return found


def _refuses_plain_http(bucket: str, policy: Template) -> bool:
    return policy["Bucket"] == {"Ref": bucket} and any(
        (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        and texts(statement["Resource"]) == [f"${{{bucket}.Arn}}", f"${{{bucket}.Arn}}/*"]
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in policy["PolicyDocument"]["Statement"]
    )


def lost_with_the_stack(template: Template) -> list[str]:
    """Data outlives its stack; a stack that fails while it is created leaves nothing behind."""
    wanted = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    return [
        f"{name}: {policy} is not {value}"
        for name, resource in template["Resources"].items()
        if resource["Type"].removeprefix("AWS::") in HOLDS_DATA
        for policy, value in wanted.items()
        if resource.get(policy) != value
    ]


# Workgroups whose queries may write elsewhere than to the workgroup's location.
UNENFORCED = {"GoldWorkgroup": "new tables would lie among the query results, which expire"}


def unencrypted(template: Template) -> list[str]:
    found = []
    for name, queue in resources(template, "SQS::Queue"):
        if True not in branches(queue.get("SqsManagedSseEnabled")):
            found.append(f"{name}: is not encrypted")
    for name, stream in resources(template, "Kinesis::Stream"):
        if stream.get("StreamEncryption", {}).get("EncryptionType") != "KMS":
            found.append(f"{name}: is not encrypted")
    for name, group in resources(template, "Athena::WorkGroup"):
        configuration = group["WorkGroupConfiguration"]
        if "EncryptionConfiguration" not in configuration["ResultConfiguration"]:
            found.append(f"{name}: results are not encrypted")
        if configuration.get("EnforceWorkGroupConfiguration") is not True and name not in UNENFORCED:
            found.append(f"{name}: a query may write its results anywhere")
    return found


RULES: tuple[Callable[[Template], list[str]], ...] = (
    wildcard_actions,
    wildcard_resources,
    unbounded_metrics,
    whole_buckets,
    loose_pass_role,
    shared_roles,
    open_federation,
    confused_deputies,
    open_buckets,
    lost_with_the_stack,
    unencrypted,
)
