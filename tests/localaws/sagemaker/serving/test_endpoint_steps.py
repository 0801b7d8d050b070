"""Pipeline steps that deploy: EndpointConfig and Endpoint."""

from benchmarks.support.definitions import Project
from tests.support.served import SERVERLESS, Document, Served


def deploying(served: Served, model: str) -> list[Document]:
    """Steps that put a model behind the endpoint, with a configuration of the model's name."""
    variant = {"VariantName": "AllTraffic", "ModelName": f"{served.name}-{model}", **SERVERLESS}
    config = {"EndpointConfigName": f"{served.name}-{model}", "ProductionVariants": [variant]}
    endpoint = {"EndpointName": served.name, "EndpointConfigName": {"Get": "Steps.Configure.EndpointConfigName"}}
    return [
        {"Name": "Configure", "Type": "EndpointConfig", "Arguments": config},
        {"Name": "Deploy", "Type": "Endpoint", "Arguments": endpoint},
    ]


def test_steps_create_an_endpoint_and_then_update_it(served: Served) -> None:
    project = Project(served.clients)
    for model in ("first", "second"):
        served.model(model)
        steps = project.run(*deploying(served, model)).steps()
        assert {name: step["StepStatus"] for name, step in steps.items()} == dict.fromkeys(steps, "Succeeded")
        assert served.predict(1, 2) == {"model": model, "sum": 3}
        described = served.api.describe_endpoint(EndpointName=served.name)
        assert steps["Deploy"]["Metadata"] == {"Endpoint": {"Arn": described["EndpointArn"]}}
    again = project.start().wait()
    assert "Cannot create already existing" in again.reason("Configure")


def test_a_step_fails_with_the_reason_for_which_its_endpoint_does(served: Served) -> None:
    served.model("broken", "raise RuntimeError('no model')")
    execution = Project(served.clients).run(*deploying(served, "broken"))
    assert execution.reason("Deploy").startswith(f"ClientError: endpoint {served.name}: ")
