"""The SQL on the cleaned table, in Athena's dialect.

The table is two of Glue's, since one table reads one format: `beers` has the CSV of the deliveries, the batch lane and
the replays, `beers_parquet` what Firehose delivers while CleanedFormat is parquet. Every object stays in the format in
which it was written.

Neither has a column with a time. The time of delivery is part of the object's name, which Firehose writes as
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
# The same as a number, 0 before all others: it is compared faster.
MOMENT = f"coalesce(TRY_CAST(replace(regexp_extract(\"$path\", '{STAMP}'), '-', '') AS bigint), 0)"
TABLE, PARQUET = (f'"${{GlueDatabase}}"."${{GlueTable}}{ending}"' for ending in ("", "_parquet"))


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


def rows(csv: str = TABLE, parquet: str = PARQUET) -> str:
    """A query of all rows of both tables: the columns typed, `delivered` and `dt`."""
    return (
        f"SELECT {', '.join(map(typed, record.COLUMNS))}, {DELIVERED} AS delivered, dt FROM {csv}\n"
        f"UNION ALL\nSELECT {', '.join(record.NAMES)}, {DELIVERED} AS delivered, dt FROM {parquet}"
    )


def figures() -> str:
    """The query of which the state machine decides, with one row.

    beers, labelled, new_beers, rows, cut_off, minutes, first_day, last_day (of the partitions that have rows). Filled
    with: distinct beers that the latest run knew, start of the latest run (ISO 8601). In a table to which rows are only
    added, the newest delivery and the number of rows identify the content.
    """
    label = next(column.name for column in record.COLUMNS if column.role == "label")
    return f"""
SELECT count(DISTINCT id) AS beers,
       count(DISTINCT CASE WHEN {label} IS NOT NULL THEN id END) AS labelled,
       count(DISTINCT id) - {{}} AS new_beers,
       count(*) AS rows,
       coalesce(NULLIF(max(delivered), ''), 'none') AS cut_off,
       date_diff('minute', from_iso8601_timestamp('{{}}'), current_timestamp) AS minutes,
       coalesce(min(dt), '') AS first_day,
       coalesce(max(dt), '') AS last_day
FROM (
{rows()}
)
"""


def unload(*more: str) -> str:
    """The statement that writes a snapshot: the latest row of every beer, as Parquet.

    more: columns beside the table's: `delivered` of the row, `arrived` of the beer's first row (YYYY-MM-DD-HH-MM-SS).
    Filled with FILLING and the name of the snapshot. Only the partitions from the first to the last day are read. Rows
    of the same time are ordered by their values, so that the same rows always give the same snapshot, whichever their
    format. The target must be empty, and a failed UNLOAD leaves its files there:
    https://docs.aws.amazon.com/athena/latest/ug/unload.html
    """
    arrived = ", min(earliest) OVER (PARTITION BY id) AS arrived" if "arrived" in more else ""
    return f"""
UNLOAD (
  SELECT {", ".join([*record.NAMES, *more])}
  FROM (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY delivered DESC, {by_values()}) AS place{arrived}
    FROM ({newest(TABLE, [typed(column) for column in record.COLUMNS], bool(arrived))}
      UNION ALL{newest(PARQUET, list(record.NAMES), bool(arrived))}
    )
  )
  WHERE place = 1
)
TO 's3://${{ArtifactBucket}}/snapshots/{{}}/'
WITH (format = 'PARQUET', compression = 'SNAPPY')
"""


def newest(table: str, columns: list[str], arrived: bool) -> str:
    """The rows of one table's newest delivery of each beer: few of them are compared by their values.

    A window over all rows would hold them all. Here a row per beer is held; CSV is read twice, of Parquet the ids.
    """
    first = ", min(delivered) AS earliest" if arrived else ""
    days = "dt BETWEEN '{}' AND '{}'"
    return f"""
      SELECT {", ".join([*columns, "delivered", *(["earliest"] if arrived else [])])}
      FROM (SELECT *, {DELIVERED} AS delivered, {MOMENT} AS moment FROM {table} WHERE {days}) AS deliveries
      JOIN (
        SELECT id AS beer, max(moment) AS latest{first}
        FROM (SELECT id, {DELIVERED} AS delivered, {MOMENT} AS moment FROM {table} WHERE {days})
        WHERE delivered <= '{{}}'
        GROUP BY id
      ) AS beers ON id = beer AND moment = latest"""


# What is filled in for each of the two tables: paths of a state machine's input.
FILLING = 2 * (*2 * ("$.table.first_day", "$.table.last_day"), "$.table.cut_off")
