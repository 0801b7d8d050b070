"""SageMaker images: there are none."""

import pytest

from pipelines.account.clients import Clients


def test_every_image_is_not_found(clients: Clients) -> None:
    api = clients.sagemaker
    for call in (api.describe_image, api.describe_image_version, api.list_image_versions):
        with pytest.raises(api.exceptions.ResourceNotFound, match="does not exist"):
            call(ImageName="sagemaker-scikit-learn")
    assert api.list_images()["Images"] == []
