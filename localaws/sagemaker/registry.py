"""The model registry: package groups, versioned packages, and approvals that put events on EventBridge."""

from localaws import shapes
from localaws.crashpoints import crashpoint
from localaws.sagemaker import events, tokens
from localaws.sagemaker.service import Service, arn, here, in_window, now, page, validation_error
from localaws.store import Document

GROUP, PACKAGE = "model-package-group", "model-package"


class Registry:
    """Handlers of the model package operations."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = service.store
        service.add(
            {
                "CreateModelPackageGroup": self.create_group,
                "DescribeModelPackageGroup": self.describe_group,
                "ListModelPackageGroups": self.list_groups,
                "DeleteModelPackageGroup": self.delete_group,
                "CreateModelPackage": self.create,
                "DescribeModelPackage": self.describe,
                "ListModelPackages": self.list_packages,
                "UpdateModelPackage": self.update,
                "DeleteModelPackage": self.delete,
            }
        )

    def create_group(self, request: Document) -> Document:
        """CreateModelPackageGroup."""
        name = request["ModelPackageGroupName"]
        group_arn = arn(f"{GROUP}/{name}")
        with self.store.transaction():
            # Names that differ in case only would give their packages the same ARNs.
            for earlier in self.store.all(GROUP):
                if earlier["ModelPackageGroupArn"].lower() == group_arn.lower():
                    raise validation_error(f"Model Package Group already exists: {earlier['ModelPackageGroupArn']}")
            document = {key: value for key, value in request.items() if key != "Tags"}
            document |= {"ModelPackageGroupArn": group_arn, "ModelPackageGroupStatus": "Completed"}
            self.store.put(GROUP, group_arn, {**document, "CreationTime": now(), "LastVersion": 0})
            if request.get("Tags"):
                self.store.put("tags", group_arn, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"ModelPackageGroupArn": group_arn}

    def describe_group(self, request: Document) -> Document:
        """DescribeModelPackageGroup."""
        group = self._group(request["ModelPackageGroupName"])
        group["CreatedBy"] = {}
        return shapes.project(shapes.output_shape("sagemaker", "DescribeModelPackageGroup"), group)

    def list_groups(self, request: Document) -> Document:
        """ListModelPackageGroups."""
        wanted = request.get("NameContains", "")
        found = [
            each
            for each in here(self.store.all(GROUP), "ModelPackageGroupArn")
            if wanted in each["ModelPackageGroupName"] and in_window(request, each)
        ]
        chosen, more = page(found, request, order="Ascending", by=_order(request))
        return {"ModelPackageGroupSummaryList": [_group_summary(each) for each in chosen], **more}

    def delete_group(self, request: Document) -> Document:
        """DeleteModelPackageGroup; refused while it holds packages, as AWS refuses it."""
        group = self._group(request["ModelPackageGroupName"])
        if self._versions(group["ModelPackageGroupArn"]):
            raise validation_error(
                f"Cannot delete Model Package Group {request['ModelPackageGroupName']}: it has model packages."
            )
        tokens.forget(self.store, group["ModelPackageGroupArn"])
        self.store.delete("tags", group["ModelPackageGroupArn"])
        self.store.delete(GROUP, group["ModelPackageGroupArn"])
        return {}

    def create(self, request: Document) -> Document:
        """CreateModelPackage: the next version of a group."""
        if "ModelPackageGroupName" not in request:
            raise validation_error("The local SageMaker registers versioned packages only: name a group.")
        if "ModelPackageName" in request:
            raise validation_error(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
                "Cannot determine which one to use."
            )
        if request.get("Tags"):
            raise validation_error("A model package of a group has the group's tags and none of its own.")
        group = self._group(request["ModelPackageGroupName"])
        group_name, token = group["ModelPackageGroupName"], request.get("ClientToken")
        with self.store.transaction():
            earlier = tokens.remembered(self.store, "CreateModelPackage", group["ModelPackageGroupArn"], token)
            if earlier:
                return earlier
            version = self.store.change(GROUP, group["ModelPackageGroupArn"], _next_version)["LastVersion"]
            package_arn = arn(f"{PACKAGE}/{group_name.lower()}/{version}")
            document = {key: value for key, value in request.items() if key not in ("Tags", "ClientToken")}
            document |= {
                "ModelPackageGroupName": group_name,
                "ModelPackageVersion": version,
                "ModelPackageArn": package_arn,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
                "CertifyForMarketplace": request.get("CertifyForMarketplace", False),
                "CreationTime": now(),
            }
            self.store.put(PACKAGE, package_arn, document)
            answer = {"ModelPackageArn": package_arn}
            tokens.remember(self.store, "CreateModelPackage", group["ModelPackageGroupArn"], token, answer)
            events.package_changed(self.store, document)
        crashpoint("package-stored")
        events.send(self.store)
        return answer

    def describe(self, request: Document) -> Document:
        """DescribeModelPackage, by ARN."""
        package = self.package(request["ModelPackageName"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribeModelPackage"), package)

    def list_packages(self, request: Document) -> Document:
        """ListModelPackages: a group's, or those of all groups when Versioned or Both are asked for."""
        name, status = request.get("ModelPackageGroupName"), request.get("ModelApprovalStatus")
        if name is not None:
            found = self._versions(self._group(name)["ModelPackageGroupArn"])
        elif request.get("ModelPackageType", "Unversioned") == "Unversioned":
            found = []
        else:
            found = here(self.store.all(PACKAGE), "ModelPackageArn")
        found = [
            each
            for each in found
            if status in (None, each["ModelApprovalStatus"])
            and request.get("NameContains", "") in each["ModelPackageGroupName"]
            and in_window(request, each)
        ]
        chosen, more = page(found, request, order="Ascending", by=_order(request))
        shape = shapes.output_shape("sagemaker", "ListModelPackages").members["ModelPackageSummaryList"].member
        return {"ModelPackageSummaryList": [shapes.project(shape, each) for each in chosen], **more}

    def update(self, request: Document) -> Document:
        """UpdateModelPackage: approval, its description, metadata."""
        package = self.package(request["ModelPackageArn"])
        removed = request.get("CustomerMetadataPropertiesToRemove", [])
        changes = {key: value for key, value in request.items() if key != "CustomerMetadataPropertiesToRemove"}

        def change(document: Document) -> None:
            merged = {
                **document.get("CustomerMetadataProperties", {}),
                **changes.get("CustomerMetadataProperties", {}),
            }
            document.update(changes, LastModifiedTime=now())
            document["CustomerMetadataProperties"] = {k: v for k, v in merged.items() if k not in removed}

        with self.store.transaction():
            before = self.package(package["ModelPackageArn"])["ModelApprovalStatus"]
            changed = self.store.change(PACKAGE, package["ModelPackageArn"], change)
            if changed["ModelApprovalStatus"] != before:
                events.package_changed(self.store, changed)
        events.send(self.store)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def delete(self, request: Document) -> Document:
        """DeleteModelPackage; its version number is not used again."""
        package = self.package(request["ModelPackageName"])
        self.store.delete(PACKAGE, package["ModelPackageArn"])
        return {}

    def package(self, name: str) -> Document:
        """The stored package of an ARN."""
        package = self.store.get(PACKAGE, name if name.startswith("arn:") else arn(f"{PACKAGE}/{name}"))
        if package is None:
            raise validation_error(f"ModelPackage {name} does not exist.")
        return package

    def _group(self, name: str) -> Document:
        group_arn = name if name.startswith("arn:") else arn(f"{GROUP}/{name}")
        group = self.store.get(GROUP, group_arn)
        if group is None:
            raise validation_error(f"ModelPackageGroup {group_arn} does not exist.")
        return group

    def _versions(self, group_arn: str) -> list[Document]:
        prefix = group_arn.replace(GROUP, PACKAGE, 1).lower() + "/"
        return [each for each in self.store.all(PACKAGE) if each["ModelPackageArn"].startswith(prefix)]


def _order(request: Document) -> str:
    """The member that a list is sorted by; a versioned package has no name but its group's."""
    return "ModelPackageGroupName" if request.get("SortBy") == "Name" else "CreationTime"


def _next_version(group: Document) -> None:
    group["LastVersion"] += 1


def _group_summary(group: Document) -> Document:
    shape = shapes.output_shape("sagemaker", "ListModelPackageGroups").members["ModelPackageGroupSummaryList"].member
    return shapes.project(shape, group)
