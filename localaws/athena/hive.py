"""The statements that Athena gives to Hive: definitions of databases, tables and partitions, SHOW, DESCRIBE.

They quote names with backticks. https://docs.aws.amazon.com/athena/latest/ug/ddl-reference.html
"""

from collections.abc import Callable
from typing import Any

from localaws.athena import catalog, information_schema, tables, views
from localaws.athena.errors import QueryError
from localaws.athena.results import NOTHING, Result, lines
from localaws.ministack import patches

# Called with MiniStack's cursor behind a statement's first words, and the database.
Run = Callable[[Any, str], Result]


def find(text: str) -> tuple[Run, Any] | None:
    """What runs a statement of Hive's, and the cursor for it; None for a statement of another kind."""
    athena = patches.module("services.athena")
    cursor = athena._Cursor(text)
    if cursor.tokens and cursor.tokens[-1][:2] == ("punct", ";"):
        cursor.tokens.pop()
    run = next((run for words, run in STATEMENTS.items() if cursor.keywords(*words.split())), None)
    if run is None and (definition := athena._parse_ddl(text)) is not None:
        run, cursor = _create_table, definition
    if run is None:
        return None
    double = next((each for each in athena._sql_tokens(text) if each[0] == "qname" and text[each[2]] == '"'), None)
    if double:
        raise QueryError(f"""FAILED: ParseException line 1:{double[2]} cannot recognize input near '"{double[1]}"'""")
    return run, cursor


def _end(cursor: Any) -> None:
    if not cursor.at_end():
        _, text, start, _ = cursor.peek()
        raise QueryError(f"FAILED: ParseException line 1:{start} mismatched input '{text}' expecting EOF")


def _need(found: Any, what: str) -> Any:
    if found is None or found is False:
        raise QueryError(f"FAILED: ParseException line 1:0 missing {what}")
    return found


def _name(cursor: Any, database: str) -> tuple[str, str]:
    """(database, name) of a table."""
    home, name = _need(cursor.dotted_name(2), "the table's name")
    return (home or database).lower(), name.lower()


def _table(cursor: Any, database: str) -> catalog.Table:
    home, name = _name(cursor, database)
    found = catalog.find(home, name)
    if found is None:
        raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {home}.{name}")
    return found


def _create_database(cursor: Any, _: str) -> Result:
    exists_already = cursor.keywords("if", "not", "exists")
    name = _database_name(cursor)
    described: dict[str, Any] = {"Name": name}
    if cursor.keywords("comment"):
        described["Description"] = _need(cursor.string(), "the comment")
    if cursor.keywords("location"):
        described["LocationUri"] = _need(cursor.string(), "the location")
    _end(cursor)
    if name in catalog.databases():
        if exists_already:
            return NOTHING
        raise QueryError(f"FAILED: Execution Error. AlreadyExistsException: Database {name} already exists")
    catalog.call("create_database", {"DatabaseInput": described})
    return NOTHING


def _database_name(cursor: Any) -> str:
    home, name = _need(cursor.dotted_name(2), "the database's name")
    if home not in (None, "awsdatacatalog"):
        raise QueryError(f"CATALOG_NOT_FOUND: Catalog '{home}' not found")
    return str(name).lower()


def _drop_database(cursor: Any, _: str) -> Result:
    missing_is_fine = cursor.keywords("if", "exists")
    name = _database_name(cursor)
    cascade = cursor.keywords("cascade") or (cursor.keywords("restrict") and False)
    _end(cursor)
    if name not in catalog.databases():
        if missing_is_fine:
            return NOTHING
        raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}")
    if not cascade and list(catalog.tables(name)):
        raise QueryError(f"FAILED: Execution Error. InvalidOperationException: Database {name} is not empty")
    catalog.call("delete_database", {"Name": name})
    return NOTHING


