"""The report: one page without outside resources, with every section, safe against hostile names."""

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.beers import catalogue, evaluate, module, preprocess, train, workbench

beers, held_out, plots, report = (module(name) for name in ("beers", "held_out", "plots", "report"))
NUMBERS = ("abv", "target_fg", "target_og", "ebc", "srm", "ph")
NOW = "2026-11-27 10:00 UTC"

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg><iframe src=//evil.example>",
    "&lt;b&gt; & 'quotes' \"too\"",
    "{{7*7}} ${7*7} %s {0}",
    "\u202egnp.exe",
]
SECTIONS = [
    "Figures",
    "Predicted and actual",
    "Residuals",
    "Error by bitterness",
    "Error by style word",
    "Actual and predicted class",
    "What the model relies on",
    "Coverage of the intervals",
    "Three errors and what they mean",
    "The ten worst predictions",
    "Data: dropped and repaired rows",
    "Drift of the arrivals",
    "Distributions of the sides",
    "Lineage",
    "How to read this model",
]
VOID = {"meta"}


class Page(HTMLParser):
    """Elements with their attributes and the texts within; raises where elements do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """evaluation.json and the page of the workbench's model, its own champion."""
    output = tmp_path_factory.mktemp("report")
    evaluation = evaluate(workbench(), workbench() / "packed", output, "--input-uri", "s3://data/snapshots/1/")
    return evaluation, (output / "report.html").read_text(encoding="utf-8")


def rendered(evaluation: dict[str, Any], names: list[str], count: int | None = None) -> str:
    """The page for `count` invented test beers of these names."""
    total = count or len(names)
    label = np.linspace(0, 250, total)
    rows = [{"name": names[number % len(names)], **dict.fromkeys(NUMBERS, 5.0)} for number in range(total)]
    ids = [f"{number}" for number in range(total)]
    answers = {"ibu": label + 5, "low": label - 10, "high": label + 20, "baseline": label}
    held = held_out.HeldOut(beers.Beers(ids, ids, label, rows), answers, label > 100)
    return str(report.render(evaluation, held, NOW))


def test_the_page_loads_nothing_and_runs_nothing(made: tuple[dict[str, Any], str]) -> None:
    page = Page(made[1])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form", "a"}
    attributes = {name for _, given in page.elements for name in given}
    assert not attributes & {"src", "href", "style", "srcset", "action", "data", "xlink:href"}
    assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in made[1] and "url(" not in made[1]
    assert len(made[1].encode()) < 1_200_000


def test_the_page_has_every_section_once(made: tuple[dict[str, Any], str]) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", made[1]) == SECTIONS


def test_the_page_follows_the_reader_s_theme_and_width(made: tuple[dict[str, Any], str]) -> None:
    assert "prefers-color-scheme: dark" in made[1]
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in made[1]


def test_the_page_shows_the_model_card_and_the_intervals_with_their_own(made: tuple[dict[str, Any], str]) -> None:
    paragraphs = [text.strip() for tag, text in Page(made[1]).texts if tag == "p"]
    assert [text for text in made[0]["card"].values() if text not in paragraphs] == []
    coverage = made[0]["candidate"]["coverage"]
    assert f"(90 % interval: {coverage['low']:.0%} to {coverage['high']:.0%}); 90% is the target" in made[1]


def test_every_plot_has_a_description(made: tuple[dict[str, Any], str]) -> None:
    plots_shown = [given for tag, given in Page(made[1]).elements if tag == "svg"]
    assert len(plots_shown) == 13
    assert all(given["role"] == "img" and given["aria-label"] for given in plots_shown)


def cells(page: Page) -> Iterator[str]:
    yield from (text for tag, text in page.texts if tag in ("td", "small", "p", "strong", "dd", "dt", "text", "title"))


