"""The model server: what runs inside the container of a local endpoint, with the contract of SageMaker's containers.

    python model_server.py FD

FD is a listening socket, opened by the endpoint. The file is copied into the model's own folder and imports nothing
of localaws. It answers GET /ping and POST /invocations as the scikit-learn container does, with nginx, gunicorn and
Flask: the model is loaded by the first request; whatever input_fn, predict_fn, output_fn or transform_fn raise is an
HTML page with status 500; a status of its own needs a Response object, returned by output_fn or transform_fn.

https://sagemaker.readthedocs.io/en/v2/frameworks/sklearn/using_sklearn.html#serve-a-model
"""

import csv
import importlib
import io
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import InternalServerError, MethodNotAllowed
from werkzeug.serving import WSGIRequestHandler, make_server

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
MODEL, CODE = BASE / "model", BASE / "code"
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
# The toolkit decodes the body of exactly these content types, without parameters.
TEXT_TYPES = (JSON, CSV)
# gunicorn's page for an exception outside of Flask, here: while the model is loaded.
GUNICORN_PAGE = """<html>
  <head>
    <title>Internal Server Error</title>
  </head>
  <body>
    <h1><p>Internal Server Error</p></h1>
    
  </body>
</html>
"""
NGINX_NOT_FOUND = "{}"

Transform = Callable[[Any, Any, str, str], Any]


def prepare() -> ModuleType:
    """Put the inference code in place and import it; whatever it raises ends the process, as in the container."""
    program = os.environ.get("SAGEMAKER_PROGRAM")
    if not program:
        sys.exit("SAGEMAKER_PROGRAM is not set: the container has no inference code to import.")
    source = Path(os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", str(CODE)).removeprefix("file://"))
    if source.is_dir() and source != CODE and not (CODE.is_dir() and any(CODE.iterdir())):
        shutil.copytree(source, CODE, dirs_exist_ok=True)
    # The script's own folder is not the model's.
    sys.path[0] = str(CODE)
    return importlib.import_module(program.removesuffix(".py").replace("/", "."))


class Application:
    """The WSGI application. The model is loaded by the first request and, when that fails, by the next again."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self._model: Any = None
        self._transform: Transform | None = None
        self._one_at_a_time = threading.Lock()
        self._started_at: float | None = None
        self.timeout = float(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        response = self._answer(request) if request.path in ("/ping", "/invocations") else None
        response = response or Response(NGINX_NOT_FOUND, 404)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            with self._one_at_a_time:
                transform = self._transform or self._load()
        except Exception:
            traceback.print_exc()
            return Response(GUNICORN_PAGE, 500, mimetype="text/html")
        if request.path == "/ping":
            return Response(mimetype=JSON)
        if request.method != "POST":
            return MethodNotAllowed(["POST", "OPTIONS"]).get_response()
        # A worker of the container handles one request at a time, too.
        with self._one_at_a_time:
            self._started_at = time.monotonic()
            try:
                return self._invoke(request, transform)
            finally:
                self._started_at = None

    def _load(self) -> Transform:
        """Load the model and find the functions to call."""
        functions = {name: getattr(self.module, name, None) for name in ("input_fn", "predict_fn", "output_fn")}
        transform_fn: Transform | None = getattr(self.module, "transform_fn", None)
        if transform_fn and any(functions.values()):
            raise ValueError("Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn")
        self._model = getattr(self.module, "model_fn", default_model_fn)(str(MODEL))
        # scikit-learn's are those of this file.
        defaults = importlib.import_module(os.environ.get("LOCALAWS_INFERENCE_DEFAULTS") or __name__)
        self._transform = transform_fn or in_three_steps(
            *(function or getattr(defaults, f"default_{name}") for name, function in functions.items())
        )
        return self._transform

    def _invoke(self, request: Request, transform: Transform) -> Response:
        content_type = request.headers.get("Content-Type") or os.environ.get("LOCALAWS_DEFAULT_CONTENT_TYPE", JSON)
        accept = request.headers.get("Accept")
        if not accept or accept == "*/*":
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        body: bytes | str = request.get_data()
        if content_type in TEXT_TYPES:
            body = request.get_data().decode(errors="replace")
        try:
            return as_response(transform(self._model, body, content_type, accept), request)
        except Exception:
            # The toolkit wraps every exception in its ClientError, which Flask does not know: 500.
            traceback.print_exc()
            return InternalServerError().get_response()

    def watch(self) -> None:
        """End the process when a request takes longer than the timeout, as gunicorn ends such a worker."""
        while True:
            time.sleep(1)
            started_at = self._started_at
            if started_at is not None and time.monotonic() - started_at > self.timeout:
                print("[CRITICAL] WORKER TIMEOUT", flush=True)
                os._exit(1)


def in_three_steps(input_fn: Any, predict_fn: Any, output_fn: Any) -> Transform:
    """input_fn, predict_fn and output_fn as one transform_fn."""
    return lambda model, body, content_type, accept: output_fn(predict_fn(input_fn(body, content_type), model), accept)


def as_response(result: Any, request: Request) -> Response:
    """The response of what output_fn or transform_fn returned: (body, content type), or what Flask accepts of a view.

    That is a Response or any other WSGI application, a text or JSON.
    https://flask.palletsprojects.com/en/stable/quickstart/#about-responses
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, tuple):
        return Response(result[0], mimetype=result[1])
    if isinstance(result, dict | list):
        return Response(json.dumps(result), mimetype=JSON)
    if isinstance(result, str | bytes | bytearray):
        return Response(bytes(result) if isinstance(result, bytearray) else result, mimetype="text/html")
    if callable(result):
        return Response.force_type(result, request.environ)
    raise TypeError(f"The view function returned a {type(result).__name__}, which is no valid response.")


