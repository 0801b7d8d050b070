"""The SQL that looks at the cleaned table, in Athena's dialect.

The table's rows carry no time of their own: nine columns, no more. When a row was delivered stands in its object's
name, which Firehose writes as `<stream>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid>`, and Athena shows as `"$path"`.
`{}` stands for what Step Functions fills in; `${...}` for what CloudFormation fills in.
"""

COLUMNS = ("id", "name", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph")
TEXT_COLUMNS = ("name",)

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


def typed(column: str) -> str:
    """A column as the snapshot holds it: an empty CSV field is a missing number."""
    if column in TEXT_COLUMNS:
        return column
    kind = "bigint" if column == "id" else "double"
    return f"TRY_CAST(NULLIF(CAST({column} AS varchar), '') AS {kind}) AS {column}"


# Filled with: cut-off, name of the snapshot. The newest row of every beer; equal times are told apart by the values,
# so that the same rows always give the same snapshot.
SNAPSHOT = f"""
UNLOAD (
  SELECT {", ".join(typed(column) for column in COLUMNS)}
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY id ORDER BY delivered DESC, {", ".join(f"{column} NULLS LAST" for column in COLUMNS[1:])}
    ) AS place
    FROM (SELECT *, {DELIVERED} AS delivered FROM {TABLE})
    WHERE delivered <= '{{}}'
  )
  WHERE place = 1
)
TO 's3://${{ArtifactBucket}}/snapshots/{{}}/'
WITH (format = 'PARQUET', compression = 'SNAPPY')
"""