def test_the_page_has_the_figures_of_the_evaluation(made: tuple[dict[str, Any], str]) -> None:
    evaluation, page = made[0], list(cells(Page(made[1])))
    assert evaluation["gate"]["reason"] in page
    assert f"{evaluation['candidate']['mae']['value']:.1f} " in page
    assert "s3://data/snapshots/1/" in page
    assert evaluation["lineage"]["model_sha256"] in page
    assert "Repaired: gravities swapped" in page and "Dropped: ibu equals target og" in page
    titles = [text for tag, text in Page(made[1]).texts if tag == "title"]
    assert sum(" IBU, predicted " in title for title in titles) == 272
    for beer in evaluation["worst"]:
        assert beer["name"] in page and any(title.startswith(f"{beer['name']}: ") for title in titles)


# Changes of the gate, then the heading, the style and a line below the reason.
HEADINGS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "passed": ({}, "Passed", "passed", None),
    "loosened": (
        {"loosened": ["max_champion_loss"], "max_champion_loss": 0.5},
        "Passed with loosened thresholds",
        "loosened",
        "MaxChampionLoss is 0.5, looser than the default.",
    ),
    "failed": (
        {"passed": 0, "register": 0, "failed": ["no_class_worse"]},
        "Not passed",
        "failed",
        "Failed: no class is worse.",
    ),
    "overridden": (
        {"passed": 0, "register": 1, "failed": ["min_relative_gain"], "override_reason": "As < agreed."},
        "Not passed, registered by override",
        "loosened",
        "Override: As < agreed.",
    ),
}


@pytest.mark.parametrize("changed, word, style, line", HEADINGS.values(), ids=HEADINGS)
def test_the_decision_is_a_heading_and_a_style(
    made: tuple[dict[str, Any], str], changed: dict[str, Any], word: str, style: str, line: str | None
) -> None:
    evaluation = made[0] | {"gate": made[0]["gate"] | {"reason": "Because of < this."} | changed}
    page = Page(rendered(evaluation, ["Buzz"], 5))
    assert ("strong", word) in page.texts and ("p", "Because of < this.") in page.texts
    assert ("div", {"class": f"verdict {style}"}) in page.elements
    assert line is None or ("p", line) in page.texts


def test_the_page_begins_with_run_date_environment_and_champion(made: tuple[dict[str, Any], str]) -> None:
    lineage = made[0]["lineage"] | {"run": "m1x", "environment": "tapline-ibu-dev", "champion_version": "7"}
    page = Page(rendered(made[0] | {"lineage": lineage}, ["Buzz"], 5))
    texts = [text for tag, text in page.texts if tag == "span"]
    assert texts == [" m1x", f" {NOW}", " tapline-ibu-dev", " version 7"]


def test_the_loss_to_the_best_version_is_shown_where_there_is_one(made: tuple[dict[str, Any], str]) -> None:
    text = "Above the best version approved so far the error is 1.2 %."
    changed = made[0] | {"gate": made[0]["gate"] | {"accumulated_loss": 0.012}}
    assert (text in made[1], text in rendered(changed, ["a"])) == (False, True)


def test_no_text_of_a_bar_plot_covers_another_one() -> None:
    names = ("40 to 70 IBU (n = 101)", "a", "b", "c")
    rows = [plots.Bar(name, 40.0 + step, "40.0", mark=41.0, mark_note="41.0") for step, name in enumerate(names)]
    texts = re.findall(
        r'<text class="(?!axis)\w*" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<', plots.bars(rows, "", "")
    )
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    boxes = [(float(x) - shift[anchor] * 7 * len(text), float(y), 7 * len(text)) for x, y, anchor, text in texts]
    assert len(boxes) >= 3 * len(rows)
    for (x, y, width), (other, below, length) in itertools.combinations(boxes, 2):
        assert abs(y - below) >= 12 or x + width <= other or other + length <= x


def test_a_mark_has_its_own_number_and_the_residuals_have_a_zero(made: tuple[dict[str, Any], str]) -> None:
    assert plots.bars([plots.Bar("a", 5.0, "5.0", mark=9.0, mark_note="9.0")], "marks", "x").count(">9.0<") == 1
    residuals = made[1].split("<h2>Residuals</h2>")[1].split("</svg>")[0]
    assert re.search(r'<text class="" x="219.0"[^>]*>0<', residuals)


