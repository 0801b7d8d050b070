"""The columns of the cleaned table. Generated from ingestion/record.py by `make generate`: do not edit."""

COLUMNS = (
    "id",
    "name",
    "abv",
    "ibu",
    "target_fg",
    "target_og",
    "ebc",
    "srm",
    "ph",
)
# A CSV row written before a column was added ends earlier, but has at least so many values.
FEWEST_COLUMNS = 9
LONGEST_NAME = 512
# Plausible values of the numeric columns, both ends included.
RANGES = {
    "abv": (0.0, 80.0),
    "ibu": (0.0, 1000.0),
    "target_fg": (900.0, 1250.0),
    "target_og": (900.0, 1250.0),
    "ebc": (0.0, 1000.0),
    "srm": (0.0, 510.0),
    "ph": (2.0, 8.0),
}
