"""What the XGBoost images do where inference code does not say: requests are matrices."""

from typing import Any

from sagemaker_containers.beta.framework import Response, encode
from sagemaker_xgboost_container.encoder import decode


def default_input_fn(content: Any, content_type: str) -> Any:
    """A DMatrix of CSV or libsvm."""
    return decode(content, content_type)


def default_predict_fn(data: Any, model: Any) -> Any:
    """What the booster predicts."""
    return model.predict(data, validate_features=False)


def default_output_fn(prediction: Any, accept: str) -> Response:
    """The prediction as JSON, CSV or NPY."""
    return Response(encode(prediction, accept), mimetype=accept)
