"""Lineage as a graph: what data, jobs, models, packages and endpoints were made from, derived from their documents.

    data, image -> trial component of a job -> its outputs -> model package -> approval
    model       -> deployment -> endpoint

SageMaker writes these entities itself; so they need no storage here.
https://docs.aws.amazon.com/sagemaker/latest/dg/lineage-tracking-entities.html
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from localaws.sagemaker.service import arn, here
from localaws.sagemaker.trial_components import component, inputs, outputs
from localaws.store import Document, Store

ARTIFACT, ACTION, CONTEXT, COMPONENT = "Artifact", "Action", "Context", "TrialComponent"
CONTRIBUTED, PRODUCED, ASSOCIATED = "ContributedTo", "Produced", "AssociatedWith"
JOBS = {"training-job": "Training", "processing-job": "Processing", "transform-job": "Transform"}


class Edge(NamedTuple):
    """An association between two entities, by their ARNs."""

    source: str
    destination: str
    association: str


@dataclass
class Lineage:
    """entities: ARN -> {Arn, Name, Type, LineageType, Source, CreationTime, ...}."""

    entities: dict[str, Document] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def add(self, entity: Document) -> str:
        """Add an entity unless it is there; returns its ARN."""
        return str(self.entities.setdefault(entity["Arn"], entity)["Arn"])

    def link(self, source: str, destination: str, association: str = CONTRIBUTED) -> None:
        """Add an association."""
        edge = Edge(source, destination, association)
        if edge not in self.edges:
            self.edges.append(edge)

    def reachable(self, starts: list[str], direction: str, depth: int) -> tuple[set[str], list[Edge]]:
        """The entities and edges within `depth` steps of the starts, upwards, downwards or both."""
        found, used = set(starts), []
        upwards, downwards = direction in ("Both", "Ascendants"), direction in ("Both", "Descendants")
        border = set(starts)
        for _ in range(depth):
            upper = [edge for edge in self.edges if upwards and edge.destination in border]
            lower = [edge for edge in self.edges if downwards and edge.source in border]
            used += [edge for edge in (*upper, *lower) if edge not in used]
            border = ({edge.source for edge in upper} | {edge.destination for edge in lower}) - found
            found |= border
        return found, used


def derive(store: Store) -> Lineage:
    """The lineage of everything in the request's region and account."""
    lineage = Lineage()
    for kind, noun in JOBS.items():
        for job in here(store.all(kind), f"{noun}JobArn"):
            _add_job(lineage, job, noun)
    for package in here(store.all("model-package"), "ModelPackageArn"):
        _add_package(lineage, package)
    for endpoint in here(store.all("endpoint"), "EndpointArn"):
        if endpoint.get("Serving"):
            _add_endpoint(lineage, endpoint)
    return lineage


def _add_job(lineage: Lineage, job: Document, noun: str) -> None:
    made = component(job, noun)
    node = lineage.add({**made, "Arn": made["TrialComponentArn"], "Name": made["TrialComponentName"]})
    for uri, kind in inputs(job, noun):
        lineage.link(_artifact(lineage, uri, kind, job), node)
    for uri, kind in outputs(job, noun):
        lineage.link(node, _artifact(lineage, uri, kind, job), PRODUCED)


def _add_package(lineage: Lineage, package: Document) -> None:
    node = _artifact(lineage, package["ModelPackageArn"], "ModelPackage", package)
    for container in package.get("InferenceSpecification", {}).get("Containers", []):
        for uri, kind in ((container.get("ModelDataUrl"), "Model"), (container.get("Image"), "Image")):
            if uri:
                lineage.link(_artifact(lineage, uri, kind, package), node)
    group = package.get("ModelPackageGroupName")
    if group:
        name = f"{group}-aws-model-group"
        source = {"SourceUri": arn(f"model-package-group/{group}"), "SourceType": "ARN"}
        context = _entity("context", name, CONTEXT, "ModelGroup", source, package)
        lineage.link(node, lineage.add(context), ASSOCIATED)
    if package["ModelApprovalStatus"] != "PendingManualApproval":
        name = f"{_short(package['ModelPackageArn'])}-{package['ModelApprovalStatus']}-aws-approval"
        source = {"SourceUri": package["ModelPackageArn"], "SourceType": "ARN"}
        approval = _entity("action", name, ACTION, "Approval", source, package)
        lineage.link(node, lineage.add({**approval, "Status": "Completed"}))


def _add_endpoint(lineage: Lineage, endpoint: Document) -> None:
    name, source = endpoint["EndpointName"], {"SourceUri": endpoint["EndpointArn"], "SourceType": "ARN"}
    context = lineage.add(_entity("context", f"{name}-aws-endpoint", CONTEXT, "Endpoint", source, endpoint))
    deployment = _entity("action", f"{name}-aws-model-deployment", ACTION, "ModelDeployment", source, endpoint)
    action = lineage.add({**deployment, "Status": "Completed"})
    lineage.link(action, context)
    for variant in endpoint["Serving"]["Variants"]:
        for container in variant["Containers"]:
            if container["Artifact"]:
                lineage.link(_artifact(lineage, container["Artifact"], "Model", endpoint), action)


def _artifact(lineage: Lineage, uri: str, kind: str, document: Document) -> str:
    source = {"SourceUri": uri, "SourceTypes": []}
    return lineage.add(_entity("artifact", _short(uri), ARTIFACT, kind, source, document))


def _entity(resource: str, name: str, lineage_type: str, kind: str, source: Document, document: Document) -> Document:
    return {
        "Arn": arn(f"{resource}/{name}"),
        "Name": name,
        "Type": kind,
        "LineageType": lineage_type,
        "Source": source,
        "CreationTime": document["CreationTime"],
        "LastModifiedTime": document.get("LastModifiedTime", document["CreationTime"]),
    }


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def vertices(lineage: Lineage, arns: set[str]) -> Iterator[Document]:
    """The entities as QueryLineage returns them."""
    for each, entity in lineage.entities.items():
        if each in arns:
            yield {"Arn": each, "Type": entity["Type"], "LineageType": entity["LineageType"]}
