"""Counts for CloudWatch in the embedded metric format: one JSON line on stdout, no call to any service."""

import json
import os
import time

NAMESPACE = "Tapline"


def emit(counts: dict[str, int], **dimensions: str) -> None:
    """Print `counts` as metrics of unit Count, with one set of dimensions: FunctionName and those given."""
    values = {"FunctionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"), **dimensions}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(values)],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
    }
    envelope = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": envelope, **values, **counts}), flush=True)
