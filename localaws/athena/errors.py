"""What a statement fails with."""


class QueryError(Exception):
    """A query fails in Athena's words; the text becomes its StateChangeReason."""
