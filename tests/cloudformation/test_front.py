"""The HTTP front of an endpoint: requests through API Gateway to the model."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from tests.support.deployments import Deployment

BEERS: dict[str, Any] = {"instances": [{"abv": 5.0}]}


@pytest.mark.release
def test_a_signed_request_with_a_key_is_answered_by_the_model_and_any_other_refused(
    endpoint: Endpoint, clients: Clients
) -> None:
    served = Deployment(clients, HttpFront="apigateway", FrontRequestsPerDay="6")
    served.approve(served.register())
    outputs = served.account.stacks.outputs("deployment")
    key = clients["apigateway"].create_api_key(name=served.name, enabled=True)
    clients["apigateway"].create_usage_plan_key(usagePlanId=outputs["FrontPlan"], keyId=key["id"], keyType="API_KEY")
    host = outputs["FrontUrl"].removeprefix("https://").partition("/")[0]
    api = host.partition(".")[0]
    url = f"{endpoint.url}/_aws/execute-api/{api}/v1/predictions"

    def send(body: str, *, signed: bool = True, **headers: str) -> tuple[int, str]:
        request = AWSRequest("POST", url, {"Content-Type": "application/json", **headers}, body.encode())
        if signed:
            own = endpoint.credentials
            SigV4Auth(
                Credentials(own.access_key_id, own.secret_access_key, own.session_token), "execute-api", "us-east-1"
            ).add_auth(request)
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body.encode(), dict(request.headers), method="POST")
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    with_key = {"x-api-key": key["value"], "Accept": "application/json"}
    status, text = send(json.dumps(BEERS), **with_key)
    assert (status, json.loads(text)) == (200, {"predictions": [{"ibu": 45.0}], "model_version": 1})
    assert send(json.dumps(BEERS))[0] == 403
    assert send(json.dumps(BEERS), signed=False, **with_key)[0] == 403
    # What the model raises is a failure of the server behind the front.
    assert send("no JSON", **with_key)[0] in (400, 502)
    # The quota of the day.
    assert {send(json.dumps(BEERS), **with_key)[0] for _ in range(6)} == {200, 429}
    served.account.remove()
