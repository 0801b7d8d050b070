"""Search: resources by the values of their properties.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Search.html
"""

import datetime
import operator
from collections.abc import Callable
from typing import Any

from localaws import shapes
from localaws.sagemaker import tags
from localaws.sagemaker.expressions import as_text
from localaws.sagemaker.service import Service, cut, here, validation_error
from localaws.store import Document, Store

# The resources: kind of their documents, and the member with their ARN.
RESOURCES = {
    "TrainingJob": ("training-job", "TrainingJobArn"),
    "HyperParameterTuningJob": ("hyper-parameter-tuning-job", "HyperParameterTuningJobArn"),
    "Pipeline": ("pipeline", "PipelineArn"),
    "PipelineVersion": ("pipeline-version", "PipelineArn"),
    "PipelineExecution": ("execution", "PipelineExecutionArn"),
    "ModelPackage": ("model-package", "ModelPackageArn"),
    "ModelPackageGroup": ("model-package-group", "ModelPackageGroupArn"),
    "ModelCard": ("model-card", "ModelCardArn"),
    "Endpoint": ("endpoint", "EndpointArn"),
}
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


class Search:
    """Handler of Search."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add({"Search": self.search})

    def search(self, request: Document) -> Document:
        """Search, newest first by default."""
        resource = request["Resource"]
        if resource not in RESOURCES:
            raise validation_error(f"The local SageMaker does not search {resource} (have: {', '.join(RESOURCES)}).")
        kind, arn_member = RESOURCES[resource]
        expression = request.get("SearchExpression", {})
        documents = [_searchable(self.store, each, arn_member) for each in here(self.store.all(kind), arn_member)]
        found = [document for document in documents if matches(expression, document)]
        by = request.get("SortBy", "CreationTime")
        found = [each for each in found if value_at(each, by) is not None]
        found.sort(key=lambda document: _sortable(value_at(document, by)))
        if request.get("SortOrder", "Descending") == "Descending":
            found.reverse()
        chosen, more = cut(found, request)
        record = shapes.output_shape("sagemaker", "Search").members["Results"].member.members[resource]
        return {"Results": [{resource: shapes.project(record, document)} for document in chosen], **more}


def _searchable(store: Store, document: Document, arn_member: str) -> Document:
    return {**document, "Tags": tags.listed(store, document[arn_member])}


def matches(expression: Document, document: Document) -> bool:
    """Whether a document fulfils a SearchExpression: its filters, nested filters and sub-expressions."""
    found = [_filter_matches(each, document) for each in expression.get("Filters", [])]
    for nested in expression.get("NestedFilters", []):
        items = value_at(document, nested["NestedPropertyName"])
        names = len(nested["NestedPropertyName"]) + 1
        inside = [{**each, "Name": each["Name"][names:]} for each in nested["Filters"]]
        found.append(
            any(all(_filter_matches(each, item) for each in inside) for item in items or [] if isinstance(item, dict))
        )
    found += [matches(each, document) for each in expression.get("SubExpressions", [])]
    if not found:
        return True
    return any(found) if expression.get("Operator") == "Or" else all(found)


def _filter_matches(condition: Document, document: Document) -> bool:
    name, wanted = str(condition["Name"]), str(condition.get("Value", ""))
    found, operation = value_at(document, name), str(condition.get("Operator", "Equals"))
    if operation in ("Exists", "NotExists"):
        return (found is not None) == (operation == "Exists")
    if found is None:
        return operation == "NotEquals"
    text: str = as_text(found)
    if operation in ("Equals", "NotEquals"):
        return (text == wanted) == (operation == "Equals")
    if operation == "Contains":
        return wanted in text
    if operation == "In":
        return text in wanted.split(",")
    return COMPARED[operation](*_comparable(found, wanted))


def _comparable(found: Any, wanted: str) -> tuple[Any, Any]:
    """Two values as numbers or times when they are, else as texts. Raises ValidationException for a wrong time."""
    try:
        return float(found), float(wanted)
    except (TypeError, ValueError):
        pass
    if isinstance(found, (int, float)):
        try:
            return found, datetime.datetime.fromisoformat(wanted).replace(tzinfo=datetime.UTC).timestamp()
        except ValueError as error:
            raise validation_error(f"{wanted!r} is neither a number nor a time.") from error
    return as_text(found), wanted


def value_at(document: Any, path: str) -> Any:
    """The value of a property such as `ModelApprovalStatus`, `Tags.owner` or `HyperParameters.depth`; None: none."""
    if not path:
        return document
    if isinstance(document, list):
        for each in document:
            if isinstance(each, dict) and path in (each.get("Key"), each.get("MetricName")):
                return each.get("Value")
        return None
    if not isinstance(document, dict):
        return None
    if path in document:
        return document[path]
    name, _, rest = path.partition(".")
    # Metrics.<name> of training jobs is FinalMetricDataList.
    member = "FinalMetricDataList" if name == "Metrics" and name not in document else name
    return value_at(document.get(member), rest) if rest else None


def _sortable(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, (int, float)) else (1, as_text(value))
