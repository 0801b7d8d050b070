"""Sends requests to a model through AWS's own serving code, sagemaker-containers, as its scikit-learn container does.

    python toolkit.py MODEL_DIR < requests.json > answers.json

Runs in an environment of its own, whose pins are old. The container itself is not installable, so what it adds is done
here: the four functions of the user's module become a Transformer, whose transform is the Flask application's. Requests
are a JSON list of [body, content type, accept]; answers of [status, content type, body].
"""

import collections
import collections.abc
import json
import sys

PINS = (
    *("setuptools==80.9.0", "flask==3.1.3", "werkzeug==3.1.8", "gunicorn>=26", "protobuf==3.20.2", "numpy==2.4.6"),
    *("gevent", "paramiko", "retrying", "typing", "inotify-simple", "psutil", "six", "requests", "boto3", "scipy"),
)
TOOLKIT = "sagemaker-containers==2.8.6.post2"


def main() -> None:
    """Answers the requests of stdin."""
    # sagemaker-containers 2.8.6 is older than the removal of these names from collections.
    for name in ("Mapping", "MutableMapping", "Sequence"):
        setattr(collections, name, getattr(collections.abc, name))
    from sagemaker_containers.beta.framework import transformer, worker

    model = sys.argv[1]
    sys.path.insert(0, f"{model}/code")
    import inference

    served = transformer.Transformer(
        model_fn=inference.model_fn,
        input_fn=inference.input_fn,
        predict_fn=inference.predict_fn,
        output_fn=inference.output_fn,
    )
    served._model = inference.model_fn(model)
    client = worker.Worker(transform_fn=served.transform, module_name="inference").test_client()
    answers = []
    for body, content_type, accept in json.load(sys.stdin):
        headers = {"Accept": accept} if accept else {}
        reply = client.post("/invocations", data=body, content_type=content_type, headers=headers)
        answers.append([reply.status_code, reply.mimetype, reply.get_data(as_text=True)])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
