"""The workflows on GitHub are valid, safe, and fit the project and the role they use.

Two tools check most of it, both offline: check-jsonschema validates them against GitHub's schema, zizmor finds what an
attacker could use. What only this project knows is asserted here.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import cfn

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
BIN = Path(sys.executable).parent
# All text: YAML would take the key `on` for true.
WORKFLOWS: dict[str, Any] = {
    path.stem: yaml.load(path.read_text(), yaml.BaseLoader) for path in sorted((GITHUB / "workflows").glob("*.yml"))
}
JOBS = [(workflow, name, job) for workflow, content in WORKFLOWS.items() for name, job in content["jobs"].items()]


def against_schema(folder: Path) -> "subprocess.CompletedProcess[str]":
    """GitHub's schemas of workflows and of Dependabot's configuration, as check-jsonschema brings them along."""
    files = sorted(str(path) for path in (folder / "workflows").iterdir())
    schema = ["--builtin-schema", "vendor.github-workflows"]
    return run("check-jsonschema", *schema, *files)


def audited(folder: Path) -> "subprocess.CompletedProcess[str]":
    return run("zizmor", "--offline", "--no-progress", "--min-severity", "medium", str(folder))


def run(tool: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BIN / tool, *arguments], capture_output=True, text=True, timeout=60)


def steps(workflow: str, job: str, key: str) -> list[str]:
    return [step[key] for step in WORKFLOWS[workflow]["jobs"][job]["steps"] if key in step]


# --- The tools ------------------------------------------------------------------------------------


def test_the_workflows_are_what_github_takes() -> None:
    done = against_schema(GITHUB)
    assert (done.returncode, done.stdout.strip()) == (0, "ok -- validation done")


def test_dependabot_is_configured_as_github_takes_it() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.dependabot", str(GITHUB / "dependabot.yml"))
    assert (done.returncode, done.stdout.strip()) == (0, "ok -- validation done")


def test_the_audit_of_the_workflows_finds_nothing() -> None:
    done = audited(GITHUB)
    assert done.returncode == 0, done.stdout


FAULTS = {
    "a misspelt key": (against_schema, "timeout-minutes: 60", "timeout-minute: 60", "timeout-minute"),
    "a job without a machine": (against_schema, "    runs-on: ubuntu-24.04\n", "", "runs-on"),
    "an action that can change": (
        audited,
        "aws-actions/configure-aws-credentials@a03048d87541d1d9fcf2ecf528a4a65ba9bd7838",
        "aws-actions/configure-aws-credentials@v5",
        "unpinned-uses",
    ),
    "a branch's name that becomes code": (audited, '"$ENVIRONMENT"', "${{ github.head_ref }}", "template-injection"),
    "a token left on the disk": (audited, "          persist-credentials: false\n", "", "artipacked"),
    "a password in the open": (
        audited,
        "    env:\n",
        "    container:\n      image: a@sha256:0\n      credentials: {username: a, password: b}\n    env:\n",
        "hardcoded-container-credentials",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    tool, old, new, finding = FAULTS[fault]
    spoilt = shutil.copytree(GITHUB, tmp_path / ".github")
    deploy = spoilt / "workflows" / "deploy.yml"
    text = deploy.read_text()
    assert old in text
    deploy.write_text(text.replace(old, new))

    done = tool(spoilt)
    assert done.returncode != 0
    assert finding in done.stdout + done.stderr


# --- Rights and limits ----------------------------------------------------------------------------


def test_no_workflow_knows_a_secret_or_a_key() -> None:
    texts = "".join(path.read_text() for path in GITHUB.rglob("*.yml"))
    assert re.findall(r"secrets\.|aws-access-key-id|aws-secret-access-key|AKIA|AWS_(?:ACCESS|SECRET)", texts) == []


def test_only_the_jobs_that_use_a_role_can_have_a_token_for_aws() -> None:
    wide = [name for name, content in WORKFLOWS.items() if content["permissions"] not in ("", {}, {"contents": "read"})]
    rights = {f"{workflow}.{name}": job.get("permissions") for workflow, name, job in JOBS}
    assert wide == []
    assert rights == {
        "check.check": None,
        "deploy.check": {"contents": "read"},
        "deploy.deploy": {"contents": "read", "id-token": "write"},
        "warehouse.build": {"contents": "read", "id-token": "write"},
    }


def test_every_job_has_an_end_before_githubs_six_hours() -> None:
    limits = {f"{workflow}.{name}": job.get("timeout-minutes") for workflow, name, job in JOBS if "uses" not in job}
    assert limits == {"check.check": "30", "deploy.deploy": "60", "warehouse.build": "60"}


def test_checks_come_before_a_deployment_and_one_deployment_waits_for_the_other() -> None:
    job = WORKFLOWS["deploy"]["jobs"]["deploy"]
    assert job["needs"] == "check"
    assert WORKFLOWS["deploy"]["jobs"]["check"]["uses"] == "./.github/workflows/check.yml"
    assert job["concurrency"]["cancel-in-progress"] == "false"
    assert job["concurrency"]["group"] == f"deploy-{job['environment']}"


def test_a_pull_request_is_checked_and_never_deployed() -> None:
    assert "pull_request" in WORKFLOWS["check"]["on"]
    assert set(WORKFLOWS["deploy"]["on"]) == {"push", "workflow_dispatch"}
    assert WORKFLOWS["deploy"]["on"]["push"] == {"branches": ["main"]}


# --- They fit the project -------------------------------------------------------------------------


# Workflow -> its job with a role, the template of the role, the role, and what follows the environment's name.
ROLES = {
    "deploy": ("deploy", "github", "DeployRole", ""),
    "warehouse": ("build", "github-warehouse", "WarehouseRole", "-warehouse"),
}


@pytest.mark.parametrize("workflow", ROLES)
def test_the_environments_to_choose_from_are_those_that_have_parameters(workflow: str) -> None:
    choice = WORKFLOWS[workflow]["on"]["workflow_dispatch"]["inputs"]["environment"]
    assert set(choice["options"]) == {path.stem for path in (cfn.FOLDER / "parameters").glob("*.json")}
    assert choice["default"] == "dev"


@pytest.mark.parametrize("workflow", ROLES)
def test_the_environment_of_a_job_is_the_one_that_its_role_admits(workflow: str) -> None:
    name, template, role, ending = ROLES[workflow]
    job = WORKFLOWS[workflow]["jobs"][name]
    assert job["environment"] == job["env"]["ENVIRONMENT"] + ending
    (statement,) = cfn.load(template)["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    subject = cfn.text(statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"])
    assert subject == f"repo:${{Repository}}:environment:${{Environment}}{ending}"


def test_what_a_push_deploys_is_the_environment_that_is_not_asked_for() -> None:
    assert WORKFLOWS["deploy"]["jobs"]["deploy"]["environment"] == "${{ inputs.environment || 'dev' }}"


@pytest.mark.parametrize("workflow", ROLES)
def test_the_session_lasts_as_long_as_the_job_and_no_longer_than_the_role_allows(workflow: str) -> None:
    name, template, role, _ = ROLES[workflow]
    job = WORKFLOWS[workflow]["jobs"][name]
    (login,) = [each for each in job["steps"] if "role-to-assume" in each.get("with", {})]
    seconds = int(login["with"]["role-duration-seconds"])
    assert seconds == cfn.load(template)["Resources"][role]["Properties"]["MaxSessionDuration"]
    assert seconds == 60 * int(job["timeout-minutes"])


def test_a_push_runs_everything_that_a_person_would() -> None:
    assert steps("check", "check", "run") == ["make check", "make test", "make local"]
    assert steps("deploy", "deploy", "run")[-2:] == [
        '.venv/bin/python -m pipelines.deploy --env "$ENVIRONMENT"',
        '.venv/bin/python -m pipelines.run --env "$ENVIRONMENT" --dry-run',
    ]
    assert steps("warehouse", "build", "run")[-1] == '.venv/bin/python -m pipelines.warehouse --env "$ENVIRONMENT"'


@pytest.mark.parametrize(("workflow", "installs"), [("deploy", 2), ("warehouse", 3)])
def test_nothing_is_installed_once_there_are_credentials(workflow: str, installs: int) -> None:
    taken = WORKFLOWS[workflow]["jobs"][ROLES[workflow][0]]["steps"]
    order = [each.get("run") or each["uses"].partition("@")[0] for each in taken]
    login = order.index("aws-actions/configure-aws-credentials")
    assert [each for each in order[login:] if re.search(r"\bpip\b|\bmake\b|\buv\b|setup-|environment\.py", each)] == []
    installed = [line for each in order for line in each.splitlines() if "pip install" in line]
    assert [line for line in installed if "--require-hashes" not in line] == []
    assert len(installed) == installs


LOCKS = {"deploy": "constraints.txt", "build": "constraints.txt", "warehouse": "constraints-dbt.txt"}


@pytest.mark.parametrize("name", LOCKS)
def test_what_a_workflow_with_a_role_installs_is_what_was_tested_and_has_a_hash(name: str) -> None:
    tested = dict(line.split("==") for line in (ROOT / LOCKS[name]).read_text().split() if "==" in line)
    lines = (ROOT / ".ci" / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    form = r"[\w.-]+(\[[\w, -]+\])?==\S+(\s+--hash=sha256:[0-9a-f]{64})+"
    assert entries
    assert [entry for entry in entries if not re.fullmatch(form, entry)] == []
    locked = dict(re.findall(r"^([\w.-]+)(?:\[[\w, -]+\])?==(\S+)", "\n".join(entries), re.M))
    assert {key: version for key, version in locked.items() if tested.get(key, version) != version} == {}


def test_a_deployment_installs_what_the_package_requires() -> None:
    requires = (ROOT / "setup.py").read_text().partition("install_requires")[2].partition("extras_require")[0]
    declared = re.findall(r'^        "([\w-]+)', requires, re.M)
    deployed = (ROOT / ".ci" / "deploy.txt").read_text()
    assert declared
    assert [name for name in declared if not re.search(rf"^{name}==", deployed, re.M)] == []


def test_the_oldest_python_is_checked_too() -> None:
    oldest = re.search(r'python_requires=">=([\d.]+)"', (ROOT / "setup.py").read_text())
    assert oldest
    assert WORKFLOWS["check"]["jobs"]["check"]["strategy"]["matrix"]["python"][0] == oldest[1]
