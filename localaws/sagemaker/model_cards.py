"""Model cards: a document of JSON with versions.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html
"""

import json

from localaws import shapes
from localaws.sagemaker import tags
from localaws.sagemaker.service import ApiError, Service, arn, here, listing, not_found, now, validation_error
from localaws.store import Document

CARD, VERSION = "model-card", "model-card-version"


class ModelCards:
    """Handlers of the model card operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "CreateModelCard": self.create,
                "UpdateModelCard": self.update,
                "DescribeModelCard": self.describe,
                "ListModelCards": self.list_cards,
                "ListModelCardVersions": self.list_versions,
                "DeleteModelCard": self.delete,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateModelCard: its version 1."""
        card_arn = arn(f"{CARD}/{request['ModelCardName']}")
        _check_content(request)
        document = {name: value for name, value in request.items() if name != "Tags"}
        document |= {"ModelCardArn": card_arn, "ModelCardVersion": 1, "CreatedBy": {}, "LastModifiedBy": {}}
        document["CreationTime"] = document["LastModifiedTime"] = now()
        with self.store.transaction():
            if self.store.get(CARD, card_arn):
                raise ApiError("ConflictException", f"ModelCard {card_arn} already exists.")
            self._put(document)
            tags.put(self.store, card_arn, request.get("Tags"))
        return {"ModelCardArn": card_arn}

    def update(self, request: Document) -> Document:
        """UpdateModelCard: the next version."""
        if "Content" in request and "ModelCardStatus" in request:
            raise validation_error("Only one of Content and ModelCardStatus can be updated at a time.")
        _check_content(request)
        with self.store.transaction():
            card = self._card(request["ModelCardName"])
            version = card["ModelCardVersion"] + 1
            changes: Document = {name: request[name] for name in ("Content", "ModelCardStatus") if name in request}
            self._put({**card, **changes, "ModelCardVersion": version, "LastModifiedTime": now()})
        return {"ModelCardArn": card["ModelCardArn"]}

    def describe(self, request: Document) -> Document:
        """DescribeModelCard, the latest version by default."""
        card = self._card(request["ModelCardName"])
        if "ModelCardVersion" in request:
            version = self.store.get(VERSION, f"{card['ModelCardArn']} {request['ModelCardVersion']}")
            if version is None:
                raise not_found(f"Version {request['ModelCardVersion']} of {card['ModelCardArn']} does not exist.")
            card = version
        if request.get("IncludedData") == "MetadataOnly":
            card["Content"] = ""
        return shapes.project(shapes.output_shape("sagemaker", "DescribeModelCard"), card)

    def list_cards(self, request: Document) -> Document:
        """ListModelCards, newest first by default."""
        found = here(self.store.all(CARD), "ModelCardArn")
        by = "ModelCardName" if request.get("SortBy") == "Name" else "CreationTime"
        wanted, status = request.get("NameContains", ""), request.get("ModelCardStatus")
        return listing(
            "ListModelCards",
            found,
            request,
            matches=lambda card: wanted in card["ModelCardName"] and status in (None, card["ModelCardStatus"]),
            by=by,
        )

    def list_versions(self, request: Document) -> Document:
        """ListModelCardVersions, newest first by default."""
        card_arn, status = self._card(request["ModelCardName"])["ModelCardArn"], request.get("ModelCardStatus")
        found = [each for each in self.store.all(VERSION) if each["ModelCardArn"] == card_arn]
        return listing(
            "ListModelCardVersions",
            found,
            request,
            matches=lambda version: status in (None, version["ModelCardStatus"]),
            by="ModelCardVersion",
        )

    def delete(self, request: Document) -> Document:
        """DeleteModelCard, with its versions."""
        card_arn = self._card(request["ModelCardName"])["ModelCardArn"]
        with self.store.transaction():
            self.store.delete_where(VERSION, containing=f"{card_arn} ")
            self.store.delete(CARD, card_arn)
            tags.delete_all(self.store, card_arn)
        return {}

    def _put(self, card: Document) -> None:
        self.store.put(CARD, card["ModelCardArn"], card)
        self.store.put(VERSION, f"{card['ModelCardArn']} {card['ModelCardVersion']}", card)

    def _card(self, name: str) -> Document:
        card_arn = name if name.startswith("arn:") else arn(f"{CARD}/{name}")
        card = self.store.get(CARD, card_arn)
        if card is None:
            raise not_found(f"ModelCard {card_arn} does not exist.")
        return card


def _check_content(request: Document) -> None:
    """The content is JSON; AWS's schema of its members is not checked here."""
    try:
        json.loads(request.get("Content", "{}"))
    except ValueError as error:
        raise validation_error(f"Model card content is not JSON: {error}") from error
