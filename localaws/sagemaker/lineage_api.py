"""Lineage and trial components: the operations that read them."""

from collections.abc import Callable

from localaws import shapes
from localaws.sagemaker.experiments import jobs_of
from localaws.sagemaker.lineage import ACTION, ARTIFACT, COMPONENT, CONTEXT, Lineage, derive, vertices
from localaws.sagemaker.service import Service, cut, listing, not_found, validation_error
from localaws.store import Document

# AWS's default and most of QueryLineage's MaxDepth.
DEPTH = 10


class LineageOperations:
    """Handlers of the operations on artifacts, actions, contexts, associations and trial components."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "ListTrialComponents": self.list_components,
                "DescribeTrialComponent": self.describe_component,
                "ListAssociations": self.list_associations,
                "QueryLineage": self.query,
            }
        )
        for kind in (ARTIFACT, ACTION, CONTEXT):
            service.add({f"List{kind}s": self._lister(kind), f"Describe{kind}": self._describer(kind)})

    def list_components(self, request: Document) -> Document:
        """ListTrialComponents, newest first by default."""
        source, jobs = request.get("SourceArn"), jobs_of(self.store, request)
        return listing(
            "ListTrialComponents",
            [
                each
                for each in self._of_type(derive(self.store), COMPONENT)
                if jobs is None or each["Source"]["SourceArn"] in jobs
            ],
            request,
            matches=lambda each: source in (None, each["Source"]["SourceArn"]),
            by="TrialComponentName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def describe_component(self, request: Document) -> Document:
        """DescribeTrialComponent."""
        name = request["TrialComponentName"]
        for each in self._of_type(derive(self.store), COMPONENT):
            if name in (each["TrialComponentName"], each["TrialComponentArn"]):
                return shapes.project(shapes.output_shape("sagemaker", "DescribeTrialComponent"), each)
        raise not_found(f"Trial component {name} does not exist.")

    def list_associations(self, request: Document) -> Document:
        """ListAssociations, newest first by default."""
        lineage = derive(self.store)
        found = []
        for edge in lineage.edges:
            source, destination = lineage.entities[edge.source], lineage.entities[edge.destination]
            found.append(
                {
                    "SourceArn": edge.source,
                    "DestinationArn": edge.destination,
                    "SourceType": source["Type"],
                    "DestinationType": destination["Type"],
                    "AssociationType": edge.association,
                    "SourceName": source["Name"],
                    "DestinationName": destination["Name"],
                    "CreationTime": max(source["CreationTime"], destination["CreationTime"]),
                }
            )
        members = ("SourceArn", "DestinationArn", "SourceType", "DestinationType", "AssociationType")
        return listing(
            "ListAssociations",
            found,
            request,
            matches=lambda each: all(request.get(member) in (None, each[member]) for member in members),
            by=request.get("SortBy", "CreationTime"),
        )

    def query(self, request: Document) -> Document:
        """QueryLineage: the entities within MaxDepth of the start, and the associations between them."""
        lineage, starts = derive(self.store), request.get("StartArns", [])
        missing = [each for each in starts if each not in lineage.entities]
        if missing:
            raise not_found(f"Lineage entity {missing[0]} does not exist.")
        depth = request.get("MaxDepth", DEPTH)
        direction = request.get("Direction", "Both")
        arns, edges = lineage.reachable(starts, direction, depth) if starts else (set(lineage.entities), lineage.edges)
        filters = request.get("Filters", {})
        if set(filters) - {"Types", "LineageTypes"}:
            raise validation_error("The local SageMaker filters lineage by Types and LineageTypes only.")
        found = [
            each
            for each in vertices(lineage, arns)
            if each["Type"] in filters.get("Types", [each["Type"]])
            and each["LineageType"] in filters.get("LineageTypes", [each["LineageType"]])
        ]
        chosen, more = cut(found, request)
        answer: Document = {"Vertices": chosen, **more}
        if request.get("IncludeEdges", True):
            answer["Edges"] = [
                {"SourceArn": edge.source, "DestinationArn": edge.destination, "AssociationType": edge.association}
                for edge in edges
            ]
        return answer

    def _of_type(self, lineage: Lineage, kind: str) -> list[Document]:
        found = [each for each in lineage.entities.values() if each["LineageType"] == kind]
        return sorted(found, key=lambda each: each["CreationTime"])

    def _lister(self, kind: str) -> Callable[[Document], Document]:
        def list_entities(request: Document) -> Document:
            uri, wanted = request.get("SourceUri"), request.get(f"{kind}Type")
            return listing(
                f"List{kind}s",
                [_named(each, kind) for each in self._of_type(derive(self.store), kind)],
                request,
                matches=lambda each: uri in (None, each["Source"]["SourceUri"]) and wanted in (None, each["Type"]),
                by="Name" if request.get("SortBy") == "Name" else "CreationTime",
            )

        return list_entities

    def _describer(self, kind: str) -> Callable[[Document], Document]:
        def describe(request: Document) -> Document:
            name = request["ArtifactArn" if kind == ARTIFACT else f"{kind}Name"]
            for each in self._of_type(derive(self.store), kind):
                if name in (each["Arn"], each["Name"]):
                    return shapes.project(shapes.output_shape("sagemaker", f"Describe{kind}"), _named(each, kind))
            raise not_found(f"{kind} {name} does not exist.")

        return describe


def _named(entity: Document, kind: str) -> Document:
    """An entity with the member names of its kind."""
    return {**entity, f"{kind}Arn": entity["Arn"], f"{kind}Name": entity["Name"], f"{kind}Type": entity["Type"]}
