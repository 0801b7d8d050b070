"""Made-up requests to inference.py: each is answered or refused, none ends in an error of the server.

2,000 are hypothesis's, which finds the smallest that fails. 100,000 are put together by a seed from the same kinds of
values, as hypothesis takes longer to make a request than the model to answer it.
"""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from localaws.sagemaker.serving import model_server
from tests.support.beers import module, workbench

inference = module("inference")
MADE, REQUESTS, AT_ONCE = 2_000, 100_000, 10
NAMES = ("id", "name", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph", "ABV", "alcohol", "", "explain")
ODD: list[Any] = ["5,6", "1e999", "nan", 1.05, 0.05, 79, 1053, 1010, 10**400, "=1+1", "\x00", True, None, float("inf")]
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(ODD)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
ROWS = st.dictionaries(st.sampled_from(NAMES), SCALARS, max_size=9) | VALUES
JSON_BODIES = st.builds(
    lambda rows, rest: json.dumps({"instances": rows} | rest),
    st.lists(ROWS, max_size=4) | VALUES,
    st.dictionaries(st.sampled_from(NAMES), SCALARS, max_size=1),
) | VALUES.map(json.dumps)
CELLS = (
    st.text(max_size=8)
    | st.sampled_from(["5.6", "1053", '"', '"a""b"', "\r\n", "Punk IPA", ","])
    | st.floats().map(str)
)
CSV_BODIES = st.lists(st.lists(CELLS, max_size=10).map(",".join), max_size=5).map("\n".join)
BODIES = JSON_BODIES | CSV_BODIES | st.text(max_size=40) | st.binary(max_size=60) | st.none()
KINDS = (
    *("application/json", "text/csv", "application/json;charset=UTF-8", "text/csv; charset=utf-8", "TEXT/CSV"),
    *("text/csv; header=present", "application/x-npy", "application/jsonlines", "", None),
)
TYPES = st.sampled_from(KINDS)
ACCEPTED = ("application/json", "text/csv", "*/*", "", None, "image/png", "text/html, text/csv;q=0.9", ";")
ACCEPTS = st.sampled_from(ACCEPTED)


class Made(NamedTuple):
    """A request."""

    body: Any
    content_type: str | None
    accept: str | None


def right(status: int, media_type: str, text: str) -> bool:
    """Whether an answer has a status that the container sends on, and the form that its media type names."""
    if media_type == "text/csv":
        return status in (200, 400) and text.endswith("\n")
    content = json.loads(text)
    if status == 200:
        return {"predictions", "model_version"} == content.keys() and any(
            "ibu" in each for each in content["predictions"]
        )
    return status in (400, 406, 415) and ("predictions" in content or bool(content["error"] and content["hint"]))


def check(ask: Callable[[Made], tuple[int, str, str]], requests: list[Made]) -> list[int]:
    """The statuses of the answers, each of which is right."""
    answers = [ask(made) for made in requests]
    for made, answer in zip(requests, answers, strict=True):
        assert right(*answer), made
    return [answer[0] for answer in answers]


MANY = st.lists(st.builds(Made, BODIES, TYPES, ACCEPTS), min_size=AT_ONCE, max_size=AT_ONCE)
LONG = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


class Dice(random.Random):
    """Requests of a seed."""

    def value(self, depth: int = 0) -> Any:
        """A value as JSON may hold it."""
        kind = self.randrange(9 if depth < 3 else 7)
        if kind < 2:
            return round(self.uniform(-10, 1200), 3)
        if kind < 5:
            return self.choice(ODD)
        if kind < 7:
            return "".join(chr(self.randrange(1, 0x2FFF)) for _ in range(self.randrange(8)))
        members = [self.value(depth + 1) for _ in range(self.randrange(4))]
        return members if kind == 7 else {str(number): each for number, each in enumerate(members)}

    def row(self) -> Any:
        """An instance, most often an object of known fields."""
        if self.random() < 0.1:
            return self.value()
        return {name: self.value(2) for name in self.sample(NAMES, self.randrange(len(NAMES)))}

    def body(self) -> Any:
        """JSON, CSV, some other text, bytes or nothing."""
        kind = self.randrange(10)
        if kind < 6:
            rest = {self.choice(NAMES): self.value()} if self.random() < 0.2 else {}
            return json.dumps({"instances": [self.row() for _ in range(self.randrange(5))]} | rest)
        if kind < 8:
            cells = [[str(self.value(3)) for _ in range(self.randrange(11))] for _ in range(self.randrange(5))]
            return "\n".join(",".join(line) for line in cells)
        return self.choice([None, self.randbytes(self.randrange(60)), json.dumps(self.value()), str(self.value())])

    def request(self) -> Made:
        """A request, most often with a content type and an Accept that are served."""
        content_type = self.choice(KINDS) if self.random() < 0.3 else self.choice(KINDS[:4])
        return Made(self.body(), content_type, self.choice(ACCEPTED))


@pytest.mark.release
def test_a_hundred_thousand_requests_are_answered_or_refused() -> None:
    model = inference.model_fn(str(workbench() / "model"))

    def ask(made: Made) -> tuple[int, str, str]:
        content = inference.input_fn(made.body, made.content_type)
        answer = inference.output_fn(inference.predict_fn(content, model), made.accept)
        if isinstance(answer, tuple):
            return 200, answer[1], answer[0]
        return answer.status_code, answer.mimetype, answer.get_data().decode()

    dice = Dice(20261127)
    statuses = {check(ask, [dice.request()])[0] for _ in range(REQUESTS)}
    assert statuses == {200, 400, 406, 415}


@pytest.mark.release
def test_two_thousand_of_them_over_http_have_no_status_of_class_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "MODEL", workbench() / "model")
    client = Client(model_server.Application(inference))

    def ask(made: Made) -> tuple[int, str, str]:
        body = made.body or b""
        headers = {} if made.accept is None else {"Accept": made.accept}
        reply = client.post("/invocations", data=body, content_type=made.content_type, headers=headers)
        return reply.status_code, str(reply.mimetype), reply.get_data(as_text=True)

    @settings(LONG, max_examples=MADE // AT_ONCE)
    @given(MANY)
    def run(requests: list[Made]) -> None:
        check(ask, requests)

    run()
