"""Production variants as DescribeEndpoint lists them, and a plan with the properties that an update keeps."""

import copy

from localaws.sagemaker.service import now, validation_error
from localaws.store import Document

WEIGHT, COUNT, CAPTURE = "DesiredWeight", "DesiredInstanceCount", "DataCaptureConfig"


def summaries(plan: Document) -> Document:
    """The members ProductionVariants and DataCaptureConfig of an endpoint that serves a plan; None: it has none."""
    capture = plan["DataCaptureConfig"]
    described = capture and {
        "EnableCapture": capture.get("EnableCapture", True),
        "CaptureStatus": "Started" if capture.get("EnableCapture", True) else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }
    return {"ProductionVariants": [_summary(variant) for variant in plan["Variants"]], "DataCaptureConfig": described}


def pending(plan: Document) -> Document:
    """The PendingDeploymentSummary of an endpoint that is being created or updated."""
    variants = []
    for variant in plan["Variants"]:
        summary = _summary(variant)
        for name in ("InstanceType", "AcceleratorType"):
            if name in variant:
                summary[name] = variant[name]
        summary["VariantStatus"] = [{"Status": "Creating", "StartTime": now()}]
        variants.append(summary)
    return {"EndpointConfigName": plan["EndpointConfigName"], "ProductionVariants": variants, "StartTime": now()}


def retained(plan: Document, serving: Document, excluded: set[str]) -> Document:
    """A plan with weights, counts and capture of what serves, but for the excluded properties."""
    result = copy.deepcopy(plan)
    before = {variant["VariantName"]: variant for variant in serving["Variants"]}
    members = {WEIGHT: "InitialVariantWeight", COUNT: "InitialInstanceCount"}
    for variant in result["Variants"]:
        for excludable, member in members.items():
            old = before.get(variant["VariantName"], {})
            if excludable not in excluded and member in old and member in variant:
                variant[member] = old[member]
    if CAPTURE not in excluded:
        result["DataCaptureConfig"] = serving["DataCaptureConfig"]
    return result


def with_capacities(plan: Document, desired: list[Document]) -> Document:
    """A plan with the weights and capacities of UpdateEndpointWeightsAndCapacities. Raises ValidationException."""
    result = copy.deepcopy(plan)
    variants = {variant["VariantName"]: variant for variant in result["Variants"]}
    for change in desired:
        variant = variants.get(change["VariantName"])
        if variant is None:
            raise validation_error(f"Could not find production variant {change['VariantName']}.")
        serverless = "ServerlessConfig" in variant
        if ("DesiredInstanceCount" if serverless else "ServerlessUpdateConfig") in change:
            kind = "serverless" if serverless else "on instances"
            raise validation_error(f"Production variant {change['VariantName']} is {kind}.")
        if "DesiredWeight" in change:
            variant["InitialVariantWeight"] = change["DesiredWeight"]
        if "DesiredInstanceCount" in change:
            variant["InitialInstanceCount"] = change["DesiredInstanceCount"]
        variant.get("ServerlessConfig", {}).update(change.get("ServerlessUpdateConfig", {}))
    if not any(variant["InitialVariantWeight"] for variant in result["Variants"]):
        raise validation_error("At least one production variant must have a weight above 0.")
    return result


def _summary(variant: Document) -> Document:
    weight = variant["InitialVariantWeight"]
    images = [
        {"SpecifiedImage": each["Image"], "ResolvedImage": each["Image"], "ResolutionTime": now()}
        for each in variant["Containers"]
    ]
    summary = {"VariantName": variant["VariantName"], "DeployedImages": images}
    summary |= {"CurrentWeight": weight, "DesiredWeight": weight}
    if "ServerlessConfig" in variant:
        return summary | dict.fromkeys(
            ("CurrentServerlessConfig", "DesiredServerlessConfig"), variant["ServerlessConfig"]
        )
    return summary | dict.fromkeys(("CurrentInstanceCount", "DesiredInstanceCount"), variant["InitialInstanceCount"])
