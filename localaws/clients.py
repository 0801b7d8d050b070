"""boto3 clients of a local endpoint, with everything explicit: no profile, file, variable or proxy changes them."""

import functools
import os
from typing import Any, Protocol

from localaws.security.credentials import Credentials
from localaws.shapes import models

# The one region of a local run.
REGION = "us-east-1"


class Address(Protocol):
    """Where an endpoint answers, and the key it accepts; localaws.endpoint.Endpoint is one."""

    url: str
    credentials: Credentials


def client(url: str, service: str, credentials: Credentials, *, attempts: int = 5, region: str = REGION) -> Any:
    """A client of the endpoint at `url`. attempts: how often a call is tried before it fails."""
    from botocore.config import Config

    configuration = Config(
        # Not None: botocore would read the proxies from the environment.
        proxies={},
        retries={"mode": "legacy", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
        parameter_validation=True,
        inject_host_prefix=False,
    )
    return session(credentials, region).client(service, endpoint_url=url, config=configuration)


@functools.lru_cache(maxsize=16)
def session(credentials: Credentials, region: str = REGION) -> Any:
    """A boto3 session that reads no configuration file and no environment variable."""
    import boto3
    import botocore.session
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

    defaults = BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    names = {name: (None, None, default, convert) for name, (_, _, default, convert) in defaults}
    made = botocore.session.Session(session_vars=names)
    store = made.get_component("config_store")
    store.set_config_variable("s3", {"us_east_1_regional_endpoint": "regional"})
    store.set_config_variable("proxies_config", None)
    for name in ("config_file", "credentials_file"):
        made.set_config_variable(name, os.devnull)
    made.register_component("data_loader", models())
    return boto3.session.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        region_name=region,
        botocore_session=made,
    )


def load_ahead(*services: str) -> None:
    """Import boto3 and read the models of services, which takes most of the time that their first clients take."""
    import boto3  # noqa: F401

    for service in services:
        for model in ("service-2", "paginators-1", "endpoint-rule-set-1"):
            models().load_service_model(service, model)
    models().load_data("endpoints")
