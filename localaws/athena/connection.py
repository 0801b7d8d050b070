"""A DuckDB connection for one statement, in which the Glue tables and views that it names are views."""

import shutil
import tempfile
from typing import Any

from localaws.athena import catalog, dialect, information_schema, projection, results, rewrites, views
from localaws.athena.errors import QueryError
from localaws.athena.tables import Reader, identifier, quoted


class Connection:
    """Reads the tables' own files and nothing else of this machine. database: for names without one."""

    def __init__(self, database: str) -> None:
        import duckdb

        self.database = database
        self.duckdb = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
        # Two of the statement's own threads: MiniStack, the Lambdas and the steps want the rest.
        self.duckdb.execute("SET threads = 2")
        # DuckDB 2.0's type_pushdown makes TRY_CAST over a CSV strict.
        self.duckdb.execute("SET disabled_optimizers = 'type_pushdown'")
        self.duckdb.execute("SET TimeZone = 'UTC'")
        for macro in rewrites.MACROS:
            self.duckdb.execute(f"CREATE MACRO {macro}")
        # What is written lies in the first folder, what is read in the others.
        self.folders: list[str] = [tempfile.mkdtemp(prefix="athena-")]
        self._reader = Reader(self.duckdb, self.folders)
        self._open_views: list[str] = []

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.duckdb.close()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def translate(self, query: Any) -> str:
        """A parsed query in DuckDB's dialect, its tables made into views on the way."""
        statement = dialect.translate(query, self.database, self._columns)
        self._lock()
        # A sum is a HUGEINT to DuckDB and a bigint to Athena.
        wide = [name for name, kind in self.describe(statement) if kind == "HUGEINT"]
        if not wide:
            return statement
        casts = ", ".join(f"CAST({identifier(name)} AS BIGINT) AS {identifier(name)}" for name in wide)
        return f"SELECT * REPLACE ({casts}) FROM ({statement})"

    def describe(self, statement: str) -> list[tuple[str, str]]:
        """(name, DuckDB's type) of the columns of a translated query."""
        return [(name, kind) for name, kind, *_ in self.execute(f"DESCRIBE {statement}").fetchall()]

    def _lock(self) -> None:
        """From here on the statement reads nothing but the tables' own files."""
        folders = ", ".join(quoted(each) for each in self.folders)
        for setting in (
            f"allowed_directories = [{folders}]",
            "python_enable_replacements = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self.execute(f"SET {setting}")

    def select(self, query: Any) -> results.Result:
        """Run a parsed query and return all its rows."""
        result = self.execute(self.translate(query))
        described = result.description or []
        return results.Result(
            [each[0] for each in described],
            [results.kind(str(each[1])) for each in described],
            [[results.text(value) for value in row] for row in result.fetchall()],
        )

    def execute(self, statement: str) -> Any:
        """Run a DuckDB statement; a failure becomes a QueryError."""
        import duckdb

        try:
            return self.duckdb.execute(statement)
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0]) from error

    def _columns(self, database: str, name: str) -> dict[str, str]:
        """The columns of a table, which is a DuckDB view from here on; of a Glue table `$path` is among them."""
        if database == dialect.INFORMATION_SCHEMA:
            relation = information_schema.relation(name, self.duckdb)
        elif catalog.is_view(table := catalog.table(database, name)):
            relation = self._view(table)
        else:
            relation = f"SELECT * FROM ({self._reader.rows(table)}){projection.condition(table)}"
        place = f"{identifier(database)}.{identifier(name)}"
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(database)}")
        self.execute(f"CREATE OR REPLACE VIEW {place} AS {relation}")
        return dict(self.describe(f"SELECT * FROM {place}"))

    def _view(self, table: catalog.Table) -> str:
        """A view's query, with the columns and types it had when it was made."""
        place = f"{table['DatabaseName']}.{table['Name']}"
        if place in self._open_views:
            raise QueryError(f"VIEW_IS_RECURSIVE: View 'awsdatacatalog.{place}' is recursive")
        self._open_views.append(place)
        definition = views.definition(table)
        statement = dialect.translate(dialect.parse(definition["originalSql"]), definition["schema"], self._columns)
        self._open_views.remove(place)
        return views.relation(place, definition, statement, self.describe(statement))
