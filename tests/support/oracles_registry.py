"""What moto and the local SageMaker are both asked of the registry: calls as in tests/support/oracles.py."""

from tests.support.oracles import ABSENT, HERE, LONG_AGO, MANY, MESSAGE, MODEL, NAMED, TAGS, Call

GROUP = {"ModelPackageGroupName": "Oracle"}

NO_VALIDATION = {
    f"ModelPackageStatusDetails.{name}": ("1 items", "0 items") for name in ("ValidationStatuses", "ImageScanStatuses")
}
NOT_VALIDATED = "nothing was validated: the event that EventBridge's documentation shows has two empty lists"
NO_APPROVAL = "a version waits for approval unless the request says otherwise (the registry's documentation)"
DOES_NOT_EXIST = "AWS's Kubernetes controller knows a missing package by its 'does not exist.'"

REGISTRY = [
    Call("create a group", "CreateModelPackageGroup", {**GROUP, "ModelPackageGroupDescription": "g", "Tags": TAGS}),
    Call("describe a group", "DescribeModelPackageGroup", GROUP),
    Call("list a group's tags", "ListTags", {"ResourceArn": "<ModelPackageGroupArn>"}),
    Call("list groups", "ListModelPackageGroups", {**MANY, "NameContains": "racl"}),
    Call(
        "list groups of before",
        "ListModelPackageGroups",
        {**MANY, "NameContains": "Oracle", "CreationTimeBefore": LONG_AGO},
    ),
    Call(
        "register",
        "CreateModelPackage",
        {**GROUP, **MODEL, "ModelPackageDescription": "m", "CustomerMetadataProperties": {"a": "1", "b": "2"}},
    ),
    Call(
        "describe a version",
        "DescribeModelPackage",
        {"ModelPackageName": "<ModelPackageArn>"},
        {**NO_VALIDATION, "ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        f"{NOT_VALIDATED}; {NO_APPROVAL}",
    ),
    Call(
        "list versions",
        "ListModelPackages",
        GROUP,
        {"ModelPackageSummaryList[0].ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        NO_APPROVAL,
    ),
    Call("list those of no group", "ListModelPackages", {**MANY, "NameContains": "Oracle"}),
    Call(
        "list those of every group",
        "ListModelPackages",
        {**MANY, "NameContains": "racl", "ModelPackageType": "Versioned"},
        {"ModelPackageSummaryList[0].ModelApprovalStatus": (ABSENT, "PendingManualApproval")},
        NO_APPROVAL,
    ),
    Call("list by another name", "ListModelPackages", {**MANY, "NameContains": "Oracles", "ModelPackageType": "Both"}),
    Call("list the approved", "ListModelPackages", {**GROUP, "ModelApprovalStatus": "Approved"}),
    Call(
        "approve",
        "UpdateModelPackage",
        {
            "ModelPackageArn": "<ModelPackageArn>",
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "good",
            "CustomerMetadataProperties": {"c": "3"},
            "CustomerMetadataPropertiesToRemove": ["b"],
        },
    ),
    Call(
        "describe the approved",
        "DescribeModelPackage",
        {"ModelPackageName": "<ModelPackageArn>"},
        {**NO_VALIDATION, "CustomerMetadataProperties.a": (ABSENT, "1")},
        f"{NOT_VALIDATED}; if an update replaced all properties, there would be no need of a list of those to remove",
    ),
    Call("list the now approved", "ListModelPackages", {**GROUP, "ModelApprovalStatus": "Approved"}),
    Call("register with a name too", "CreateModelPackage", {**GROUP, **MODEL, "ModelPackageName": "named"}),
    Call(
        "register tagged",
        "CreateModelPackage",
        {**GROUP, **MODEL, "Tags": TAGS},
        {
            "ModelPackageArn": (f"{NAMED}:model-package/oracle/2", ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": "A model package of a group has the group's tags and none of its own.",
                },
            ),
        },
        "with a group you cannot supply a tag argument, by the model",
    ),
    Call(
        "register in no group",
        "CreateModelPackage",
        {"ModelPackageGroupName": "gone", **MODEL},
        {
            MESSAGE: (
                "Model Package Group does not exist.",
                f"ModelPackageGroup {NAMED}:model-package-group/gone does not exist.",
            )
        },
        "in the words of DescribeModelPackageGroup, where moto agrees",
    ),
    Call(
        "create it again",
        "CreateModelPackageGroup",
        GROUP,
        {
            "ModelPackageGroupArn": (f"{NAMED}:model-package-group/Oracle", ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": f"Model Package Group already exists: {NAMED}:model-package-group/Oracle",
                },
            ),
        },
        "moto overwrites the group; the SDK searches the message for 'already exists' when it ensures the group",
    ),
    Call("describe no group", "DescribeModelPackageGroup", {"ModelPackageGroupName": "gone"}),
    Call(
        "list versions of no group",
        "ListModelPackages",
        {"ModelPackageGroupName": "gone"},
        {
            "ModelPackageSummaryList": ([], ABSENT),
            "Error": (
                ABSENT,
                {
                    "Code": "ValidationException",
                    "Message": f"ModelPackageGroup {NAMED}:model-package-group/gone does not exist.",
                },
            ),
        },
        "a group that is not there is not one without versions",
    ),
    *(
        Call(
            f"{operation} of none",
            operation,
            {member: f"{HERE}:model-package/gone/1"},
            {
                MESSAGE: (
                    f"Model package {NAMED}:model-package/gone/1 not found",
                    f"ModelPackage {NAMED}:model-package/gone/1 does not exist.",
                )
            },
            DOES_NOT_EXIST,
        )
        for operation, member in (
            ("DescribeModelPackage", "ModelPackageName"),
            ("UpdateModelPackage", "ModelPackageArn"),
        )
    ),
]