def test_hostile_names_are_shown_as_they_are(made: tuple[dict[str, Any], str]) -> None:
    worst = [made[0]["worst"][0] | {"name": name} for name in HOSTILE]
    lineage = made[0]["lineage"] | {"input_uri": HOSTILE[0], "git_commit": HOSTILE[1]}
    quality = made[0]["quality"] | {"dropped": {HOSTILE[2]: 1}}
    evaluation = made[0] | {"worst": worst, "lineage": lineage, "quality": quality, "about_champion": HOSTILE[3]}
    text = rendered(evaluation, HOSTILE)
    page = Page(text)
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in Page(made[1]).elements}
    shown = [text for tag, text in page.texts if tag == "td"]
    assert [name for name in HOSTILE if name not in shown] == []
    assert not [name for _, given in page.elements for name in given if name.startswith("on")]


def test_a_hostile_name_travels_through_all_steps(tmp_path: Path) -> None:
    rows = [{**row, "name": HOSTILE[row["id"] % len(HOSTILE)]} for row in catalogue()]
    folder = train(preprocess(tmp_path / "hostile", rows), "--n-estimators", "3")
    evaluate(folder, Path("nowhere"), tmp_path / "output")
    page = Page((tmp_path / "output/report.html").read_text(encoding="utf-8"))
    assert not {"script", "img", "iframe"} & {tag for tag, _ in page.elements}
    assert any(HOSTILE[0] in text for tag, text in page.texts if tag == "title")


def test_many_beers_do_not_make_a_page_too_large(made: tuple[dict[str, Any], str]) -> None:
    assert len(rendered(made[0], ["Beer & Co. " * 5], 20_000).encode()) < 1_200_000


def test_the_page_needs_no_champion_no_names_and_no_quality_json(made: tuple[dict[str, Any], str]) -> None:
    nameless = [beer | {"name": ""} for beer in made[0]["worst"]]
    none = {"columns": {}, "sentence": "There is no champion to compare with."}
    evaluation = made[0] | {"champion": None, "drift": none, "quality": {}, "worst": nameless, "probabilities": {}}
    text = rendered(evaluation, [""], 3)
    assert re.findall(r"<h2>(.*?)</h2>", text) == SECTIONS
    assert "There is no champion to compare with." in text and "beer 0: 0 IBU" in text


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 47.3, [0, 10, 20, 30, 40]),
        (-0.4, 6.9, [0, 2, 4, 6]),
        (0, 0.03, [0, 0.01, 0.02, 0.03]),
        (-3, 3, [-2, 0, 2]),
    ],
)
def test_axes_have_about_five_round_ticks(low: float, high: float, expected: list[float]) -> None:
    assert plots._ticks(low, high) == expected


def test_a_plot_of_nothing_is_a_plot() -> None:
    for plot in (plots.scatter([], "none"), plots.histogram([], "none", "x"), plots.bars([], "none", "x")):
        assert Page(plot).elements[0][0] == "svg"
    Page(plots.bars([plots.Bar("zero", 0.0)], "zero", "x"))
    Page(plots.scatter([plots.Point(0, 0, 0, 0, "zero")], "zero"))


def test_the_farthest_beers_are_named_where_there_is_room() -> None:
    def named(*places: tuple[float, float, str]) -> list[str]:
        points = [plots.Point(truth, predicted, 0, 100, "", name) for truth, predicted, name in places]
        page = plots.scatter([*points, plots.Point(100, 100, 0, 100, "")], "named")
        return re.findall(r'<text class="name"[^>]*text-anchor="(\w+)">([^<]*)<', page)

    assert named((0, 50, "Buzz"), (100, 10, "Zephyr")) == [("start", "Buzz"), ("end", "Zephyr")]
    assert named((20, 50, "Buzz"), (21, 50, "hidden"), (21, 90, "Zephyr")) == [("start", "Buzz"), ("start", "Zephyr")]
    assert named((0, 50, "x" * 60)) == [("start", "x" * 21 + "\u2026")]
    assert named((0, 50, "<b>")) == [("start", "&lt;b&gt;")]
