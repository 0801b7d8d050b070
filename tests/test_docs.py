"""The commands in README.md and DEPLOY.md exist, and what they state about the project is true."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestion import record
from pipelines.authoring.parameters import PARAMETERS
from pipelines.local.punk_api import BUNDLED
from tests.support import cfn, template_operation
from tests.support.typed import refused

ROOT = Path(__file__).parent.parent
README, ARCHITECTURE, CONTRIBUTING, DEPLOY = (
    ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DEPLOY.md")
)
DOCUMENTS = (README, ARCHITECTURE, CONTRIBUTING, DEPLOY)


def commands(text: str) -> list[str]:
    """Commands of the code blocks, which begin with `$ `, and those in running text, which stand in backticks."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    typed = [re.sub(r"\s{2,}#.*", "", line) for line in re.findall(r"^\$ (.*)", blocks, re.MULTILINE)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    inline = [each for each in re.findall(r"`([^`]+)`", prose) if re.match(r"(?:make|aws|python -m) ", each)]
    return [part.strip() for command in typed + inline for part in re.split(r"\s(?:&&|\|)\s", command)]


COMMANDS = sorted({(path.name, each) for path in DOCUMENTS for each in commands(path.read_text())})


# --- Commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_a_command_can_be_typed_as_it_is_written(document: str, command: str) -> None:
    assert refused(command) == "", document


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("make depoly", "the Makefile knows no depoly"),
        ("make deploy ENVIRONMENT=dev", "the Makefile knows no ENVIRONMENT=dev"),
        ("python -m pipelines.deployment", "there is no module pipelines.deployment"),
        ("python -m pipelines.run --dryrun", "unrecognized arguments: --dryrun"),
        ("aws sagemaker list-pipeline-runs", "sagemaker has no list-pipeline-runs"),
        ("aws sts get-caller-identity --who me", "aws sts get-caller-identity has no who"),
        ("aws cloudformation deploy --template x", "aws cloudformation deploy has no template"),
        ("terraform apply", "what is terraform?"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, why: str) -> None:
    assert refused(command) == why


def test_the_documents_commands_are_read() -> None:
    assert commands("```console\n$ make x && cd y    # why\nnot this\n```\nand `python -m z --w`, `other`") == [
        "make x",
        "cd y",
        "python -m z --w",
    ]


# --- README's statements about the project --------------------------------------------------------