def _create_table(definition: Any, database: str) -> Result:
    athena = patches.module("services.athena")
    if isinstance(definition, athena._DropTable):
        return _drop(definition.database or database, definition.table, definition.if_exists)
    if definition.iceberg:
        raise QueryError("NOT_SUPPORTED: The local Athena has no Iceberg tables.")
    home, name = (definition.database or database).lower(), definition.table.lower()
    if not definition.location:
        raise QueryError("FAILED: SemanticException: No location was specified for table")
    views.check_name(name)
    described = athena._create_table_input(definition)
    described |= {"Name": name}
    described["StorageDescriptor"]["Location"] = definition.location
    for each in (*described["StorageDescriptor"]["Columns"], *described["PartitionKeys"]):
        each["Name"] = each["Name"].lower()
    if catalog.find(home, name):
        if definition.if_not_exists:
            return NOTHING
        raise QueryError(f"FAILED: Execution Error. AlreadyExistsException: Table {name} already exists")
    catalog.call("create_table", {"DatabaseName": home, "TableInput": described})
    return NOTHING


def _drop_table(cursor: Any, database: str) -> Result:
    missing_is_fine = cursor.keywords("if", "exists")
    home, name = _name(cursor, database)
    _end(cursor)
    return _drop(home, name, missing_is_fine)


def _drop(home: str, name: str, missing_is_fine: bool) -> Result:
    """The files stay, as every table is an external one."""
    found = catalog.find(home.lower(), name.lower())
    if found is None:
        if missing_is_fine:
            return NOTHING
        raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {home}.{name}")
    if catalog.is_view(found):
        raise QueryError(f"FAILED: SemanticException Cannot drop a view with DROP TABLE: {home}.{name}")
    catalog.call("delete_table", {"DatabaseName": home.lower(), "Name": name.lower()})
    return NOTHING


def _alter_table(cursor: Any, database: str) -> Result:
    table = _table(cursor, database)
    if cursor.keywords("set", "tblproperties"):
        properties = _need(patches.module("services.athena")._property_list(cursor), "the properties")
        _end(cursor)
        changed = {**table, "Parameters": {**(table.get("Parameters") or {}), **properties}}
        catalog.call("update_table", {"DatabaseName": table["DatabaseName"], "TableInput": changed})
    elif cursor.keywords("add"):
        _add_partitions(cursor, table, cursor.keywords("if", "not", "exists"))
    elif cursor.keywords("drop"):
        _drop_partitions(cursor, table, cursor.keywords("if", "exists"))
    else:
        raise QueryError("NOT_SUPPORTED: The local Athena alters properties and partitions of tables, nothing else.")
    return NOTHING


def _partition(cursor: Any, table: catalog.Table) -> list[str]:
    """The values of `PARTITION (key = 'value', ...)`, in the table's order."""
    if not cursor.keywords("partition") or not cursor.punct("("):
        raise QueryError("NOT_SUPPORTED: The local Athena alters properties and partitions of tables, nothing else.")
    given: dict[str, str] = {}
    while not cursor.punct(")"):
        name = str(_need(cursor.identifier(), "a partition key")).lower()
        _need(cursor.punct("="), "'='")
        number = cursor.number()
        given[name] = str(number) if number is not None else str(_need(cursor.string(), "a partition's value"))
        cursor.punct(",")
    names = [name for name, _ in catalog.keys(table)]
    if sorted(given) != sorted(names):
        raise QueryError(f"FAILED: SemanticException Partition spec {given} contains other columns than {names}")
    return [given[name] for name in names]


def _add_partitions(cursor: Any, table: catalog.Table, exists_already: bool) -> None:
    known = [each["Values"] for each in catalog.partitions(table)]
    found = []
    while not cursor.at_end():
        values = _partition(cursor, table)
        place = cursor.string() if cursor.keywords("location") else tables.partition_location(table, values)
        if values not in known:
            found.append((values, _need(place, "the location")))
        elif not exists_already:
            raise QueryError(f"FAILED: Execution Error. AlreadyExistsException: Partition already exists: {values}")
    catalog.add_partitions(table, found)


def _drop_partitions(cursor: Any, table: catalog.Table, missing_is_fine: bool) -> None:
    known = [each["Values"] for each in catalog.partitions(table)]
    while not cursor.at_end():
        values = _partition(cursor, table)
        if values not in known and not missing_is_fine:
            raise QueryError(f"FAILED: SemanticException [Error 10006]: Partition not found {values}")
        place = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
        catalog.call("delete_partition", {**place, "PartitionValues": values})
        cursor.punct(",")


