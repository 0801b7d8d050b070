"""What is known of a model package: its figures, its gate, and where it comes from, fit for one screen.

The package says which model it is; the evaluation.json that it points to says the rest.
"""

from typing import Any

from pipelines.account import executions

Document = dict[str, Any]
METRICS = ("mae", "rmse", "median_absolute_error", "r2", "accuracy", "macro_f1")


def facts(package: Document, evaluation: Document) -> Document:
    """What is known of a package, in groups, flat enough for one screen."""
    container = package["InferenceSpecification"]["Containers"][0]
    lineage, data = evaluation["lineage"], evaluation["quality"]
    folds, candidate = evaluation["cross_validation"]["grouped"], evaluation["candidate"]
    return {
        "model_package": {
            "arn": package["ModelPackageArn"],
            "version": package["ModelPackageVersion"],
            "created": package["CreationTime"].isoformat(timespec="seconds"),
            "approval_status": package["ModelApprovalStatus"],
            "note": package.get("ApprovalDescription", ""),
            "run": package.get("MetadataProperties", {}).get("GeneratedBy", ""),
        },
        # With their 90 % intervals; the errors are in IBU.
        "metrics": {
            **{name: measured(candidate.get(name)) for name in METRICS},
            "baseline_mae": measured(evaluation["baseline"]["mae"]),
            "champion_mae": measured((evaluation["champion"] or {}).get("mae")),
            "folds_mae": f"{folds['mae']:.1f} in cross-validation over {folds['n']} beers, {folds['groups']} recipes",
            "coverage": f"{measured(candidate.get('coverage'))}, promised {evaluation['intervals']['level']:.2f}",
            "interval_width": measured(candidate.get("mean_width")),
        },
        "gate": {name: evaluation["gate"][name] for name in ("passed", "reason")},
        "data": {
            "input": lineage["input_uri"],
            "cut_off": lineage["cut_off"],
            "input_sha256": lineage["input_sha256"],
            "split_sha256": lineage["split_sha256"],
            "rows": f"{data['read']} read, {data['beers']} beers, {data['kept']} kept",
            "sides": counts(lineage["sides"]),
            "dropped": counts(data["dropped"]),
            "repaired": counts(data["repaired"]),
        },
        "code": {
            "git_commit": lineage["git_commit"],
            "image": container["Image"],
            "parameters": counts(lineage.get("parameters", {})),
            "hyperparameters": counts(lineage["hyperparameters"]),
            "model": container["ModelDataUrl"],
            "model_sha256": lineage["model_sha256"],
            "report": executions.evaluation_uri(package).rpartition("/")[0] + "/report.html",
        },
        "card": dict(evaluation.get("card", {})),
    }


def measured(figure: Document | None) -> str:
    """`17.6 (12.8 to 22.5)`, or `none`."""
    if not figure:
        return "none"
    value, low, high = (f"{figure[part]:.{1 if abs(figure[part]) >= 10 else 2}f}" for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def counts(values: Document) -> str:
    """`train 221, validation 22`, or `none`."""
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def flat(groups: Document, prefix: str = "") -> Document:
    """`{"gate": {"passed": 1}}` as `{"gate.passed": 1}`."""
    found: Document = {}
    for name, value in groups.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
