"""The layout: imports point one way, and folders that must agree on something do."""

import argparse
import ast
import functools
import graphlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion import names, record
from localaws.sagemaker import graph
from pipelines.authoring import archives, committed, step_outputs
from pipelines.authoring.parameters import PARAMETERS
from pipelines.authoring.settings import Settings, assets
from tests.support import beers, cfn

ROOT = Path(__file__).parent.parent
STEPS = ("processing", "training", "evaluation")
FOLDERS = ("console", "ingestion", "localaws", "pipelines", *STEPS)
REAL: dict[str, Any] = json.loads(committed.definition(Settings()))


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Module -> its syntax tree."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
    }


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """(module, whether at the top) of all that a module imports; `from a import b` counts as a.b where that exists."""
    top = set(map(id, trees()[name].body))
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((each if each in trees() else str(node.module), id(node) in top) for each in inner)


def within(module: str, prefixes: set[str]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


# --- Imports --------------------------------------------------------------------------------------

NOT_IMPORTED = {"tests": r"from tests\.\S*\btest_\w+ import", "benchmarks": r"(?:from|import) tests\b"}


def test_tests_share_helpers_in_the_support_folder_and_benchmarks_import_no_tests() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line}"
        for folder, pattern in NOT_IMPORTED.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in re.findall(rf"^ *{pattern}.*", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert wrong == []


# What each package may import of the repository; the commands (pipelines/*.py), which combine all of it, anything.
MAY_IMPORT = {
    "processing": set(),
    "training": set(),
    "evaluation": set(),
    "ingestion": {"ingestion"},
    "ingestion.record": set(),
    "ingestion.clean": {"ingestion.metrics", "ingestion.record"},
    "localaws": {"localaws"},
    "console": {"console"},
    "pipelines.cli": {"pipelines.cli", "localaws.errors"},
    "pipelines.authoring": {"pipelines.authoring", "localaws.errors", "ingestion.record"},
    "pipelines.account": {
        "ingestion.batches",
        "ingestion.record",
        "pipelines.account",
        "pipelines.authoring",
        "pipelines.cli",
        "localaws.clients",
        "localaws.errors",
        "localaws.sagemaker.graph",
    },
    "pipelines.records": {
        "pipelines.records",
        "pipelines.account",
        "pipelines.cli",
        "ingestion",
        "localaws.arguments",
        "localaws.errors",
        "localaws.firehose.answers",
        # The pages that this package adds to the console.
        "console",
    },
    "pipelines.checks": {
        "pipelines.checks",
        "pipelines.authoring",
        "localaws.errors",
        "localaws.sagemaker.expressions",
        "localaws.sagemaker.graph",
        "localaws.shapes",
    },
    "pipelines.local": {
        "ingestion.names",
        "pipelines.local",
        "pipelines.account",
        "pipelines.authoring",
        "pipelines.cli",
        "pipelines.records",
        "localaws",
    },
}
THIRD_PARTY = {
    **{step: {"numpy", "pandas", "pyarrow", "scipy", "sklearn", "threadpoolctl"} for step in STEPS},
    "ingestion": {"boto3", "botocore", "requests", "urllib3"},
}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{name} imports {module}"
        for name in trees()
        if within(name, {package})
        for module, _ in imports(name)
        if module.split(".")[0] in FOLDERS and not within(module, MAY_IMPORT[package])
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", THIRD_PARTY)
def test_shipped_code_imports_what_is_there_when_it_runs(folder: str) -> None:
    beside = {name.split(".")[1] for name in trees() if within(name, {folder}) and "." in name}
    known = THIRD_PARTY[folder] | beside | set(sys.stdlib_module_names) | {folder}
    wrong = [
        f"{name} imports {module}"
        for name in trees()
        if within(name, {folder})
        for module, _ in imports(name)
        if module.split(".")[0] not in known
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour() -> None:
    links = {name: {module for module, _ in imports(name) if module in trees()} for name in trees()}
    assert len(list(graphlib.TopologicalSorter(links).static_order())) == len(trees())


@pytest.mark.parametrize(
    ("sdk", "modules"),
    [
        ("sagemaker", tuple(f"pipelines.authoring.{name}" for name in ("definition", "sdk", "step_arguments"))),
        ("stepfunctions", ("pipelines.authoring.step_functions",)),
    ],
)
def test_few_modules_import_an_sdk_for_authoring_and_import_it_late(sdk: str, modules: tuple[str, ...]) -> None:
    found = {(name, top) for name in trees() for imported, top in imports(name) if within(imported, {sdk})}
    assert found == {(module, False) for module in modules}


def test_what_is_deployed_does_not_ask_whether_it_runs_on_this_machine() -> None:
    deployed = {
        *STEPS,
        "ingestion",
        "pipelines.authoring.definition",
        "pipelines.authoring.retrain",
        "pipelines.authoring.snapshot",
    }
    asked = [
        f"{name}: {ast.unparse(node.test)}"
        for name in trees()
        if within(name, deployed)
        for node in ast.walk(trees()[name])
        if isinstance(node, ast.If | ast.IfExp | ast.While)
        and re.search(r"\blocal|127\.0|ENDPOINT", ast.unparse(node.test))
    ]
    assert asked == []


# --- One name, three spellings --------------------------------------------------------------------

# Options that the pipeline leaves at their defaults.
NOT_GIVEN = {
    "preprocess": {"--message", "--test-share", "--validation-share"},
    "train": {"--folds", "--model-dir", "--output-data-dir", "--train", "--validation"},
    "evaluate": {"--message"},
}


def options(script: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Option -> default of a step's script."""
    found: dict[str, Any] = {}

    class Seen(Exception):
        pass

    def parse_args(parser: argparse.ArgumentParser, values: object = None) -> None:
        found.update({each.option_strings[-1]: each.default for each in parser._actions if each.dest != "help"})
        raise Seen

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    with pytest.raises(Seen):
        beers.module(script).parse_arguments([])
    return found


def given(script: str) -> dict[str, Any]:
    """Option -> value that the pipeline gives to a step's script."""
    steps = {step["Name"]: step["Arguments"] for step in graph.steps(REAL)}
    if script == "train":
        hyperparameters = steps["Train"]["HyperParameters"].items()
        return {f"--{name}": value for name, value in hyperparameters if not name.startswith("sagemaker_")}
    listed = steps[script.capitalize()]["AppSpecification"]["ContainerArguments"]
    return dict(zip(listed[::2], listed[1::2], strict=True))


@pytest.mark.parametrize("script", NOT_GIVEN)
def test_the_pipeline_gives_a_script_the_options_that_it_has(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(given(script)) == set(options(script, monkeypatch)) - NOT_GIVEN[script]


@pytest.mark.parametrize("script", NOT_GIVEN)
def test_an_option_is_spelt_as_its_parameter_and_has_its_default(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {parameter.flag: parameter for parameter in PARAMETERS}
    defaults = options(script, monkeypatch)
    for flag, value in given(script).items():
        for _, path in graph.references(value):
            if flag not in ("--input-uri", "--model-uri"):
                assert path == f"Parameters.{parameters[flag].name}"
            if not isinstance(defaults[flag], str):
                assert defaults[flag] == parameters[flag].default
        if isinstance(value, str) and value.startswith("/"):
            assert str(defaults[flag]) == value


def test_the_training_script_reads_its_channels_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {step["Name"]: step["Arguments"] for step in graph.steps(REAL)}
    # The toolkit, not the script, reads the channel of the code.
    channels = [each["ChannelName"] for each in steps["Train"]["InputDataConfig"] if each["ChannelName"] != "code"]
    defaults = options("train", monkeypatch)
    assert [str(defaults[f"--{name}"]) for name in channels] == [f"/opt/ml/input/data/{name}" for name in channels]


def test_the_metrics_that_studio_plots_are_those_that_the_training_script_prints() -> None:
    # test_train.py shows that each of its lines is matched.
    assert beers.module("metrics").METRICS == step_outputs.METRICS


def test_the_card_on_the_package_agrees_with_the_evaluation() -> None:
    card = beers.module("card").CARD
    uses, more = step_outputs.MODEL_CARD["intended_uses"], step_outputs.MODEL_CARD["additional_information"]
    assert {
        "purpose": uses["purpose_of_model"],
        "not_for": uses["intended_uses"].removeprefix("Not for: "),
        "limits": uses["factors_affecting_model_efficiency"],
        "figures": more["caveats_and_recommendations"],
        "risk": f"{uses['risk_rating']}: {uses['explanations_for_risk_rating']}",
    } == card


# --- What folders agree on ------------------------------------------------------------------------


def test_the_columns_are_the_same_everywhere() -> None:
    columns = record.NAMES
    tables = [table for _, table in cfn.resources(cfn.load("ingestion"), "Glue::Table")]
    described = [
        tuple(column["Name"] for column in storage["Columns"])
        for table in tables
        for storage in cfn.branches(table["TableInput"]["StorageDescriptor"])
    ]
    assert described == [columns, columns]
    assert columns == beers.module("rows").COLUMNS


def test_the_prefixes_are_the_same_everywhere() -> None:
    ingestion, pipelines = cfn.load("ingestion"), cfn.load("pipelines")
    written = {
        prefix: name
        for name, delivery in cfn.resources(ingestion, "KinesisFirehose::DeliveryStream")
        for prefix in [delivery["ExtendedS3DestinationConfiguration"]["Prefix"].split("dt=")[0]]
    }
    assert written == {
        names.RAW: "RawDelivery",
        names.CLEANED: "CleanedDelivery",
        f"{names.CLEANED}parquet/": "ParquetDelivery",
    }

    (rule,) = [rule for name, rule in cfn.resources(pipelines, "Events::Rule") if name == "NewData"]
    assert rule["EventPattern"]["detail"]["object"]["key"] == [{"prefix": names.CLEANED}]
    settings = Settings()
    retrain = pipelines["Resources"]["Retrain"]["Properties"]["DefinitionSubstitutions"]
    home = "s3://${ArtifactBucket}/"
    assert cfn.text(retrain["NoChampionUri"]) == home + archives.NO_CHAMPION.folder
    assert cfn.text(retrain["LostChampionUri"]) == home + archives.LOST_CHAMPION.folder
    assert assets(settings)[-2:] == [archives.NO_CHAMPION, archives.LOST_CHAMPION]
    (champion,) = [each["DefaultValue"] for each in REAL["Parameters"] if each["Name"] == "ChampionModel"]
    assert champion == f"s3://{settings.artifact_bucket}/{archives.NO_CHAMPION.folder}"


def test_a_snapshot_is_read_where_it_was_put() -> None:
    put = re.findall(r"TO \\*'(s3://[^']*?)\\*'", committed.machine("retrain"))
    read = re.findall(r"'uri': '(s3://[^']*)'", committed.machine("retrain"))
    assert [each.removesuffix("{}/") for each in put] == read == ["s3://${ArtifactBucket}/snapshots/"]


def test_every_parameter_reaches_a_step_or_is_read_by_the_state_machine() -> None:
    used = {path.removeprefix("Parameters.") for _, path in graph.references(REAL["Steps"])}
    asked = {parameter.name for parameter in PARAMETERS if f"last.{parameter.name}" in committed.machine("retrain")}
    # The data are both: read by Preprocess, and compared by the state machine to skip equal data.
    assert used & asked == {"InputData", "CutOff"}
    assert {parameter.name for parameter in PARAMETERS} <= used | asked
