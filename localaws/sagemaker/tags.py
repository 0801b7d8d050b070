"""Tags of SageMaker's resources: AddTags, ListTags, DeleteTags."""

from localaws.sagemaker.service import Service, cut, validation_error
from localaws.store import Document, Store

KIND = "tags"


class Tags:
    """Handlers of AddTags, ListTags and DeleteTags."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add({"AddTags": self.add, "ListTags": self.list_tags, "DeleteTags": self.delete})

    def add(self, request: Document) -> Document:
        """AddTags. A resource that does not exist is a ValidationException."""
        with self.store.transaction():
            self._require(request["ResourceArn"])
            put(self.store, request["ResourceArn"], request["Tags"])
            return {"Tags": listed(self.store, request["ResourceArn"])}

    def list_tags(self, request: Document) -> Document:
        """ListTags."""
        self._require(request["ResourceArn"])
        chosen, more = cut(listed(self.store, request["ResourceArn"]), request)
        return {"Tags": chosen, **more}

    def delete(self, request: Document) -> Document:
        """DeleteTags."""
        with self.store.transaction():
            self._require(request["ResourceArn"])
            tags = self.store.get(KIND, request["ResourceArn"]) or {}
            left = {key: value for key, value in tags.items() if key not in request["TagKeys"]}
            self.store.put(KIND, request["ResourceArn"], left)
        return {}

    def _require(self, resource_arn: str) -> None:
        kind, _, name = resource_arn.split(":", 5)[-1].partition("/")
        if "/execution/" in name:
            kind = "execution"
        if self.store.get(kind, resource_arn) is None:
            raise validation_error(f"Could not find resource with ARN {resource_arn}.")


def put(store: Store, resource_arn: str, tags: list[Document] | None) -> None:
    """Add the tags of a request to a resource's; one with the same key replaces the earlier value."""
    if tags:
        stored = store.get(KIND, resource_arn) or {}
        store.put(KIND, resource_arn, stored | {tag["Key"]: tag["Value"] for tag in tags})


def listed(store: Store, resource_arn: str) -> list[Document]:
    """A resource's tags as the API lists them."""
    return [{"Key": key, "Value": value} for key, value in (store.get(KIND, resource_arn) or {}).items()]


def delete_all(store: Store, resource_arn: str) -> None:
    """Delete the tags of a deleted resource."""
    store.delete(KIND, resource_arn)
