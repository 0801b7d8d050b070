"""AWS's service models: their metadata without the rest."""

import pytest

from localaws import shapes


@pytest.mark.parametrize("service", ["sagemaker", "s3", "stepfunctions"])
def test_the_metadata_of_a_model_is_read_without_the_model(service: str) -> None:
    assert shapes.metadata(service) == dict(shapes.service_model(service).metadata)
