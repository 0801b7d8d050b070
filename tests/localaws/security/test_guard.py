"""Who may use the endpoint: programs that hold a key of the workspace, and nobody else."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from localaws.endpoint import DEVELOPER, Endpoint
from localaws.errors import ExpectedError
from localaws.security import credentials
from localaws.security.credentials import TOKEN_HEADER
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from tests.support.signed import answer, port, signed

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
