"""Athena's SQL on this machine: its own dialect, `"$path"`, UNLOAD, and Step Functions' `.sync`.

MiniStack hands a query to DuckDB as it stands. Here sqlglot reads it in Athena's dialect and writes DuckDB's, the
Glue tables become views with the hidden column `$path`, and UNLOAD writes Parquet to S3 as Athena does.
"""

import asyncio
import contextvars
import re
import shutil
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from localaws.athena import dialect, projection, results
from localaws.athena.csv_cache import CsvCache
from localaws.athena.dialect import QueryError
from localaws.ministack import patches

CACHE = CsvCache()
# Seconds between polls of a query: hundreds of executions that poll often leave the endpoint no time for others.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
UNLOAD = re.compile(
    r"\s*UNLOAD\s*\(\s*(?P<query>.*)\)\s*TO\s*'(?P<target>s3://[^']+)'\s*WITH\s*\((?P<options>[^)]*)\)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
OPTION = re.compile(r"(\w+)\s*=\s*'?([\w-]+)'?")
GLUE_TYPES = {
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "char": "VARCHAR",
    "date": "DATE",
    "double": "DOUBLE",
    "float": "FLOAT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "smallint": "SMALLINT",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "tinyint": "TINYINT",
    "varchar": "VARCHAR",
}


class Athena:
    """Replaces how MiniStack runs queries and adds the optimised integrations of Step Functions."""

    def __init__(self) -> None:
        self._athena: Any = patches.module("services.athena")
        self._tokens: dict[str, tuple[str, str]] = {}
        self._start_query = self._athena._start_query_execution
        self._save_results = self._athena._save_query_results

    def install(self) -> None:
        """Replace MiniStack's names."""
        self._athena._run_duckdb = self._run
        self._athena._start_query_execution = self._start
        self._athena._save_query_results = self._save
        dispatch = patches.module("services.stepfunctions")._SERVICE_DISPATCH
        for action in ("startQueryExecution", "getQueryExecution", "getQueryResults", "stopQueryExecution"):
            dispatch[f"arn:aws:states:::athena:{action}"] = self._integration

    def start(self) -> None:
        """Import what the first query needs while nobody waits for it."""
        threading.Thread(target=_import_engines, daemon=True).start()

    def close(self) -> None:
        """Nothing is held."""

    def _start(self, request: dict[str, Any]) -> Any:
        """StartQueryExecution; the same ClientRequestToken is the same query, with other text an error."""
        import json

        from ministack.core.responses import error_response_json, json_response

        token = request.get("ClientRequestToken")
        text = request.get("QueryString", "")
        if token in self._tokens and self._tokens[token][1] in self._athena._executions:
            earlier_text, identifier = self._tokens[token]
            if earlier_text != text:
                message = "Idempotent parameters do not match"
                return error_response_json("InvalidRequestException", message, 400)
            return json_response({"QueryExecutionId": identifier})
        answer = self._start_query(request)
        if token and answer[0] == 200:
            self._tokens[token] = (text, json.loads(answer[2])["QueryExecutionId"])
        return answer

    async def _run(self, query: str, database: str, catalog: str | None = None) -> dict[str, Any]:
        context = contextvars.copy_context()
        return await asyncio.to_thread(context.run, run_query, query, database)

    async def _save(self, query_id: str) -> None:
        """Results go to the object that OutputLocation names; MiniStack takes it for a folder."""
        configuration = self._athena._executions.get(query_id)["ResultConfiguration"]
        address = configuration["OutputLocation"]
        configuration["OutputLocation"] = address.rpartition("/")[0] + "/"
        try:
            await self._save_results(query_id)
        finally:
            configuration["OutputLocation"] = address

    def _integration(self, resource: str, request: dict[str, Any]) -> Any:
        """arn:aws:states:::athena:<action>[.sync]; .sync waits for the query's end and fails with it."""
        stepfunctions = patches.module("services.stepfunctions")
        action = resource.rpartition(":")[2]
        info = stepfunctions._AWS_SDK_SERVICE_MAP["athena"]

        def call(name: str, arguments: dict[str, Any]) -> Any:
            return stepfunctions._dispatch_aws_sdk_json(info, "athena", name, arguments)

        answer = call(action.removesuffix(".sync"), request)
        if not action.endswith(".sync"):
            return answer
        pause = FIRST_PAUSE
        while True:
            described = call("getQueryExecution", {"QueryExecutionId": answer["QueryExecutionId"]})
            status = described["QueryExecution"]["Status"]
            if status["State"] == "SUCCEEDED":
                return described
            if status["State"] in ("FAILED", "CANCELLED"):
                raise stepfunctions._ExecutionError("States.TaskFailed", status.get("StateChangeReason", ""))
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def run_query(query: str, database: str) -> dict[str, Any]:
    """Run one statement; returns MiniStack's result form: columns, column_types, rows."""
    unload = UNLOAD.fullmatch(query)
    with _Connection(database) as connection:
        if unload:
            _unload(connection, unload)
            return {"columns": [], "column_types": [], "rows": []}
        return connection.select(query)


def _import_engines() -> None:
    import duckdb  # noqa: F401
    import sqlglot.dialects.athena  # noqa: F401


class _Connection:
    """A DuckDB connection in which the Glue tables a query names are views."""

    def __init__(self, database: str) -> None:
        import duckdb

        self.database = database
        self.duckdb = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
        # Two of the statement's own threads: MiniStack, the Lambdas and the steps want the rest.
        self.duckdb.execute("SET threads = 2")
        # DuckDB 2.0's type_pushdown makes TRY_CAST over a CSV strict.
        self.duckdb.execute("SET disabled_optimizers = 'type_pushdown'")
        self.duckdb.execute("SET TimeZone = 'UTC'")
        for macro in dialect.MACROS:
            self.duckdb.execute(f"CREATE MACRO {macro}")
        self.folders: list[str] = [tempfile.mkdtemp(prefix="athena-")]

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.duckdb.close()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def translate(self, query: str) -> str:
        """The statement in DuckDB's dialect, its tables made into views on the way."""
        statement = dialect.translate(query, self.database, self._columns)
        self._lock()
        # A sum is a HUGEINT to DuckDB and a bigint to Athena.
        described = self.execute(f"DESCRIBE {statement}").fetchall()
        wide = [name for name, kind, *_ in described if kind == "HUGEINT"]
        if not wide:
            return statement
        casts = ", ".join(f"CAST({_identifier(name)} AS BIGINT) AS {_identifier(name)}" for name in wide)
        return f"SELECT * REPLACE ({casts}) FROM ({statement})"

    def _lock(self) -> None:
        """From here on the statement reads nothing but the tables' own files."""
        folders = ", ".join(_quoted(each) for each in self.folders)
        for setting in (
            f"allowed_directories = [{folders}]",
            "python_enable_replacements = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self.execute(f"SET {setting}")

    def select(self, query: str) -> dict[str, Any]:
        """Run a SELECT and return all its rows."""
        result = self.execute(self.translate(query))
        described = result.description or []
        return {
            "columns": [each[0] for each in described],
            "column_types": [results.kind(str(each[1])) for each in described],
            "rows": [[results.text(value) for value in row] for row in result.fetchall()],
        }

    def execute(self, statement: str) -> Any:
        """Run a DuckDB statement; a failure becomes a QueryError."""
        import duckdb

        try:
            return self.duckdb.execute(statement)
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0]) from error

    def _columns(self, database: str, name: str) -> dict[str, str]:
        """The columns of a Glue table, which is a view from here on; `$path` is among them."""
        table = patches.module("services.glue")._tables.get(f"{database}/{name}")
        if table is None:
            raise QueryError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{name}' does not exist")
        location = table["StorageDescriptor"]["Location"]
        if _is_parquet(table["StorageDescriptor"]):
            relation = _relation(table, self._athena_files(location), location)
        else:
            relation = self._csv_relation(table, location)
        view = f"{_identifier(database)}.{_identifier(name)}"
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(database)}")
        self.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM ({relation}){projection.condition(table)}")
        return {column: kind for column, kind, *_ in self.execute(f"DESCRIBE {view}").fetchall()}

    def _csv_relation(self, table: dict[str, Any], location: str) -> str:
        """A SELECT over a CSV table's rows: its columns, its partition keys from the paths, and `$path`."""
        storage = table["StorageDescriptor"]
        columns = [(each["Name"], each.get("Type", "string")) for each in storage["Columns"]]
        rows = f"rows_{uuid.uuid4().hex}"
        options = _csv_options(len(columns), storage.get("SerdeInfo") or {})
        self.duckdb.register(rows, CACHE.rows(location, options, len(columns)))
        chosen = _csv_columns(columns)
        keys = [each["Name"] for each in table.get("PartitionKeys") or []]
        chosen += [_partition("'/' || key", each) for each in keys]
        chosen.append(f'{_quoted(location.rstrip("/") + "/")} || key AS "$path"')
        return f"SELECT {', '.join(chosen)} FROM {rows}"

    def _athena_files(self, location: str) -> list[str]:
        materialise = patches.module("services.athena")._materialize_table_files
        found: list[str] = materialise(location, self.folders)
        return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _partition(path: str, key: str) -> str:
    """The value of a partition key in an object's path: `dt=2026-11-20` is `2026-11-20`."""
    return f"regexp_extract({path}, {_quoted(f'/{re.escape(key)}=([^/]*)/')}, 1) AS {_identifier(key)}"


