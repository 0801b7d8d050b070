"""The pipeline's parameters: definition, command-line flags and documentation are generated from this table.

One name, three mechanical spellings: `MinRelativeGain`, `--min-relative-gain`, `min_relative_gain`.
"""

import re
from dataclasses import dataclass

from pipelines.authoring.archives import NO_CHAMPION

Value = str | int | float


@dataclass(frozen=True)
class Parameter:
    """A pipeline parameter. default: `{...}` is filled in from the settings; None: a required string."""

    name: str
    default: Value | None
    description: str

    @property
    def flag(self) -> str:
        """`--min-relative-gain`."""
        return "--" + kebab(self.name)

    @property
    def python_type(self) -> type[Value]:
        """str, int or float."""
        return str if self.default is None else type(self.default)

    @property
    def type(self) -> str:
        """The type in the definition: String, Integer or Float."""
        return {str: "String", int: "Integer", float: "Float"}[self.python_type]


def kebab(name: str) -> str:
    """`MinRelativeGain` -> `min-relative-gain`, `NEstimators` -> `n-estimators`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


# The steps' scripts take them as flags.
PARAMETERS = (
    # No default: steps are cached by their inputs' addresses, so every snapshot has an address of its own.
    Parameter("InputData", None, "S3 address of a snapshot of the cleaned table (--start takes one)"),
    Parameter("CutOff", "unknown", "Newest delivery in the data (UTC, YYYY-MM-DD-HH-MM-SS)"),
    Parameter("Rows", 0, "Rows of the cleaned table when the snapshot was taken"),
    Parameter("DistinctBeers", 0, "Distinct beers in the data"),
    Parameter("Attempt", 0, "Runs before this one that failed on the same data; set by the state machine"),
    Parameter("MinBeers", 50, "Fewest beers with a bitterness to train from"),
    Parameter("MaxBeers", 10_000, "Most beers in a run; of more a sample is used, the same ones every time"),
    Parameter(
        "ChampionModel", f"s3://{{artifact_bucket}}/{NO_CHAMPION.folder}", "S3 address of the approved model, if any"
    ),
    Parameter("MinRelativeGain", 0.0, "Least gain over the labels' median, as a share of its error, beyond noise"),
    Parameter("ChampionVersion", "", "Version of the approved model, for the report"),
    Parameter("ChampionSha256", "", "SHA-256 of the approved model's artifact, verified before it is unpacked"),
    Parameter("MaxChampionLoss", 0.02, "Largest loss to the champion on the same beers, as a share of its error"),
    Parameter(
        "ChampionAccumulatedLoss", 0.0, "Loss of the approved model to the best version approved before it, as a share"
    ),
    Parameter("OverrideReason", "", "Reason to register a model that fails the gate; stored with the failed criteria"),
    Parameter("NEstimators", 1000, "Trees in the forest"),
    Parameter("MaxFeatures", 0.6, "Share of the features tried for a split"),
    Parameter("MinSamplesLeaf", 1, "Fewest beers in a leaf"),
    Parameter("Seed", 0, "Seed of everything random"),
    Parameter("ProcessingInstanceType", "ml.m5.large", "Instance type of Preprocess and Evaluate"),
    Parameter("TrainingInstanceType", "ml.m5.large", "Instance type of Train"),
    Parameter("GitCommit", "unknown", "Commit of the shipped code; set by the upsert"),
)
