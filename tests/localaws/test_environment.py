"""A local run ignores the user's AWS, network and interpreter configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localaws import clients, environment, programs, server
from localaws.endpoint import Endpoint
from localaws.security.credentials import Credentials
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.authoring.archives import ROOT
from tests.support.foreign import NOWHERE, PROXIES

URL = "http://127.0.0.1:4566"
KEY = Credentials("AKIALOCAL", "secret")
SERVICES = ("s3", "sts", "kinesis", "lambda", "sagemaker", "stepfunctions", "cloudformation")
# An environment -> its variables; `config` and `sagemaker` are the contents of ~/.aws/config and the SDK's config.yaml.
FOREIGN: dict[str, dict[str, str]] = {
    **{name: {name: value} for name, value in PROXIES.items()},
    "every proxy": PROXIES,
    "profile": {"AWS_PROFILE": "gone"},
    "default profile": {"AWS_DEFAULT_PROFILE": "gone"},
    "region": {"AWS_REGION": "eu-west-3"},
    "default region": {"AWS_DEFAULT_REGION": "cn-north-1"},
    "endpoint": {"AWS_ENDPOINT_URL": NOWHERE},
    "nonsense for an endpoint": {"AWS_ENDPOINT_URL": "nonsense"},
    "endpoints per service": {f"AWS_ENDPOINT_URL_{each.upper()}": NOWHERE for each in SERVICES},
    "ignored endpoints": {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    "keys": {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "x"},
    "half a key": {"AWS_ACCESS_KEY_ID": "AKIAREAL"},
    "session token": {"AWS_SESSION_TOKEN": "token"},
    "web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/x"},
    "container credentials": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": NOWHERE},
    "FIPS": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "dual stack": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "retry mode": {"AWS_RETRY_MODE": "nonsense"},
    "attempts": {"AWS_MAX_ATTEMPTS": "many"},
    "defaults mode": {"AWS_DEFAULTS_MODE": "nonsense"},
    "certificates": {"AWS_CA_BUNDLE": "/nowhere", "REQUESTS_CA_BUNDLE": "/nowhere"},
    "models": {"AWS_DATA_PATH": "/nowhere"},
    "checksums": {"AWS_REQUEST_CHECKSUM_CALCULATION": "nonsense", "AWS_RESPONSE_CHECKSUM_VALIDATION": "nonsense"},
    "account ids in endpoints": {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"},
    "signing": {"AWS_SIGV4A_SIGNING_REGION_SET": "*", "AWS_AUTH_SCHEME_PREFERENCE": "sigv4a"},
    "S3's us-east-1": {"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "nonsense"},
    "regional STS": {"AWS_STS_REGIONAL_ENDPOINTS": "nonsense"},
    "compression": {"AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "many"},
    "locale": {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "optimisation": {"PYTHONOPTIMIZE": "2"},
    "warnings": {"PYTHONWARNINGS": "error"},
    "time zone": {"TZ": "Asia/Kathmandu"},
    "the emulator's switches": {"AUTH": "true", "LOG_LEVEL": "nonsense", "GATEWAY_PORT": "1", "USE_SSL": "1"},
    "a SageMaker configuration that is missing": {"SAGEMAKER_USER_CONFIG_OVERRIDE": "/nowhere.yaml"},
    "accelerate": {"config": "[default]\ns3 =\n  use_accelerate_endpoint = true\n  addressing_style = virtual\n"},
    "endpoint in the file": {"config": f"[default]\nendpoint_url = {NOWHERE}\nservices = other\n"},
    "role in the file": {"config": "[default]\nrole_arn = arn:aws:iam::111111111111:role/x\nsource_profile = gone\n"},
    "a broken file": {"config": "no section\n[[["},
    "SageMaker's configuration": {
        "sagemaker": "SchemaVersion: '1.0'\nSageMaker:\n  Pipeline:\n    RoleArn: 'arn:aws:iam::111111111111:role/x'\n"
    },
    "a broken SageMaker configuration": {"sagemaker": "SchemaVersion: [\n"},
}


def everything() -> dict[str, str]:
    """All of them at once."""
    return {name: value for each in FOREIGN.values() for name, value in each.items()}


def variables(home: Path, chosen: dict[str, str]) -> dict[str, str]:
    """The variables of an environment, its files written below `home`."""
    found = {name: value for name, value in chosen.items() if name not in ("config", "sagemaker")}
    for name, path in (("config", ".aws/config"), ("sagemaker", ".config/sagemaker/config.yaml")):
        if name in chosen:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(chosen[name], encoding="utf-8")
            found |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    if "config" in chosen:
        found["AWS_CONFIG_FILE"] = str(home / ".aws/config")
    return found


@pytest.mark.parametrize("name", [*FOREIGN, "all of them"])
def test_processes_and_clients_of_a_local_run_are_the_same_in_every_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = environment.clean(Path("/home"))
    for each, value in variables(tmp_path, FOREIGN.get(name, everything())).items():
        monkeypatch.setenv(each, value)
    assert environment.clean(Path("/home")) == usual
    clients.session.cache_clear()
    # What differs between services has a variable for each of them.
    for service in SERVICES if name in ("all of them", "endpoints per service") else ("s3", "sts"):
        client = clients.client(URL, service, KEY)
        made = client.meta.config
        assert (
            client.meta.endpoint_url,
            client.meta.region_name,
            client._request_signer._credentials.access_key,
            client._endpoint.http_session._proxy_config._proxies,
            made.retries,
            bool(made.use_fips_endpoint or made.use_dualstack_endpoint),
            (made.s3 or {}).get("use_accelerate_endpoint", False),
        ) == (URL, "us-east-1", "AKIALOCAL", {}, {"mode": "legacy", "total_max_attempts": 5}, False, False)


def test_the_clients_of_the_commands_are_those_of_the_local_endpoint(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(tmp_path, everything()).items():
        monkeypatch.setenv(name, value)
    clients.session.cache_clear()
    found = Clients(endpoint)
    assert found.sts.get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    assert (found.region, found.s3.meta.endpoint_url) == ("us-east-1", endpoint.url)
    assert endpoint.control("status")["pid"] == endpoint.pid


def test_a_program_keeps_its_own_variables_and_loses_those_of_aws(endpoint: Endpoint, tmp_path: Path) -> None:
    inherited = {"MY_DATA": "here", "PYTHONPATH": "mine"} | variables(tmp_path, everything())
    given = programs.variables(endpoint, inherited)
    removed = programs.foreign(inherited)
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_SESSION_TOKEN"} <= set(removed)
    assert not {"MY_DATA", "PYTHONPATH", "HOME"} & set(removed)
    assert given["PYTHONPATH"].split(os.pathsep)[-1] == "mine"
    assert given["AWS_ENDPOINT_URL"] == endpoint.url
    assert (given["AWS_REGION"], given["AWS_DEFAULT_REGION"]) == ("us-east-1", "us-east-1")


COMMANDS = (
    "pipelines.run",
    "pipelines.deploy",
    "pipelines.registry",
    "pipelines.runs",
    "pipelines.records",
    "pipelines.local",
    "pipelines.checks",
    "pipelines.console",
    "console",
    "localaws",
)


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_shows_its_help_without_docstrings_and_in_ascii(module: str) -> None:
    foreign = FOREIGN["locale"] | FOREIGN["optimisation"] | FOREIGN["profile"] | PROXIES
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env={**os.environ, **foreign},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr, done.stdout.startswith("usage: ")) == (0, "", True)


def refused(*command: str, env: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """(exit code, lines on stderr without what follows their labels) of a command that fails."""
    done = subprocess.run(command, env={**os.environ, **(env or {})}, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, [line.partition(":")[0] for line in done.stderr.splitlines()]


def test_an_old_python_is_refused_in_three_lines(tmp_path: Path) -> None:
    # The interpreter is this one; its version is what an old one has.
    code = "import sys; sys.version_info = (3, 9, 18); import runpy; runpy.run_module('{}', run_name='__main__')"
    for module in ("localaws", "pipelines.run"):
        assert refused(sys.executable, "-c", code.format(module)) == (5, ["Error", "Where", "Try"])


def test_a_missing_package_is_named_in_three_lines() -> None:
    # -S: the standard library alone, as without a virtual environment.
    assert refused(sys.executable, "-S", "-m", "localaws", "env", "--workspace", "/nowhere")[0] in (3, 5)
    code = (
        "import sys; sys.modules['boto3'] = None; from localaws.__main__ import main; from localaws.errors import *; "
    )
    code += "from localaws import clients; from localaws.security.credentials import Credentials; "
    code += "sys.exit(exit_code(lambda: clients.client('http://127.0.0.1:9', 's3', Credentials('a', 'b')) and 0))"
    assert refused(sys.executable, "-c", code) == (5, ["Error", "Where", "Try"])


def test_nonsense_for_an_endpoint_is_three_lines() -> None:
    environment = {"AWS_ENDPOINT_URL": "nonsense", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert refused(sys.executable, "-m", "pipelines.records", "ledger", env=environment) == (
        5,
        ["Error", "Where", "Try"],
    )


@pytest.mark.release
def test_the_chain_runs_three_times_with_everything_foreign_at_once(tmp_path: Path) -> None:
    audit, log = ROOT / "tests" / "support" / "audit", tmp_path / "connections"
    foreign = variables(tmp_path, everything())
    foreign |= {"LOCALAWS_AUDIT_LOG": str(log), "PYTHONPATH": f"{audit}{os.pathsep}{ROOT}"}
    results: list[Any] = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.run", "--local", "--json", "--workspace", str(tmp_path / "my beers")],
            env={**os.environ, **foreign},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        results.append(json.loads(done.stdout))
    assert [each["model_package"]["version"] for each in results] == [1, 2, 3]
    assert len({each["metrics"]["mae"] for each in results}) == 1
    # What begins with a slash is a socket's file in the workspace.
    workspace = str(tmp_path / "my beers")
    addresses = {each for each in log.read_text(encoding="utf-8").splitlines() if not each.startswith(workspace)}
    assert addresses <= {"127.0.0.1", "localhost"}


def test_arrow_works_after_the_thread_that_imported_it_has_ended(tmp_path: Path) -> None:
    """With Arrow's own allocator this ends in a segmentation fault."""
    program = """
import threading
def imports():
    import pyarrow.compute
def uses():
    import pyarrow
    pyarrow.table({"name": ["IPA" * each for each in range(1000)] * 100}).combine_chunks()
for target in (imports, uses, uses):
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
uses()
"""
    workspace = Workspace(tmp_path)
    workspace.create()
    variables = server.variables(workspace, 4566, 1)
    assert subprocess.run([sys.executable, "-c", program], env=variables, check=False).returncode == 0