def section(title: str, document: Path = README) -> str:
    return document.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_table_of_parameters_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` `(--[\w-]+)` \| (.*?) \| (.*?) \|$", section("Parameters of a run"), re.MULTILINE)
    shown = {each.name: f"`{each.default}`" if each.default is not None else "required" for each in PARAMETERS}
    assert rows == [(each.name, each.flag, shown[each.name], each.description) for each in PARAMETERS]


def entries() -> dict[str, list[str]]:
    """Folder -> the files and folders of it that the map names; a line that is not indented begins top-level ones."""
    found: dict[str, list[str]] = {}
    folder = ""
    for line in re.findall(r"```\n(.*?)```", section("The map", ARCHITECTURE), re.DOTALL)[0].splitlines():
        folders = re.findall(r"(?:^|(?<=  ))(\w+)/(?=\s)", line)
        if not line.startswith(" "):
            found |= {name: [] for name in folders}
            folder = folders[0]
        else:
            found[folder] += [f"{name}/" for name in folders]
        found[folder] += re.findall(r"\b[\w.-]+\.(?:py|yaml|json)(?!\w)", line)
    return found


def test_the_map_names_only_what_exists() -> None:
    made_by_a_run = {"evaluation.json"}
    missing = [
        f"{folder}/{name}"
        for folder, names in entries().items()
        for name in ["", *names]
        if name not in made_by_a_run and not (ROOT / folder / name).exists()
    ]
    assert missing == []


def test_every_folder_of_the_project_is_on_the_map() -> None:
    named = entries()
    folders = {path.parent.relative_to(ROOT) for name in named for path in (ROOT / name).rglob("__init__.py")}
    inner = {path for path in folders if path.parts[:1] == ("pipelines",) and len(path.parts) == 2}
    top = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and (any(path.glob("*.py")) or any(path.glob("*.yaml")))
    }
    assert top - set(named) == set()
    assert {f"{path.name}/" for path in inner} - set(named["pipelines"]) == set()


def test_every_command_is_on_the_map() -> None:
    """A module with flags of its own is one that people type."""
    modules = {path.name for path in (ROOT / "pipelines").glob("*.py") if "def arguments()" in path.read_text()}
    assert modules - set(entries()["pipelines"]) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    linked = [link for link in re.findall(r"\]\(([^)#][^)]*)\)", text) if "://" not in link]
    folders = "|".join(["cloudformation", "pipelines", r"\.github", "tests", "benchmarks"])
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    assert [each for each in linked + named if not (ROOT / each).exists()] == []


def test_readme_leads_to_the_first_deployment() -> None:
    assert "(DEPLOY.md)" in section("In an account")


# --- What DEPLOY.md counts ------------------------------------------------------------------------


def stacks_parameters() -> dict[str, Any]:
    return {name: value for stack in cfn.NAMES for name, value in cfn.load(stack)["Parameters"].items()}


def test_the_switches_that_lower_costs_are_parameters_of_the_stacks() -> None:
    table = DEPLOY.read_text().split("| switch | effect |")[1].split("\n\n")[0]
    cells = " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    named = re.findall(r"`([A-Z][A-Za-z]+)`", cells)
    values = re.findall(r"`([A-Z][A-Za-z]+)` `([^`]+)`", cells)
    parameters = stacks_parameters()

    assert [name for name in named if name not in parameters and not name.isupper()] == []
    assert [pair for pair in values if pair[1] not in parameters[pair[0]].get("AllowedValues", [pair[1]])] == []


def test_the_costs_count_what_the_templates_hold() -> None:
    text = DEPLOY.read_text()
    templates = [cfn.load(name) for name in cfn.NAMES]
    # Some alarms exist with Parquet only.
    alarms = [
        each
        for template in templates
        for each in template["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm" and each.get("Condition") in (None, "WritesCsv")
    ]
    counted = dict(re.findall(r"\| CloudWatch (alarms|metrics) \| (\d+) ", text))
    assert counted == {"alarms": str(len(alarms)), "metrics": str(len(template_operation.COUNTED))}


def test_the_costs_count_a_metric_for_each_reason_of_the_bundled_beers() -> None:
    outcomes = [record.to_row(json.dumps(beer).encode()) for beer in json.loads(BUNDLED.read_text())]
    kinds: dict[type, Callable[[Any], tuple[str, ...]]] = {record.Clean: lambda each: each.flags}
    reasons = {
        (type(each), reason)
        for each in outcomes
        for reason in kinds.get(type(each), lambda found: (found.reason,))(each)
    }
    counted = re.search(
        r"^\| CloudWatch metrics by reason \|.*: (\d+) with .*\| ([\d.]+) \|$", DEPLOY.read_text(), re.M
    )
    assert counted and (int(counted[1]), float(counted[2])) == (len(reasons), round(0.30 * len(reasons), 2))


def test_the_costs_are_those_of_the_defaults() -> None:
    parameters = stacks_parameters()
    defaults = {
        name: parameters[name]["Default"]
        for name in ("ShardCount", "ScheduleExpression", "BeersPerPoll", "OwnKey", "BufferIntervalInSeconds")
    }
    assert defaults == {
        "ShardCount": 1,
        "ScheduleExpression": "rate(5 minutes)",
        "BeersPerPoll": 1,
        "OwnKey": "false",
        "BufferIntervalInSeconds": 900,
    }


def longest(states: dict[str, Any], name: str, end: str) -> int:
    """States on the longest path to `end` on which nothing fails and no run is started; 0 where there is none."""
    if name == end:
        return 1
    state = states[name]
    after = {each["Next"] for each in [state, *state.get("Choices", [])] if "Next" in each} | {state.get("Default")}
    ways = [longest(states, each, end) for each in after - {None, "MoreApprovedModels", "StartRun"}]
    return max((1 + way for way in ways if way), default=0)


def test_the_states_counted_for_a_skip_are_those_of_the_longest_path_to_it() -> None:
    machine = json.loads((ROOT / "cloudformation/retrain.asl.json").read_text())
    counted = re.search(r"(\d+) states each until it skips", DEPLOY.read_text())
    assert counted and int(counted[1]) == longest(machine["States"], machine["StartAt"], "Skipped")


def test_a_product_in_the_costs_is_the_product_of_its_factors() -> None:
    queries = 4 * 730
    month = {
        "Kinesis": 730 * 0.015,
        "CloudWatch alarms": 33 * 0.10,
        "CloudWatch metrics": 8 * 0.30,
        "Step Functions": queries * 13 * 0.025 / 1000,
        "Athena": queries * 10e6 / 1e12 * 5,
    }
    text = DEPLOY.read_text()
    costs = {name: re.search(rf"^\| {name} \|.*\| ([\d.]+) \|$", text, re.MULTILINE) for name in month}
    assert {name: float(found[1]) for name, found in costs.items() if found} == {
        name: round(amount, 2) for name, amount in month.items()
    }
