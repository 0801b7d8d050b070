"""The SQL on the cleaned table, in Athena's dialect.

The table has no column with a time. The time of delivery is part of the object's name, which Firehose writes as
`<stream>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid>` (https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html);
Athena's `"$path"` has it. Step Functions fills in `{}`, CloudFormation `${...}`.
"""

from ingestion import record

# No braces, which States.Format would take for places; `20` excludes a stream's version number.
STAMP = "-".join(["20[0-9][0-9]", *["[0-9][0-9]"] * 5])
# https://trino.io/docs/current/functions/datetime.html#mysql-date-functions
STAMP_FORMAT = "%Y-%m-%d-%H-%i-%s"
# Of a file with another name (a backfill) the time is '', before all others. Without a match Athena's regexp_extract is
# NULL, DuckDB's ''. https://trino.io/docs/current/functions/regexp.html
DELIVERED = f"coalesce(regexp_extract(\"$path\", '{STAMP}'), '')"
TABLE = '"${GlueDatabase}"."${GlueTable}"'


def typed(column: record.Column) -> str:
    """A column as the snapshot has it: an empty CSV field is a missing number."""
    if column.kind == "text":
        return column.name
    kind = "bigint" if column.kind == "integer" else "double"
    return f"{number(column.name, kind)} AS {column.name}"


def number(name: str, kind: str) -> str:
    """A numeric column, NULL where it is empty or no number."""
    return f"TRY_CAST(NULLIF(CAST({name} AS varchar), '') AS {kind})"


def delivered_at(stamp: str) -> str:
    """A delivery's time as a timestamp, NULL for ''."""
    return f"date_parse(nullif({stamp}, ''), '{STAMP_FORMAT}')"


def by_values() -> str:
    """The order of a beer's rows that were delivered at the same time."""
    return ", ".join(f"{name} NULLS LAST" for name in record.NAMES[1:])


def figures() -> str:
    """The query of which the state machine decides: one row (beers, labelled, new_beers, rows, cut_off, minutes).

    Filled with: distinct beers that the latest run knew, start of the latest run (ISO 8601). In a table to which rows
    are only added, the newest delivery and the number of rows identify the content.
    """
    label = next(column.name for column in record.COLUMNS if column.role == "label")
    return f"""
SELECT count(DISTINCT id) AS beers,
       count(DISTINCT CASE WHEN {number(label, "double")} IS NOT NULL THEN id END) AS labelled,
       count(DISTINCT id) - {{}} AS new_beers,
       count(*) AS rows,
       coalesce(NULLIF(max({DELIVERED}), ''), 'none') AS cut_off,
       date_diff('minute', from_iso8601_timestamp('{{}}'), current_timestamp) AS minutes
FROM {TABLE}
"""


def unload(*more: str) -> str:
    """The statement that writes a snapshot: the latest row of every beer, as Parquet.

    more: columns beside the table's: `delivered` of the row, `arrived` of the beer's first row (YYYY-MM-DD-HH-MM-SS).
    Filled with: cut-off, name of the snapshot. Rows of the same time are ordered by their values, so that the same rows
    always give the same snapshot. The target must be empty, and a failed UNLOAD leaves its files there:
    https://docs.aws.amazon.com/athena/latest/ug/unload.html
    """
    arrived = ", min(delivered) OVER (PARTITION BY id) AS arrived" if "arrived" in more else ""
    return f"""
UNLOAD (
  SELECT {", ".join([*(typed(column) for column in record.COLUMNS), *more])}
  FROM (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY delivered DESC, {by_values()}) AS place{arrived}
    FROM (SELECT *, {DELIVERED} AS delivered FROM {TABLE})
    WHERE delivered <= '{{}}'
  )
  WHERE place = 1
)
TO 's3://${{ArtifactBucket}}/snapshots/{{}}/'
WITH (format = 'PARQUET', compression = 'SNAPPY')
"""
