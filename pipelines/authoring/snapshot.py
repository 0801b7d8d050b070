"""The SQL on the cleaned table, in Athena's dialect.

The table has no column with a time. The time of delivery is part of the object's name, which Firehose writes as
`<stream>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid>` (https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html);
Athena's `"$path"` has it. Step Functions fills in `{}`, CloudFormation `${...}`.
"""

from ingestion import record

# No braces, which States.Format would read as places to fill; `20` keeps a stream's version number out.
STAMP = "-".join(["20[0-9][0-9]", *["[0-9][0-9]"] * 5])
DELIVERED = f"regexp_extract(\"$path\", '{STAMP}')"
TABLE = '"${GlueDatabase}"."${GlueTable}"'

# Filled with: distinct beers of the last successful run, start of the latest run (ISO 8601). In a table that is only
# added to, the newest delivery and the number of rows name the content.
LOOK = f"""
SELECT count(DISTINCT id) AS beers,
       count(DISTINCT id) - {{}} AS new_beers,
       count(*) AS rows,
       coalesce(max({DELIVERED}), 'none') AS cut_off,
       date_diff('minute', from_iso8601_timestamp('{{}}'), current_timestamp) AS minutes
FROM {TABLE}
"""


def filled(text: str, *values: str) -> str:
    """The text with its places filled in, as States.Format does it."""
    for value in values:
        text = text.replace("{}", value, 1)
    return text


def typed(column: record.Column) -> str:
    """A column as the snapshot has it: an empty CSV field is a missing number."""
    if column.kind == "text":
        return column.name
    kind = "bigint" if column.kind == "integer" else "double"
    return f"TRY_CAST(NULLIF(CAST({column.name} AS varchar), '') AS {kind}) AS {column.name}"


def unload() -> str:
    """The statement that writes a snapshot: the latest row of every beer, as Parquet.

    Filled with: cut-off, name of the snapshot. Rows of the same time are ordered by their values, so that the same rows
    always give the same snapshot.
    """
    names = ", ".join(f"{name} NULLS LAST" for name in record.NAMES[1:])
    return f"""
UNLOAD (
  SELECT {", ".join(typed(column) for column in record.COLUMNS)}
  FROM (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY delivered DESC, {names}) AS place
    FROM (SELECT *, {DELIVERED} AS delivered FROM {TABLE})
    WHERE delivered <= '{{}}'
  )
  WHERE place = 1
)
TO 's3://${{ArtifactBucket}}/snapshots/{{}}/'
WITH (format = 'PARQUET', compression = 'SNAPPY')
"""
