"""The project's console in a real browser, on real beers: from the overview to a decision, and every page's facts."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from tests.console.test_browser import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (apt-get install chromium)"),
    pytest.mark.endpoint,
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The console's address, over a workspace in which the chain has run once."""
    workspace = tmp_path_factory.mktemp("console") / "workspace"
    here = ["--local", "--workspace", str(workspace)]
    run = [sys.executable, "-m", "pipelines.run", *here, "--keep"]
    ran = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    command = [sys.executable, "-m", "pipelines.console", *here, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
    endpoints.stop(Workspace(workspace))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page of the console."""
    context = browser.new_context(base_url=address)
    yield context.new_page()
    context.close()


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


def test_the_data_page_shows_why_records_failed_and_answers_a_query(page: Any) -> None:
    page.goto("/data")
    assert page.get_by_role("cell", name="ibu_out_of_range").count() >= 2
    page.get_by_role("link", name="Deliveries by day").click()
    page.get_by_role("button", name="Run").click()
    rows = page.get_by_role("region", name="Answer").locator("tbody tr").all_inner_texts()
    assert [row.split()[1] for row in rows] == ["323"]
    page.get_by_label("Athena SQL, reading only").fill("DROP TABLE beers")
    page.get_by_role("button", name="Run").click()
    assert page.get_by_text("one statement that reads").count() == 1


def test_a_run_started_from_the_page_trains_on_the_table_as_it_is(page: Any) -> None:
    page.goto("/pipelines/tapline-ibu-dev/start")
    page.get_by_label("Seed").fill("0")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/"))
    page.locator("main .status.Succeeded").first.wait_for(timeout=60_000)
    assert page.get_by_text("cache: run").count() >= 1


def test_a_model_is_approved_by_its_page_and_becomes_the_champion(page: Any) -> None:
    page.goto("/models/tapline-ibu-dev/1")
    form = page.locator("form.inline", has=page.get_by_role("button", name="Approve"))
    form.get_by_label("Note").fill("good enough")
    form.get_by_role("button").click()
    page.get_by_text("“good enough”").wait_for()
    page.goto("/models/tapline-ibu-dev")
    assert page.get_by_role("row", name=re.compile("champion")).get_by_role("link").inner_text() == "1"