def default_model_fn(model_dir: str) -> Any:
    """The scikit-learn container has no default."""
    raise NotImplementedError("Please provide a model_fn implementation.")


def default_input_fn(body: Any, content_type: str) -> Any:
    """A numpy array of JSON, CSV or NPY."""
    import numpy

    if content_type == JSON:
        return numpy.array(json.loads(body)).astype(numpy.float32)
    if content_type == CSV:
        return numpy.genfromtxt(io.StringIO(body), delimiter=",").astype(numpy.float32)
    if content_type == NPY:
        return numpy.load(io.BytesIO(body), allow_pickle=False)
    raise ValueError(f"Content type {content_type} is not supported by this framework.")


def default_predict_fn(data: Any, model: Any) -> Any:
    """What the model's own `predict` returns."""
    return model.predict(data)


def default_output_fn(prediction: Any, accept: str) -> Response:
    """The prediction as JSON, CSV or NPY."""
    import numpy

    if accept == JSON:
        return Response(json.dumps(prediction, default=lambda value: value.tolist()), mimetype=JSON)
    if accept == CSV:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(numpy.asarray(prediction).reshape(len(prediction), -1).tolist())
        return Response(text.getvalue(), mimetype=CSV)
    if accept == NPY:
        raw = io.BytesIO()
        numpy.save(raw, numpy.asarray(prediction))
        return Response(raw.getvalue(), mimetype=NPY)
    raise ValueError(f"Content type {accept} is not supported by this framework.")


class Handler(WSGIRequestHandler):
    """Answers requests on connections that stay open, and prints a line per invocation as nginx does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # The answer leaves in one piece.
    wbufsize = -1

    def run_wsgi(self) -> None:
        """Answer one request; werkzeug closes the connection after each."""
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        try:
            response = Response.from_app(self.server.app, environ, buffered=True)
            content = response.get_data()
        except Exception:
            traceback.print_exc()
            response = InternalServerError().get_response(environ)
            content = response.get_data()
        response.content_length = len(content)
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """The line of nginx's access log."""
        if self.path != "/ping":
            moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
            print(f'127.0.0.1 - - [{moment}] "{self.requestline}" {int(code)} {size} "-" "AHC/2.0"', flush=True)


def main() -> None:
    """Serve until the process is ended."""
    application = Application(prepare())
    threading.Thread(target=application.watch, daemon=True).start()
    make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=Handler, fd=int(sys.argv[1])
    ).serve_forever()


if __name__ == "__main__":
    main()
