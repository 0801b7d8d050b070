"""Requests to a model as its container makes them."""

import json
from typing import Any

from tests.support.beers import module

inference = module("inference")

PUNK = {"name": "Punk IPA", "abv": 5.6, "target_fg": 1010, "target_og": 1053, "ebc": 17, "srm": 8.5, "ph": 4.4}


def call(model: Any, body: Any, content_type: Any = "application/json", accept: Any = "application/json") -> Any:
    """(status, media type, text) of the three functions, as SageMaker's container calls them."""
    content = json.dumps(body) if isinstance(body, dict | list) else body
    answer = inference.output_fn(inference.predict_fn(inference.input_fn(content, content_type), model), accept)
    if isinstance(answer, tuple):
        return 200, answer[1], answer[0]
    return answer.status_code, answer.mimetype, answer.get_data().decode()


def ask(model: Any, body: Any, content_type: str = "application/json", accept: str = "application/json") -> Any:
    """The body of an answer with status 200, as JSON where it is that."""
    status, kind, text = call(model, body, content_type, accept)
    assert status == 200, text
    return json.loads(text) if kind == "application/json" else text
