"""AWS's service models for MiniStack: read once for all of the endpoint, and no more of them than is needed."""

from typing import Any

from localaws import shapes
from localaws.ministack.patches import module


class Model:
    """botocore's ServiceModel of a service; who reads the metadata alone does not wait for the rest."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.metadata = shapes.metadata(service)

    def __getattr__(self, name: str) -> Any:
        return getattr(shapes.service_model(self._service), name)


def install() -> None:
    """Give MiniStack these models; it parses each service's at its first answer, for the answer's Content-Type."""
    responses = module("core.responses")

    def service_model(service: str) -> Model | None:
        from botocore.exceptions import UnknownServiceError

        try:
            return Model(responses._BOTOCORE_NAME.get(service, service))
        except UnknownServiceError:
            return None

    for name in ("core.responses", "services.stepfunctions"):
        module(name)._service_model = service_model
