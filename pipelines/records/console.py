"""The console's pages about the beers' records: the ledger, the newest records at each stage, failures, SQL."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console import charts
from console.cache import Cache
from console.plugin import Action, Card, Field, Plugin
from ingestion import record
from ingestion.names import CLEANED, FAILED, RAW
from localaws.errors import ExpectedError
from pipelines.account import decisions, queries, retraining
from pipelines.account.s3 import read_json
from pipelines.account.serving import Serving
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document
from pipelines.records import commands, model_pages
from pipelines.records.failures import failed_objects
from pipelines.records.objects import Objects

# What the SQL box takes: Athena's statements that only read.
READS = re.compile(r"\s*(?:select|with|show|describe|explain)\b", re.IGNORECASE)
ROWS = 200
ARRIVALS = 'SELECT dt, count(*) AS records FROM "{table}" GROUP BY dt ORDER BY dt DESC LIMIT 30'
NAMED = {
    "Newest rows": 'SELECT "$path", * FROM "{table}" ORDER BY 1 DESC LIMIT 20',
    "Beers by bitterness": 'SELECT ibu, count(*) AS beers FROM "{table}" GROUP BY ibu ORDER BY 2 DESC LIMIT 30',
    "Deliveries by day": ARRIVALS,
}
MINUTE, LOCAL_SECONDS = 60.0, 2.0
# A page's action -> the module of this project's command, and its words.
COMMANDS: dict[str, tuple[str, ...]] = {
    "overview": ("registry", "list"),
    "runs": ("runs", "list"),
    "run": ("runs", "show", "{run}"),
    "log": ("runs", "logs", "{run}", "{step}"),
    "start": ("run", "--start", "--wait"),
    "stop": ("runs", "stop", "{run}"),
    "retry": ("runs", "retry", "{run}"),
    "compare_runs": ("runs", "compare", "{arn}", "{other}"),
    "models": ("registry", "list"),
    "model": ("registry", "show", "{version}"),
    "compare_models": ("registry", "compare", "{version}", "{other}"),
    "report": ("registry", "report", "{version}"),
    "approve": ("registry", "approve", "{version}"),
    "reject": ("registry", "reject", "{version}"),
    "endpoints": ("registry", "status"),
    "endpoint": ("registry", "status"),
    "predict": ("registry", "predict"),
    "release": ("registry", "release", "{version}", "--out", "release"),
    "rollback": ("registry", "rollback"),
    "ledger": ("records", "ledger"),
    "failed": ("records", "failed"),
    "replay": ("records", "replay"),
}
# The same at the local endpoint, where the words differ.
LOCAL_COMMANDS: dict[str, tuple[str, ...]] = {
    "start": ("run",),
    "ledger": ("local", "ledger"),
    "failed": ("local", "failed"),
    "replay": ("local", "replay"),
}


class BeerPages(Plugin):
    """stacks: of the environment that is shown."""

    title = "Tapline"
    navigation: Sequence[tuple[str, str]] = (("/data", "Data"),)
    refusals = (ExpectedError,)

    def __init__(self, stacks: Stacks) -> None:
        self.stacks = stacks
        self.serving = Serving(stacks)
        self.cache = Cache()

    @property
    def folder(self) -> str:
        """The folder of this package's templates."""
        return str(Path(__file__).parent / "templates")

    def first_step(self) -> str:
        """The local run makes everything; in an account a deployment does."""
        clients = self.stacks.clients
        return clients.command("run") if clients.local else f"make deploy ENV={self.stacks.environment.name}"

    def command(self, action: str, **values: str) -> str:
        """This project's command for a page's action."""
        values.setdefault("run", values.get("arn", "").rpartition("/")[2])
        known = COMMANDS | (LOCAL_COMMANDS if self.stacks.clients.local else {})
        module, *words = (word.format(**values) for word in known[action])
        if action == "predict":
            words += model_pages.predict_words(values.get("body", ""))
        return self.stacks.clients.command(module, *words)

    def cards(self) -> list[Card]:
        """The ledger as a bar."""
        try:
            found = self.ledger()
        except ExpectedError as error:
            return [Card("Records", error.what, "/data")]
        dropped, failed = sum(found["dropped"].values()), sum(found["failed"].values())
        text = f"accepted {found['accepted']:,} = {found['clean']:,} clean + {dropped:,} dropped + {failed:,} failed"
        text += f", difference {found['difference']:,}"
        return [Card("Records", text, "/data", "bad" if found["difference"] else "good", bar(found))]

    def edge_labels(self, execution: Document) -> dict[tuple[str, str], str]:
        """How many of the snapshot's beers Preprocess passes on."""
        for each in execution["steps"]:
            arn = each.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
            if each["StepName"] == "Preprocess" and arn and each["StepStatus"] == "Succeeded":
                job = self.stacks.clients.sagemaker.describe_processing_job(ProcessingJobName=arn.rpartition("/")[2])
                outputs = job["ProcessingOutputConfig"]["Outputs"]
                (uri,) = [each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == "quality"]
                quality = read_json(self.stacks.clients, uri + "/quality.json")
                return {("Preprocess", "Train"): f"{quality['used']} of {quality['beers']} beers"}
        return {}

    def started_by(self, execution: Document) -> str:
        """The state machine describes its runs by the data that started them."""
        if str(execution.get("PipelineExecutionDescription", "")).startswith("Data up to"):
            return "new data"
        return super().started_by(execution) or "a person"

    def start(self, pipeline: str, parameters: dict[str, str]) -> str | None:
        """Through the state machine `retrain`, as `pipelines.run --start` does."""
        return retraining.wait_for_run(self.stacks, retraining.start(self.stacks, parameters))

    def release(self, package: Document) -> str:
        """The folder of the evaluation, where the report, card, lineage, hashes and SBOM are."""
        return self.report(package).rpartition("/")[0]

    def approval(self, package: Document) -> str:
        """What the state machine `deploy` does after a decision."""
        if package.get("ModelPackageGroupName") != self.serving.registry.group:
            return super().approval(package)
        return model_pages.approval(self.serving, package)

    def objection(self, package: Document, status: str, note: str) -> str:
        """A model that failed the gate needs a note to be approved."""
        reason = decisions.override_without_note(package, status, note)
        return decisions.without_note(package["ModelPackageVersion"], reason) if reason else ""

    def actions(self, endpoint: Document) -> Sequence[Action]:
        """Rolling back, where there is an approved version to go back to."""
        target = model_pages.can_roll_back(self.serving, endpoint["EndpointName"])
        if target is None:
            return ()
        return (Action(f"Roll back to version {target}", "/data/rollback", self.command("rollback")),)

    def about(self, endpoint: Document) -> list[Card]:
        """The drift that the newest check or evaluation found."""
        return [Card("Drift", self.drift()["sentence"], "/data#drift")]

    def drift(self) -> Document:
        """The newest drift, read once a minute."""
        found: Document = self.cache.get("drift", lambda: model_pages.drift(self.serving), MINUTE).value
        return found

    def answer_rows(self, text: str) -> list[Document]:
        """Predictions as a table."""
        return model_pages.predictions(text)

    def fields(self, endpoint: Document) -> list[Field]:
        """The table's columns but for the id and the label, with the first units a brewer thinks of."""
        return [
            Field(column.name, column.name, KINDS.get(column.kind, "number"), EXAMPLES.get(column.name, ""))
            for column in record.COLUMNS
            if column.name not in ("id", "ibu")
        ]

    def body(self, values: dict[str, str]) -> str:
        """The JSON that the endpoint takes; numbers as numbers, what is empty left out."""
        texts = {column.name for column in record.COLUMNS if column.kind == "text"}
        values = values or EXAMPLES
        known = {name: value if name in texts else number(value) for name, value in values.items() if value.strip()}
        return json.dumps({"instances": [known]})

    # --- The data page --------------------------------------------------------------------------

    def routes(self, render: Callable[..., Response]) -> list[Route]:
        """The data page and what its forms do."""

        async def data(request: Request) -> Response:
            return await run_in_threadpool(self.data, render, request)

        return [Route("/data", data)]

    def data(self, render: Callable[..., Response], request: Request) -> Response:
        """Ledger, newest records, failures, a query's answer."""
        query = request.query_params.get("sql", "")
        try:
            found = self.ledger()
            context: Document = {
                "ledger": found,
                "bar": bar(found),
                "stages": self.newest(),
                "failures": self.failures(),
                "drift": self.drift(),
            }
            for name, text in (("arrivals", ARRIVALS), ("table", NAMED["Newest rows"])):
                context[name] = self.rows(text)
            days = [(day, int(count)) for day, count in reversed(context["arrivals"].get("rows", []))]
            context["chart"] = charts.columns(days, "Clean records delivered by day")
            context["answer"] = self.answer(query) if query else None
        except ExpectedError as error:
            return render(request, "error.html", 502, title="Data", message=error.what, hint=error.hint)
        table = self.stacks.output("ingestion", "GlueTable")
        named = {name: text.format(table=table) for name, text in NAMED.items()}
        return render(request, "data.html", title="Data", sql=query, named=named, **context)

    def ledger(self) -> Document:
        """The ledger. Counting it lists every object, so the live overview does not count it each time."""
        fresh = LOCAL_SECONDS if self.stacks.clients.local else MINUTE
        found: Document = self.cache.get("ledger", lambda: commands.account(self.stacks, None), fresh).value
        return found

    def rows(self, text: str) -> Document:
        """A named query's answer, asked once a minute: Athena has its price for each."""
        text = text.format(table=self.stacks.output("ingestion", "GlueTable"))
        found: Document = self.cache.get(text, lambda: self.answer(text), MINUTE).value
        return found

    def objects(self) -> Objects:
        """The objects of the data bucket."""
        return Objects(self.stacks.clients.s3, self.stacks.output("ingestion", "DataBucket"))

    def newest(self) -> list[tuple[str, str, str]]:
        """(stage, key, first lines) of the newest object at each stage."""
        found, stored = [], self.objects()
        for stage, prefix in (("raw", RAW), ("cleaned", CLEANED), ("errors", FAILED)):
            keys = sorted(stored.keys(prefix))
            if keys:
                text = stored.read(keys[-1])[:2000].decode(errors="replace")
                found.append((stage, keys[-1], "\n".join(line[:300] for line in text.splitlines()[:6])))
        return found

    def failures(self, most: int = 50) -> list[Document]:
        """Failed records: reason, day and content."""
        listed = (each for _, _, records in failed_objects(self.objects()) for each in records)
        return [
            {"reason": each.reason, "day": each.day, "record": each.record.decode(errors="replace")[:4000]}
            for each in itertools.islice(listed, most)
        ]

    def answer(self, text: str) -> Document:
        """A query's columns and rows, or why there are none."""
        if not READS.match(text) or ";" in text.strip().rstrip(";"):
            return {"error": "one statement that reads: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN"}
        return queries.run(self.stacks, text.strip().rstrip(";"), ROWS)

    def changes(self) -> dict[str, Callable[[], str]]:
        """Replaying failed records, and rolling back."""
        return {"/data/replay": self.replay, "/data/rollback": lambda: model_pages.roll_back(self.serving)}

    def replay(self) -> str:
        """Deliver failed records again."""
        commands.again(self.stacks, None)
        self.cache.forget()
        return "/data"


KINDS = {"text": "text"}
EXAMPLES = {
    "name": "Punk IPA",
    "abv": "5.6",
    "target_og": "1053",
    "target_fg": "1010",
    "ebc": "17",
    "srm": "8.5",
    "ph": "4.4",
}


def bar(ledger: Document) -> str:
    """The ledger as a bar of shares."""
    parts = [
        charts.Share("clean", ledger["clean"], "clean"),
        charts.Share("dropped", sum(ledger["dropped"].values()), "dropped"),
        charts.Share("failed", sum(ledger["failed"].values()), "failed"),
        charts.Share("difference", abs(ledger["difference"]), "difference"),
    ]
    return charts.shares(parts)


def number(text: str) -> float | str:
    """A number where the text is one; the endpoint refuses the rest with a reason."""
    try:
        return float(text)
    except ValueError:
        return text
