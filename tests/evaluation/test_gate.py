"""The gate, by runs of the real pipeline at the local endpoint: what is registered, what is rejected, and why.

Better, worse, within noise, not a number, and no champion to be found: each is a run of its own. What test_champion.py
and test_decision.py show of the step alone is left to the release.
"""

import io
import json
import tarfile
import uuid
from collections.abc import Iterator

import pytest

from benchmarks.support.accounts import NEEDED
from ingestion import record
from localaws.errors import ExpectedError
from pipelines import deploy, registry
from pipelines.account import executions, s3, upsert
from pipelines.account.clients import Clients
from pipelines.account.stacks import Environment, Stacks, environment
from pipelines.authoring import archives, committed
from pipelines.cli.output import Document
from pipelines.local.punk_api import BUNDLED

# A forest that predicts nearly the same for all beers, and so is hardly better than the median.
BLUNT = {"NEstimators": "3", "MinSamplesLeaf": "80", "MaxFeatures": "0.1"}
# Put behind inference.py, it makes a model that loads and answers every beer with NaN.
ANSWERING_NAN = b"""

def predict_fn(request, model):
    nan = {"ibu": float("nan"), "low": 0.0, "high": 1.0, "class": "low"}
    return Answer({"predictions": [nan for _ in request.rows]}, 200, request)
"""


class Gate:
    """The real pipeline, upserted into an environment of its own, and runs of it on the bundled beers."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        name = f"gate{uuid.uuid4().hex[:8]}"
        dev = environment("dev")
        names = {"PipelineName": name, "ModelPackageGroupName": name, "NewDataState": "DISABLED"}
        parts = {**dev.parameters, "pipelines": {**dev.parameters["pipelines"], **names}}
        self.stacks = Stacks(clients, Environment(name, parts, dev.tags))
        for stack in NEEDED:
            self.stacks.deploy_one(stack)
        self.settings = upsert.settings(clients, self.stacks)
        upsert.upsert(clients, self.settings, committed.definition(self.settings), dev.tags)
        self.name = name
        rows = [record.to_row(json.dumps(beer).encode()) for beer in json.loads(BUNDLED.read_text())]
        self.clean = "".join(record.to_csv(row.row) for row in rows if isinstance(row, record.Clean)).encode()
        self.snapshot = self.put("snapshots/all/beers.csv", self.clean).rpartition("/")[0] + "/"
        self.usual = {"InputData": self.snapshot, "NEstimators": "200"}

    def put(self, key: str, content: bytes) -> str:
        """An object in the artifact bucket; its address."""
        self.clients.s3.put_object(Bucket=self.settings.artifact_bucket, Key=key, Body=content)
        return f"s3://{self.settings.artifact_bucket}/{key}"

    def get(self, uri: str) -> bytes:
        """An object's content."""
        return s3.read(self.clients, uri)

    def run(self, **parameters: str) -> Document:
        """A run of a small forest to its end.

        {"status", "steps", "package" or None, "evaluation" or None, "reasons" of failed steps}
        """
        started = self.clients.sagemaker.start_pipeline_execution(
            PipelineName=self.name,
            ClientRequestToken=uuid.uuid4().hex,
            PipelineParameters=[{"Name": name, "Value": value} for name, value in (self.usual | parameters).items()],
        )
        arn = str(started["PipelineExecutionArn"])
        execution = executions.wait(self.clients, arn, lambda steps: None, every_seconds=0.1)
        uri = f"{self.settings.home}/executions/{arn.rpartition('/')[2]}/evaluate/evaluation/evaluation.json"
        return {
            **execution,
            "package": executions.registered_package(self.clients, arn),
            "evaluation": s3.read_json(self.clients, uri) if s3.exists(self.clients, uri) else None,
            "reasons": {
                each["StepName"]: each["FailureReason"]
                for each in executions.steps(self.clients, arn)
                if each["StepStatus"] == "Failed"
            },
        }


