"""Tags of pipelines, model package groups and the rest."""

from localaws.sagemaker.service import Service
from localaws.store import Document

KIND = "tags"


class Tags:
    """Handlers of AddTags, ListTags and DeleteTags."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add({"AddTags": self.add, "ListTags": self.list_tags, "DeleteTags": self.delete})

    def add(self, request: Document) -> Document:
        """AddTags."""
        tags = self._of(request["ResourceArn"])
        tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        self.store.put(KIND, request["ResourceArn"], tags)
        return {"Tags": _listed(tags)}

    def list_tags(self, request: Document) -> Document:
        """ListTags."""
        return {"Tags": _listed(self._of(request["ResourceArn"]))}

    def delete(self, request: Document) -> Document:
        """DeleteTags."""
        tags = self._of(request["ResourceArn"])
        kept = {key: value for key, value in tags.items() if key not in request["TagKeys"]}
        self.store.put(KIND, request["ResourceArn"], kept)
        return {}

    def _of(self, resource_arn: str) -> Document:
        return self.store.get(KIND, resource_arn) or {}


def _listed(tags: Document) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
