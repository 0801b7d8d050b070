"""Outputs of the step scripts that the definition names: metrics of Train, figures of Evaluate, the model card.

Steps import nothing of pipelines, so a test compares each with its script.
"""

# Metrics that training/train.py prints and SageMaker extracts.
# https://docs.aws.amazon.com/sagemaker/latest/dg/training-metrics.html
METRICS = {
    name: rf"{name}=([0-9.]+)"
    for name in (
        "train:mae",
        "validation:mae",
        "validation:rmse",
        "validation:accuracy",
        "cv_families:mae",
        "cv_families:rmse",
        "cv_families:accuracy",
        "cv_families:baseline_mae",
        "cv_families:coverage",
        "cv_families:mean_width",
        "cv_families:ece",
    )
}

PURPOSE = "Bitterness (IBU) and bitterness class of a beer from its recipe figures."
# Model package's metadata -> member of evaluation.json's summary (evaluation/evaluate.py).
SUMMARY = {
    "DataSha256": "data_sha256",
    "SplitSha256": "split_sha256",
    "ArtifactSha256": "artifact_sha256",
    "Rows": "rows",
    "DistinctBeers": "beers",
    "UsedBeers": "used",
    "MAE": "mae",
    "MAELow": "mae_low",
    "MAEHigh": "mae_high",
    "BaselineMAE": "baseline_mae",
    "FailedCriteria": "failed_criteria",
    "OverrideReason": "override_reason",
    "AccumulatedLoss": "accumulated_loss",
}

# SageMaker's schema for the card of a model package (developer guide, details of a model version); the words are those
# of evaluation/card.py.
MODEL_CARD = {
    "intended_uses": {
        "purpose_of_model": "Estimates a beer's bitterness (IBU) and its class from strength, gravities, colour, "
        "acidity and name, with an interval for the uncertainty.",
        "intended_uses": "Not for: Labelling, brewing decisions, or anything where a wrong figure does harm.",
        "factors_affecting_model_efficiency": "Trained on one brewery's beers. Bitterness comes from hops, which the "
        "table does not hold, so beers of equal figures can differ widely. The intervals' coverage holds over all such "
        "beers, not for each class.",
        "risk_rating": "Low",
        "explanations_for_risk_rating": "no decision about people depends on it.",
    },
    "additional_information": {
        "caveats_and_recommendations": "All candidates are compared on the same beers, so the best of many owes part "
        "of its lead to these beers. The figures' intervals show the variation with other beers, not with another "
        "training.",
    },
}
