"""The program of AWS's TensorFlow inference images: bodies become requests of TensorFlow Serving's predict API."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from localaws.sagemaker.algorithms import tensorflow_serving

HANDLERS = """
import json
def input_handler(data, context):
    assert context.request_content_type == "text/plain"
    return json.dumps({"instances": [float(data.read().decode())]})
def output_handler(response, context):
    return str(response.json()["predictions"][0] + 1), context.accept_header
"""


@pytest.mark.parametrize(
    ("text", "content_type", "request_sent"),
    [
        ('{"instances": [1]}', "application/json", {"instances": [1]}),
        ('{"inputs": {"x": [1]}}', "application/json", {"inputs": {"x": [1]}}),
        ("[[1, 2], [3, 4]]", "application/json", {"instances": [[1, 2], [3, 4]]}),
        ("[1, 2]", "application/json", {"instances": [[1, 2]]}),
        ('{"x": 1}', "application/json", {"instances": [{"x": 1}]}),
        ("[1, 2]\n[3, 4]\n", "application/jsonlines", {"instances": [[1, 2], [3, 4]]}),
        ("1,2\n3,4\n", "text/csv", {"instances": [[1.0, 2.0], [3.0, 4.0]]}),
        ("hops\n\nmalt", "text/csv", {"instances": ["hops", "malt"]}),
    ],
)
def test_a_body_is_a_request_or_its_instances(text: str, content_type: str, request_sent: Any) -> None:
    assert json.loads(tensorflow_serving.request_of(text, content_type)) == request_sent


@pytest.mark.release
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_saved_model_answers_as_tensorflow_serving_does(tmp_path: Path) -> None:
    import tensorflow as tf

    class Doubles(tf.Module):  # type: ignore[misc,name-defined,unused-ignore]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator,unused-ignore]
        def __call__(self, x: Any) -> Any:
            return {"y": 2 * x}

    tf.saved_model.save(Doubles(), str(tmp_path / "doubles" / "1"))
    model = tensorflow_serving.model_fn(str(tmp_path))
    answered = tensorflow_serving.transform_fn(model, "1\n2", "text/csv", "application/json")
    assert (answered.status_code, json.loads(answered.data)) == (200, {"predictions": [2.0, 4.0]})
    assert model.answer('{"inputs": {"x": [3]}}').json() == {"outputs": [6.0]}
    assert tensorflow_serving.transform_fn(model, '{"instances": "no"}', "application/json", "").status_code == 400
    assert tensorflow_serving.transform_fn(model, b"", "image/png", "").status_code == 415
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(HANDLERS)
    own = tensorflow_serving.model_fn(str(tmp_path))
    assert tensorflow_serving.transform_fn(own, b"4", "text/plain", "text/plain").data == b"9.0"


@pytest.mark.release
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_model_of_tensorflow_1_answers_whatever_shape_its_operations_take(tmp_path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 1])
        v1.saved_model.simple_save(session, str(tmp_path / "halves" / "1"), {"x": x}, {"y": x / 2})
    model = tensorflow_serving.model_fn(str(tmp_path))
    assert model.answer('{"instances": [1, [2]]}').status_code == 400
    assert model.answer('{"instances": [1, 2]}').json() == {"predictions": [0.5, 1.0]}
    assert model.answer('{"instances": [[1], [2]]}').json() == {"predictions": [[0.5], [1.0]]}
