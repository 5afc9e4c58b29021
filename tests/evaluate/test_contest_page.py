"""A contest as a page and as plots: it says everything, obeys nothing, loads nothing, and is the same every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from keelway.core.page import POLICY
from keelway.evaluate import Contest, contest, contest_page, contest_plots

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert("&")</script>'


class Texts(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


class World:
    """A contest of two models, one of them with a name that nobody should obey."""

    def __init__(self, task: Any = "binary") -> None:
        draw = np.random.default_rng(0)
        numbers = draw.normal(size=240)
        self.truth: list[Any] = numbers.tolist()
        near, far = numbers + 0.3 * draw.normal(size=240), numbers + draw.normal(size=240)
        classes: tuple[str, ...] = ()
        if task == "binary":
            self.truth = (numbers > 0).astype(int).tolist()
            near, far = (1 / (1 + np.exp(-3 * each)) for each in (near, far))
        if task == "multiclass":
            classes = ("low", "middle", "high")
            self.truth = [classes[place] for place in np.digitize(numbers, [-0.5, 0.5])]
            near, far = (_shares(each) for each in (near, far))
        self.predictions = {"champion:1": far, NASTY: near}
        metrics = {"binary": ["roc_auc", "log_loss"], "multiclass": ["log_loss"], "regression": ["rmse", "mae"]}
        self.contest: Contest = contest(
            self.truth,
            self.predictions,
            task=task,
            classes=classes,
            metrics=metrics[task],
            margins={metrics[task][0]: 0.01},
            columns={"region": ["<b>north</b>" if number % 2 else "south" for number in range(240)]},
            resamples=100,
        )

    def plots(self) -> dict[str, str]:
        return contest_plots(self.contest, self.truth, self.predictions)

    def page(self) -> str:
        return contest_page(
            self.contest,
            about=[("Rows are of", "test rows & more")],
            told={name: [("Estimator", "logistic"), ("Seed", "0")] for name in self.predictions},
            warnings=["Labels of <training> overlap."],
            plots=self.plots(),
        )


def _shares(values: Any) -> Any:
    scores = np.exp(-4 * np.abs(np.column_stack([values + 1, values, values - 1])))
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def page(world: World) -> str:
    return world.page()


def test_the_page_says_everything(world: World, page: str) -> None:
    text = Texts(page).text
    for said in (
        "Verdict",
        world.contest.duels[0].sentence,
        "Labels of <training> overlap.",
        "test rows & more",
        "roc_auc (high is good)",
        "log_loss (low is good)",
        "p < 0.001 after Holm",
        "region = <b>north</b>",
        "2 comparisons, corrected by holm",
        "roc_auc 0.01",
        "240, ",
        NASTY,
    ):
        assert said in text, said
    assert f"By roc_auc, {NASTY} is the one to take." in text


def test_the_page_says_that_nothing_speaks_for_leaving_the_baseline(world: World) -> None:
    models = {NASTY: world.predictions[NASTY], "champion:1": world.predictions["champion:1"]}
    turned = contest(world.truth, models, task="binary", metrics=["roc_auc"])
    shown = contest_page(turned, about=[], told={name: [("Seed", "0")] for name in models}, plots={})
    assert f"By roc_auc, nothing here speaks for leaving {NASTY}." in Texts(shown).text
    assert "<h2>Plots" not in shown
    assert "<h2>Slices" not in shown
    assert "<h2>What to know" not in shown


def test_the_page_loads_and_runs_nothing(page: str) -> None:
    found = Texts(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "b", "style"} & set(found.tags) - {"style"}
    names = {name for name, _ in found.attributes}
    assert not [name for name in names if name in ("src", "href", "style") or name.startswith("on")]
    assert not re.search(r"url\(|@import", page)
    assert set(re.findall(r"https?://[^\s\"<]+", page)) == {"http://www.w3.org/2000/svg"}, "a name, and no address"
    assert POLICY in page
    assert NASTY not in page


def test_the_page_opens_in_light_and_dark_and_prints(page: str) -> None:
    assert "color-scheme: light dark" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_page_has_the_plots_in_it(world: World, page: str) -> None:
    assert Texts(page).tags.count("svg") == len(world.plots()) == 8
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "a screen reader finds each chart's own title"


def test_the_same_contest_gives_the_same_bytes(page: str) -> None:
    assert World().page().encode() == page.encode()


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (
            "binary",
            {"differences-roc_auc", "differences-log_loss", "roc", "precision-recall", "gain", "lift"}
            | {"reliability-champion:1", f"reliability-{NASTY}"},
        ),
        ("multiclass", {"differences-log_loss", "reliability-champion:1", f"reliability-{NASTY}"}),
        ("regression", {"differences-rmse", "differences-mae", "residuals-champion:1", f"residuals-{NASTY}"}),
    ],
)
def test_each_task_has_its_plots(task: str, names: set[str]) -> None:
    made = World(task).plots()
    assert set(made) == names
    for svg in made.values():
        root = ET.fromstring(svg)
        assert root.find(f"{SVG}title") is not None
        assert root.find(f"{SVG}desc") is not None


def test_gain_and_lift_have_a_line_for_each_model(world: World) -> None:
    made = world.plots()
    for name, first in (("gain", 12), ("lift", 10)):
        lines = ET.fromstring(made[name]).findall(f".//{SVG}polyline")
        assert [line.get("data-name") for line in lines] == ["", "champion:1", NASTY]
        assert len((lines[1].get("points") or "").split()) in (first, first - 1)


def test_a_long_legend_goes_on_below_the_chart(world: World) -> None:
    names = {f"a model with a long name {number}": world.predictions["champion:1"] for number in range(5)}
    found = contest(world.truth, names, task="binary", metrics=["log_loss"], resamples=100)
    root = ET.fromstring(contest_plots(found, world.truth, names)["roc"])
    width, height = (float(each) for each in (root.get("viewBox") or "").split()[2:])
    legend = [each for each in root.findall(f"{SVG}text") if each.get("class") == "legend"]
    assert len(legend) == 5
    assert all(float(each.get("x") or 0) + 6.6 * len(each.text or "") <= width for each in legend)
    assert all(float(each.get("y") or 0) <= height for each in legend)
    assert len({each.get("y") for each in legend}) == 3
