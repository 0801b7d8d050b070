"""Statements that change the catalog or write objects: what a person or dbt-athena sends, and what comes of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from localaws.athena import catalog, statements
from localaws.athena.create_table_as import Destination
from localaws.athena.errors import QueryError
from pipelines.account.clients import Clients
from tests.support.lake import Lake

BEERS = (
    "SELECT * FROM (VALUES (1, 'IPA', 60.5, date '2026-11-20'), (2, 'Stout', 35.0, date '2026-11-21')) "
    "b(id, name, ibu, dt)"
)
PLACED = "external_location = '{bucket}gold/t'"


@pytest.fixture
def lake(clients: Clients) -> Lake:
    return Lake(clients)


# In order: statement -> its rows, or the beginning of the reason for which it fails.
VIEWS: dict[str, Any] = {
    f"CREATE VIEW styles AS {BEERS}": [],
    "CREATE VIEW styles AS SELECT 1 AS one": "ALREADY_EXISTS: line 1:1: View already exists",
    'CREATE OR REPLACE VIEW "awsdatacatalog"."{db}"."strong" AS '
    "SELECT name, ibu / 2 AS half FROM styles WHERE ibu > 40": [],
    'SELECT * FROM "awsdatacatalog"."{db}"."strong"': [["IPA", "30.3"]],
    "SELECT count(*) FROM {db}.strong s JOIN styles t ON s.name = t.name": [["1"]],
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = '{db}' ORDER BY 1": [
        ["strong", "VIEW"],
        ["styles", "VIEW"],
    ],
    "SELECT column_name, ordinal_position, data_type FROM information_schema.columns WHERE table_schema = '{db}' "
    "AND table_name = 'styles' ORDER BY ordinal_position": [
        ["id", "1", "integer"],
        ["name", "2", "varchar"],
        ["ibu", "3", "decimal(3,1)"],
        ["dt", "4", "date"],
    ],
    "SELECT count(*) FROM information_schema.schemata WHERE schema_name IN ('{db}', 'information_schema')": [["2"]],
    "SHOW VIEWS IN {db}": [["strong"], ["styles"]],
    "SHOW CREATE VIEW strong": [
        ["CREATE VIEW {db}.strong AS"],
        ["SELECT"],
        ["  name,"],
        ["  ibu / 2 AS half"],
        ["FROM styles"],
        ["WHERE"],
        ["  ibu > 40"],
    ],
    "SHOW COLUMNS IN strong": [["name"], ["half"]],
    "DROP TABLE styles": "FAILED: SemanticException Cannot drop a view with DROP TABLE",
    "INSERT INTO styles SELECT 1": "NOT_SUPPORTED: Inserting into views is not supported",
    f"CREATE OR REPLACE VIEW styles AS SELECT name FROM ({BEERS})": [],
    "SELECT * FROM strong": 'column "ibu" not found',
    "CREATE OR REPLACE VIEW styles AS SELECT name, ibu * 1e0 AS ibu FROM (" + BEERS + ")": [],
    "SELECT * FROM strong ": "VIEW_IS_STALE: line 1:1: View 'awsdatacatalog.{db}.strong' is stale",
    'CREATE VIEW "a-b" AS SELECT 1 AS one': "INVALID_TABLE_NAME",
    "CREATE VIEW unnamed AS SELECT count(*) FROM styles": "MISSING_COLUMN_NAME: line 1:1: Column name not specified",
    "CREATE VIEW twice AS SELECT 1 AS a, 2 AS a": "DUPLICATE_COLUMN_NAME: line 1:1: Column name 'a' specified",
    "CREATE VIEW unknown AS SELECT NULL AS a": "COLUMN_TYPE_UNKNOWN",
    "CREATE VIEW elsewhere.v AS SELECT 1 AS a": "SCHEMA_NOT_FOUND: line 1:1: Schema elsewhere not found",
    "CREATE VIEW hive.{db}.v AS SELECT 1 AS a": "CATALOG_NOT_FOUND: line 1:1: Catalog 'hive' not found",
    "DROP VIEW IF EXISTS strong": [],
    "DROP VIEW IF EXISTS strong ": [],
    "DROP VIEW strong": "VIEW_NOT_FOUND: line 1:1: View 'awsdatacatalog.{db}.strong' does not exist",
}
TABLES: dict[str, Any] = {
    f"CREATE TABLE t WITH (table_type = 'hive', is_external = true, {PLACED}, partitioned_by = ARRAY['dt'], "
    f"format = 'parquet') AS {BEERS}": [],
    "SELECT * FROM t ORDER BY id": [["1", "IPA", "60.5", "2026-11-20"], ["2", "Stout", "35.0", "2026-11-21"]],
    "SHOW PARTITIONS t": [["dt=2026-11-20"], ["dt=2026-11-21"]],
    "DESCRIBE t": [
        ["id                  \tint                 \t                    "],
        ["name                \tstring              \t                    "],
        ["ibu                 \tdecimal(3,1)        \t                    "],
        ["dt                  \tdate                \t                    "],
        [""],
        ["# Partition Information"],
        ["# col_name          \tdata_type           \tcomment             "],
        [""],
        ["dt                  \tdate                \t                    "],
    ],
    "ALTER TABLE t SET TBLPROPERTIES ('classification' = 'parquet')": [],
    f"CREATE TABLE t AS {BEERS}": "TABLE_ALREADY_EXISTS: line 1:1: Table 'awsdatacatalog.{db}.t' already exists",
    f"CREATE TABLE IF NOT EXISTS t AS {BEERS}": [],
    "INSERT INTO t (name, id, dt) SELECT 'Porter', 3, date '2026-11-20'": [],
    "INSERT INTO t SELECT 'Porter', 3, 1.5, date '2026-11-20'": "TYPE_MISMATCH: line 1:1: Insert query has mismatched",
    "INSERT INTO t VALUES (4, 'Ale', 1.5)": "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types",
    "INSERT INTO t (style) VALUES ('Ale')": "COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target",
    "SELECT id, ibu FROM t WHERE dt = date '2026-11-20' ORDER BY id": [["1", "60.5"], ["3", None]],
    "ALTER TABLE t DROP PARTITION (dt = '2026-11-20')": [],
    "SELECT id FROM t": [["2"]],
    "MSCK REPAIR TABLE t": [
        ["Partitions not in metastore:\tt:dt=2026-11-20/"],
        ["Repair: Added partition to metastore t:dt=2026-11-20/"],
    ],
    "SELECT count(*) FROM t": [["3"]],
    'SELECT count(DISTINCT "$path") FROM t': [["3"]],
    "ALTER TABLE t DROP IF EXISTS PARTITION (dt = '2026-01-01')": [],
    "DROP TABLE t": [],
    "DROP TABLE t ": "FAILED: SemanticException [Error 10001]: Table not found {db}.t",
    "DROP TABLE IF EXISTS t": [],
    # The files stay, and stand in the way of the next table.
    f"CREATE TABLE t WITH ({PLACED}) AS {BEERS} ": "HIVE_PATH_ALREADY_EXISTS: Target directory for table",
    "CREATE TABLE u WITH (format = 'TEXTFILE', field_delimiter = ',') AS "
    "SELECT 1 AS a, 'x' AS b, NULLIF('', '') AS c": [],
    "SELECT *, c IS NULL FROM u": [["1", "x", None, "true"]],
    "CREATE TABLE empty AS SELECT 1 AS a WITH NO DATA": [],
    "SELECT count(*) FROM empty": [["0"]],
    "SHOW TABLES": [["empty"], ["u"]],
}
FILES: dict[str, Any] = {
    "CREATE EXTERNAL TABLE seed (id string, `name` string) ROW FORMAT SERDE "
    "'org.apache.hadoop.hive.serde2.OpenCSVSerde' LOCATION '{bucket}seed/' "
    "TBLPROPERTIES ('skip.header.line.count' = '1')": [],
    "SELECT * FROM seed": [["1", "Ale, old"], ["2", ""]],
    "CREATE EXTERNAL TABLE text (a int, b double, c string) PARTITIONED BY (h string) LOCATION '{bucket}text/'": [],
    "SELECT count(*) FROM text": [["0"]],
    "ALTER TABLE text ADD IF NOT EXISTS PARTITION (h = '1') LOCATION '{bucket}text/one/' PARTITION (h = '2')": [],
    "SELECT * FROM text ORDER BY h, a": [["1", "1.5", '"x"', "1"], ["2", None, None, "1"], ["3", "0.0", "y", "2"]],
    "CREATE EXTERNAL TABLE seed (id string) LOCATION '{bucket}seed/'": "FAILED: Execution Error. AlreadyExists",
    "CREATE EXTERNAL TABLE \"q\" (id string) LOCATION '{bucket}seed/'": "FAILED: ParseException line 1:22 cannot",
    "CREATE EXTERNAL TABLE nowhere (id string)": "FAILED: SemanticException: No location was specified",
    "CREATE EXTERNAL TABLE orc (id string) STORED AS ORC LOCATION '{bucket}orc/'": [],
    "SELECT * FROM orc": "NOT_SUPPORTED: The local Athena does not read tables of org.apache.hadoop.hive.ql.io.orc.Orc",
    "INSERT INTO seed VALUES ('3', 'Ale')": "NOT_SUPPORTED: The local Athena inserts into Parquet and text tables",
    "CREATE SCHEMA IF NOT EXISTS `awsdatacatalog`.`{db}_gold`": [],
    "CREATE DATABASE {db}_gold": "FAILED: Execution Error. AlreadyExistsException: Database {db}_gold already exists",
    "CREATE VIEW {db}_gold.v AS SELECT * FROM seed": [],
    "SELECT count(*) FROM {db}_gold.v": [["2"]],
    "DROP SCHEMA {db}_gold": "FAILED: Execution Error. InvalidOperationException: Database {db}_gold is not empty",
    "DROP SCHEMA IF EXISTS `{db}_gold` CASCADE": [],
    "SHOW TABLES IN {db}_gold": "FAILED: SemanticException [Error 10072]: Database does not exist: {db}_gold",
}
REFUSED: dict[str, Any] = {
    f"CREATE TABLE t WITH (table_type = 'ICEBERG', is_external = false) AS {BEERS}": "creates Hive tables, not Iceberg",
    f"CREATE TABLE t WITH (format = 'ORC') AS {BEERS}": "writes PARQUET and TEXTFILE, not ORC",
    f"CREATE TABLE t WITH (bucketed_by = ARRAY['id'], bucket_count = 3) AS {BEERS}": "table property bucket",
    f"CREATE TABLE t WITH (colour = 'red') AS {BEERS}": "table property 'colour' does not exist",
    f"CREATE TABLE t WITH (partitioned_by = ARRAY['id']) AS {BEERS}": "HIVE_COLUMN_ORDER_MISMATCH",
    "CREATE TABLE t AS SELECT current_timestamp AS at": "Unsupported Hive type: timestamp(3) with time zone",
    "CREATE TABLE t AS SELECT ARRAY[1] AS a": "Unsupported Hive type",
    f"CREATE OR REPLACE TABLE t AS {BEERS}": "does not run CREATE TABLE",
    "CREATE TABLE t (a int) LOCATION 's3://b/t/' TBLPROPERTIES ('table_type' = 'ICEBERG')": "no Iceberg tables",
    "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE": "does not run MERGE",
    "DELETE FROM t": "does not run DELETE",
    "UPDATE t SET a = 1": "does not run UPDATE",
    "OPTIMIZE t REWRITE DATA USING BIN_PACK": "does not run OPTIMIZE",
    "VACUUM t": "does not run VACUUM",
    "TRUNCATE TABLE t": "does not run TRUNCATE",
    "EXPLAIN SELECT 1": "does not run EXPLAIN",
    "PREPARE q FROM SELECT 1": "does not run PREPARE",
    "SHOW CREATE TABLE t": "does not run SHOW CREATE TABLE",
    "SELECT * FROM information_schema.tables FOR TIMESTAMP AS OF current_timestamp": "NOT_SUPPORTED",
    "UNLOAD (SELECT 1 AS a) TO '{bucket}u/' WITH (format = 'PARQUET', partitioned_by = ARRAY['a'])": "without",
    "UNLOAD (SELECT 1 AS a) TO '{bucket}u/' WITH (format = 'ORC')": "PARQUET only",
    "CREATE VIEW w (a) AS SELECT 1": "without column names",
    "SELECT 1; SELECT 2": "Only one sql statement is allowed",
    "COPY (SELECT 1) TO '/tmp/x'": "does not run COPY",
    "INSTALL httpfs": "does not run",
    "PRAGMA database_list": "does not run",
    "SET threads = 1": "does not run SET",
}


class Catalog:
    """A Glue database in this process, for statements that touch no object."""

    name = "statements"

    def rows(self, text: str) -> Any:
        """As Lake.rows."""
        filled = text.replace("{bucket}", "s3://bucket/").replace("{db}", self.name)
        try:
            found = statements.run(filled, self.name, Destination("query", "s3://bucket/results", False))
        except QueryError as error:
            return str(error).replace(self.name, "{db}")
        return [[None if cell is None else str(cell) for cell in row] for row in found.rows]


@pytest.fixture
def catalogue() -> Iterator[Catalog]:
    catalog.call("create_database", {"DatabaseInput": {"Name": Catalog.name}})
    yield Catalog()
    catalog.call("delete_database", {"Name": Catalog.name})


def _run(lake: Lake | Catalog, script: dict[str, Any]) -> dict[str, Any]:
    """Statement -> its rows, or its reason; of a reason the expected piece, where it is in it."""
    found = {}
    for statement, expected in script.items():
        result = lake.rows(statement)
        if isinstance(result, str) and isinstance(expected, str):
            result = expected if expected in result else result
        elif isinstance(result, list):
            result = [[cell and cell.replace(lake.name, "{db}") for cell in row] for row in result]
        found[statement] = result
    return found


def test_views_are_stored_in_glue_and_queried_through(catalogue: Catalog) -> None:
    assert _run(catalogue, VIEWS) == VIEWS


def test_a_table_of_a_query_lives_through_inserts_partitions_and_repairs(lake: Lake) -> None:
    assert _run(lake, TABLES) == TABLES


def test_tables_over_files_are_read_as_their_serde_reads_them(lake: Lake) -> None:
    lake.put("seed/beers.csv", 'id,name\n1,"Ale, old"\n2,\n')
    lake.put("text/one/a", '1\x011.5\x01"x"\n2\x01sour\x01\\N\n')
    lake.put("text/h=2/b", "3\x010\x01y\n")
    lake.put("text/h=3/c", "9\x010\x01not registered\n")
    assert _run(lake, FILES) == FILES


def test_what_cannot_be_done_is_refused_by_name(catalogue: Catalog) -> None:
    assert _run(catalogue, REFUSED) == REFUSED
    assert catalogue.rows("SHOW TABLES") == []


def test_a_workgroup_that_enforces_its_location_takes_the_files_of_new_tables(lake: Lake) -> None:
    athena = lake.clients.athena
    configuration = {"ResultConfiguration": {"OutputLocation": lake.uri("enforced/")}}
    athena.create_work_group(Name=lake.name, Configuration=configuration)
    placed = f"CREATE TABLE t WITH ({PLACED}) AS {BEERS}".replace("{bucket}", lake.uri(""))
    assert "an Athena Workgroup that enforces" in lake.run(placed, lake.name)["Status"]["StateChangeReason"]
    done = lake.run(f"CREATE TABLE t AS {BEERS}", lake.name)
    table = lake.clients.glue.get_table(DatabaseName=lake.name, Name="t")["Table"]
    assert table["StorageDescriptor"]["Location"] == lake.uri(f"enforced/tables/{done['QueryExecutionId']}/")
    results = athena.get_query_results(QueryExecutionId=done["QueryExecutionId"])
    assert [each["Name"] for each in results["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]] == ["rows"]
    assert (results["UpdateCount"], done["ResultConfiguration"]["OutputLocation"][: len(lake.uri("enforced/"))]) == (
        2,
        lake.uri("enforced/"),
    )
    assert lake.keys("results/") == []


def test_more_than_100_partitions_fail_and_leave_files_behind(lake: Lake) -> None:
    days = "SELECT 1 AS a, n AS day FROM UNNEST(sequence(1, {})) AS s(n)"
    partitioned = "external_location = '{bucket}many/', partitioned_by = ARRAY['day']"
    failed = lake.rows(f"CREATE TABLE many WITH ({partitioned}) AS {days.format(101)}")
    assert failed.startswith(
        "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets."
    )
    assert (len(lake.keys("many/")), lake.rows("SHOW TABLES")) == (100, [])


def test_a_table_has_versions_and_its_partitions_are_found_by_expression(lake: Lake) -> None:
    glue, place = lake.clients.glue, {"DatabaseName": lake.name, "TableName": "t"}
    days = "SELECT 1 AS a, day FROM (VALUES '2026-11-20', '2026-11-21', 'it''s') AS s(day)"
    assert lake.rows(f"CREATE TABLE t WITH (partitioned_by = ARRAY['day']) AS {days}") == []
    assert lake.rows("ALTER TABLE t SET TBLPROPERTIES ('a' = 'b')") == []
    # What GetTable returns can be given to UpdateTable.
    described = glue.get_table(DatabaseName=lake.name, Name="t")["Table"]
    members = ("Name", "Owner", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")
    glue.update_table(DatabaseName=lake.name, TableInput={name: described[name] for name in members}, SkipArchive=True)
    versions = [each["VersionId"] for each in glue.get_table_versions(**place)["TableVersions"]]
    glue.delete_table_version(**place, VersionId="1")
    assert (versions, len(glue.get_table_versions(**place)["TableVersions"])) == (["3", "1"], 1)

    def found(expression: str) -> list[str]:
        return sorted(each["Values"][0] for each in glue.get_partitions(**place, Expression=expression)["Partitions"])

    assert found("day >= '2026-11-21' AND day < 'a' OR day = 'it''s'") == ["2026-11-21", "it's"]
    with pytest.raises(glue.exceptions.InvalidInputException):
        found("day = getenv('HOME')")
    with pytest.raises(glue.exceptions.InvalidInputException):
        found("a = 1")
    values = [{"Values": ["2026-11-20"]}, {"Values": ["missing"]}]
    errors = glue.batch_delete_partition(**place, PartitionsToDelete=values)["Errors"]
    assert [each["PartitionValues"] for each in errors] == [["missing"]]
    moved = {"Values": ["2026-11-21"], "StorageDescriptor": {"Location": lake.uri("empty/")}}
    glue.update_partition(**place, PartitionValueList=["2026-11-21"], PartitionInput=moved)
    assert lake.rows("SELECT day FROM t") == [["it's"]]
    assert lake.rows("ALTER TABLE t SET TBLPROPERTIES ('a' = 'c')") == []
    assert (lake.rows("DROP TABLE t"), lake.rows("CREATE TABLE t AS SELECT 1 AS a")) == ([], [])
    assert len(glue.get_table_versions(**place)["TableVersions"]) == 1
