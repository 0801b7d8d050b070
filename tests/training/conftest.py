"""A model to ask."""

from typing import Any

import pytest

from tests.support.beers import module, workbench

inference = module("inference")


@pytest.fixture(scope="module")
def model() -> Any:
    return inference.model_fn(str(workbench() / "model"))
