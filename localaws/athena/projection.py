"""Partition projection: Athena reads the partitions that a table's range names, whatever objects there are.

https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
"""

import datetime
import re
from typing import Any

# The date format that is read here, as Java and as Python write it.
JAVA_DATE, PYTHON_DATE = "yyyy-MM-dd", "%Y-%m-%d"


def enabled(table: dict[str, Any]) -> bool:
    """Whether the table's partitions are computed, not registered."""
    return str((table.get("Parameters") or {}).get("projection.enabled", "")).lower() == "true"


def _template(table: dict[str, Any]) -> str:
    """The location of a partition, with `${key}` for each key's value.

    https://docs.aws.amazon.com/athena/latest/ug/partition-projection-setting-up.html
    """
    keys = [each["Name"] for each in table.get("PartitionKeys") or []]
    location = table["StorageDescriptor"]["Location"].rstrip("/")
    below = "/".join(f"{key}=${{{key}}}" for key in keys)
    return str((table.get("Parameters") or {}).get("storage.location.template") or f"{location}/{below}").rstrip("/")


def root(table: dict[str, Any]) -> str:
    """The folder of all partitions, up to the first one that depends on a key."""
    return _template(table).split("${")[0].rpartition("/")[0] + "/"


def pattern(table: dict[str, Any], key: str = "") -> str:
    """What the objects of partitions match, below the root. key: whose value is the pattern's group."""
    words = re.split(r"\$\{(\w+)\}", _template(table).removeprefix(root(table)))
    # Texts and keys alternate.
    found = [
        re.escape(word) if number % 2 == 0 else "([^/]*)" if word == key else "[^/]*"
        for number, word in enumerate(words)
    ]
    return "^" + "".join(found) + "/"


def condition(table: dict[str, Any]) -> str:
    """The WHERE clause of the rows that Athena sees; empty for a table without projection."""
    parameters = table.get("Parameters") or {}
    if not enabled(table):
        return ""
    keys = [each["Name"] for each in table.get("PartitionKeys") or []]
    found = [text for key in keys if (text := _of_key(key, parameters))]
    return f" WHERE {' AND '.join(found)}" if found else ""


def _of_key(key: str, parameters: dict[str, str]) -> str:
    column = '"' + key.replace('"', '""') + '"'
    kind = parameters.get(f"projection.{key}.type", "").lower()
    if kind == "date" and parameters.get(f"projection.{key}.format") == JAVA_DATE:
        since, until = (_date(each) for each in parameters[f"projection.{key}.range"].split(",", 1))
        return f"TRY_CAST({column} AS DATE) BETWEEN DATE '{since}' AND DATE '{until}'"
    if kind == "integer":
        first, last = (int(each) for each in parameters[f"projection.{key}.range"].split(",", 1))
        return f"TRY_CAST({column} AS BIGINT) BETWEEN {first} AND {last}"
    if kind == "enum":
        values = (each.strip().replace("'", "''") for each in parameters[f"projection.{key}.values"].split(","))
        listed = "', '".join(values)
        return f"{column} IN ('{listed}')"
    return ""


def _date(text: str) -> str:
    """A bound of a range: a date, NOW, or NOW-30DAYS."""
    text = text.strip().upper()
    if not text.startswith("NOW"):
        return datetime.datetime.strptime(text, PYTHON_DATE).date().isoformat()
    now = datetime.datetime.now(datetime.UTC).date()
    offset = text.removeprefix("NOW").removesuffix("DAYS").removesuffix("DAY")
    return (now + datetime.timedelta(days=int(offset or 0))).isoformat()
