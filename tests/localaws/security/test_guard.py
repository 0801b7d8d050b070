"""Who may use the endpoint: programs that hold a key of the workspace, and nobody else."""

import datetime
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials

from localaws import clients
from localaws.endpoint import DEVELOPER, Endpoint
from localaws.errors import ExpectedError
from localaws.security import credentials, sessions, signatures
from localaws.security.credentials import TOKEN_HEADER, Credentials
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

PORT = "{port}"
HOSTILE_HOSTS = (
    "evil.example",
    f"evil.example:{PORT}",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:1",
    f"127.0.0.1.evil.example:{PORT}",
    f"localhost.evil.example:{PORT}",
    f"127.0.0.1.nip.io:{PORT}",
    f"0.0.0.0:{PORT}",
    f"2130706433:{PORT}",
    f"[::1]:{PORT}",
    f"localhost.:{PORT}",
    f"evil@localhost:{PORT}",
    f"evil/.localhost:{PORT}",
    f".localhost:{PORT}",
    "",
)
OWN_HOSTS = ("127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "bucket.localhost:{port}",
             "bucket.s3.us-east-1.localhost:{port}", "my.dotted.bucket.s3.localhost:{port}")  # fmt: skip


def port(endpoint: Endpoint) -> int:
    return int(endpoint.url.rpartition(":")[2])


def answer(endpoint: Endpoint, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, Any, str]:
    """(status, headers, body) of a request as it is given, its Host header included."""
    connection = http.client.HTTPConnection("127.0.0.1", port(endpoint), timeout=20)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode(errors="replace")
    finally:
        connection.close()


def signed(endpoint: Endpoint, host: str, key: Credentials | None = None, **headers: str) -> dict[str, str]:
    """The headers of a signed `GET /` of S3 that is sent to `host`."""
    key = key or endpoint.credentials
    request = AWSRequest("GET", f"http://{host}/", {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **headers})
    request.headers["Host"] = host
    SigV4Auth(
        BotocoreCredentials(key.access_key_id, key.secret_access_key, key.session_token), "s3", "us-east-1"
    ).add_auth(request)
    return dict(request.headers)


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_a_request_for_another_host_is_refused_although_it_is_signed(endpoint: Endpoint, host: str) -> None:
    host = host.format(port=port(endpoint))
    assert answer(endpoint, "GET", "/", signed(endpoint, host))[0] in (400, 403)
    token = {"Host": host, TOKEN_HEADER: endpoint.credentials.control_token()}
    assert answer(endpoint, "GET", "/_localaws/status", token)[0] in (400, 403)


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_the_hosts_that_sdks_use_are_answered(endpoint: Endpoint, host: str) -> None:
    assert answer(endpoint, "GET", "/", signed(endpoint, host.format(port=port(endpoint))))[0] in (200, 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda headers: " ".join(next(iter(headers.items()))),
)
def test_a_page_of_another_origin_is_refused_and_gets_no_permission(
    endpoint: Endpoint, headers: dict[str, str]
) -> None:
    host = f"127.0.0.1:{port(endpoint)}"
    page = {name: value.format(port=port(endpoint)) for name, value in headers.items()}
    create = {"FunctionName": "evil", "Runtime": "python3.12", "Handler": "a.b", "Role": DEVELOPER, "Code": {}}
    attempts = [
        answer(endpoint, "GET", "/", signed(endpoint, host) | page),
        answer(endpoint, "POST", "/2015-03-31/functions", {"Content-Type": "text/plain", **page}, json.dumps(create)),
        answer(endpoint, "OPTIONS", "/", {"Access-Control-Request-Method": "POST", **page}),
        answer(endpoint, "POST", "/_ministack/reset", page),
        answer(endpoint, "POST", "/_localaws/drain", page, "{}"),
    ]
    for status, answered, _ in attempts:
        permissions = [name for name in answered if name.lower().startswith("access-control-")]
        assert (status, permissions) == (403, [])


