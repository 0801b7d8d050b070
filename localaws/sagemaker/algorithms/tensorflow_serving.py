"""The program of AWS's TensorFlow inference images, as inference code of the model server: TensorFlow Serving's
REST contract on a SavedModel, with the input_handler and output_handler of code/inference.py, if there is one.

https://github.com/aws/sagemaker-tensorflow-serving-container#prepost-processing
https://www.tensorflow.org/tfx/serving/api_rest#predict_api
"""

import csv
import importlib
import importlib.util
import io
import json
import re
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

from werkzeug import Response

JSON, JSON_TYPES = "application/json", ("application/json", "application/jsonlines", "application/jsons")
# The graph of a SavedModel to serve, and the method of those of its signatures that the predict API has.
TAG, PREDICT = "serve", "tensorflow/serving/predict"
Context = namedtuple(
    "Context",
    "model_name model_version method rest_uri grpc_port channel custom_attributes request_content_type accept_header"
    " content_length",
)


class Answer:
    """TensorFlow Serving's answer, with the members of requests.Response that handlers use."""

    def __init__(self, status: int, content: Any) -> None:
        self.status_code, self.ok = status, status == 200
        self.text = json.dumps(content)
        self.content = self.text.encode()
        self.headers = {"Content-Type": JSON}

    def json(self) -> Any:
        """The content as an object."""
        return json.loads(self.text)


class Servable:
    """A SavedModel and the handlers beside it. folder: /opt/ml/model."""

    def __init__(self, folder: Path) -> None:
        found = [path.parent for path in folder.rglob("saved_model.pb") if path.parent.name.isdigit()]
        if not found:
            raise FileNotFoundError("no SavedModel bundles found: <model>/<version>/saved_model.pb is expected")
        latest = max(found, key=lambda path: int(path.name))
        self.name, self.version = latest.parent.name, latest.name
        self._load(latest)
        self.handlers = _handlers(folder / "code")

    def _load(self, folder: Path) -> None:
        """Import the graph into a session, as TensorFlow Serving does: TensorFlow 1's models answer too.

        Its inputs are placeholders without a shape, since TensorFlow Serving leaves the shapes to the operations.
        """
        v1: Any = importlib.import_module("tensorflow").compat.v1
        protocol = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2")
        saved = protocol.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        with v1.Graph().as_default() as graph:
            served = next(each.signature_def for each in saved.meta_graphs if TAG in each.meta_info_def.tags)
            self._signatures = {name: each for name, each in served.items() if each.method_name == PREDICT}
            tensors = [tensor for each in self._signatures.values() for tensor in each.inputs.values()]
            self._inputs = {tensor.name: v1.placeholder(tensor.dtype) for tensor in tensors}
            self._session = v1.Session(graph=graph)
            v1.saved_model.load(self._session, [TAG], str(folder), input_map=self._inputs)

    def answer(self, text: str | bytes) -> Answer:
        """The answer to a request of the predict API."""
        try:
            return Answer(200, self._predict(json.loads(text)))
        except Exception as error:
            return Answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _predict(self, request: dict[str, Any]) -> dict[str, Any]:
        signature = self._signatures[request.get("signature_name", "serving_default")]
        by_row = "instances" in request
        given = request["instances" if by_row else "inputs"]
        if by_row and isinstance(given[0], dict):
            given = {name: [row[name] for row in given] for name in given[0]}
        columns = given if isinstance(given, dict) else {next(iter(signature.inputs)): given}
        fed = {self._inputs[signature.inputs[name].name]: value for name, value in columns.items()}
        asked = {name: tensor.name for name, tensor in signature.outputs.items()}
        outputs = {name: _plain(values) for name, values in self._session.run(asked, fed).items()}
        if len(outputs) == 1:
            (only,) = outputs.values()
            return {"predictions" if by_row else "outputs": only}
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        return {"predictions": rows} if by_row else {"outputs": outputs}


def model_fn(folder: str) -> Servable:
    """The model in the folder."""
    return Servable(Path(folder))


def transform_fn(model: Servable, body: Any, content_type: str, accept: str) -> Response:
    """Answer a request: the handlers' answer, else TensorFlow Serving's own to JSON, JSON lines or CSV."""
    content = body.encode() if isinstance(body, str) else body
    if model.handlers:
        context = Context(model.name, None, None, None, None, None, None, content_type or JSON, accept, len(content))
        try:
            request = model.handlers.input_handler(io.BytesIO(content), context)
            answered, kind = model.handlers.output_handler(model.answer(request), context)
        except Exception as error:
            return Response(json.dumps({"error": str(error)}), 500, mimetype=JSON)
        return Response(answered, mimetype=kind)
    kind = content_type.partition(";")[0]
    if kind not in (*JSON_TYPES, "text/csv"):
        return Response(json.dumps({"error": f"Unsupported Media Type: {kind or 'Unknown'}"}), 415, mimetype=JSON)
    answer = model.answer(request_of(content.decode(), kind))
    return Response(answer.content, answer.status_code, mimetype=JSON)


def request_of(text: str, content_type: str) -> str:
    """The request of the predict API for a body: as it is, or its rows as instances."""
    if content_type == "text/csv":
        rows = [[_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]
        return json.dumps({"instances": [row if len(row) > 1 else row[0] for row in rows]})
    if re.search(r'"(instances|inputs|examples)"\s*:', text):
        return text
    if re.search(r"[}\]]\s*[\[{]", text):
        instances = ",".join(line for line in text.splitlines() if line.strip())
        return f'{{"instances":[{instances}]}}'
    instances = text if re.match(r"\s*\[\s*\[", text) else f"[{text}]"
    return f'{{"instances":{instances}}}'


def _cell(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _plain(values: Any) -> Any:
    """Lists of JSON's values; texts are bytes in TensorFlow."""
    found = values.tolist()
    return json.loads(json.dumps(found, default=lambda text: text.decode(errors="replace")))


def _handlers(code: Path) -> ModuleType | None:
    """The user's code/inference.py, if there is one."""
    file = code / "inference.py"
    if not file.is_file():
        return None
    sys.path[:0] = [str(code), str(code / "lib")]
    specification = importlib.util.spec_from_file_location("inference", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if hasattr(module, "handler"):
        raise NotImplementedError("handler() calls TensorFlow Serving by its address, and none runs here")
    if not (hasattr(module, "input_handler") and hasattr(module, "output_handler")):
        raise NotImplementedError("Handlers are not implemented correctly in user script.")
    return module
