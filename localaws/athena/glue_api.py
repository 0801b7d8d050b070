"""Operations of Glue's tables and partitions that MiniStack lacks.

https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-catalog-tables.html
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from localaws.athena import catalog
from localaws.athena.errors import QueryError
from localaws.athena.types import duckdb_type
from localaws.ministack import patches

# Of a partition expression: what it may be made of besides columns and literals.
# https://docs.aws.amazon.com/glue/latest/webapi/API_GetPartitions.html
OPERATORS = ("And", "Or", "Not", "Paren", "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "In", "Between", "Like", "Is", "Null")
OPERANDS = ("Column", "Identifier", "Literal", "Cast", "DataType", "Neg", "Boolean", "Tuple", "DataTypeParam")


def install() -> None:
    """Add the operations to MiniStack's Glue, and their state to what is saved."""
    glue = catalog.glue()
    responses = patches.module("core.responses")
    glue._ALL_STATE["table_versions"] = _versions = responses.AccountRegionScopedDict()
    handle, update, create = glue._handle_request_sync, glue._update_table, glue._create_table

    def handled(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        operation = OPERATIONS.get(headers.get("x-amz-target", "").rpartition(".")[2])
        return operation(json.loads(body or b"{}")) if operation else handle(method, path, headers, body, query)

    def updated(request: dict[str, Any]) -> Any:
        """UpdateTable; the version before it is archived."""
        key = f"{request.get('DatabaseName')}/{request.get('TableInput', {}).get('Name')}"
        before = copy.deepcopy(glue._tables.get(key))
        answer = update(request)
        if answer[0] < 300 and not request.get("SkipArchive"):
            _versions[key] = [*_versions.get(key, []), before]
        return answer

    def created(request: dict[str, Any]) -> Any:
        """CreateTable; an earlier table of the name, deleted in whichever way, has left nothing."""
        answer = create(request)
        if answer[0] < 300:
            _versions.pop(f"{request.get('DatabaseName')}/{request['TableInput'].get('Name')}", None)
        return answer

    glue._handle_request_sync, glue._update_table, glue._create_table = handled, updated, created


def _key(request: dict[str, Any]) -> str:
    return f"{request.get('DatabaseName')}/{request.get('TableName')}"


def _answer(content: dict[str, Any]) -> Any:
    from ministack.core.responses import json_response

    return json_response(content)


def _error(code: str, message: str) -> Any:
    from ministack.core.responses import error_response_json

    return error_response_json(code, message, 400)


def _missing(request: dict[str, Any]) -> Any:
    return _error("EntityNotFoundException", f"Table {request.get('TableName')} not found.")


def _page(found: list[Any], request: dict[str, Any], member: str, most: int) -> Any:
    start = int(request.get("NextToken") or 0)
    end = start + int(request.get("MaxResults") or most)
    token = {"NextToken": str(end)} if end < len(found) else {}
    return _answer({member: found[start:end], **token})


def _archived(key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = catalog.glue()._ALL_STATE["table_versions"].get(key, [])
    return found


def _get_table_versions(request: dict[str, Any]) -> Any:
    """The newest first."""
    current = catalog.glue()._tables.get(_key(request))
    if current is None:
        return _missing(request)
    every = [current, *_archived(_key(request))[::-1]]
    return _page([{"Table": each, "VersionId": each["VersionId"]} for each in every], request, "TableVersions", 100)


def _get_table_version(request: dict[str, Any]) -> Any:
    current = catalog.glue()._tables.get(_key(request))
    if current is None:
        return _missing(request)
    wanted = request.get("VersionId") or current["VersionId"]
    for each in [current, *_archived(_key(request))]:
        if each["VersionId"] == wanted:
            return _answer({"TableVersion": {"Table": each, "VersionId": wanted}})
    return _error("EntityNotFoundException", f"Version {wanted} not found.")


def _delete_table_version(request: dict[str, Any]) -> Any:
    """The current version stays with its table."""
    current = catalog.glue()._tables.get(_key(request))
    if current is None:
        return _missing(request)
    if current["VersionId"] == request.get("VersionId"):
        return _error("InvalidInputException", "The current version of a table cannot be deleted.")
    found = _archived(_key(request))
    left = [each for each in found if each["VersionId"] != request.get("VersionId")]
    if len(left) == len(found):
        return _error("EntityNotFoundException", f"Version {request.get('VersionId')} not found.")
    catalog.glue()._ALL_STATE["table_versions"][_key(request)] = left
    return _answer({})


def _batch_delete_table_version(request: dict[str, Any]) -> Any:
    errors = []
    for version in request.get("VersionIds", []):
        status, _, body = _delete_table_version({**request, "VersionId": version})
        if status >= 300:
            detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": json.loads(body).get("message", "")}
            errors.append({"TableName": request["TableName"], "VersionId": version, "ErrorDetail": detail})
    return _answer({"Errors": errors})


def _partition(request: dict[str, Any], values: list[str]) -> dict[str, Any] | None:
    every: list[dict[str, Any]] = catalog.glue()._partitions.get(_key(request)) or []
    return next((each for each in every if each.get("Values") == values), None)


def _batch_delete_partition(request: dict[str, Any]) -> Any:
    errors = []
    for each in request.get("PartitionsToDelete", []):
        values = each.get("Values", [])
        if _partition(request, values) is None:
            detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "Partition not found"}
            errors.append({"PartitionValues": values, "ErrorDetail": detail})
        catalog.glue()._delete_partition({**request, "PartitionValues": values})
    return _answer({"Errors": errors})


def _delete_partition(request: dict[str, Any]) -> Any:
    if _partition(request, request.get("PartitionValues", [])) is None:
        return _error("EntityNotFoundException", "Partition not found.")
    return catalog.glue()._delete_partition(request)


def _update_partition(request: dict[str, Any]) -> Any:
    found = _partition(request, request.get("PartitionValueList", []))
    if found is None:
        return _error("EntityNotFoundException", "Partition not found.")
    given = request.get("PartitionInput", {})
    if given.get("Values", found["Values"]) != found["Values"] and _partition(request, given["Values"]):
        return _error("AlreadyExistsException", "Partition already exists.")
    found.update(given)
    return _answer({})


def _get_partitions(request: dict[str, Any]) -> Any:
    table = catalog.glue()._tables.get(_key(request))
    if table is None:
        return _missing(request)
    every = catalog.partitions(table)
    try:
        chosen = _matching(table, every, request["Expression"]) if request.get("Expression") else every
    except QueryError as error:
        return _error("InvalidInputException", f"Unsupported expression '{request['Expression']}': {error}")
    return _page(chosen, request, "Partitions", 1000)


def _matching(table: catalog.Table, every: list[dict[str, Any]], expression: str) -> list[dict[str, Any]]:
    """The partitions for which a condition on the keys holds; QueryError for one that is no such condition."""
    import duckdb
    import sqlglot
    from sqlglot.errors import SqlglotError

    keys = {name.lower(): duckdb_type(kind) for name, kind in catalog.keys(table)}
    try:
        tree = sqlglot.parse_one(expression, read="trino")
    except SqlglotError as error:
        raise QueryError(str(error).splitlines()[0]) from error
    for node in tree.walk():
        if type(node).__name__ not in OPERATORS + OPERANDS:
            raise QueryError(node.sql(dialect="trino"))
        if type(node).__name__ == "Column" and node.name.lower() not in keys:
            raise QueryError(f"{node.name} is no partition key")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in keys.items())
    places = ", ".join("?" for _ in keys)
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        connection.execute(f"CREATE TABLE partitions (place BIGINT, {columns})")
        for place, each in enumerate(every):
            connection.execute(f"INSERT INTO partitions VALUES (?, {places})", [place, *each["Values"]])
        try:
            query = f"SELECT place FROM partitions WHERE {tree.sql(dialect='duckdb')} ORDER BY place"
            return [every[place] for (place,) in connection.execute(query).fetchall()]
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0]) from error


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "BatchDeletePartition": _batch_delete_partition,
    "BatchDeleteTableVersion": _batch_delete_table_version,
    "DeletePartition": _delete_partition,
    "DeleteTableVersion": _delete_table_version,
    "GetPartitions": _get_partitions,
    "GetTableVersion": _get_table_version,
    "GetTableVersions": _get_table_versions,
    "UpdatePartition": _update_partition,
}