def test_no_answer_permits_pages_of_other_origins(endpoint: Endpoint) -> None:
    _, headers, _ = answer(endpoint, "GET", "/", signed(endpoint, f"127.0.0.1:{port(endpoint)}"))
    assert [name for name in headers if name.lower().startswith("access-control-")] == []


CONTROL = (
    "/_ministack/health",
    "/_ministack/reset",
    "/_ministack/config",
    "/_localaws/status",
    "/_localaws/faults",
    "/_localstack/health",
    "/_aws/sqs/messages",
    "/health",
)


@pytest.mark.parametrize("path", CONTROL)
def test_control_paths_need_the_workspaces_token(endpoint: Endpoint, path: str) -> None:
    for token in ({}, {TOKEN_HEADER: "0" * 64}, {TOKEN_HEADER: endpoint.credentials.secret_access_key}):
        assert answer(endpoint, "POST", path, token, "{}")[0] == 403
    token = {TOKEN_HEADER: endpoint.credentials.control_token()}
    assert answer(endpoint, "GET", "/_localaws/status", token)[0] == 200


def test_a_body_for_a_control_path_is_limited(endpoint: Endpoint) -> None:
    began = time.monotonic()
    with pytest.raises(ExpectedError):
        endpoint.control("status", padding="x" * 3_000_000)
    assert time.monotonic() - began < 5


def code(endpoint: Endpoint, key: Credentials, service: str = "s3", call: str = "list_buckets") -> str:
    """The error code of a call with these credentials; empty when it succeeds."""
    try:
        getattr(clients.client(endpoint.url, service, key, attempts=1), call)()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