def _repair(cursor: Any, database: str) -> Result:
    """MSCK REPAIR TABLE: partitions are added for the folders `key=value/` that have none."""
    table = _table(cursor, database)
    _end(cursor)
    names = [name for name, _ in catalog.keys(table)]
    if not names:
        raise QueryError("FAILED: SemanticException Table is not a partitioned table")
    known = [each["Values"] for each in catalog.partitions(table)]
    found = [values for values in tables.partition_folders(table) if values not in known]
    catalog.add_partitions(table, [(values, tables.partition_location(table, values)) for values in found])
    where = [tables.partition_folder(table, values) for values in found]
    added = [f"Repair: Added partition to metastore {table['Name']}:{each}" for each in where]
    missing = "\t".join(f"{table['Name']}:{each}" for each in where)
    return lines([f"Partitions not in metastore:\t{missing}", *added] if found else [])


def _show_databases(cursor: Any, _: str) -> Result:
    _end(cursor)
    return lines(catalog.databases(), "database_name")


def _show(kind: bool | None) -> Run:
    def show(cursor: Any, database: str) -> Result:
        home = database
        if cursor.keywords("in") or cursor.keywords("from"):
            home = _database_name(cursor)
        _end(cursor)
        if home not in catalog.databases():
            raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {home}")
        found = [each["Name"] for each in catalog.tables(home) if kind is None or catalog.is_view(each) == kind]
        return lines(found, "tab_name")

    return show


def _show_columns(cursor: Any, database: str) -> Result:
    _need(cursor.keywords("in") or cursor.keywords("from"), "IN")
    table = _table(cursor, database)
    _end(cursor)
    return lines([each[0] for each in information_schema.described(table)], "field")


def _show_partitions(cursor: Any, database: str) -> Result:
    table = _table(cursor, database)
    _end(cursor)
    if not catalog.keys(table):
        raise QueryError(f"FAILED: SemanticException [Error 10241]: Table {table['Name']} is not a partitioned table")
    found = sorted(tables.partition_folder(table, each["Values"]).rstrip("/") for each in catalog.partitions(table))
    return lines(found, "partition")


def _show_view(cursor: Any, database: str) -> Result:
    table = _table(cursor, database)
    _end(cursor)
    if not catalog.is_view(table):
        raise QueryError(f"FAILED: SemanticException Not a view: {table['Name']}")
    text = f"CREATE VIEW {table['DatabaseName']}.{table['Name']} AS\n{views.definition(table)['originalSql']}"
    return lines(text.splitlines(), "Create View")


def _describe(cursor: Any, database: str) -> Result:
    """Hive's list: the columns, then the partition keys once more with a heading."""
    table = _table(cursor, database)
    _end(cursor)
    rows = [_described(*each) for each in [*catalog.columns(table), *catalog.keys(table)]]
    if catalog.keys(table):
        rows += ["", "# Partition Information", f"{'# col_name':<20}\t{'data_type':<20}\t{'comment':<20}", ""]
        rows += [_described(*each) for each in catalog.keys(table)]
    return lines(rows, "col_name")


def _described(name: str, kind: str) -> str:
    return f"{name:<20}\t{kind:<20}\t{'':<20}"


def refuse(cursor: Any, _: str) -> Result:
    """Raise QueryError with the statement's first words."""
    words = " ".join(str(each[1]).upper() for each in cursor.tokens[:3] if each[0] == "name")
    raise QueryError(f"NOT_SUPPORTED: The local Athena does not run {words}.")


# First words -> what runs it.
STATEMENTS: dict[str, Run] = {
    "create schema": _create_database,
    "create database": _create_database,
    "drop schema": _drop_database,
    "drop database": _drop_database,
    "drop table": _drop_table,
    "alter table": _alter_table,
    "msck repair table": _repair,
    "show databases": _show_databases,
    "show schemas": _show_databases,
    "show tables": _show(None),
    "show views": _show(True),
    "show columns": _show_columns,
    "show partitions": _show_partitions,
    "show create view": _show_view,
    "show": refuse,
    "describe": _describe,
    "desc": _describe,
}
