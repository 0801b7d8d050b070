"""States of `deploy` that read an endpoint."""

from typing import Any

from pipelines.authoring.step_functions import StateMachine, added

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def endpoint_list(s: StateMachine, name: str, endpoint: str, result: str) -> Any:
    """Whether an endpoint exists, by the list: a description of a missing one is an error like any other."""
    found = f"[$states.result.Endpoints[EndpointName = '{endpoint}'].EndpointName]"
    arguments = {"NameContains": endpoint, "MaxResults": 100}
    return s.jsonata(name, "aws-sdk:sagemaker:listEndpoints", arguments, added(**{result: found}))


def endpoint_status(s: StateMachine, name: str, result: str) -> Any:
    """The endpoint's status, configuration and failure reason."""
    described = """{
        'status': $states.result.EndpointStatus,
        'config': $states.result.EndpointConfigName,
        'reason': $append($states.result.FailureReason, ['no reason given'])[0]
    }"""
    arguments = {"EndpointName": "${EndpointName}"}
    return s.jsonata(name, "aws-sdk:sagemaker:describeEndpoint", arguments, added(**{result: described}))
