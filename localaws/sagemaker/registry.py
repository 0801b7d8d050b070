"""The model registry: versioned and unversioned model packages, and the events of their approval."""

from localaws import shapes
from localaws.crashpoints import crashpoint
from localaws.sagemaker import events, tags, tokens
from localaws.sagemaker.package_groups import GROUP, PACKAGE, group_of, packages_of
from localaws.sagemaker.service import Service, arn, caller, here, listing, now, validation_error
from localaws.store import Document

# Members of an UpdateModelPackage request that are no changes.
NOT_STORED = ("Tags", "ClientToken", "CustomerMetadataPropertiesToRemove", "AdditionalInferenceSpecificationsToAdd")


class Registry:
    """Handlers of the model package operations."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = service.store
        service.add(
            {
                "CreateModelPackage": self.create,
                "DescribeModelPackage": self.describe,
                "BatchDescribeModelPackage": self.batch_describe,
                "ListModelPackages": self.list_packages,
                "UpdateModelPackage": self.update,
                "DeleteModelPackage": self.delete,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateModelPackage: the next version of a group, or a package of a name of its own."""
        _check_new(request)
        with self.store.transaction():
            if "ModelPackageGroupName" in request:
                group = group_of(self.store, request["ModelPackageGroupName"])
                resource, names = group["ModelPackageGroupArn"], self._next_version(group)
            else:
                resource = arn(f"{PACKAGE}/{request['ModelPackageName']}")
                names = {"ModelPackageName": request["ModelPackageName"], "ModelPackageArn": resource}
            earlier = tokens.earlier_answer(self.store, "CreateModelPackage", resource, request)
            if earlier:
                return earlier
            if self.store.get(PACKAGE, names["ModelPackageArn"]):
                raise validation_error(f"Model Package already exists: {names['ModelPackageArn']}")
            document = _new_package(request, names)
            if "ModelPackageVersion" in names:
                self.store.change(GROUP, resource, _count_version)
            self.store.put(PACKAGE, document["ModelPackageArn"], document)
            tags.put(self.store, document["ModelPackageArn"], request.get("Tags"))
            answer = {"ModelPackageArn": document["ModelPackageArn"]}
            tokens.save_answer(self.store, "CreateModelPackage", resource, request, answer)
            events.package_changed(self.store, document)
        crashpoint("package-stored")
        events.send(self.store)
        return answer

    def describe(self, request: Document) -> Document:
        """DescribeModelPackage, by ARN or, without a group, by name."""
        package = self.package(request["ModelPackageName"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribeModelPackage"), package)

    def batch_describe(self, request: Document) -> Document:
        """BatchDescribeModelPackage: summaries by ARN, and an error for each that does not exist."""
        shape = shapes.output_shape("sagemaker", "BatchDescribeModelPackage").members["ModelPackageSummaries"].value
        found, errors = {}, {}
        for package_arn in request["ModelPackageArnList"]:
            package = self.store.get(PACKAGE, package_arn)
            if package is None:
                message = f"ModelPackage {package_arn} does not exist."
                errors[package_arn] = {"ErrorCode": "ValidationException", "ErrorResponse": message}
            else:
                found[package_arn] = shapes.project(shape, package)
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}

    def list_packages(self, request: Document) -> Document:
        """ListModelPackages: a group's, or those of all groups when Versioned or Both are asked for."""
        name, status = request.get("ModelPackageGroupName"), request.get("ModelApprovalStatus")
        kind, wanted = request.get("ModelPackageType", "Unversioned"), request.get("NameContains", "")
        if name is not None:
            found = packages_of(self.store, group_of(self.store, name)["ModelPackageGroupArn"])
        else:
            every = here(self.store.all(PACKAGE), "ModelPackageArn")
            found = [
                each for each in every if kind == "Both" or ("ModelPackageVersion" in each) == (kind != "Unversioned")
            ]
        for each in found:
            each["Name"] = each.get("ModelPackageGroupName") or each["ModelPackageName"]
        return listing(
            "ListModelPackages",
            found,
            request,
            matches=lambda package: status in (None, package["ModelApprovalStatus"]) and wanted in package["Name"],
            order="Ascending",
            by="Name" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def update(self, request: Document) -> Document:
        """UpdateModelPackage: approval and its description, metadata, specifications."""
        removed = request.get("CustomerMetadataPropertiesToRemove", [])
        changes = {key: value for key, value in request.items() if key not in NOT_STORED}

        def change(document: Document) -> None:
            merged = document.get("CustomerMetadataProperties", {}) | changes.get("CustomerMetadataProperties", {})
            specifications = document.get("AdditionalInferenceSpecifications") or []
            document.update(changes, LastModifiedTime=now(), LastModifiedBy=caller())
            document["CustomerMetadataProperties"] = {k: v for k, v in merged.items() if k not in removed}
            added = request.get("AdditionalInferenceSpecificationsToAdd", [])
            document["AdditionalInferenceSpecifications"] = [*specifications, *added] or None

        with self.store.transaction():
            before = self.package(request["ModelPackageArn"])
            changed = self.store.change(PACKAGE, before["ModelPackageArn"], change)
            updated = events.updated_fields(before, changed)
            if updated:
                events.package_changed(self.store, changed, updated)
        events.send(self.store)
        return {"ModelPackageArn": changed["ModelPackageArn"]}

    def delete(self, request: Document) -> Document:
        """DeleteModelPackage. Its version number is not used again."""
        package_arn = self.package(request["ModelPackageName"])["ModelPackageArn"]
        self.store.delete(PACKAGE, package_arn)
        tags.delete_all(self.store, package_arn)
        return {}

    def package(self, name: str) -> Document:
        """The stored package of an ARN or name; ValidationException when there is none."""
        package = self.store.get(PACKAGE, name if name.startswith("arn:") else arn(f"{PACKAGE}/{name}"))
        if package is None:
            raise validation_error(f"ModelPackage {name} does not exist.")
        return package

    def _next_version(self, group: Document) -> Document:
        name, version = group["ModelPackageGroupName"], group["LastVersion"] + 1
        return {
            "ModelPackageGroupName": name,
            "ModelPackageVersion": version,
            # AWS writes the group in small letters here, and nowhere else.
            "ModelPackageArn": arn(f"{PACKAGE}/{name.lower()}/{version}"),
        }


def _check_new(request: Document) -> None:
    """Refuse a CreateModelPackage request that AWS refuses, beyond its model."""
    names = [member for member in ("ModelPackageName", "ModelPackageGroupName") if member in request]
    if len(names) == 2:
        raise validation_error(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if not names:
        raise validation_error("One of ModelPackageName or ModelPackageGroupName must be provided.")
    if names == ["ModelPackageGroupName"] and request.get("Tags"):
        raise validation_error("A model package of a group has the group's tags and none of its own.")
    if "SourceAlgorithmSpecification" in request:
        raise validation_error("The local SageMaker does not offer SourceAlgorithmSpecification.")


def _new_package(request: Document, names: Document) -> Document:
    document = {key: value for key, value in request.items() if key not in NOT_STORED}
    return document | {
        **names,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
        "CertifyForMarketplace": request.get("CertifyForMarketplace", False),
        "CreationTime": now(),
        "CreatedBy": caller(),
    }


def _count_version(group: Document) -> None:
    group["LastVersion"] += 1
