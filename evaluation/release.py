"""Files for a release beside evaluation.json: smoke-test answers, model card, lineage, SBOM and hashes."""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beers import Beers

SMOKE_BEERS = 5
# The share and the IBU by which a served answer may differ from the evaluated one: rounding and other processors.
TOLERANCE = {"relative": 0.001, "absolute": 0.1}


def files(evaluation: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], test: Beers) -> dict[str, str]:
    """Name -> content. `answers` are the candidate's predictions for the first test beers."""
    request = {"instances": test.instances[: len(answers)]}
    smoke = {"request": request, "predictions": list(answers), "tolerance": TOLERANCE}
    contents = {
        "smoke-test.json": smoke,
        "model-card.json": model_card(evaluation),
        "lineage.json": evaluation["lineage"],
        "sbom.json": sbom(),
    }
    return {name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in contents.items()}


def model_card(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Purpose, limits and figures of the model, for people."""
    gate = evaluation["gate"]
    return {
        **evaluation["card"],
        "metrics": evaluation["regression_metrics"] | evaluation["multiclass_classification_metrics"],
        "baseline_mae": evaluation["baseline"]["mae"]["value"],
        "held_out": evaluation["held_out"],
        "gate": {name: gate[name] for name in ("passed", "failed", "override_reason", "reason")},
    }


def sbom() -> dict[str, Any]:
    """The installed Python packages in CycloneDX's layout; the evaluation runs in the image that serves.

    https://cyclonedx.org/docs/1.5/json/
    """
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
        }
        for name, version in sorted(_installed().items())
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


@functools.cache
def _installed() -> dict[str, str]:
    """Name -> version. Each package's metadata is parsed once: that takes longer than the rest of the release."""
    found = (distribution.metadata for distribution in importlib.metadata.distributions())
    return {each["Name"]: each["Version"] for each in found if each["Name"]}


def write(folder: Path, contents: Mapping[str, str]) -> None:
    """Writes the files, and SHA256SUMS as `sha256sum --check` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, text in sorted(contents.items()):
        content = text.encode()
        (folder / name).write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
