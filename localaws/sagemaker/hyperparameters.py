"""Values of hyperparameters from the ranges of a tuning job.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
"""

import itertools
import math
import random
from collections.abc import Iterator

from localaws.store import Document

INTEGER, CONTINUOUS, CATEGORICAL = "IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges"

STRATEGIES = ("Bayesian", "Grid", "Random")


def not_offered(request: Document) -> str:
    """What of a tuning job does not run here; empty when nothing is missing."""
    if "Autotune" in request:
        return "The local SageMaker does not offer Autotune."
    strategy = request["HyperParameterTuningJobConfig"]["Strategy"]
    if strategy == "Hyperband":
        return f"The local SageMaker does not offer the strategy Hyperband (have: {', '.join(STRATEGIES)})."
    return ""


def ranges_problem(ranges: Document, strategy: str) -> str:
    """What is wrong with ranges for a strategy; empty when nothing is."""
    if ranges.get("AutoParameters"):
        return "The local SageMaker does not offer AutoParameters."
    numeric = [*ranges.get(INTEGER, []), *ranges.get(CONTINUOUS, [])]
    if strategy == "Grid" and numeric:
        return f"The strategy Grid takes categorical parameters only; {numeric[0]['Name']} is a range of numbers."
    if not numeric and not ranges.get(CATEGORICAL):
        return "A tuning job needs at least one range of a hyperparameter."
    for each in numeric:
        try:
            low, high = float(each["MinValue"]), float(each["MaxValue"])
        except ValueError:
            return f"The range of {each['Name']} is not one of numbers."
        scaling = each.get("ScalingType", "Auto")
        if not low < high:
            return f"MinValue of {each['Name']} must be less than its MaxValue."
        if scaling == "Logarithmic" and low <= 0:
            return f"A Logarithmic range must be above 0; {each['Name']} begins at {each['MinValue']}."
        if scaling == "ReverseLogarithmic" and not 0 <= low < high < 1:
            return f"A ReverseLogarithmic range must lie within 0 <= x < 1; {each['Name']} does not."
    return ""


def candidates(ranges: Document, strategy: str, chance: random.Random) -> Iterator[dict[str, str]]:
    """Hyperparameters by name: every combination once for a grid, without end otherwise."""
    if strategy == "Grid":
        categories = ranges.get(CATEGORICAL, [])
        names = [each["Name"] for each in categories]
        for values in itertools.product(*(each["Values"] for each in categories)):
            yield dict(zip(names, values, strict=True))
        return
    while True:
        chosen = {each["Name"]: str(round(_number(each, chance))) for each in ranges.get(INTEGER, [])}
        chosen |= {each["Name"]: str(_number(each, chance)) for each in ranges.get(CONTINUOUS, [])}
        yield chosen | {each["Name"]: chance.choice(each["Values"]) for each in ranges.get(CATEGORICAL, [])}


def _number(each: Document, chance: random.Random) -> float:
    low, high = float(each["MinValue"]), float(each["MaxValue"])
    scaling = each.get("ScalingType", "Auto")
    if scaling == "Logarithmic":
        value = math.exp(chance.uniform(math.log(low), math.log(high)))
    elif scaling == "ReverseLogarithmic":
        value = 1 - math.exp(chance.uniform(math.log(1 - high), math.log(1 - low)))
    else:
        value = chance.uniform(low, high)
    return min(max(value, low), high)
