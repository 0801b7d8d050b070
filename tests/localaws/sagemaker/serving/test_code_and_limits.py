"""What inference code may ask for, and SageMaker's limits of requests."""

import textwrap
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config

from benchmarks.support.definitions import IMAGE, ROLE
from localaws.clients import session
from localaws.endpoint import Endpoint
from tests.support.served import INSTANCE, SCRIPT_MODE, SERVERLESS, SUM, Served, packed

SLOW = SUM.replace("return {'model'", "import time; time.sleep(numbers[0]); return {'model'")


def error(served: Served, body: str | bytes) -> dict[str, Any]:
    """The error that an invocation gives."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        served.invoke(body)
    return dict(caught.value.response)


def slow(served: Served, seconds: str) -> None:
    """Serve a model that takes so many seconds as the first number says. seconds: the server's own limit."""
    name = served.model("slow", SLOW, SAGEMAKER_MODEL_SERVER_TIMEOUT=seconds)
    served.create(served.config_of([{"VariantName": "A", "ModelName": name, **SERVERLESS}], name))


def test_packages_that_inference_code_asks_for_are_there_or_refused_in_words(served: Served) -> None:
    code = {"code/inference.py": textwrap.dedent(SUM), "name": "here"}
    for model, text in (("fine", "werkzeug>=2\n"), ("missing", "not-installed-anywhere==1.0\n")):
        body = packed({**code, "code/requirements.txt": text})
        served.clients.s3.put_object(Bucket=served.name, Key=f"{model}/model.tar.gz", Body=body)
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{served.name}/{model}/model.tar.gz"}
        name = f"{served.name}-{model}"
        served.api.create_model(
            ModelName=name, PrimaryContainer={**container, "Environment": SCRIPT_MODE}, ExecutionRoleArn=ROLE
        )
        served.config_of([{"VariantName": "A", "ModelName": name, **SERVERLESS}], name)
    served.create(f"{served.name}-fine")
    assert served.predict(1, 2) == {"model": "here", "sum": 3}
    refused = served.update(f"{served.name}-missing")
    assert refused["EndpointConfigName"] == f"{served.name}-fine"
    assert (
        "requirements.txt asks for not-installed-anywhere==1.0, not installed here. Try: " in refused["FailureReason"]
    )


def test_a_request_beyond_the_time_limit_is_a_bad_gateway_and_the_next_one_is_answered(served: Served) -> None:
    slow(served, "1")
    refused = error(served, "[5]")
    assert (refused["Error"]["Code"], refused["OriginalStatusCode"]) == ("ModelError", 502)
    assert served.predict(0) == {"model": "slow", "sum": 0}


@pytest.mark.release
def test_a_request_that_takes_more_than_sixty_seconds_has_no_answer(endpoint: Endpoint, served: Served) -> None:
    slow(served, "300")
    # The SDK gives up after 60 seconds itself, unless it is asked to wait for longer.
    config = served.runtime.meta.config.merge(Config(read_timeout=70))
    served.runtime = session(endpoint.credentials).client("sagemaker-runtime", endpoint_url=endpoint.url, config=config)
    assert "Your invocation timed out" in error(served, "[65]")["OriginalMessage"]


def test_an_endpoint_on_instances_takes_requests_of_six_megabytes(served: Served) -> None:
    served.create(served.config("first", on=INSTANCE))
    longest = b"[1" + b" " * (6_291_456 - 3) + b"]"
    assert served.invoke(longest)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "less than or equal to 6291456" in error(served, longest + b" ")["Error"]["Message"]
