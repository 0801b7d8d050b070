"""The console in a real browser: live, by mouse and keyboard, narrow, light and dark, with and without script."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.support.definitions import Project, parameter
from console.account import short_id
from pipelines.account.clients import Clients
from tests.console.conftest import Foreign, Site
from tests.support.browser import NARROW, NEEDED, findings

pytestmark = NEEDED


@pytest.fixture(scope="module")
def context(browser: Any, site: Site) -> Iterator[Any]:
    """The tests' pages share it: the first page of each takes Chromium a second."""
    found = browser.new_context(base_url=site.url)
    yield found
    found.close()


@pytest.fixture
def page(context: Any, site: Site) -> Iterator[Any]:
    """A page of the console that fails its test when its script fails or it asks another host for anything."""
    found, wrong = context.new_page(), []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on(
        "request", lambda request: None if request.url.startswith((site.url, "data:")) else wrong.append(request.url)
    )
    yield found
    found.close()
    assert wrong == []


def paths(foreign: Foreign) -> list[str]:
    """Every kind of page."""
    name, good, bad = foreign.project.name, short_id(foreign.good.arn), short_id(foreign.bad.arn)
    base = f"/pipelines/{name}"
    runs = [f"{base}/runs/{bad}", f"{base}/runs/{bad}/steps/Make", f"{base}/runs/{good}/steps/Good"]
    return [
        "/",
        "/pipelines",
        base,
        f"{base}/runs",
        f"{base}/start",
        f"{base}/compare?a={good}&b={bad}",
        *runs,
        "/models",
        "/endpoints",
    ]


@pytest.mark.release
def test_a_run_is_started_and_turns_green_without_a_reload(page: Any, clients: Clients) -> None:
    project = Project(clients)
    project.upsert([project.processing("Sleep", "import time; time.sleep(1.5)")], (parameter("Note", "String", "x"),))
    page.goto(f"/pipelines/{project.name}")
    page.get_by_role("link", name="Start a run").click()
    page.get_by_label("Note").fill("by hand")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/"))
    page.evaluate("window.same = true")
    page.locator("svg .step.Executing").wait_for(timeout=10_000)
    page.locator("svg .step.Succeeded").wait_for(timeout=20_000)
    assert page.locator("main .status").first.inner_text() == "Succeeded"
    assert page.evaluate("window.same") is True
    assert page.get_by_text("by hand").count() == 1


def test_from_the_overview_to_the_failing_line_takes_two_clicks_and_back_returns(page: Any, foreign: Foreign) -> None:
    page.goto(f"/pipelines/{foreign.project.name}/runs/{short_id(foreign.bad.arn)}")
    page.get_by_role("link", name="Open its log at the first error").click()
    first = page.locator("#first-error")
    first.wait_for()
    assert "Traceback" in first.inner_text()
    box = first.bounding_box()
    assert 0 <= box["y"] < page.viewport_size["height"]
    page.go_back()
    assert page.locator("h1").inner_text() == f"Run {short_id(foreign.bad.arn)}"


def test_a_node_of_the_graph_leads_to_its_step(page: Any, foreign: Foreign) -> None:
    page.goto(f"/pipelines/{foreign.project.name}/runs/{short_id(foreign.good.arn)}")
    page.locator("svg a").first.click()
    assert page.locator("h1").inner_text() == f"Make of run {short_id(foreign.good.arn)}"


def test_a_model_is_approved_and_then_rejected_with_notes(page: Any, clients: Clients) -> None:
    project = Project(clients)
    project.run(project.register("Register", project.put("model.tar.gz", "model")))
    page.goto(f"/models/{project.name}/1")
    for button, status in (("Approve", "Approved"), ("Reject", "Rejected")):
        form = page.locator("form.inline", has=page.get_by_role("button", name=button))
        form.get_by_label("Note").fill(f"{button} it")
        form.get_by_role("button").click()
        page.get_by_text(f"“{button} it”").wait_for()
        assert page.locator("main .status").first.inner_text() == status
    listed = clients.sagemaker.list_model_packages(ModelPackageGroupName=project.name)["ModelPackageSummaryList"]
    assert [each["ModelApprovalStatus"] for each in listed] == ["Rejected"]


def test_the_keyboard_alone_reaches_the_content_and_opens_a_pipeline(page: Any, foreign: Foreign) -> None:
    page.goto("/pipelines")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name=foreign.project.name, exact=True)
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == foreign.project.name:
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/pipelines/{foreign.project.name}")
    assert link.count() == 0 or page.locator("h1").inner_text() == foreign.project.name


@pytest.mark.parametrize(
    ("scheme", "pages"),
    [
        # A run's page has nearly everything that the others are made of.
        ("dark", slice(6, 7)),
        pytest.param("light", slice(None), marks=pytest.mark.release),
        pytest.param("dark", slice(None), marks=pytest.mark.release),
    ],
)
def test_pages_are_accessible_and_fit_a_phone(page: Any, foreign: Foreign, scheme: str, pages: slice) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(NARROW)
    found, heavy, sizes = [], {}, []
    page.on("response", lambda answer: sizes.append(len(answer.body()) if "watch" not in answer.url else 0))
    for path in paths(foreign)[pages]:
        sizes.clear()
        page.goto(path, wait_until="load")
        found += [f"{path}: {each}" for each in findings(page)]
        if sum(sizes) > 1_200_000:
            heavy[path] = sum(sizes)
    assert (found, heavy) == ([], {})


@pytest.mark.parametrize("pages", [slice(6, 7), pytest.param(slice(None), marks=pytest.mark.release)])
def test_every_page_has_the_same_text_without_its_script(
    browser: Any, site: Site, foreign: Foreign, pages: slice
) -> None:
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    for path in paths(foreign)[pages]:
        page.goto(path)
        assert page.locator("h1").count() == 1, path
        assert page.locator("button.copy:visible").count() == 0, path
    page.goto(f"/pipelines/{foreign.project.name}/start")
    page.get_by_label("Mode").fill("good")
    page.get_by_role("button", name="Start the run").click()
    assert page.locator("h1").inner_text().startswith("Run ")
    context.close()
