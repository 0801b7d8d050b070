"""A model of a few lines, packed as SageMaker packs it, and an endpoint that serves it."""

import json
import textwrap
import uuid
from typing import Any

from benchmarks.support.definitions import IMAGE, ROLE, packed, until
from pipelines.account.clients import Clients

Document = dict[str, Any]
SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}
INSTANCE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
# Answers with the model's name and the sum of the numbers.
SUM = """
    import json, os
    def model_fn(folder): return open(os.path.join(folder, 'name')).read()
    def input_fn(body, content_type): return json.loads(body)
    def predict_fn(numbers, name): return {'model': name, 'sum': sum(numbers)}
    def output_fn(answer, accept): return json.dumps(answer), 'application/json'
"""


class Served:
    """Models, configurations and one endpoint, all named after one random name."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.api = clients.sagemaker
        self.runtime = clients["sagemaker-runtime"]
        self.name = f"served-{uuid.uuid4().hex[:8]}"
        clients.s3.create_bucket(Bucket=self.name)

    def artifact(self, model: str, script: str = SUM) -> str:
        """The address of an artifact whose model knows its name."""
        code = textwrap.dedent(script)
        body = packed({"name": model, "code/inference.py": code})
        self.clients.s3.put_object(Bucket=self.name, Key=f"{model}/model.tar.gz", Body=body)
        return f"s3://{self.name}/{model}/model.tar.gz"

    def container(self, model: str, script: str = SUM, **environment: str) -> Document:
        return {
            "Image": IMAGE,
            "ModelDataUrl": self.artifact(model, script),
            "Environment": {**SCRIPT_MODE, **environment},
        }

    def model(self, model: str, script: str = SUM, **environment: str) -> str:
        """Create a model; returns its name."""
        name = f"{self.name}-{model}"
        container = self.container(model, script, **environment)
        self.api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        return name

    def config(self, model: str, script: str = SUM, on: Document = SERVERLESS, **members: Any) -> str:
        """Create a model and a configuration with one variant; returns the configuration's name."""
        variant = {"VariantName": "AllTraffic", "ModelName": self.model(model, script), **on}
        return self.config_of([variant], f"{self.name}-{model}", **members)

    def config_of(self, variants: list[Document], name: str, **members: Any) -> str:
        self.api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **members)
        return name

    def create(self, config: str) -> Document:
        """Create the endpoint and wait; returns its description."""
        self.api.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled()

    def update(self, config: str, **members: Any) -> Document:
        """Update the endpoint and wait; returns its description."""
        self.api.update_endpoint(EndpointName=self.name, EndpointConfigName=config, **members)
        return self.settled()

    def settled(self) -> Document:
        """Wait until the endpoint changes no more; returns its description."""

        def ended() -> Document | None:
            found: Document = self.api.describe_endpoint(EndpointName=self.name)
            return None if found["EndpointStatus"] in ("Creating", "Updating", "RollingBack") else found

        return dict(until(ended, "the endpoint's end of its change"))

    def invoke(self, body: str | bytes = "[1, 2]", **members: Any) -> Document:
        members = {"ContentType": "application/json", **members}
        answer: Document = self.runtime.invoke_endpoint(EndpointName=self.name, Body=body, **members)
        return {**answer, "Body": answer["Body"].read()}

    def predict(self, *numbers: float) -> Document:
        """The JSON answer."""
        answer: Document = json.loads(self.invoke(json.dumps(numbers))["Body"])
        return answer

    def delete(self) -> None:
        """Delete the endpoint and wait."""
        self.settled()
        self.api.delete_endpoint(EndpointName=self.name)
        until(lambda: not self.api.list_endpoints(NameContains=self.name)["Endpoints"], "the endpoint's deletion")