UNKNOWN, MISMATCH, EXPIRED = "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"
CALLS = {
    "s3": ("list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
    "sts": ("get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
    "lambda": ("list_functions", UNKNOWN, MISMATCH, EXPIRED),
    "sagemaker": (
        "list_pipelines",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
    ),
    "cloudwatch": ("list_metrics", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
    "stepfunctions": ("list_state_machines", UNKNOWN, MISMATCH, EXPIRED),
}


@pytest.mark.parametrize("service", CALLS)
def test_a_service_refuses_wrong_keys_in_its_own_words(endpoint: Endpoint, service: str) -> None:
    call, unknown, mismatch, expired = CALLS[service]
    key = endpoint.credentials
    other = Credentials("AKIAAAAAAAAAAAAAAAAA", key.secret_access_key)
    past = sessions.mint(key, DEVELOPER, "past", seconds=-1)
    forged = sessions.mint(Credentials(key.access_key_id, "another secret"), DEVELOPER, "forged")
    stolen = sessions.mint(key, DEVELOPER, "stolen")
    tried = {
        "the workspace's key": key,
        "a session": stolen,
        "test": Credentials("test", "test"),
        "an account id": Credentials("000000000000", key.secret_access_key),
        "an unknown key": other,
        "a wrong secret": Credentials(key.access_key_id, "wrong"),
        "an expired session": past,
        "a session of another workspace": forged,
        "a session without its token": Credentials(stolen.access_key_id, stolen.secret_access_key),
        "a session with a wrong secret": Credentials(stolen.access_key_id, "wrong", stolen.session_token),
    }
    assert {name: code(endpoint, each, service, call) for name, each in tried.items()} == {
        "the workspace's key": "",
        "a session": "",
        "test": unknown,
        "an account id": unknown,
        "an unknown key": unknown,
        "a wrong secret": mismatch,
        "an expired session": expired,
        "a session of another workspace": unknown,
        "a session without its token": unknown,
        "a session with a wrong secret": mismatch,
    }


def test_the_error_for_a_wrong_key_has_the_line_to_paste(endpoint: Endpoint) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        clients.client(endpoint.url, "s3", Credentials("test", "test")).list_buckets()
    root = endpoint.workspace.root
    assert refused.value.response["Error"]["Message"] == (
        f'The access key test is not one of this workspace. Paste: eval "$(python -m localaws env --workspace {root})"'
    )


def test_sessions_that_assume_role_mints_are_accepted(endpoint: Endpoint, clients: Clients) -> None:
    minted = clients.sts.assume_role(RoleArn=DEVELOPER, RoleSessionName="minted")["Credentials"]
    session = Credentials(minted["AccessKeyId"], minted["SecretAccessKey"], minted["SessionToken"])
    assert code(endpoint, session) == ""
    assert code(endpoint, Credentials(session.access_key_id, session.secret_access_key, "x")) == "InvalidAccessKeyId"


def test_a_users_access_key_is_accepted_until_it_is_deleted(endpoint: Endpoint, clients: Clients) -> None:
    clients.iam.create_user(UserName="guest")
    made = clients.iam.create_access_key(UserName="guest")["AccessKey"]
    key = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    assert code(endpoint, key) == ""
    clients.iam.delete_access_key(UserName="guest", AccessKeyId=key.access_key_id)
    assert code(endpoint, key) == "InvalidAccessKeyId"


@pytest.fixture
def bucket(clients: Clients) -> Iterator[str]:
    """A bucket with the object `a b/ü+%.txt`."""
    clients.s3.create_bucket(Bucket="guarded.bucket")
    clients.s3.put_object(Bucket="guarded.bucket", Key=KEY, Body=b"hops")
    yield "guarded.bucket"


KEY = "a b/ü+%.txt"


def get(url: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_opens_its_object_alone_and_for_its_time(endpoint: Endpoint, bucket: str, version: str) -> None:
    for key in (endpoint.credentials, sessions.mint(endpoint.credentials, DEVELOPER, "presigner")):
        s3 = clients.session(key).client("s3", endpoint_url=endpoint.url, config=Config(signature_version=version))
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}, ExpiresIn=60)
        assert get(url) == (200, b"hops")
        assert get(url.replace("a%20b", "a%20c"))[0] == 403
        assert get(url.replace("Signature=", "Signature=0"))[0] == 403
        past = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}, ExpiresIn=-1)
        assert get(past)[0] == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_an_upload_form_works_with_its_own_policy_alone(endpoint: Endpoint, bucket: str, version: str) -> None:
    requests = pytest.importorskip("requests")
    s3 = clients.session(endpoint.credentials).client(
        "s3", endpoint_url=endpoint.url, config=Config(signature_version=version)
    )
    form = s3.generate_presigned_post(bucket, "form.txt", ExpiresIn=60)
    files = {"file": ("form.txt", b"malt")}
    assert requests.post(form["url"], data=form["fields"], files=files, timeout=20).status_code == 204
    assert s3.get_object(Bucket=bucket, Key="form.txt")["Body"].read() == b"malt"
    wrong = {**form["fields"], "policy": form["fields"]["policy"][:-4] + "AAAA"}
    for fields in (wrong, {"key": "form.txt"}):
        assert requests.post(form["url"], data=fields, files=files, timeout=20).status_code == 403


def test_a_changed_body_and_an_unsigned_operation_are_refused(endpoint: Endpoint) -> None:
    host = f"127.0.0.1:{port(endpoint)}"
    key = endpoint.credentials
    request = AWSRequest("POST", f"http://{host}/", {"X-Amz-Target": "SageMaker.ListPipelines", "Host": host}, b"{}")
    signer = SigV4Auth(BotocoreCredentials(key.access_key_id, key.secret_access_key), "sagemaker", "us-east-1")
    signer.add_auth(request)
    headers = dict(request.headers)
    assert answer(endpoint, "POST", "/", headers, "{}")[0] == 200
    assert answer(endpoint, "POST", "/", headers, "{ }")[0] == 400
    assert answer(endpoint, "POST", "/", headers | {"X-Amz-Target": "SageMaker.DeletePipeline"}, "{}")[0] == 400
    # A signature for one operation is not one for another that a header adds.
    assert answer(endpoint, "GET", "/", signed(endpoint, host) | {"X-Amz-Target": "SageMaker.ListPipelines"})[0] == 400


