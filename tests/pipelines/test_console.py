"""The project's console in a real browser, on real beers: from the overview to a decision, and every page's facts."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from tests.support.browser import NARROW, NEEDED, findings

pytestmark = NEEDED
ENDPOINT = "tapline-ibu-dev-serverless"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The console's address, over a workspace in which the chain has run once, with a small forest."""
    workspace = tmp_path_factory.mktemp("console") / "workspace"
    here = ["--local", "--workspace", str(workspace)]
    run = [sys.executable, "-m", "pipelines.run", *here, "--n-estimators", "50", "--keep"]
    ran = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    command = [sys.executable, "-m", "pipelines.console", *here, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
    endpoints.stop(Workspace(workspace))


@pytest.fixture(scope="module")
def context(browser: Any, address: str) -> Iterator[Any]:
    """The tests' pages share it: the first page of each takes Chromium a second."""
    found = browser.new_context(base_url=address)
    yield found
    found.close()


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A page of the console."""
    found = context.new_page()
    yield found
    found.close()


def test_the_overview_accounts_for_every_beer_and_leads_to_the_waiting_model(page: Any) -> None:
    page.goto("/")
    assert page.get_by_text("accepted 325 = 323 clean + 0 dropped + 2 failed, difference 0").count() == 1
    assert page.locator(".next").get_by_text("waits for a decision").count() == 1
    page.locator(".next").get_by_role("link", name="Open").click()
    assert page.locator("h1").inner_text() == "tapline-ibu-dev version 1"


def test_the_graph_shows_how_many_beers_each_step_passes_on(page: Any) -> None:
    page.goto("/pipelines/tapline-ibu-dev")
    texts = " ".join(page.locator("svg.graph text").all_text_contents())
    assert re.search(r"318 of 323 beers", texts) and "Register" in texts
    assert page.get_by_role("cell", name="new data", exact=True).count() == 1


def test_the_evaluation_report_opens_in_a_sandbox_with_its_own_styles(page: Any) -> None:
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto("/models/tapline-ibu-dev/1")
    page.get_by_role("link", name="evaluation report").click()
    assert "median" in page.locator("body").inner_text()
    assert [text for text in refused if "Content Security Policy" in text] == []


def test_the_data_page_shows_arrivals_drift_failures_and_rows_and_answers_a_query(page: Any) -> None:
    page.goto("/data")
    days = page.get_by_role("img", name="Clean records delivered by day").locator("text").all_text_contents()
    assert days[1:] == ["323"]
    assert page.get_by_text("There is no champion to compare with.").count() == 1
    assert page.get_by_role("cell", name="ibu_out_of_range").count() >= 2
    assert page.get_by_text("pipelines.local ledger --workspace").count() == 1
    page.get_by_text("table: its newest rows").click()
    assert page.get_by_role("region", name="Newest rows").locator("tbody tr").count() == 20
    page.get_by_role("link", name="Deliveries by day").click()
    page.get_by_role("button", name="Run").click()
    rows = page.get_by_role("region", name="Answer").locator("tbody tr").all_inner_texts()
    assert [row.split()[1] for row in rows] == ["323"]
    page.get_by_label("Athena SQL, reading only").fill("DROP TABLE beers")
    page.get_by_role("button", name="Run").click()
    assert page.get_by_text("one statement that reads").count() == 1


def test_the_data_page_shows_arrivals_drift_and_the_newest_rows(page: Any) -> None:
    page.goto("/data")
    days = page.get_by_role("img", name="Clean records delivered by day").locator("text").all_text_contents()
    assert days[1:] == ["323"]
    assert page.get_by_text("There is no champion to compare with.").count() == 1
    page.get_by_text("table: its newest rows").click()
    rows = page.get_by_role("region", name="Newest rows").locator("tbody tr")
    assert rows.count() == 20
    assert page.get_by_text("pipelines.local ledger --workspace").count() == 1


@pytest.fixture(scope="module")
def second(context: Any) -> str:
    """The page of a run that was started by the form and has registered version 2."""
    page = context.new_page()
    page.goto("/pipelines/tapline-ibu-dev/start")
    page.get_by_label("NEstimators").fill("50")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/"))
    page.locator("main .status.Succeeded").first.wait_for(timeout=60_000)
    url = str(page.url)
    page.close()
    return url


def decide(page: Any, version: int, button: str, note: str = "") -> None:
    """Approve or reject a version by its page."""
    page.goto(f"/models/tapline-ibu-dev/{version}")
    form = page.locator("form.inline", has=page.get_by_role("button", name=button))
    form.get_by_label("Note").fill(note)
    form.get_by_role("button").click()


def follow(page: Any, version: int) -> None:
    """Wait, on the live page of a version, until it serves."""
    page.goto(f"/models/tapline-ibu-dev/{version}")
    page.get_by_text(f"Version {version} serves at {ENDPOINT}.").wait_for(timeout=60_000)
    page.get_by_text(f"Serving at {ENDPOINT}", exact=True).wait_for(timeout=60_000)


def predict(page: Any, **values: str) -> list[str]:
    """The cells of the answer to a beer, by the form of the endpoint's page."""
    page.goto(f"/endpoints/{ENDPOINT}")
    for name, value in values.items():
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role("button", name="Predict").click()
    answer = page.get_by_role("region", name="Predictions")
    answer.wait_for()
    cells: list[str] = answer.locator("tbody td").all_inner_texts()
    return cells


def test_a_run_started_from_the_page_trains_on_the_table_as_it_is(page: Any, second: str) -> None:
    page.goto(second)
    assert page.get_by_text("cache: run").count() >= 1


def test_a_version_says_what_its_approval_deploys_and_has_its_run_and_its_release_as_links(
    page: Any, second: str
) -> None:
    page.goto("/models/tapline-ibu-dev/2")
    said = page.get_by_role("region", name="Decision").inner_text()
    assert f"Approving version 2 makes it the champion and deploys it to {ENDPOINT}, which" in said
    assert page.get_by_role("link", name="the run that made it").get_attribute("href") == urlsplit(second).path
    files = page.locator("ul.objects a").all_inner_texts()
    assert files == [
        "SHA256SUMS", "evaluation.json", "lineage.json", "model-card.json", "report.html", "sbom.json",
        "smoke-test.json",
    ]  # fmt: skip


def test_an_approved_model_serves_and_answers_the_form_and_bad_input_by_its_field(page: Any) -> None:
    decide(page, 1, "Approve", "good enough")
    page.get_by_text("“good enough”").wait_for()
    follow(page, 1)
    page.goto("/models/tapline-ibu-dev")
    assert page.get_by_role("row", name=re.compile("champion")).get_by_role("link").inner_text() == "1"
    page.goto("/")
    served = page.locator("article", has=page.get_by_role("link", name=f"Endpoint {ENDPOINT}")).locator("p")
    assert re.fullmatch(f"InService: {ENDPOINT}-v1-[0-9a-f]{{6}}", served.inner_text())

    value, interval, kind, version, remarks = predict(page, abv="6.7", target_og="1060")
    low, high = map(float, interval.split(" to "))
    assert low <= float(value) <= high
    assert (kind in ("low", "medium", "high", "very_high"), version, remarks) == (True, "1", "")
    assert page.get_by_label("abv", exact=True).input_value() == "6.7"
    assert page.get_by_text("predict --abv=6.7 --target-og=1060 --local").count() == 1

    assert predict(page, abv="strong")[-1] == "abv_not_a_number, no_number_known"
    page.get_by_label("Body").fill("no JSON")
    page.get_by_role("button", name="Send").click()
    page.locator("#answer .Refused").wait_for()
    assert "ModelError" in page.locator("#answer pre").inner_text()
    page.reload()
    assert "ModelError" in page.locator("#answer pre").inner_text()
    page.go_back()
    assert "abv_not_a_number" in page.locator("#answer pre").inner_text()
    page.goto(f"/endpoints/{ENDPOINT}")
    assert page.get_by_text("requests in the last hour").count() == 1


@pytest.mark.parametrize(
    ("scheme", "pages"),
    [
        ("light", slice(1, 3)),
        pytest.param("light", slice(None), marks=pytest.mark.release),
        pytest.param("dark", slice(None), marks=pytest.mark.release),
    ],
)
def test_the_projects_pages_fit_a_narrow_screen_and_have_no_serious_finding_of_axe(
    page: Any, scheme: str, pages: slice
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(NARROW)
    wrong = []
    paths = ("/", "/data", f"/endpoints/{ENDPOINT}", "/models/tapline-ibu-dev", "/models/tapline-ibu-dev/1")
    for path in paths[pages]:
        page.goto(path)
        wrong += [f"{path}: {each}" for each in findings(page)]
    assert wrong == []


@pytest.mark.release
def test_a_rollback_brings_the_version_before_back_and_the_last_rejection_ends_serving(page: Any, second: str) -> None:
    page.goto("/models/tapline-ibu-dev/1")
    if page.get_by_role("button", name="Approve").count():
        decide(page, 1, "Approve")
        follow(page, 1)
    decide(page, 2, "Approve", "as good")
    follow(page, 2)
    page.goto(f"/endpoints/{ENDPOINT}")
    page.get_by_role("button", name="Roll back to version 1").click()
    follow(page, 1)
    assert predict(page, abv="6.7")[3] == "1"
    page.goto("/models/tapline-ibu-dev/2")
    assert page.get_by_text("“rolled back to version 1”").count() == 1

    page.goto("/models/tapline-ibu-dev/1")
    assert page.get_by_text(f"Rejecting it deletes the endpoint {ENDPOINT}.").count() == 1
    decide(page, 1, "Reject", "no longer")
    page.goto(f"/endpoints/{ENDPOINT}")
    page.get_by_role("heading", name="Not found").wait_for(timeout=60_000)
    page.goto("/endpoints")
    assert page.get_by_text("Nothing is served yet").count() == 1
