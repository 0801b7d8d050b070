"""Queries through the API: what the tables' files, names and partitions make of them."""

from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws.clients import session
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from tests.support.lake import Lake

ONE_DAY = {"projection.enabled": "true", "projection.dt.type": "integer", "projection.dt.range": "1,1"}


@pytest.fixture
def lake(clients: Clients) -> Lake:
    return Lake(clients)


def test_results_have_athenas_types_and_leave_the_endpoint_as_it_was(lake: Lake, endpoint: Endpoint) -> None:
    text = "SELECT 1.5, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05', true, 7, sum(7), CAST(NULL AS varchar)"
    assert lake.query(text) == (
        "SUCCEEDED",
        [
            ["decimal", "date", "timestamp", "boolean", "integer", "bigint", "varchar"],
            ["1.5", "2026-01-02", "2026-01-02 03:04:05.000", "true", "7", "7", None],
        ],
    )
    assert lake.query("SELECT current_date, current_timestamp")[0] == "SUCCEEDED"
    assert endpoint.control("status")["pid"] == endpoint.pid


def test_star_hides_the_path_and_projection_hides_what_is_outside_its_range(lake: Lake) -> None:
    lake.table(
        {"id": "string"},
        **{
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "projection.dt.range": "2026-01-01,NOW",
        },
    )
    for key in ("dt=2026-01-01/a", "dt=2025-12-31/b", "dt=2999-01-01/c", "d", "dt=sour/e"):
        lake.put(f"rows/{key}", f"{key[-1]}\n")
    assert lake.query("SELECT * FROM t") == ("SUCCEEDED", [["varchar", "varchar"], ["a", "2026-01-01"]])
    paths = lake.query('SELECT "$path" FROM t')
    assert paths == ("SUCCEEDED", [["varchar"], [f"s3://{lake.name}-bucket/rows/dt=2026-01-01/a"]])


def test_a_query_reads_tables_and_nothing_else_of_this_machine(lake: Lake, tmp_path: Any) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("secret\n", encoding="utf-8")
    lake.table({f"id\" FROM read_text('{secret}') --": "string", "it's": "string"}, **ONE_DAY)
    lake.put("rows/dt=1/a", "hops,malt\n")
    assert "secret\\n" not in str(lake.query("SELECT * FROM t"))
    for source in (f"read_text('{secret}')", f"'{secret}'", f'"{secret}"', "duckdb_settings()"):
        state, reason = lake.query(f"SELECT * FROM {source}")
        assert (state, "secret\\n" in str(reason)) == ("FAILED", False)


def test_a_column_type_that_is_not_read_here_is_refused(lake: Lake) -> None:
    lake.table({"id": "array<int>"})
    assert lake.query("SELECT * FROM t") == (
        "FAILED",
        "NOT_SUPPORTED: The local Athena does not read columns of type array<int>.",
    )


def test_a_query_without_a_database_reads_default_and_no_other(lake: Lake) -> None:
    lake.table({"id": "string"}, **ONE_DAY)
    lake.put("rows/dt=1/a", "hops\n")
    own = ("SUCCEEDED", [["varchar"], ["hops"]])
    assert lake.query("SELECT id FROM t") == own
    missing = ("FAILED", "TABLE_NOT_FOUND: Table 'awsdatacatalog.default.t' does not exist")
    nowhere = {"Catalog": "AwsDataCatalog"}
    assert lake.query("SELECT id FROM t", **nowhere) == missing
    assert lake.query("SELECT id FROM t", Database="default") == missing
    # A full name needs no database.
    assert lake.query(f'SELECT id FROM "{lake.name}"."t"', **nowhere) == own


def test_an_operation_that_is_not_offered_is_named(endpoint: Endpoint) -> None:
    unchecked = Config(parameter_validation=False, proxies={}, retries={"total_max_attempts": 1})
    athena = session(endpoint.credentials).client("athena", endpoint_url=endpoint.url, config=unchecked)
    refused: dict[str, str] = {}
    for operation in athena.meta.service_model.operation_names:
        try:
            athena._make_api_call(operation, {})
        except ClientError as error:
            if error.response["Error"]["Code"] in ("InvalidAction", "UnknownOperationException"):
                refused[operation] = error.response["Error"]["Message"]
    assert "ListEngineVersions" in refused
    assert [operation for operation, message in refused.items() if operation not in message] == []
