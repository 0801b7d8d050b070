"""A model package on one screen: its metrics, its gate, its data and its code.

The identity comes from the package, the rest from the evaluation.json that it points to.
"""

from pipelines.account import model_packages
from pipelines.cli.output import Document

METRICS = ("mae", "rmse", "median_absolute_error", "r2", "accuracy", "macro_f1")

NONE = "none"


def summary(package: Document, evaluation: Document) -> Document:
    """{group: {name: value}} of a described package and its evaluation.json."""
    metadata = package.get("CustomerMetadataProperties", {})
    return {
        "model_package": _identity(package),
        "metrics": _metrics(evaluation),
        "deployment": model_packages.deployment(package),
        "gate": {name: evaluation["gate"][name] for name in ("passed", "reason")} | _override(metadata),
        "data": _data(evaluation),
        "code": _code(package, evaluation["lineage"]),
        "card": dict(evaluation.get("card", {})),
    }


def _identity(package: Document) -> Document:
    return {
        "arn": package["ModelPackageArn"],
        "version": package["ModelPackageVersion"],
        "created": package["CreationTime"].isoformat(timespec="seconds"),
        "approval_status": package["ModelApprovalStatus"],
        "note": package.get("ApprovalDescription", ""),
        "run": package.get("MetadataProperties", {}).get("GeneratedBy", ""),
    }


def _override(metadata: Document) -> Document:
    """What failed of the gate, and why the package was registered in spite of it."""
    if metadata.get("FailedCriteria", NONE) == NONE:
        return {}
    return {"failed": metadata["FailedCriteria"], "override_reason": metadata.get("OverrideReason", NONE)}


def _metrics(evaluation: Document) -> Document:
    """With 90 % intervals; errors are in IBU."""
    folds, candidate = evaluation["cross_validation"]["grouped"], evaluation["candidate"]
    return {
        **{name: measured(candidate.get(name)) for name in METRICS},
        "baseline_mae": measured(evaluation["baseline"]["mae"]),
        "champion_mae": measured((evaluation["champion"] or {}).get("mae")),
        "folds_mae": f"{folds['mae']:.1f} in cross-validation over {folds['n']} beers, {folds['groups']} recipes",
        "coverage": f"{measured(candidate.get('coverage'))}, promised {evaluation['intervals']['level']:.2f}",
        "interval_width": measured(candidate.get("mean_width")),
    }


def _data(evaluation: Document) -> Document:
    lineage, data = evaluation["lineage"], evaluation["quality"]
    return {
        "input": lineage["input_uri"],
        "cut_off": lineage["cut_off"],
        "input_sha256": lineage["input_sha256"],
        "split_sha256": lineage["split_sha256"],
        "rows": f"{data['read']} read, {data['beers']} beers, {data['used']} used",
        "sides": counts(lineage["sides"]),
        "dropped": counts(data["dropped"]),
        "repaired": counts(data["repaired"]),
    }


def _code(package: Document, lineage: Document) -> Document:
    container = package["InferenceSpecification"]["Containers"][0]
    return {
        "git_commit": lineage["git_commit"],
        "image": container["Image"],
        "parameters": counts(lineage.get("parameters", {})),
        "hyperparameters": counts(lineage["hyperparameters"]),
        "model": container["ModelDataUrl"],
        "model_sha256": lineage["model_sha256"],
        "report": model_packages.evaluation_uri(package).rpartition("/")[0] + "/report.html",
    }


def measured(figure: Document | None) -> str:
    """A metric with its interval: `17.6 (12.8 to 22.5)`, or `none`."""
    if not figure:
        return "none"
    texts = (f"{figure[name]:.{1 if abs(figure[name]) >= 10 else 2}f}" for name in ("value", "low", "high"))
    value, low, high = texts
    return f"{value} ({low} to {high})"


def counts(values: Document) -> str:
    """`train 221, validation 22`, or `none`."""
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
