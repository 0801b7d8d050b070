"""Lambda's cold starts: started ahead, and without botocore where the function does not import it."""

import io
import json
import uuid
import zipfile

import pytest

from benchmarks.support.definitions import ROLE
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from pipelines.account.clients import Clients

HANDLER = """
import sys, time
BEGAN, EARLY = time.time(), "botocore" in sys.modules
def handler(event, context):
    import boto3
    events = boto3.client("s3").meta.events
    sent = {"headers": {}}
    events.emit("before-call.s3.ListBuckets", params=sent, model=boto3.client("s3").meta.service_model.operation_model(
        "ListBuckets"), request_signer=None, context={})
    counted = [name for name in sent["headers"] if "depth" in name.lower()]
    return {"began": BEGAN, "early": EARLY, "counted": len(counted)}
"""


def test_a_function_starts_ahead_and_counts_its_calls_without_importing_botocore_first(
    clients: Clients, endpoint: Endpoint
) -> None:
    name, archive = f"warm-{uuid.uuid4().hex[:8]}", io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.py", HANDLER)
    code = {"ZipFile": archive.getvalue()}
    api = clients["lambda"]
    api.create_function(FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="index.handler", Code=code)
    assert endpoint.control("warm", functions=[name])["warm"] == 1
    first, second = (json.load(api.invoke(FunctionName=name)["Payload"]) for _ in range(2))
    assert first == second == {"began": first["began"], "early": False, "counted": 1}
    with pytest.raises(ExpectedError, match="there is no function none with code"):
        endpoint.control("warm", functions=["none"])
