"""DataProcessing of a batch transform: which members of a record the model gets, and what is written of its answer.

Records are lines of CSV, or JSON: one document per line, or one document as the whole payload.
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

import csv
import io
import json
import re
from typing import Any

from localaws.store import Document

# A path that can match one place only selects the value there, any other a list of values.
ONE_PLACE = re.compile(r"\$(\.[A-Za-z_]\w*|\['[^']+'\]|\[-?\d+\])*")


class Processing:
    """The filters of one job. A payload that they cannot be applied to raises ValueError."""

    def __init__(self, job: Document) -> None:
        settings = job.get("DataProcessing", {})
        self.input_filter: str = settings.get("InputFilter", "$")
        self.output_filter: str = settings.get("OutputFilter", "$")
        self.joins = settings.get("JoinSource", "None") == "Input"
        self.lines = job["TransformInput"].get("SplitType") == "Line"
        self.csv = job["TransformInput"].get("ContentType", "").startswith("text/csv")

    def filtered(self, payload: bytes) -> bytes:
        """The payload for the model."""
        if self.input_filter == "$":
            return payload
        return self._write([selected(self.input_filter, record) for record in self._read(payload)])

    def joined(self, payload: bytes, answer: bytes) -> bytes:
        """What is written for a payload and its answer."""
        if not self.joins and self.output_filter == "$":
            return answer
        answers = self._read(answer)
        if self.joins:
            records = self._read(payload)
            if len(records) != len(answers):
                raise ValueError(f"{len(records)} input records and {len(answers)} output records cannot be joined.")
            answers = [self._join(*pair) for pair in zip(records, answers, strict=True)]
        return self._write([selected(self.output_filter, record) for record in answers])

    def _join(self, record: Any, answer: Any) -> Any:
        if self.csv:
            return [*record, *answer]
        if isinstance(record, dict):
            return {**record, "SageMakerOutput": answer}
        return {"SageMakerInput": record, "SageMakerOutput": answer}

    def _read(self, payload: bytes) -> list[Any]:
        text = payload.decode()
        if self.csv:
            return list(csv.reader(line for line in text.splitlines() if line.strip()))
        return [json.loads(line) for line in text.splitlines() if line.strip()] if self.lines else [json.loads(text)]

    def _write(self, records: list[Any]) -> bytes:
        if self.csv:
            text = io.StringIO()
            rows = (record if isinstance(record, list) else [record] for record in records)
            csv.writer(text, lineterminator="\n").writerows(rows)
            return text.getvalue().encode()
        return "\n".join(json.dumps(record) for record in records).encode() + (b"\n" if self.lines else b"")


def selected(path: str, record: Any) -> Any:
    """What a JSONPath selects of a record. Raises ValueError when it is nothing or no path."""
    import jsonpath

    if path == "$":
        return record
    try:
        found = jsonpath.findall(path, record)
    except jsonpath.JSONPathError as error:
        raise ValueError(f"{path}: {error}") from error
    if not found:
        raise ValueError(f"{path} selects nothing of a record.")
    return found[0] if ONE_PLACE.fullmatch(path) else found
