"""The pipeline's command: a flag that would have no effect is refused before anything is done."""

import pytest

from localaws.errors import ExpectedError
from pipelines import run
from pipelines.authoring.parameters import PARAMETERS

# What to do -> how it is typed.
MODES = {
    "print_definition": ["--print"],
    "print_workflow": ["--print-workflow", "retrain"],
    "graph": ["--graph", "pipeline.svg"],
    "dry_run": ["--dry-run"],
    "start": ["--start"],
    "local": ["--local"],
    "upsert": [],
}
# A flag -> how it is typed, where that can be with a value that is false.
FLAGS = {
    "env": ["--env", "prod"],
    "region": ["--region", "eu-west-1"],
    "wait": ["--wait"],
    "workspace": ["--workspace", "beers"],
    "catalog": ["--catalog", "beers.json"],
    "port": ["--port", "0"],
    "keep": ["--keep"],
    **{each.name: [each.flag, "0"] for each in PARAMETERS},
}
IGNORED = [(mode, flag) for mode in MODES for flag in FLAGS if flag not in run.EFFECTIVE[mode]]


def test_every_flag_and_mode_is_tried() -> None:
    assert set(MODES) == set(run.EFFECTIVE)
    assert set(FLAGS) == {flag for flags in run.EFFECTIVE.values() for flag in flags}


@pytest.mark.parametrize(("mode", "flag"), IGNORED)
def test_a_flag_that_would_have_no_effect_is_refused(mode: str, flag: str) -> None:
    with pytest.raises(ExpectedError, match=f"^Error: {FLAGS[flag][0]} would have no effect") as refused:
        run.main([*MODES[mode], *FLAGS[flag]])
    assert (refused.value.code, refused.value.hint.split(" -m ")[1]) == (2, "pipelines.run --help")


@pytest.mark.parametrize("mode", MODES)
def test_a_flag_that_has_an_effect_is_taken(mode: str) -> None:
    for flag in run.EFFECTIVE[mode]:
        run.refuse_ignored(run.arguments().parse_args([*MODES[mode], *FLAGS[flag]]))
