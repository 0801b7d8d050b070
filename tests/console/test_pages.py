"""The pages, on a pipeline that is not this project's: right, complete, escaped, and each with its command."""

import http.client
import re
import time

import pytest

from benchmarks.support.definitions import Execution, Project, compare, condition
from console.account import short_id
from console.context import FOLDER
from console.plugin import COMMANDS
from pipelines.account.clients import Clients
from tests.console.conftest import HOSTILE, Foreign, Site, without_tags


def of(foreign: Foreign, rest: str = "") -> str:
    return f"/pipelines/{foreign.project.name}{rest}"


def run_of(foreign: Foreign, arn: str, rest: str = "") -> str:
    return of(foreign, f"/runs/{short_id(arn)}{rest}")


def test_a_pipeline_shows_its_steps_its_last_run_and_every_parameters_default(site: Site, foreign: Foreign) -> None:
    page = without_tags(site.get(of(foreign)))
    assert "Make Processing" in page and "Refuse Fail" in page
    # Other tests start runs, too.
    api = foreign.project.clients.sagemaker
    last = api.list_pipeline_executions(PipelineName=foreign.project.name)["PipelineExecutionSummaries"][0]
    assert f"The last run: {short_id(last['PipelineExecutionArn'])}" in page
    assert "Mode String good" in page


def test_markup_in_names_descriptions_and_logs_is_only_text(site: Site, foreign: Foreign) -> None:
    for path in (of(foreign), of(foreign, "/runs"), run_of(foreign, foreign.bad.arn), of(foreign, "/start")):
        assert HOSTILE not in site.get(path), path
    log = site.get(run_of(foreign, foreign.bad.arn, "/steps/Make"))
    assert "&lt;b&gt;not markup&lt;/b&gt;" in log and "<b>not markup</b>" not in log


def test_a_failed_run_names_the_step_and_leads_to_the_first_error_of_its_log(site: Site, foreign: Foreign) -> None:
    page = site.get(run_of(foreign, foreign.bad.arn))
    assert "Make failed." in page and "row 7: no hops" in page
    (link,) = re.findall(r'href="([^"]+#first-error)"', page)
    log = site.get(link.partition("#")[0])
    (first,) = re.findall(r'id="first-error"[^>]*>(.*?)</div>', log)
    assert "Traceback" in first


def test_a_steps_whole_log_is_downloaded_and_a_search_shows_its_lines(site: Site, foreign: Foreign) -> None:
    path = run_of(foreign, foreign.bad.arn, "/steps/Make")
    whole = site.send("GET", f"{path}/log")
    assert whole.headers["content-disposition"].startswith("attachment")
    assert "reading\n" in whole.text and "ValueError: row 7: no hops" in whole.text
    lines = re.findall(r'<div[^>]*><span class="number">\d+</span>(.*?)</div>', site.get(f"{path}?q=READING"))
    assert lines == ["reading"]


def test_a_step_shows_its_inputs_and_outputs_with_sizes_and_links(site: Site, foreign: Foreign) -> None:
    page = site.get(run_of(foreign, foreign.good.arn, "/steps/Make"))
    (link,) = re.findall(r'href="(/objects\?uri=[^"]*text)"', page)
    stored = site.send("GET", link.replace("&amp;", "&"))
    assert (stored.text, stored.headers["content-security-policy"]) == ("made", "sandbox")


def test_a_condition_shows_its_outcome_and_an_unreached_step_that_it_has_not_started(
    site: Site, foreign: Foreign
) -> None:
    assert "Outcome of the condition: True" in without_tags(site.get(run_of(foreign, foreign.good.arn, "/steps/Good")))
    assert "NotStarted" in site.get(run_of(foreign, foreign.good.arn, "/steps/Refuse"))


def test_runs_are_filtered_sorted_and_paged_on_the_server_without_a_cap(site: Site, clients: Clients) -> None:
    project = Project(clients)
    project.upsert([condition("Only", compare("Equals", 1, 1))])
    made = [project.start(PipelineExecutionDescription=f"number {number}") for number in range(53)]
    for each in made:
        each.wait()
    path = f"/pipelines/{project.name}/runs"
    first, last = site.get(path), site.get(f"{path}?page=3")
    assert "53 runs" in first and "Page 1 of 3" in first
    assert len(re.findall("number \\d+", last)) == 3
    assert set(re.findall("number \\d+", site.get(f"{path}?q=number+17"))) == {"number 17"}
    oldest = site.get(f"{path}?order=ascending")
    assert re.findall("number \\d+", oldest)[:2] == ["number 0", "number 1"]
    assert "No run matches" in site.get(f"{path}?status=Failed")


