"""The queries that an environment offers in Athena's editor, for people who do not use dbt: AWS::Athena::NamedQuery.

They read the tables that the stacks fill and need nothing of the dbt project's. CloudFormation fills in `${...}`.
"""

from ingestion import record
from pipelines.authoring import snapshot

# Words of a name that stand for a style, as the evaluation's report and the dbt project have them.
STYLE_WORDS = (
    *("ipa", "pale", "lager", "pils", "stout", "porter"),
    *("saison", "weiss", "amber", "red", "brown", "imperial"),
)
PREDICTIONS = '"${GlueDatabase}"."predictions"'


def latest_beers() -> str:
    """Each beer once, as it was delivered last: the rows of a snapshot."""
    return f"""\
SELECT {", ".join(record.NAMES)}, delivered
FROM (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY delivered DESC, {snapshot.by_values()}) AS place
  FROM (
{snapshot.rows()}
  )
)
WHERE place = 1"""


def bitterness_by_style() -> str:
    """Beers and bitterness by the style words in their names."""
    words = ", ".join(f"'{word}'" for word in STYLE_WORDS)
    return f"""\
WITH latest AS (
{latest_beers()}
)
SELECT style, count(*) AS beers, avg(ibu) AS mean_ibu, min(ibu) AS lowest_ibu, max(ibu) AS highest_ibu
FROM latest CROSS JOIN UNNEST(ARRAY[{words}]) AS styles(style)
WHERE strpos(lower(name), style) > 0
GROUP BY style
ORDER BY beers DESC, style"""


def deliveries_by_day() -> str:
    """Rows and beers by day of arrival, the newest first; a day that is missing had none."""
    return f"""\
SELECT dt, count(*) AS rows, count(DISTINCT id) AS beers, max(delivered) AS newest
FROM (
{snapshot.rows()}
)
GROUP BY dt
ORDER BY dt DESC
LIMIT 31"""


def worst_predictions() -> str:
    """The 50 beers whose label is farthest from the newest approved model's prediction."""
    return f"""\
SELECT id, name, predicted, low, high, actual, predicted - actual AS error_ibu, model_version, cut_off
FROM {PREDICTIONS}
WHERE actual IS NOT NULL AND predicted IS NOT NULL
ORDER BY abs(predicted - actual) DESC, id
LIMIT 50"""


# Logical id -> the query.
NAMED = {
    "LatestBeers": latest_beers,
    "BitternessByStyle": bitterness_by_style,
    "DeliveriesByDay": deliveries_by_day,
    "WorstPredictions": worst_predictions,
}
