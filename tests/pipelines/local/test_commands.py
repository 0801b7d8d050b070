"""The commands of `python -m pipelines.local`, on a workspace whose runs fail before a model is trained."""

import io
import json
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.definitions import until
from localaws import endpoint as endpoints
from localaws.errors import ExpectedError
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring.archives import ROOT
from pipelines.cli.progress import Progress
from pipelines.local import chain
from pipelines.local.__main__ import main
from pipelines.local.commands import opened

CATALOGUES: dict[str, tuple[Any, str]] = {
    "slugs and an API's messages": (
        [{"id": "ale", "name": "Ale"}, {"message": "gone"}, {"id": 1}],
        "no record is clean: 1 id_not_a_number, 1 name_missing",
    ),
    "another shop's keys": ([{"productId": "7", "alcohol": 4.5}], "the catalogue has no beer: 1 not_a_beer"),
    "a list within an object": ({"beers": [{"id": 1, "name": "Ale"}]}, "its list is the member 'beers'"),
}
BROKEN = """
from ingestion import record

def handler(event, context):
    return [weight(each) for each in event["records"]]

def weight(entry):
    return entry["weight"]
"""


def chain_run(workspace: Workspace, catalogue: Any, folder: Path) -> ExpectedError:
    """The error of a local run with these beers."""
    path = folder / "catalogue.json"
    path.write_text(json.dumps(catalogue))
    with pytest.raises(ExpectedError) as failure:
        chain.run(workspace, catalogue=path, keep=True, port=0, progress=Progress(quiet=True))
    return failure.value


