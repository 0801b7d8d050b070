"""What code in AWS's images imports of them: the toolkit of the older images, XGBoost's reader of requests."""

import importlib
from typing import Any

import numpy as np
import pytest

from benchmarks.support.definitions import IMAGE, Project
from localaws.sagemaker import container_images

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in container_images.package_folders(XGBOOST):
        monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(
    ("kind", "body"), [("application/json", "[[1.5, 2.0], [3.0, 4.0]]"), ("text/csv", "1.5,2.0\n3.0,4.0\n")]
)
def test_the_toolkit_reads_what_it_writes(kind: str, body: str) -> None:
    framework: Any = importlib.import_module("sagemaker_containers.beta.framework")
    rows = framework.encoders.decode(body, kind).astype(float)
    assert (rows.tolist(), framework.encoders.encode(rows, kind)) == ([[1.5, 2.0], [3.0, 4.0]], body)
    with pytest.raises(framework.errors.UnsupportedFormatError, match='"image/png" is not supported'):
        framework.encoders.decode(body, "image/png")
    assert framework.worker.Response("1", mimetype=kind).mimetype == kind


@pytest.mark.parametrize(
    ("kind", "body", "rows"),
    [
        ("text/csv; charset=utf-8", "1,2\n3,", [[1.0, 2.0], [3.0, np.nan]]),
        ("text/libsvm", b"1 1:1 3:2\n0 2:5\n", [[1.0, np.nan, 2.0], [np.nan, 5.0, np.nan]]),
    ],
)
def test_the_xgboost_images_read_matrices(kind: str, body: Any, rows: Any) -> None:
    encoder: Any = importlib.import_module("sagemaker_xgboost_container.encoder")
    found = encoder.decode(body, kind).get_data().toarray()
    assert np.array_equal(found, np.nan_to_num(rows))


def test_a_script_of_the_xgboost_images_is_a_module_and_can_import_its_packages(project: Project) -> None:
    script = """
        import sagemaker_containers, sagemaker_containers.beta.framework, sagemaker_xgboost_container.encoder
        assert sagemaker_containers.training_env().hosts == ['algo-1']
    """
    step = project.training("Train", script)
    step["Arguments"]["AlgorithmSpecification"]["TrainingImage"] = XGBOOST
    step["Arguments"]["HyperParameters"]["sagemaker_program"] = "train"
    assert project.run(step).statuses() == {"Train": "Succeeded"}
    assert container_images.package_folders(IMAGE) == container_images.package_folders(XGBOOST)[:1]
    for image, count in (("my-own-image:1", 0), ("pytorch-training:1.2.0-cpu-py3", 1), ("pytorch-training:2.8.0", 0)):
        assert len(container_images.package_folders(image)) == count
