"""States of `deploy` that read an endpoint."""

from typing import Any

from pipelines.authoring.step_functions import StateMachine, added, chain

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def find(s: StateMachine, name: str, noun: str, wanted: str, *, then: Any, otherwise: Any) -> Any:
    """Whether a resource exists, by the list: a description of a missing one is an error like any other.

    noun: Endpoint, EndpointConfig or Model. wanted: its name, a JSONata expression. SageMaker counts MaxResults before
    it filters, so that the page with the name need not be the first one.
    """
    integration = f"aws-sdk:sagemaker:list{noun}s"
    request = {"NameContains": f"{{% {wanted} %}}", "MaxResults": 100}
    found = f"[$states.result.{noun}s[{noun}Name = {wanted}].{noun}Name]"
    output = added(found=found, next="[$states.result.NextToken]")
    first = s.jsonata(f"Find{name}", integration, request, output)
    more = s.jsonata(f"FindMore{name}", integration, {**request, "NextToken": "{% $states.input.next[0] %}"}, output)
    choice = s.choice(
        f"Has{name}", (s.present("$.found[0]"), then), (s.present("$.next[0]"), more), otherwise=otherwise
    )
    chain(more, choice)
    return chain(first, choice)


def endpoint_status(s: StateMachine, name: str, result: str, otherwise: Any) -> Any:
    """The endpoint's status, configuration and failure reason. otherwise: after an error, such as that it is gone."""
    described = """{
        'status': $states.result.EndpointStatus,
        'config': $states.result.EndpointConfigName,
        'reason': $append($states.result.FailureReason, ['no reason given'])[0]
    }"""
    arguments = {"EndpointName": "${EndpointName}"}
    output = added(**{result: described})
    return s.jsonata(name, "aws-sdk:sagemaker:describeEndpoint", arguments, output, otherwise=otherwise)