def model(ended: Document) -> str:
    """The artifact that a run has registered."""
    return str(ended["package"]["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


def reason(ended: Document) -> str:
    """The gate's reason, which the package's description, or the failed run, repeats."""
    found: str = ended["evaluation"]["gate"]["reason"]
    passed = ended["evaluation"]["gate"]["passed"]
    assert (ended["status"], ended["package"] is not None) == (("Succeeded", True) if passed else ("Failed", False))
    assert found in (ended["package"]["ModelPackageDescription"] if passed else ended["reasons"]["Reject"])
    return found


def changed(archive: bytes, name: str, more: bytes) -> bytes:
    """The tar.gz with `more` at the end of one of its files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=made, mode="w:gz") as new:
        for entry in old:
            file = old.extractfile(entry)
            content = (file.read() if file else b"") + (more if entry.name == name else b"")
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture(scope="module")
def gate(clients: Clients) -> Iterator[Gate]:
    """The environment."""
    made = Gate(clients)
    yield made
    deploy.delete(made.stacks, data=True, unprotect=False, show=lambda name, outcome: None)


@pytest.fixture(scope="module")
def first(gate: Gate) -> Document:
    """The first model, with none before it."""
    return gate.run()


@pytest.fixture(scope="module")
def noisy(gate: Gate) -> Document:
    """A single tree: poor in every bitterness class."""
    return gate.run(NEstimators="1", MinRelativeGain="-1")


@pytest.fixture(scope="module")
def blunt(gate: Gate) -> Document:
    """A model that is hardly better than the median, registered by a loose threshold."""
    return gate.run(**BLUNT, MinRelativeGain="-1")


def test_the_first_model_needs_no_champion(first: Document) -> None:
    assert reason(first).endswith("There is no champion: no model has been approved yet.")
    assert first["package"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert (first["evaluation"]["champion"], first["evaluation"]["gate"]["passed"]) == (None, 1)


@pytest.mark.release
def test_a_better_model_than_the_champion_is_registered(gate: Gate, noisy: Document) -> None:
    ended = gate.run(ChampionModel=model(noisy))
    assert "% below the champion's" in reason(ended)
    assert (ended["evaluation"]["gate"]["champion_loss"] < 0, ended["evaluation"]["gate"]["passed"]) == (True, 1)
    assert ended["package"]["CustomerMetadataProperties"]["ChampionModel"] == model(noisy)


def test_a_worse_model_than_the_champion_is_rejected(gate: Gate, first: Document) -> None:
    ended = gate.run(**BLUNT, MinRelativeGain="-1", ChampionModel=model(first))
    assert "% above the champion's" in reason(ended) and ": at most 2.0 % is allowed." in reason(ended)
    assert (ended["evaluation"]["gate"]["champion_loss"] > 0.02, ended["evaluation"]["gate"]["passed"]) == (True, 0)


def test_a_model_that_is_better_but_for_one_class_is_rejected_and_registered_by_an_override(
    gate: Gate, blunt: Document
) -> None:
    ended = gate.run(ChampionModel=model(blunt))
    assert ended["evaluation"]["gate"]["failed"] == ["no_class_worse"]
    assert "In the class high (" in reason(ended)
    why = "the champion predicts the median"
    again = gate.run(ChampionModel=model(blunt), OverrideReason=why)
    metadata = again["package"]["CustomerMetadataProperties"]
    assert (again["status"], again["evaluation"]["gate"]["passed"]) == ("Succeeded", 0)
    assert (metadata["OverrideReason"], metadata["FailedCriteria"]) == (why, "no_class_worse")


def test_a_champion_that_was_overwritten_after_its_approval_closes_the_gate(gate: Gate, first: Document) -> None:
    sha256 = first["package"]["CustomerMetadataProperties"]["ArtifactSha256"]
    archive = changed(gate.get(model(first)), "code/inference.py", b"# changed")
    other = gate.put("champion/overwritten/model.tar.gz", archive)
    ended = gate.run(Seed="3", ChampionModel=other, ChampionSha256=sha256)
    assert reason(ended).endswith("The champion's artifact is not the one that was approved.")
    assert ended["evaluation"]["gate"]["failed"] == ["max_champion_loss", "champion_unchanged"]


@pytest.mark.release
def test_a_gain_within_noise_is_no_gain(gate: Gate, first: Document) -> None:
    gain = first["evaluation"]["gain"]
    assert 0 < gain["low"] < gain["value"]
    # Asked for a gain that the figure shows but the noise does not bear out.
    ended = gate.run(MinRelativeGain=str((gain["low"] + gain["value"]) / 2))
    assert f"a gain of {100 * gain['low']:.1f} % beyond noise where" in reason(ended)
    assert ended["evaluation"]["gate"]["passed"] == 0


@pytest.mark.release
def test_a_model_as_good_as_the_champion_but_for_noise_is_registered(gate: Gate, first: Document) -> None:
    ended = gate.run(Seed="3", ChampionModel=model(first))
    loss = ended["evaluation"]["champion"]["loss"]
    assert loss["low"] < 0 < loss["high"] and "the champion's (90 % interval: " in reason(ended)
    assert ended["evaluation"]["gate"]["passed"] == 1


@pytest.mark.release
def test_a_champion_that_answers_nan_is_left_out(gate: Gate, blunt: Document) -> None:
    archive = changed(gate.get(model(blunt)), "code/inference.py", ANSWERING_NAN)
    ended = gate.run(**BLUNT, MinRelativeGain="-1", ChampionModel=gate.put("champion/nan/model.tar.gz", archive))
    assert "cannot be asked: an answer that is not a bitterness" in reason(ended)
    assert (ended["evaluation"]["champion"], ended["evaluation"]["gate"]["passed"]) == (None, 1)


def test_a_model_that_answers_nan_is_not_registered(gate: Gate) -> None:
    code = f"{gate.name}/{archives.source_archive('training').key}"
    sound = gate.get(f"s3://{gate.settings.artifact_bucket}/{code}")
    gate.put(code, changed(sound, "inference.py", ANSWERING_NAN))
    try:
        ended = gate.run(**BLUNT, Seed="11")
    finally:
        gate.put(code, sound)
    assert (ended["status"], ended["package"], ended["evaluation"]) == ("Failed", None, None)
    assert [each["name"] for each in ended["steps"]] == ["Preprocess", "Train", "Evaluate"]
    assert "the candidate is unusable: an answer that is not a bitterness: NaN" in ended["reasons"]["Evaluate"]


@pytest.mark.release
def test_a_broken_champion_is_reported_and_does_not_block(gate: Gate) -> None:
    broken = gate.put("champion/broken/model.tar.gz", b"not an archive")
    ended = gate.run(**BLUNT, MinRelativeGain="-1", ChampionModel=broken)
    assert "The champion is left out, as it cannot be asked: not a readable tar.gz" in reason(ended)
    assert (ended["evaluation"]["champion"], ended["evaluation"]["gate"]["passed"]) == (None, 1)


def test_a_champion_whose_artifact_is_gone_is_reported_and_does_not_block(gate: Gate) -> None:
    lost = f"s3://{gate.settings.artifact_bucket}/{archives.LOST_CHAMPION.folder}"
    ended = gate.run(**BLUNT, MinRelativeGain="-1", ChampionModel=lost)
    assert reason(ended).endswith("There is no champion: the approved model's artifact is no longer in S3.")
    assert (ended["evaluation"]["champion"], ended["evaluation"]["gate"]["passed"]) == (None, 1)


def test_a_champion_s_address_that_holds_nothing_ends_the_run_before_the_evaluation(gate: Gate) -> None:
    nothing = f"s3://{gate.settings.artifact_bucket}/champion/gone/model.tar.gz"
    ended = gate.run(**BLUNT, MinRelativeGain="-1", ChampionModel=nothing)
    assert (ended["status"], ended["package"], ended["evaluation"]) == ("Failed", None, None)
    assert f'No S3 objects found under S3 URL "{nothing}"' in ended["reasons"]["Evaluate"]


def test_the_live_table_is_no_input(gate: Gate) -> None:
    bucket = gate.stacks.output("ingestion", "DataBucket")
    key = "cleaned/dt=2026-11-20/stream-1-2026-11-20-12-00-00-x.csv"
    gate.clients.s3.put_object(Bucket=bucket, Key=key, Body=gate.clean)
    ended = gate.run(InputData=f"s3://{bucket}/cleaned/")
    assert (ended["status"], list(ended["reasons"])) == ("Failed", ["Preprocess"])
    assert "InputData is the cleaned table itself, which grows under the same address" in ended["reasons"]["Preprocess"]


def shown(gate: Gate, *command: str) -> Document:
    given = registry.arguments().parse_args(command)
    return registry.COMMANDS[given.command](registry.Registry(gate.clients, gate.name), given)


def test_the_registry_shows_where_a_model_comes_from_on_one_screen(gate: Gate, first: Document) -> None:
    found = shown(gate, "show", str(first["package"]["ModelPackageVersion"]))
    evaluation = first["evaluation"]
    mae, lineage = evaluation["candidate"]["mae"], evaluation["lineage"]
    assert found["metrics"]["mae"] == f"{mae['value']:.1f} ({mae['low']:.1f} to {mae['high']:.1f})"
    assert found["metrics"]["champion_mae"] == "none"
    assert found["gate"] == {"passed": 1, "reason": reason(first)}
    # Two rows whose label is the original gravity have not come through the transform.
    assert found["data"] == {
        "input": gate.snapshot,
        "cut_off": lineage["cut_off"],
        "input_sha256": lineage["input_sha256"],
        "split_sha256": lineage["split_sha256"],
        "rows": "323 read, 323 beers, 318 used",
        "sides": "train 240, validation 46, test 32",
        "dropped": "ibu_missing 5",
        "repaired": "gravities_swapped 13",
    }
    assert found["code"]["git_commit"] == gate.settings.git_commit == lineage["git_commit"]
    assert found["code"]["parameters"] == (
        "min_beers 50, max_beers 10000, test_share 0.1, validation_share 0.1, min_relative_gain 0.0, "
        "max_champion_loss 0.02"
    )
    assert found["code"]["hyperparameters"].endswith("seed 0, folds 10")
    assert sorted(found["card"]) == ["figures", "limits", "not_for", "purpose", "risk"]
    assert len(registry.text("show", found).splitlines()) <= 50


def test_the_registry_compares_by_what_differs_only(gate: Gate, first: Document, blunt: Document) -> None:
    versions = [str(each["package"]["ModelPackageVersion"]) for each in (first, blunt)]
    found = shown(gate, "compare", *versions)
    differing = {each["name"]: (each["a"], each["b"]) for each in found["differences"]}
    assert all(a != b for a, b in differing.values())
    assert not {name for name in differing if name.startswith(("data.", "card."))}
    assert "min_relative_gain 0.0" in differing["code.parameters"][0]
    assert "min_relative_gain -1.0" in differing["code.parameters"][1]
    lines = registry.text("compare", found).splitlines()
    assert lines[0].split() == ["version", versions[0], "version", versions[1]]
    assert f"  version {versions[1]}: {reason(blunt)}" in lines
    assert registry.text("compare", shown(gate, "compare", versions[0], versions[0])) == "no difference"


def test_a_model_registered_by_other_means_is_listed_without_figures_and_has_none_to_show(gate: Gate) -> None:
    made = gate.clients.sagemaker.create_model_package(
        ModelPackageGroupName=gate.name,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://elsewhere/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    version = made["ModelPackageArn"].rpartition("/")[2]
    listed = shown(gate, "list")
    assert (str(listed["versions"][-1]["version"]), listed["versions"][-1]["mae"]) == (version, None)
    assert registry.text("list", listed).splitlines()[-1].split()[:2] == [version, "PendingManualApproval"]
    for command in ("show", "report"):
        with pytest.raises(ExpectedError, match=f"version {version} has no evaluation"):
            shown(gate, command, version)
