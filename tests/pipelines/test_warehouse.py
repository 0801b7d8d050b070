"""The gold tables: dbt on the local endpoint, its text for an account, and the queries for people without dbt."""

import ast
import datetime
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from localaws import endpoint as endpoints
from localaws.athena import catalog, statements
from localaws.athena.create_table_as import Destination
from localaws.clients import REGION
from localaws.errors import ExpectedError
from localaws.workspace import Workspace
from pipelines import warehouse as command
from pipelines.account import warehouse
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring import queries, snapshot
from pipelines.authoring.archives import ROOT
from tests.support import cfn
from tests.support.lake import Lake

# dbt with every address that it connects to written to a file; no other machine's is reached.
GUARDED = """#!{python}
import socket, sys
connect = socket.socket.connect
def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        with open({log!r}, "a") as log:
            log.write(address[0] + "\\n")
        if address[0] != "127.0.0.1":
            raise OSError("dbt tried to reach " + address[0])
    return connect(self, address)
socket.socket.connect = guarded
from dbt.cli.main import cli
sys.exit(cli())
"""
MODELS = ["beer_changes", "beers", "bitterness_by_style", "predictions"]


def project(*arguments: str) -> None:
    """A command of this project."""
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=300)


class Warehouse:
    """A workspace with beers, predictions and the gold tables of two builds."""

    def __init__(self, folder: Path) -> None:
        self.flags = ["--local", "--workspace", str(folder / "workspace")]
        self.contacted = folder / "contacted"
        self.program = folder / "dbt"
        python = warehouse.DBT.parent / "python"
        self.program.write_text(GUARDED.format(python=python, log=str(self.contacted)))
        self.program.chmod(0o755)
        self.target = folder / "workspace" / "warehouse" / "target"

    def clients(self) -> Clients:
        """Of its endpoint, which is up."""
        return Clients(endpoints.require(Workspace(Path(self.flags[2]))))

    def dbt(self, *arguments: str) -> int:
        """`python -m pipelines.warehouse` in this process, with dbt guarded; the exit code."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warehouse, "DBT", self.program)
            return command.main([*self.flags, *arguments])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not warehouse.DBT.exists():
        pytest.fail("dbt is not installed: make dbt")
    found = Warehouse(tmp_path_factory.mktemp("warehouse"))
    flags = found.flags
    project("pipelines.run", *flags, "--keep")
    try:
        project("pipelines.registry", "approve", "1", *flags)
        project("pipelines.registry", "predict", "--table", *flags)
        assert found.dbt() == 0
        yield found
    finally:
        project("pipelines.local", "down", *flags[1:])


@pytest.mark.release
def test_the_beers_of_dbt_are_the_rows_of_a_snapshot_and_of_the_query_for_people(built: Warehouse) -> None:
    clients = built.clients()
    bucket = next(each["Name"] for each in clients.s3.list_buckets()["Buckets"] if "artifacts" in each["Name"])
    listed = clients.s3.list_objects_v2(Bucket=bucket, Prefix="snapshots/")["Contents"]
    newest = max(listed, key=lambda each: each["LastModified"])["Key"]
    path = built.contacted.with_name("snapshot.parquet")
    path.write_bytes(clients.s3.get_object(Bucket=bucket, Key=newest)["Body"].read())
    snapshot = pd.read_parquet(path)[list(columns())].astype(object)
    lake = Lake(clients)
    gold = lake.rows(f"SELECT {', '.join(columns())} FROM tapline_dev_warehouse.beers ORDER BY id")
    identifiers = clients.athena.list_named_queries(WorkGroup="tapline-dev-warehouse")["NamedQueryIds"]
    named = [clients.athena.get_named_query(NamedQueryId=each)["NamedQuery"] for each in identifiers]
    (latest,) = [each["QueryString"] for each in named if "LatestBeers" in each["Name"]]
    people = lake.rows(f"SELECT {', '.join(columns())} FROM ({latest}) ORDER BY id")
    assert gold == people
    assert sorted(snapshot["id"]) == [int(row[0]) for row in gold]
    assert _texts(snapshot) == gold
    assert {each["Database"] for each in named} == {"tapline_dev_ingestion"}


def columns() -> tuple[str, ...]:
    from ingestion import record

    return record.NAMES


def _texts(frame: pd.DataFrame) -> list[list[str | None]]:
    ordered = frame.sort_values("id").itertuples(index=False)
    return [[None if pd.isna(value) else str(value) for value in row] for row in ordered]


@pytest.mark.release
def test_dbt_builds_again_after_a_change_of_the_format_and_reaches_this_machine_only(
    built: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = built.clients()
    (bucket,) = [each["Name"] for each in clients.s3.list_buckets()["Buckets"] if "ingestion" in each["Name"]]
    for stamp in ("2026-11-26-23-00-00", "2026-11-26-23-30-00"):
        key = f"cleaned/dt=2026-11-26/s-1-{stamp}-a"
        clients.s3.put_object(Bucket=bucket, Key=key, Body=b"990001,Late Ale,5.5,,,,,,\n")
    stacks = Stacks(clients, environment("dev"), lambda seconds: None)
    assert stacks.deploy_one("ingestion", {"CleanedFormat": "parquet"}) == "updated"
    row = pd.DataFrame([[990001, "Late Ale", 6.0, *[None] * 6]], columns=list(columns()))
    types = dict.fromkeys(columns()[2:], "float64")
    # Parquet is read from the day of the change on.
    now = datetime.datetime.now(datetime.UTC)
    key = f"cleaned/parquet/dt={now:%Y-%m-%d}/s-1-{now:%Y-%m-%d-%H-%M-%S}-a.parquet"
    clients.s3.put_object(Bucket=bucket, Key=key, Body=row.astype(types).to_parquet())
    assert built.dbt("--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["status"]) for each in sorted(result["models"], key=lambda each: each["name"])] == [
        (name, "success") for name in MODELS
    ]
    assert (set(result["tests"]), result["tests"]["pass"] > 12, result["fresh"]) == ({"pass"}, True, True)
    assert set(built.contacted.read_text().split()) == {"127.0.0.1"}
    lake = Lake(clients)
    changes = "SELECT abv, change, delivered_at, version FROM tapline_dev_warehouse.beer_changes WHERE id = 990001"
    assert lake.rows(f"{changes} ORDER BY version") == [
        ["5.5", "new", "2026-11-26 23:00:00.000", "1"],
        ["6.0", "abv", f"{now:%Y-%m-%d %H:%M:%S}.000", "2"],
    ]
    latest = "SELECT abv, delivered_at, deliveries FROM tapline_dev_warehouse.beers WHERE id = 990001"
    assert lake.rows(latest) == [["6.0", f"{now:%Y-%m-%d %H:%M:%S}.000", "3"]]


@pytest.mark.release
def test_dbt_compiles_the_same_text_for_an_account_but_for_names(
    built: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built.dbt("compile") == 0
    here = _compiled(built.target)
    names = {
        "WAREHOUSE_TARGET": "aws",
        "WAREHOUSE_SOURCE": "tapline_prod_ingestion",
        "WAREHOUSE_DATABASE": "tapline_prod_warehouse",
        "WAREHOUSE_WORKGROUP": "tapline-dev-warehouse",
        "WAREHOUSE_LOCATION": "s3://elsewhere/gold/",
        "AWS_REGION": "us-east-1",
    }
    monkeypatch.setattr(warehouse, "names", lambda stacks: names)
    assert built.dbt("compile") == 0
    there = {path: text.replace("tapline_prod", "tapline_dev") for path, text in _compiled(built.target).items()}
    assert there == here
    assert {path.rpartition("/")[2] for path in here} >= {f"{name}.sql" for name in MODELS}


def _compiled(target: Path) -> dict[str, str]:
    folder = target / "compiled" / "tapline"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.sql"))}


@pytest.mark.release
def test_the_role_of_the_nightly_run_has_the_rights_that_dbt_uses(
    built: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("pipelines.local", "down", *built.flags[1:])
    monkeypatch.setenv("LOCALAWS_AUTH", "true")
    with endpoints.running(Workspace(Path(built.flags[2])), keep=False) as endpoint:
        clients = Clients(endpoint)
        for bucket in clients.s3.list_buckets()["Buckets"]:
            # It refuses requests without TLS, so all on loopback.
            clients.s3.delete_bucket_policy(Bucket=bucket["Name"])
        monkeypatch.setattr(warehouse, "DBT", built.program)
        key = _user(clients)
        for name, value in {"AWS_ENDPOINT_URL": endpoint.url, "AWS_REGION": REGION, **key}.items():
            monkeypatch.setenv(name, value)
        assert command.main(["--env", "dev"]) == 0
        clients.iam.delete_user_policy(UserName="nightly", PolicyName="MakeGold")
        with pytest.raises(ExpectedError, match="dbt ended before it made anything"):
            command.main(["--env", "dev"])


def _user(clients: Clients) -> dict[str, str]:
    """The keys of a user with the policies of WarehouseRole."""
    role = cfn.load("github-warehouse")["Resources"]["WarehouseRole"]["Properties"]
    values = {"AWS::Partition": "aws", "AWS::Region": REGION, "Environment": "dev"}
    values["AWS::AccountId"] = clients.sts.get_caller_identity()["Account"]
    clients.iam.create_user(UserName="nightly")
    for policy in role["Policies"]:
        document = json.dumps(_substituted(policy["PolicyDocument"]))
        for name, value in values.items():
            document = document.replace(f"${{{name}}}", value)
        clients.iam.put_user_policy(UserName="nightly", PolicyName=policy["PolicyName"], PolicyDocument=document)
    # AWS resolves a query's workgroup and checks the right on it; MiniStack knows none.
    statement = {"Effect": "Allow", "Action": ["athena:GetQueryExecution", "athena:GetQueryResults"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    clients.iam.put_user_policy(UserName="nightly", PolicyName="Queries", PolicyDocument=document)
    made = clients.iam.create_access_key(UserName="nightly")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


def _substituted(value: Any) -> Any:
    """A part of a template with the text of Fn::Sub and Ref, whose places stay."""
    if isinstance(value, dict) and value.keys() <= {"Fn::Sub", "Ref"}:
        return cfn.text(value)
    if isinstance(value, dict):
        return {name: _substituted(each) for name, each in value.items()}
    return [_substituted(each) for each in value] if isinstance(value, list) else value


def test_the_words_of_a_style_are_those_of_the_evaluation() -> None:
    tree = ast.parse((ROOT / "evaluation" / "analysis.py").read_text())
    (words,) = [
        ast.literal_eval(each.value)
        for each in tree.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "STYLE_WORDS"
    ]
    assert words == queries.STYLE_WORDS


def test_dbt_sends_no_statistics_and_takes_every_name_from_the_environment() -> None:
    configured = yaml.safe_load((ROOT / "warehouse" / "dbt_project.yml").read_text())
    assert configured["flags"] == {"send_anonymous_usage_stats": False}
    local, account = yaml.safe_load((ROOT / "warehouse" / "profiles.yml").read_text())["tapline"]["outputs"].values()
    differing = {name for name in local if local[name] != account[name]}
    assert differing == {"num_retries", "poll_interval"}
    assert re.findall(r"s3://|tapline[_-]", json.dumps(local)) == []


def test_without_dbt_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(warehouse, "DBT", tmp_path / "dbt")
    with pytest.raises(ExpectedError, match="dbt is not installed") as raised:
        warehouse.run(["build"], {}, tmp_path)
    assert (raised.value.hint, raised.value.code) == ("make dbt", 5)


def test_the_queries_for_people_read_the_tables_as_the_stacks_fill_them(clients: Clients) -> None:
    lake = Lake(clients)
    listed = ", ".join(f"{name} string" for name in columns())
    serde = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
    lake.rows(f"CREATE EXTERNAL TABLE beers ({listed}) PARTITIONED BY (dt string) {serde} LOCATION '{{bucket}}t/'")
    numbers = ", ".join(
        f"{value}e0 AS {name}" for name, value in zip(columns()[2:], (5, 9, 1010, 1050, 9, 5, 4), strict=True)
    )
    parquet = f"SELECT bigint '3' AS id, 'Lager' AS name, {numbers}, '2026-11-19' AS dt"
    lake.rows(f"CREATE TABLE beers_parquet WITH (partitioned_by = ARRAY['dt']) AS {parquet}")
    lake.rows(
        "CREATE TABLE predictions AS SELECT bigint '1' AS id, 'Ale' AS name, 50e0 AS predicted, 40e0 AS low, "
        "60e0 AS high, 45e0 AS actual, bigint '1' AS model_version, '2026-11-20' AS cut_off"
    )
    row = "{},{},5,{},1010,1050,10,5,4\n"
    lake.put("t/dt=2026-11-20/s-1-2026-11-20-10-00-00-a", row.format(1, "Pale Ale", 30) + row.format(2, "Red Ale", ""))
    lake.put("t/dt=2026-11-21/s-1-2026-11-21-10-00-00-a", row.format(1, "Imperial Pale Ale", 40))
    assert len(lake.rows("MSCK REPAIR TABLE beers")) == 3
    found = {name: lake.rows(_filled(text(), lake)) for name, text in queries.NAMED.items()}
    assert found == {
        "LatestBeers": [
            ["1", "Imperial Pale Ale", "5.0", "40.0", "1010.0", "1050.0", "10.0", "5.0", "4.0", "2026-11-21-10-00-00"],
            ["2", "Red Ale", "5.0", None, "1010.0", "1050.0", "10.0", "5.0", "4.0", "2026-11-20-10-00-00"],
            ["3", "Lager", "5.0", "9.0", "1010.0", "1050.0", "9.0", "5.0", "4.0", ""],
        ],
        "BitternessByStyle": [
            ["imperial", "1", "40.0", "40.0", "40.0"],
            ["lager", "1", "9.0", "9.0", "9.0"],
            ["pale", "1", "40.0", "40.0", "40.0"],
            ["red", "1", None, None, None],
        ],
        "DeliveriesByDay": [
            ["2026-11-21", "1", "1", "2026-11-21-10-00-00"],
            ["2026-11-20", "2", "2", "2026-11-20-10-00-00"],
            ["2026-11-19", "1", "1", ""],
        ],
        "WorstPredictions": [["1", "Ale", "50.0", "40.0", "60.0", "45.0", "5.0", "1", "2026-11-20"]],
    }


def test_the_latest_row_is_the_one_of_a_snapshot_among_rows_of_the_same_time_and_of_both_formats() -> None:
    chance = random.Random(3)
    rows = {name: [_delivery(chance, name == "beers") for _ in range(60)] for name in ("beers", "beers_parquet")}
    listed = ", ".join((*columns(), '"$path"', "dt"))
    catalog.call("create_database", {"DatabaseInput": {"Name": "order"}})
    try:
        for name, found in rows.items():
            _run(f"CREATE VIEW {name} AS SELECT * FROM (VALUES {', '.join(found)}) AS v({listed})")
        days = {"first_day": "2026-01-01", "last_day": "2026-12-31", "cut_off": "2026-12-31-00-00-00"}
        text = snapshot.unload()
        for each in (*(days[path.rpartition(".")[2]] for path in snapshot.FILLING), "name"):
            text = text.replace("{}", each, 1)
        unload = statements.UNLOAD.fullmatch(text)
        assert unload
        taken, people = _run(unload["query"]), _run(queries.latest_beers())
    finally:
        catalog.call("delete_database", {"Name": "order"})
    assert len(taken) == 12
    assert sorted(map(repr, taken)) == sorted(repr(row[:-1]) for row in people)


def _delivery(chance: random.Random, text: bool) -> str:
    """A row of one of 12 beers, at one of three times."""
    stamp = chance.choice(["2026-11-20-10-00-00", "2026-11-21-10-00-00", ""])
    numbers = [chance.choice(["1", "2.5", ""]) for _ in columns()[2:]]
    beer, name, day = chance.randint(1, 12), chance.choice("ABC"), f"2026-11-2{chance.randint(0, 3)}"
    shown = [f"'{each}'" if text else f"CAST({each or 'NULL'} AS double)" for each in numbers]
    identifier = f"'{beer}'" if text else f"bigint '{beer}'"
    return f"({identifier}, '{name}', {', '.join(shown)}, 's3://b/s-1-{stamp}-a', '{day}')"


def _run(text: str) -> list[list[Any]]:
    """The rows of a statement that touches no object, in this process."""
    filled = text.replace("${GlueDatabase}", "order").replace("${GlueTable}", "beers")
    found = statements.run(filled, "order", Destination("query", "s3://bucket/results", False))
    return [list(row) for row in found.rows]


def _filled(text: str, lake: Lake) -> str:
    """The query as CloudFormation fills it in, in a fixed order."""
    filled = text.replace("${GlueDatabase}", lake.name).replace("${GlueTable}", "beers")
    return filled if "ORDER BY beers" in text or "LIMIT" in text else f"SELECT * FROM ({filled}) ORDER BY id"
