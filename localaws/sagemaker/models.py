"""Models: a container image, its artifact and its environment, from a request or from a model package."""

from typing import Any

from localaws import shapes
from localaws.sagemaker import tags
from localaws.sagemaker.package_groups import PACKAGE
from localaws.sagemaker.s3 import from_https, keys_under
from localaws.sagemaker.service import Service, arn, here, listing, now, stored, validation_error
from localaws.store import Document, Store

MODEL = "model"


class Models:
    """Handlers of the model operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "CreateModel": self.create,
                "DescribeModel": self.describe,
                "ListModels": self.list_models,
                "DeleteModel": self.delete,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateModel. The artifact has to be in S3, as on AWS."""
        model_arn = arn(f"{MODEL}/{request['ModelName'].lower()}")
        given = _containers(request)
        for container in given:
            for resolved in resolve(self.store, container):
                _require_artifact(resolved)
        document = {**request, "ModelArn": model_arn, "CreationTime": now(), "EnableNetworkIsolation": False}
        document |= {name: request[name] for name in ("EnableNetworkIsolation",) if name in request}
        document.pop("Tags", None)
        with self.store.transaction():
            if self.store.get(MODEL, model_arn):
                raise validation_error(f'Cannot create already existing model "{model_arn}".')
            self.store.put(MODEL, model_arn, document)
            tags.put(self.store, model_arn, request.get("Tags"))
        return {"ModelArn": model_arn}

    def describe(self, request: Document) -> Document:
        """DescribeModel."""
        return shapes.project(
            shapes.output_shape("sagemaker", "DescribeModel"), model_of(self.store, request["ModelName"])
        )

    def list_models(self, request: Document) -> Document:
        """ListModels, newest first by default."""
        wanted = request.get("NameContains", "")
        return listing(
            "ListModels",
            here(self.store.all(MODEL), "ModelArn"),
            request,
            matches=lambda model: wanted in model["ModelName"],
            by="ModelName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def delete(self, request: Document) -> Document:
        """DeleteModel. Endpoints that were created from it go on serving."""
        model_arn = model_of(self.store, request["ModelName"])["ModelArn"]
        tags.delete_all(self.store, model_arn)
        self.store.delete(MODEL, model_arn)
        return {}


def model_of(store: Store, name: str) -> Document:
    """The stored model; ValidationException when there is none."""
    return stored(store, MODEL, name, "model")


def containers_of(store: Store, model: Document) -> list[Document]:
    """The containers of a stored model, in the order in which they answer; see `resolve`."""
    return [resolved for container in _containers(model) for resolved in resolve(store, container)]


def resolve(store: Store, container: Document) -> list[Document]:
    """A container definition as {Image, Artifact, Environment}; several when it is a package of several.

    Artifact: the S3 address of the model data, or None. The definition's Environment is added to the package's.
    """
    if "ModelPackageName" not in container:
        return [_plain(container, {})]
    package_arn = container["ModelPackageName"]
    package = store.get(PACKAGE, package_arn if package_arn.startswith("arn:") else arn(f"{PACKAGE}/{package_arn}"))
    if package is None:
        raise validation_error(f"ModelPackage {package_arn} does not exist.")
    specification = package.get("InferenceSpecification", {})
    name = container.get("InferenceSpecificationName")
    if name:
        named = {each["Name"]: each for each in package.get("AdditionalInferenceSpecifications") or []}
        specification = named.get(name, {})
    if not specification.get("Containers"):
        raise validation_error(f"ModelPackage {package_arn} has no inference specification {name or ''}".rstrip() + ".")
    return [_plain(each, container.get("Environment", {})) for each in specification["Containers"]]


def _plain(container: Document, environment: dict[str, str]) -> Document:
    source: dict[str, Any] = container.get("ModelDataSource", {}).get("S3DataSource", {})
    address = container.get("ModelDataUrl") or source.get("S3Uri")
    return {
        "Image": container.get("Image", ""),
        "Artifact": from_https(address) if address else None,
        "Environment": {**container.get("Environment", {}), **environment},
    }


def _containers(request: Document) -> list[Document]:
    """The container definitions of a CreateModel request, validated."""
    if ("PrimaryContainer" in request) == bool(request.get("Containers")):
        raise validation_error("Exactly one of PrimaryContainer and Containers must be specified.")
    found: list[Document] = request.get("Containers") or [request["PrimaryContainer"]]
    for container in found:
        if ("Image" in container) == ("ModelPackageName" in container):
            raise validation_error("A container definition must specify exactly one of Image and ModelPackageName.")
        if container.get("Mode") == "MultiModel":
            raise validation_error("The local SageMaker does not offer the container mode MultiModel.")
    return found


def _require_artifact(container: Document) -> None:
    uri = container["Artifact"]
    if uri and not (uri.startswith("s3://") and keys_under(uri)):
        raise validation_error(
            f"Could not access model data at {uri}. Please ensure that the role exists and that its trust relationship "
            'policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also '
            'ensure that the role has "s3:GetObject" permissions and that the object is located in the region.'
        )
