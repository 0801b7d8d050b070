"""Delete what the state machine `deploy` has made: endpoints, their configurations and models."""

import time

from pipelines.account.change_sets import pauses
from pipelines.account.clients import Clients, aws_errors

KINDS = ("serverless", "instance", "none")
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# SageMaker makes the log group of an endpoint, and it never expires.
LOG_GROUP = "/aws/sagemaker/Endpoints/"


def log_groups(clients: Clients, endpoint: str) -> list[str]:
    """The log groups of an environment's endpoints: a serverless one logs its requests. endpoint: of either kind."""
    prefix = LOG_GROUP + endpoint.rpartition("-")[0]
    with aws_errors(f"listing the log groups {prefix}-*"):
        pages = clients.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        found = [each["logGroupName"] for page in pages for each in page["logGroups"]]
    return [each for each in found if each in [f"{prefix}-{kind}" for kind in KINDS]]


def delete(clients: Clients, endpoint: str) -> str:
    """Delete the endpoints of an environment with configurations and models; "deleted" or "not there".

    endpoint: the name of either kind. Waits while an endpoint changes, as SageMaker refuses to delete it then.
    """
    prefix = endpoint.rpartition("-")[0]
    names = [f"{prefix}-{kind}" for kind in KINDS]
    found = False
    with aws_errors(f"deleting the endpoints {prefix}-*"):
        for name in names:
            found |= delete_endpoint(clients, name)
        for listed, key, remove in (
            ("list_endpoint_configs", "EndpointConfig", clients.sagemaker.delete_endpoint_config),
            ("list_models", "Model", clients.sagemaker.delete_model),
        ):
            for page in clients.sagemaker.get_paginator(listed).paginate(NameContains=prefix):
                for each in page[f"{key}s"]:
                    if each[f"{key}Name"].startswith(tuple(f"{name}-v" for name in names)):
                        remove(**{f"{key}Name": each[f"{key}Name"]})
                        found = True
    return "deleted" if found else "not there"


def delete_endpoint(clients: Clients, name: str) -> bool:
    """Delete one endpoint and wait until it is gone; False when there is none."""
    found = False
    for pause in pauses():
        pages = clients.sagemaker.get_paginator("list_endpoints").paginate(NameContains=name)
        statuses = [
            each["EndpointStatus"] for page in pages for each in page["Endpoints"] if each["EndpointName"] == name
        ]
        if not statuses:
            return found
        found = True
        if statuses[0] not in CHANGING:
            clients.sagemaker.delete_endpoint(EndpointName=name)
        time.sleep(pause)
    raise AssertionError("unreachable: the pauses have no end")
