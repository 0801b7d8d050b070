"""Serving put together: models, endpoint configurations, endpoints and their invocations."""

from pathlib import Path

from localaws.sagemaker.models import Models
from localaws.sagemaker.service import Service
from localaws.sagemaker.serving.capture import Capture
from localaws.sagemaker.serving.deployments import Deployments
from localaws.sagemaker.serving.endpoint_configs import EndpointConfigs
from localaws.sagemaker.serving.endpoints_api import Endpoints
from localaws.sagemaker.serving.metrics import Metrics
from localaws.sagemaker.serving.runtime import Runtime


class Serving:
    """All operations of models and endpoints. folder: for the containers. time_scale: see Deployments."""

    def __init__(self, service: Service, folder: Path, time_scale: float) -> None:
        self.deployments = Deployments(service.store, folder, time_scale)
        self.capture = Capture()
        self.metrics = Metrics()
        Models(service)
        EndpointConfigs(service)
        Endpoints(service, self.deployments)
        self.runtime = Runtime(self.deployments, self.capture, self.metrics)

    def start(self) -> None:
        """Serve the endpoints that are stored."""
        self.capture.thread.start()
        self.metrics.thread.start()
        self.deployments.recover()

    def close(self) -> None:
        """End every model process."""
        self.deployments.close()
        self.metrics.thread.close()
        self.capture.thread.close()