def _relation(table: dict[str, Any], files: list[str], location: str) -> str:
    """A SELECT over the files of a Parquet table, as `_csv_relation`."""
    storage = table["StorageDescriptor"]
    columns = [(each["Name"], each.get("Type", "string")) for each in storage["Columns"]]
    keys = [each["Name"] for each in table.get("PartitionKeys") or []]
    if not files:
        empty = [f"CAST(NULL AS {_duckdb_type(kind)}) AS {_identifier(name)}" for name, kind in columns]
        empty += [f"CAST(NULL AS VARCHAR) AS {_identifier(name)}" for name in [*keys, "$path"]]
        return f"SELECT {', '.join(empty)} WHERE false"
    listed = "[" + ", ".join(_quoted(path) for path in files) + "]"
    reader = f"read_parquet({listed}, filename = true, union_by_name = true, hive_partitioning = false)"
    chosen = [_identifier(name) for name, _ in columns]
    # `dt=2026-11-20` in the object's key is the partition's value.
    chosen += [_partition("filename", each) for each in keys]
    root = str(Path(files[0]).parents[_depth(files[0])])
    prefix = location.rstrip("/")
    chosen.append(f'{_quoted(prefix)} || substr(filename, {len(root) + 1}) AS "$path"')
    return f"SELECT {', '.join(chosen)} FROM {reader}"


