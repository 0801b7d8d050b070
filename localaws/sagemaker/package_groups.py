"""Model package groups and their resource policies."""

from localaws import shapes
from localaws.sagemaker import tags, tokens
from localaws.sagemaker.service import Service, arn, here, listing, now, validation_error
from localaws.store import Document, Store

GROUP, PACKAGE, POLICY = "model-package-group", "model-package", "model-package-group-policy"


class PackageGroups:
    """Handlers of the model package group operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "CreateModelPackageGroup": self.create,
                "DescribeModelPackageGroup": self.describe,
                "ListModelPackageGroups": self.list_groups,
                "DeleteModelPackageGroup": self.delete,
                "PutModelPackageGroupPolicy": self.put_policy,
                "GetModelPackageGroupPolicy": self.get_policy,
                "DeleteModelPackageGroupPolicy": self.delete_policy,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateModelPackageGroup."""
        name = request["ModelPackageGroupName"]
        group_arn = arn(f"{GROUP}/{name}")
        with self.store.transaction():
            # Names that differ in case only are one name.
            for earlier in self.store.all(GROUP):
                if earlier["ModelPackageGroupArn"].lower() == group_arn.lower():
                    raise validation_error(f"Model Package Group already exists: {earlier['ModelPackageGroupArn']}")
            document = {key: value for key, value in request.items() if key != "Tags"}
            document |= {"ModelPackageGroupArn": group_arn, "ModelPackageGroupStatus": "Completed"}
            self.store.put(GROUP, group_arn, {**document, "CreationTime": now(), "LastVersion": 0})
            tags.put(self.store, group_arn, request.get("Tags"))
        return {"ModelPackageGroupArn": group_arn}

    def describe(self, request: Document) -> Document:
        """DescribeModelPackageGroup."""
        group = group_of(self.store, request["ModelPackageGroupName"])
        group["CreatedBy"] = {}
        return shapes.project(shapes.output_shape("sagemaker", "DescribeModelPackageGroup"), group)

    def list_groups(self, request: Document) -> Document:
        """ListModelPackageGroups."""
        wanted = request.get("NameContains", "")
        return listing(
            "ListModelPackageGroups",
            here(self.store.all(GROUP), "ModelPackageGroupArn"),
            request,
            matches=lambda group: wanted in group["ModelPackageGroupName"],
            order="Ascending",
            by="ModelPackageGroupName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def delete(self, request: Document) -> Document:
        """DeleteModelPackageGroup; one that holds packages is refused."""
        with self.store.transaction():
            group_arn = group_of(self.store, request["ModelPackageGroupName"])["ModelPackageGroupArn"]
            if packages_of(self.store, group_arn):
                raise validation_error(
                    f"Cannot delete Model Package Group {request['ModelPackageGroupName']}: it has model packages."
                )
            tokens.delete_all(self.store, group_arn)
            tags.delete_all(self.store, group_arn)
            self.store.delete(POLICY, group_arn)
            self.store.delete(GROUP, group_arn)
        return {}

    def put_policy(self, request: Document) -> Document:
        """PutModelPackageGroupPolicy: stored as it is, not evaluated."""
        group_arn = group_of(self.store, request["ModelPackageGroupName"])["ModelPackageGroupArn"]
        self.store.put(POLICY, group_arn, {"ResourcePolicy": request["ResourcePolicy"]})
        return {"ModelPackageGroupArn": group_arn}

    def get_policy(self, request: Document) -> Document:
        """GetModelPackageGroupPolicy."""
        group_arn = group_of(self.store, request["ModelPackageGroupName"])["ModelPackageGroupArn"]
        policy = self.store.get(POLICY, group_arn)
        if policy is None:
            raise validation_error(f"Cannot find resource policy for: {group_arn}")
        return policy

    def delete_policy(self, request: Document) -> Document:
        """DeleteModelPackageGroupPolicy."""
        group_arn = group_of(self.store, request["ModelPackageGroupName"])["ModelPackageGroupArn"]
        self.store.delete(POLICY, group_arn)
        return {}


def group_of(store: Store, name: str) -> Document:
    """The stored group of a name or ARN; ValidationException when there is none."""
    group_arn = name if name.startswith("arn:") else arn(f"{GROUP}/{name}")
    group = store.get(GROUP, group_arn)
    if group is None:
        raise validation_error(f"ModelPackageGroup {group_arn} does not exist.")
    return group


def packages_of(store: Store, group_arn: str) -> list[Document]:
    """The packages of a group, oldest first."""
    prefix = group_arn.replace(f":{GROUP}/", f":{PACKAGE}/", 1).lower() + "/"
    return [each for each in store.all(PACKAGE) if each["ModelPackageArn"].startswith(prefix)]