def test_an_old_and_a_future_signature_are_refused(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{port(endpoint)}"
    for minutes in (-16, 16):
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        monkeypatch.setattr(auth, "get_current_datetime", lambda moment=moment, **_: moment)
        status, _, body = answer(endpoint, "GET", "/", signed(endpoint, host))
        assert (status, "RequestTimeTooSkewed" in body) == (403, True)


def chunked(endpoint: Endpoint, url: str, data: bytes, spoil: bool) -> int:
    """PUT data as one signed chunk, as the AWS SDK for Java sends a stream; returns the status."""
    key, host = endpoint.credentials, f"127.0.0.1:{port(endpoint)}"
    headers = {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Host": host}
    headers |= {"X-Amz-Decoded-Content-Length": str(len(data)), "Content-Encoding": "aws-chunked"}
    request = AWSRequest("PUT", f"http://{host}{url}", headers)
    signer = SigV4Auth(BotocoreCredentials(key.access_key_id, key.secret_access_key), "s3", "us-east-1")
    signer._normalize_url_path = lambda path: path
    signer.add_auth(request)
    parsed = signatures.parse(
        signatures.Request("PUT", url, "", {name.lower(): value for name, value in request.headers.items()})
    )
    scope, empty = f"{parsed.date}/us-east-1/s3/aws4_request", hashlib.sha256(b"").hexdigest()
    body, previous = b"", parsed.value
    for piece in (data, b""):
        digest = hashlib.sha256(piece).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", parsed.time, scope, previous, empty, digest])
        previous = signer.signature(text, request)
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    body = body.replace(b"malt", b"salt") if spoil else body
    connection = http.client.HTTPConnection("127.0.0.1", port(endpoint), timeout=20)
    connection.request("PUT", url, body, dict(request.headers))
    status = connection.getresponse().status
    connection.close()
    return status


def test_signed_chunks_are_verified_one_by_one(endpoint: Endpoint, bucket: str, clients: Clients) -> None:
    assert chunked(endpoint, f"/{bucket}/chunks", b"malt", spoil=True) == 403
    assert chunked(endpoint, f"/{bucket}/chunks", b"malt", spoil=False) == 200
    assert clients.s3.get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"malt"


def test_an_api_decides_for_itself_who_calls_it(endpoint: Endpoint, clients: Clients) -> None:
    api = clients["apigateway"]
    rest = api.create_rest_api(name="guarded")["id"]
    root = api.get_resources(restApiId=rest)["items"][0]["id"]
    for method, kind in (("GET", "NONE"), ("POST", "AWS_IAM")):
        where = {"restApiId": rest, "resourceId": root, "httpMethod": method}
        api.put_method(**where, authorizationType=kind)
        api.put_integration(**where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
        api.put_method_response(**where, statusCode="200")
        api.put_integration_response(**where, statusCode="200", responseTemplates={"application/json": "{}"})
    api.create_deployment(restApiId=rest, stageName="v1")
    path = f"/restapis/{rest}/v1/_user_request_/"
    assert answer(endpoint, "GET", path, {})[0] == 200
    assert answer(endpoint, "POST", path, {"Content-Type": "application/json"}, "{}")[0] == 403
    assert answer(endpoint, "GET", path, {"Origin": "https://evil.example"})[0] == 403


def test_the_key_is_made_once_and_is_its_owners_alone(workspace: Workspace) -> None:
    workspace.create()
    made = credentials.load(workspace.credentials)
    workspace.create()
    assert credentials.load(workspace.credentials) == made
    assert [oct(each.stat().st_mode & 0o777) for each in (workspace.root, workspace.credentials)] == ["0o700", "0o600"]
    workspace.credentials.chmod(0o640)
    with pytest.raises(ExpectedError, match="other users can read the workspace's access key"):
        credentials.load(workspace.credentials)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_another_user_reads_nothing_of_a_workspace(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path("/tmp") / f"workspace-{os.getpid()}"
    workspace = Workspace(folder)
    workspace.create()
    try:
        for path in (workspace.credentials, workspace.marker, workspace.root):
            other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", str(path)]
            assert "Permission denied" in subprocess.run(other, capture_output=True, text=True, check=False).stderr
    finally:
        shutil.rmtree(folder)