def test_two_runs_are_compared_by_what_differs(site: Site, foreign: Foreign) -> None:
    path = of(foreign, f"/compare?a={short_id(foreign.good.arn)}&b={short_id(foreign.bad.arn)}")
    rows = re.findall(r"<tr><td>(.*?)</td><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td></tr>", site.get(path))
    shown = {name: (a, b) for name, a, b in rows if "seconds" not in name and name != "failure"}
    assert shown == {
        "status": ("Succeeded", "Failed"),
        "parameter Mode": ("good", "bad"),
        "step Make": ("Succeeded", "Failed"),
        "step Good": ("Succeeded", ""),
        "step Use": ("Succeeded", ""),
    }
    assert "parameter Note" in site.get(f"{path}&all=1")


def test_a_run_is_started_by_the_form_of_the_definitions_parameters_and_retried(site: Site, foreign: Foreign) -> None:
    form = site.get(of(foreign, "/start"))
    assert re.findall(r'<input name="(\w+)"', form) == ["Mode", "Note"]
    answer = site.post(of(foreign, "/start"), Mode="bad", Note="")
    assert answer.status == 303
    started = answer.headers["location"]
    api = foreign.project.clients.sagemaker
    arns = [
        each["PipelineExecutionArn"]
        for each in api.list_pipeline_executions(PipelineName=foreign.project.name)["PipelineExecutionSummaries"]
    ]
    (arn,) = [each for each in arns if each.endswith(short_id(started))]

    execution = Execution(foreign.project.clients, arn).wait()
    assert site.post(f"{started}/retry").status == 303
    execution.wait()
    assert execution.steps()["Make"]["AttemptCount"] >= 1
    assert execution.status == "Failed"


def test_a_model_is_approved_and_rejected_with_a_note_that_its_page_shows(site: Site, clients: Clients) -> None:
    project = Project(clients)
    statistics = project.put("e.json", '{"regression_metrics": {"mae": {"value": 2.5, "standard_deviation": 0.5}}}')
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": statistics}}}
    step = project.register("Register", project.put("model.tar.gz", "model"))
    step["Arguments"]["ModelMetrics"] = metrics
    project.run(step)
    page = site.get(f"/models/{project.name}")
    assert "mae by version" in page and ">2.5<" in page
    path = f"/models/{project.name}/1"
    assert "2.5 2 to 3" in without_tags(site.get(path))
    for action, status in (("approve", "Approved"), ("reject", "Rejected")):
        answer = site.post(f"{path}/{action}", note=f"because {HOSTILE}")
        assert answer.status == 303, answer.text
        shown = site.get(path)
        assert f'class="status {status}"' in shown and HOSTILE not in shown and "because &lt;script&gt;" in shown


@pytest.mark.parametrize(
    "path", ["/pipelines/none", "/pipelines/none/runs/x", "/models/none/1", "/endpoints/none", "/nowhere"]
)
def test_a_missing_resource_is_a_page_that_names_it(site: Site, path: str) -> None:
    answer = site.send("GET", path)
    assert (answer.status, "Not found" in answer.text) == (404, True)


def test_every_page_names_the_command_that_does_the_same_and_every_command_stands_on_a_page() -> None:
    templates = "".join(path.read_text() for path in sorted((FOLDER / "templates").glob("*.html")))
    code = "".join(path.read_text() for path in sorted(FOLDER.glob("*.py")))
    named = set(re.findall(r'command\(\s*"(\w+)"', templates + code))
    assert named == set(COMMANDS)


def test_a_change_between_a_page_and_its_watching_is_sent_at_once(site: Site, clients: Clients) -> None:
    project = Project(clients)
    project.upsert([project.processing("Only", "pass")])
    path = f"/pipelines/{project.name}"
    (shown,) = re.findall(r'data-digest="([0-9a-f]{64})"', site.get(path))
    project.start().wait()
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", f"{path}?watch={shown}")
    assert connection.getresponse().readline() == b"data: changed\n"
    connection.close()


def test_a_watched_page_sends_an_event_when_its_content_changes(site: Site, clients: Clients) -> None:
    project = Project(clients)
    project.upsert([project.processing("Only", "pass")])
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", f"/pipelines/{project.name}?watch=1")
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")
    time.sleep(1.2)
    project.start()
    assert stream.readline() == b"data: changed\n"
    connection.close()
