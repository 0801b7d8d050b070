"""Nobody but this machine's own browser uses the console, and only through its own pages."""

import pytest

from pipelines.account.clients import Clients
from tests.console.conftest import Foreign, Site, served

REFUSED = {
    "another name": {"Host": "evil.example"},
    "another name with our port": {"Host": "evil.example:{port}"},
    "a name that resolves here": {"Host": "127.0.0.1.evil.example:{port}"},
    "a name that begins like ours": {"Host": "localhost.evil.example:{port}"},
    "the address without the port": {"Host": "127.0.0.1"},
    "another port": {"Host": "127.0.0.1:1"},
    "every address": {"Host": "0.0.0.0:{port}"},
    "another loopback address": {"Host": "127.0.0.2:{port}"},
    "a user before the host": {"Host": "127.0.0.1@evil.example:{port}"},
    "an empty host": {"Host": ""},
    "no port after the colon": {"Host": "127.0.0.1:"},
    "a foreign origin": {"Origin": "http://evil.example"},
    "our address by another scheme": {"Origin": "https://127.0.0.1:{port}"},
    "another port's origin": {"Origin": "http://127.0.0.1:1"},
    "a file": {"Origin": "null"},
    "a fetch of another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "a script of another port": {
        "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "cors",
        "Origin": "http://localhost:1",
    },
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_a_page_is_not_shown_to(site: Site, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=site.port) for name, value in headers.items()}
    answer = site.send("GET", "/", sent)
    assert (answer.status, answer.text.startswith("Refused: ")) == (403, True)
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_this_machines_own_names_are_answered(site: Site, host: str) -> None:
    assert site.send("GET", "/models", {"Host": host.format(port=site.port)}).status == 200


def test_a_link_from_another_site_opens_a_page_and_changes_nothing(site: Site) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert site.send("GET", "/models", headers).status == 200
    assert site.send("POST", "/pipelines/x/start", headers, f"token={site.console.token.value}").status == 403


FORGED = {
    "no token": ("", {}),
    "another token": ("token=AAAAAAAAAAAAAAAAAAAAAAAA", {}),
    "a token as text": ("token=%00", {}),
    "a token in the query": ("", {"query": "token"}),
    "the token of another origin": ("right", {"Origin": "http://evil.example"}),
    "the token by a cross-site fetch": ("right", {"Sec-Fetch-Site": "cross-site"}),
}


def runs(foreign: Foreign) -> int:
    listed = foreign.project.clients.sagemaker.list_pipeline_executions(PipelineName=foreign.project.name)
    return len(listed["PipelineExecutionSummaries"])


@pytest.mark.parametrize(("body", "headers"), FORGED.values(), ids=FORGED)
def test_a_change_is_refused_with(site: Site, foreign: Foreign, body: str, headers: dict[str, str]) -> None:
    before = runs(foreign)
    path, headers = f"/pipelines/{foreign.project.name}/start", dict(headers)
    if headers.pop("query", ""):
        path += f"?token={site.console.token.value}"
    answer = site.send("POST", path, headers, f"token={site.console.token.value}" if body == "right" else body or "x=1")
    assert (answer.status, runs(foreign)) == (403, before)


def test_preflights_get_no_permission(site: Site) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = site.send("OPTIONS", "/", asked)
    assert (answer.status, [name for name in answer.headers if name.startswith("access-control")]) == (403, [])


def test_a_page_allows_no_foreign_script_style_frame_or_form(site: Site) -> None:
    headers = site.send("GET", "/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize(
    "path", ["/static/../web.py", "/static/%2e%2e/web.py", "/static/x", "/objects?uri=file:///etc/passwd"]
)
def test_nothing_of_the_disk_is_served(site: Site, path: str) -> None:
    assert site.send("GET", path).status == 404


def test_a_read_only_console_changes_nothing_even_with_its_token(clients: Clients, foreign: Foreign) -> None:
    with served(lambda service: clients[service], changes=False) as site:
        answer = site.post(f"/pipelines/{foreign.project.name}/start", Mode="good")
        assert (answer.status, answer.text) == (
            403,
            "Refused: this console is read-only; start it with --allow-changes\n",
        )
        assert "disabled" in site.get(f"/pipelines/{foreign.project.name}/start")


def test_a_body_that_is_too_large_is_refused_unread(site: Site) -> None:
    assert site.send("POST", "/pipelines/x/start", {"Content-Length": "99999999"}).status == 403