def _depth(path: str) -> int:
    """How many folders lie between a materialised file and its root (`.../ministack-athena-xyz/`)."""
    parents = Path(path).parents
    return next(index for index, parent in enumerate(parents) if parent.name.startswith("ministack-athena-"))


def _is_parquet(storage: dict[str, Any]) -> bool:
    library = (storage.get("SerdeInfo") or {}).get("SerializationLibrary", "")
    return "parquet" in library.lower() or "parquet" in storage.get("InputFormat", "").lower()


def _csv_options(columns: int, serde: dict[str, Any]) -> str:
    """OpenCSVSerDe: every field is text, an empty field is '' (Athena gives NULL only where a line is short)."""
    parameters = serde.get("Parameters") or {}
    delimiter = parameters.get("separatorChar", parameters.get("field.delim", ","))
    quote = parameters.get("quoteChar", '"')
    schema = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(columns))
    return (
        f"auto_detect = false, header = false, delim = {_quoted(delimiter)}, "
        f"quote = {_quoted(quote)}, escape = {_quoted(quote)}, columns = {{{schema}}}, null_padding = true, "
        "strict_mode = false"
    )


def _csv_columns(columns: list[tuple[str, str]]) -> list[str]:
    chosen = []
    for index, (name, kind) in enumerate(columns):
        text = f"coalesce(c{index}, '')"
        value = text if _duckdb_type(kind) == "VARCHAR" else f"CAST(c{index} AS {_duckdb_type(kind)})"
        chosen.append(f"{value} AS {_identifier(name)}")
    return chosen


def _duckdb_type(kind: str) -> str:
    """A Glue column's type in DuckDB; QueryError for one that is not read here."""
    name = kind.lower().partition("(")[0].strip()
    if name == "decimal":
        return kind.upper()
    try:
        return GLUE_TYPES[name]
    except KeyError as error:
        raise QueryError(f"NOT_SUPPORTED: The local Athena does not read columns of type {kind}.") from error


def _unload(connection: _Connection, match: re.Match[str]) -> None:
    """UNLOAD: the query's rows as one Parquet object below the target, which must be empty."""
    from localaws.sagemaker.s3 import client, keys_under, split

    target = match["target"].rstrip("/") + "/"
    options = {name.lower(): value.upper() for name, value in OPTION.findall(match["options"])}
    if options.get("format") != "PARQUET":
        raise QueryError("The local Athena unloads as PARQUET only: WITH (format = 'PARQUET').")
    if keys_under(target):
        raise QueryError(f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{target}' already exists")
    path = Path(connection.folders[0]) / "part"
    statement = connection.translate(match["query"])
    compression = options.get("compression", "GZIP").lower()
    connection.execute(f"COPY ({statement}) TO {_quoted(str(path))} (FORMAT parquet, COMPRESSION {compression})")
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    bucket, key = split(f"{target}{stamp}_{uuid.uuid4()}")
    client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
