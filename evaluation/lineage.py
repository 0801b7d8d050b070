"""Where a model comes from: data, code, image and parameters; and the summary that the registry stores as text."""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifact import Served

# Evaluation's options that are copied into the lineage.
COPIED = ("cut_off", "input_uri", "git_commit", "image_uri", "environment", "model_uri", "champion_version")
# A model package's metadata accepts these characters, and 1 to 256 of them.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
UNSAFE = re.compile(r"[^\w .:/=+@-]")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty when there is no such file, for the report can do without it."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def lineage(arguments: argparse.Namespace, candidate: Served, artifact_sha256: str) -> dict[str, Any]:
    """Data, code, image and parameters, from the arguments, the processing step's manifest and the artifact."""
    manifest = read_object(arguments.quality / "manifest.json")
    run = re.search(r"/executions/([^/]+)/", arguments.model_uri)
    return {
        **{name: getattr(arguments, name) for name in COPIED},
        "run": run[1] if run else "",
        "input_sha256": manifest.get("input", {}).get("sha256", ""),
        "split_sha256": manifest.get("split", {}).get("sha256", ""),
        "sides": {name: side["rows"] for name, side in manifest.get("sides", {}).items()},
        "parameters": manifest.get("parameters", {})
        | {name: getattr(arguments, name) for name in ("min_relative_gain", "max_champion_loss")},
        "artifact_sha256": artifact_sha256,
        "model_sha256": candidate.card["sha256"],
        "hyperparameters": candidate.card["hyperparameters"],
        "versions": candidate.card["versions"],
    }


def summary(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The registry's metadata beside a model: every member always present, as texts, as metadata holds no numbers."""
    mae, baseline = evaluation["candidate"]["mae"], evaluation["baseline"]["mae"]
    origin, quality, gate = evaluation["lineage"], evaluation["quality"], evaluation["gate"]
    texts = {"data_sha256": origin["input_sha256"], "split_sha256": origin["split_sha256"]}
    texts |= {"artifact_sha256": origin["artifact_sha256"]}
    texts |= {name: str(quality.get(key, "")) for name, key in (("rows", "read"), ("beers", "beers"), ("used", "used"))}
    texts |= {"failed_criteria": " ".join(gate["failed"]) or "none", "override_reason": gate["override_reason"]}
    texts |= {"accumulated_loss": f"{gate['carried_loss']:.4f}"}
    errors = {"mae": mae["value"], "mae_low": mae["low"], "mae_high": mae["high"], "baseline_mae": baseline["value"]}
    return {name: UNSAFE.sub("-", value)[:256] or "unknown" for name, value in texts.items()} | {
        name: f"{value:.2f}" for name, value in errors.items()
    }