class Workplace:
    """A workspace with runs of every catalogue, whose endpoint is up, and the errors of the runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "my beers")
        self.errors = {name: chain_run(self.workspace, beers, folder) for name, (beers, _) in CATALOGUES.items()}
        self.flags = ["--workspace", str(self.workspace.root)]

    @property
    def stacks(self) -> Stacks:
        return Stacks(Clients(endpoints.require(self.workspace)), environment("dev"))

    def json(self, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
        """What a command prints with --json."""
        assert main([*words, *self.flags, "--json"]) == 0
        return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """One for all tests of the module."""
    found = Workplace(tmp_path_factory.mktemp("commands"))
    yield found
    endpoints.stop(found.workspace)


@pytest.mark.parametrize("case", CATALOGUES)
def test_a_run_without_a_clean_record_ends_after_the_delivery_with_the_reasons(workplace: Workplace, case: str) -> None:
    error = workplace.errors[case]
    assert CATALOGUES[case][1] in error.what
    assert error.code in (1, 2)


def test_the_hint_of_such_a_run_shows_the_failed_records(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    _, flag, *words = shlex.split(workplace.errors["slugs and an API's messages"].hint)
    assert (flag, words[:2]) == ("-m", ["pipelines.local", "failed"])
    assert main(words[1:]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "1 id_not_a_number"
    assert '{"id":"ale","name":"Ale"}' in printed
    found = workplace.json(capsys, "failed")
    assert (found["failed"], found["foreign"]) == ({"id_not_a_number": 1, "name_missing": 1}, {})
    assert {each["reason"]: json.loads(each["record"]) for each in found["records"]} == {
        "id_not_a_number": {"id": "ale", "name": "Ale"},
        "name_missing": {"id": 1},
    }


def test_an_error_of_the_transform_is_shown_with_the_line_of_its_own_code(workplace: Workplace) -> None:
    lambdas = workplace.stacks.clients["lambda"]
    function = workplace.stacks.output("ingestion", "TransformName")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for path in (ROOT / "ingestion").glob("*.py"):
            archive.writestr(f"ingestion/{path.name}", BROKEN if path.name == "clean.py" else path.read_text())
    lambdas.update_function_code(FunctionName=function, ZipFile=package.getvalue())
    error = chain_run(workplace.workspace, [{"id": 9, "name": "Ale", "ibu": 3}], workplace.folder)
    assert error.what == "the transform failed: KeyError: 'weight' (clean.py line 8, in weight)"
    assert error.where == function
    assert "pipelines.local logs transform" in error.hint and error.code == 1


def test_the_ledger_counts_every_record_and_fails_for_a_difference(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = workplace.json(capsys, "ledger")
    assert found["accepted"] == found["clean"] + sum(found["dropped"].values()) + sum(found["failed"].values())
    assert (found["difference"], found["before_delivery"]) == (0, 0)
    s3, bucket = workplace.stacks.clients.s3, workplace.stacks.output("ingestion", "DataBucket")
    lost = {"Bucket": bucket, "Key": "raw/dt=2026-11-20/lost"}
    s3.put_object(**lost, Body=b'{"id": 70, "name": "Lost"}\n')
    assert main(["ledger", *workplace.flags]) == 1
    assert "difference          1" in capsys.readouterr().out
    assert main(["ledger", "--since", "2026-11-21", *workplace.flags]) == 0
    s3.delete_object(**lost)


@pytest.mark.parametrize(
    "words",
    [
        ("ledger", "--since", "yesterday"),
        ("replay", "--since", "2026-13-01"),
        ("failed", "--since", "20"),
        ("collect", "--random", "0"),
        ("collect", "--random", "1001"),
        ("collect", "--random", "many"),
    ],
)
def test_values_that_make_no_sense_are_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExpectedError) as failure:
        main(list(words))
    assert failure.value.code == 2
    assert repr(words[2]) in failure.value.what


def test_up_prints_lines_that_point_the_cli_at_the_endpoint(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", *workplace.flags]) == 0
    script = f"{capsys.readouterr().out}\necho $AWS_ENDPOINT_URL $AWS_REGION"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={})
    assert shell.stdout.split() == [endpoints.require(workplace.workspace).url, "us-east-1"]
    with pytest.raises(ExpectedError, match="is up at another port"):
        main(["up", "--port", "9", *workplace.flags])


def test_status_shows_what_is_registered(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    sagemaker = workplace.stacks.clients.sagemaker
    group = workplace.stacks.output("pipelines", "ModelPackageGroupName")
    sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    found = workplace.json(capsys, "status")
    assert found["models"] == [{"group": group, "version": 1, "approval_status": "PendingManualApproval"}]
    assert main(["status", *workplace.flags]) == 0
    assert f"models\n  {group}  1  PendingManualApproval" in capsys.readouterr().out


def test_logs_are_those_of_a_function_a_group_or_the_endpoint(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = workplace.json(capsys, "logs", "collector", "--lines", "1")
    assert "CollectorLogs" in found["log"] and found["lines"][0].startswith("REPORT RequestId")
    assert workplace.json(capsys, "logs", "CollectorLogs")["lines"][-1] == found["lines"][0]
    assert workplace.json(capsys, "logs")["log"] == str(workplace.workspace.log)
    with pytest.raises(ExpectedError, match="'Nothing' names 0 log groups") as failure:
        main(["logs", "Nothing", *workplace.flags])
    assert failure.value.code == 3


def test_commands_start_an_endpoint_that_is_down_and_deliver_what_they_collect(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = workplace.json(capsys, "ledger")
    assert workplace.json(capsys, "down") == {"stopped": True, "deleted": False}
    sent = workplace.json(capsys, "collect", "--random", "2")["sent"]
    assert workplace.json(capsys, "status") == {"running": False, "workspace": str(workplace.workspace.root)}
    workplace.json(capsys, "up")
    assert workplace.json(capsys, "ledger")["accepted"] == before["accepted"] + sent


def test_a_dump_is_loaded_into_the_table_and_the_ledger(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = workplace.json(capsys, "ledger")
    dump = workplace.folder / "dump.csv"
    dump.write_text("id,name,ibu\n501,Ale,30\n502,Stout,many\n")
    [loaded] = workplace.json(capsys, "collect", "--file", str(dump))["files"]
    assert (loaded["records"], loaded["clean"], loaded["failed"], loaded["status"]) == (2, 1, 1, "Loaded")
    after = workplace.json(capsys, "ledger")
    assert (after["accepted"], after["clean"]) == (before["accepted"] + 2, before["clean"] + 1)
    assert workplace.json(capsys, "load") == {"files": []}
    dump.write_bytes(b"no beers")
    assert main(["load", "--file", str(dump), *workplace.flags]) == 1
    assert "  refused: neither JSON nor CSV" in capsys.readouterr().out


def test_reset_deletes_the_workspace_and_commands_say_how_to_make_one(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoints.running(workspace, keep=True):
        pass
    assert main(["reset", "--workspace", str(workspace.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": True, "deleted": True}
    assert not workspace.root.exists()
    for words in (["ledger"], ["collect"], ["logs"], ["logs", "collector"]):
        with pytest.raises(ExpectedError, match="there is no local workspace yet") as failure:
            main([*words, "--workspace", str(workspace.root)])
        assert failure.value.code == 3 and "pipelines.run --local --workspace" in failure.value.hint


def test_records_on_the_stream_before_its_delivery_began_are_counted(workplace: Workplace) -> None:
    from pipelines.records import arrivals

    with opened(workplace.workspace) as (_, stacks):
        name = stacks.output("ingestion", "StreamName")
        stream = stacks.clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        began = stream["StreamCreationTimestamp"]
        _later_delivery(stacks, minutes=3)
        for minutes, count in ((1, 4.0), (2, 3.0), (30, 9.0)):
            _arrive(stacks, name, began, minutes, count)
        assert until(lambda: arrivals.before_delivery(stacks), "the metrics") == 7


def _later_delivery(stacks: Stacks, minutes: int) -> None:
    """Let the description of the deliveries have a later creation."""
    import datetime

    def later(parsed: Any, **_: Any) -> None:
        parsed["DeliveryStreamDescription"]["CreateTimestamp"] += datetime.timedelta(minutes=minutes)

    stacks.clients.firehose.meta.events.register("after-call.firehose.DescribeDeliveryStream", later)


def _arrive(stacks: Stacks, stream: str, began: Any, minutes: int, count: float) -> None:
    import datetime

    stacks.clients.cloudwatch.put_metric_data(
        Namespace="AWS/Kinesis",
        MetricData=[
            {
                "MetricName": "IncomingRecords",
                "Dimensions": [{"Name": "StreamName", "Value": stream}],
                "Timestamp": began + datetime.timedelta(minutes=minutes - 1),
                "Value": count,
            }
        ],
    )
