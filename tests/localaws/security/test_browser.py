"""A web page in a real browser, of another site or of a name that points to this machine, attacks the endpoint."""

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.support.streams import Streams
from localaws.endpoint import DEVELOPER, Endpoint
from pipelines.account.clients import Clients
from tests.support.browser import CHROMIUM, FLAGS

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (apt-get install chromium)")
# The page's own name, and the name that an attacker's DNS server points to this machine.
EVIL, REBOUND = "evil.example", "rebound.example"
WRITE = "def handler(event, context):\n    import boto3\n    boto3.client('sqs').create_queue(QueueName='by-a-page')\n"
# What a page can send without asking: simple requests, forms, images; and with a preflight: all else.
ATTACK = """async ([url, create, invoke, approve]) => {
  const outcomes = {};
  const attempt = async (name, send) => {
    try { outcomes[name] = await send(); } catch (error) { outcomes[name] = "refused"; }
  };
  const post = (path, body, options) => fetch(url + path, {method: "POST", body, ...options});
  const simple = {mode: "no-cors", credentials: "include", headers: {"Content-Type": "text/plain"}};
  await attempt("create", async () => (await post("/2015-03-31/functions", create, simple)).status);
  await attempt("invoke", async () => (await post(invoke, "{}", simple)).status);
  await attempt("no-cors approval", async () => (await post("/", approve, simple)).status);
  const target = {"X-Amz-Target": "SageMaker.UpdateModelPackage", "Content-Type": "application/x-amz-json-1.1"};
  await attempt("approval", async () => (await post("/", approve, {headers: target})).status);
  await attempt("reset", async () => (await post("/_ministack/reset", "", {})).status);
  await attempt("read", async () => await (await fetch(url + "/_localaws/status")).text());
  await attempt("image", () => new Promise((done, fail) => {
    const image = new Image(); image.onload = done; image.onerror = fail; image.src = url + "/bucket/key";
  }));
  await attempt("socket", () => new Promise((done, fail) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/"); socket.onopen = done; socket.onerror = fail;
  }));
  await attempt("form", () => new Promise(done => {
    const frame = document.createElement("iframe"), form = document.createElement("form"),
          field = document.createElement("input");
    frame.name = "frame"; frame.onload = () => done("sent");
    Object.assign(form, {method: "POST", action: url + invoke, enctype: "text/plain", target: "frame"});
    Object.assign(field, {name: '{"a', value: '": 1}'});
    form.append(field); document.body.append(frame, form); form.submit();
  }));
  return outcomes;
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of another site, on this machine as far as the network is concerned."""
    from playwright.sync_api import sync_playwright

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rules = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1,MAP {REBOUND} 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM or ""), args=[*FLAGS, rules])
        found = browser.new_page()
        found.goto(f"http://{EVIL}:{server.server_port}/")
        yield found
        browser.close()
    server.shutdown()
    server.server_close()


class Page(http.server.BaseHTTPRequestHandler):
    """Answers an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


def test_a_page_in_a_browser_can_do_and_read_nothing(endpoint: Endpoint, clients: Clients, page: Any) -> None:
    streams = Streams(endpoint)
    function = streams.function(WRITE)
    clients.sagemaker.create_model_package_group(ModelPackageGroupName="attacked")
    package = clients.sagemaker.create_model_package(ModelPackageGroupName="attacked")["ModelPackageArn"]
    create = {"FunctionName": "by-a-page", "Runtime": "python3.12", "Handler": "a.b", "Role": DEVELOPER, "Code": {}}
    approve = {"ModelPackageArn": package, "ModelApprovalStatus": "Approved"}
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if answer.url.startswith(endpoint.url) else None)
    invoke = f"/2015-03-31/functions/{function.rpartition(':')[2]}/invocations"
    outcomes = page.evaluate(ATTACK, [endpoint.url, json.dumps(create), invoke, json.dumps(approve)])
    assert outcomes == {
        # The page learns nothing of the answer to what it sent without asking.
        **dict.fromkeys(("create", "invoke", "no-cors approval"), 0),
        **dict.fromkeys(("approval", "reset", "read", "image", "socket"), "refused"),
        "form": "sent",
    }
    assert set(answers) == {403}
    assert len(answers) >= 4
    functions = [each["FunctionName"] for each in streams.lambdas.list_functions()["Functions"]]
    assert "by-a-page" not in functions
    assert clients.sqs.list_queues(QueueNamePrefix="by-a-page").get("QueueUrls", []) == []
    described = clients.sagemaker.describe_model_package(ModelPackageName=package)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_name_that_is_pointed_to_this_machine_reads_nothing(endpoint: Endpoint, page: Any) -> None:
    port = endpoint.url.rpartition(":")[2]
    assert page.goto(f"http://{REBOUND}:{port}/").status == 403
    read = "async path => (await fetch(path, {method: path == '/' ? 'GET' : 'POST'})).status"
    found = [page.evaluate(read, path) for path in ("/", "/_localaws/status", "/2015-03-31/functions")]
    assert found == [403, 403, 403]
