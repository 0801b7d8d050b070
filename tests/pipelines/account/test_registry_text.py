"""Results of the registry's commands as text."""

from pipelines.account.registry_text import scores_text


def test_a_scoring_by_a_state_machine_that_measures_no_drift_is_printed_with_the_remedy() -> None:
    result = {
        "decision": "scored",
        "version": 1,
        "beers": 2,
        "cut_off": "2026-01-01",
        "query": "SELECT 1",
        "classes": [{"class": "low", "beers": 2, "without_label": 0}],
    }
    assert scores_text(result).splitlines()[-3:] == [
        "2 beers scored by version 1 (data up to 2026-01-01)",
        "Athena: SELECT 1",
        "Drift was not checked: upsert the state machines (pipelines.run).",
    ]
