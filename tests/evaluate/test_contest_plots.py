"""The plots of a contest show its figures: every model, every difference, in its own units."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from keelway.evaluate import Contest, contest, contest_plots

SVG = "{http://www.w3.org/2000/svg}"
ROWS = 300


def question(rows: int = ROWS) -> tuple[list[int], dict[str, Any]]:
    draw = np.random.default_rng(7)
    truth = draw.integers(0, 2, rows)
    models = {
        name: 1 / (1 + np.exp(-(size * (2 * truth - 1) + draw.normal(size=rows)))) for name, size in SIZES.items()
    }
    return truth.tolist(), models


SIZES = {"first": 0.3, "second": 0.8, "third": 1.5}


@pytest.fixture(scope="module")
def found() -> Contest:
    truth, models = question()
    return contest(truth, models, task="binary", metrics=["roc_auc", "brier"], resamples=100)


@pytest.fixture(scope="module")
def plots(found: Contest) -> dict[str, ET.Element]:
    truth, models = question()
    return {name: ET.fromstring(svg) for name, svg in contest_plots(found, truth, models).items()}


class Scale:
    """Turns pixels of a chart back into figures."""

    def __init__(self, root: ET.Element) -> None:
        plot = root.find(f"{SVG}g[@class='plot']")
        assert plot is not None
        self.plot = plot
        self.x_low, self.x_high = map(float, (plot.get("data-x") or "").split())
        self.y_low, self.y_high = map(float, (plot.get("data-y") or "").split())
        self.left, self.top, self.right, self.bottom = map(float, (plot.get("data-box") or "").split())

    def x(self, pixel: str | None) -> float:
        share = (float(pixel or 0) - self.left) / (self.right - self.left)
        return self.x_low + share * (self.x_high - self.x_low)

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Return the points of each line that has a name."""
        made = {}
        for each in self.plot.findall(f"{SVG}polyline"):
            pairs = [pair.split(",") for pair in (each.get("points") or "").split()]
            made[each.get("data-name") or ""] = [(self.x(x), self._y(y)) for x, y in pairs]
        return {name: points for name, points in made.items() if name}

    def _y(self, pixel: str) -> float:
        share = (self.bottom - float(pixel)) / (self.bottom - self.top)
        return self.y_low + share * (self.y_high - self.y_low)


@pytest.mark.parametrize("metric", ["roc_auc", "brier"])
def test_differences_stand_at_their_figures_the_first_rival_on_top(
    found: Contest, plots: dict[str, ET.Element], metric: str
) -> None:
    scale = Scale(plots[f"differences-{metric}"])
    duels = [each for each in found.duels if each.comparison.metric == metric]
    dots = [scale.x(each.get("cx")) for each in scale.plot.findall(f"{SVG}circle")]
    assert dots == pytest.approx([each.comparison.difference.value for each in duels], abs=1e-3)
    ends = [(scale.x(each.get("x1")), scale.x(each.get("x2"))) for each in scale.plot.findall(f"{SVG}line")]
    for (low, high), each in zip(ends, duels, strict=True):
        assert (low, high) == pytest.approx((each.comparison.difference.low, each.comparison.difference.high), abs=1e-3)
    names = [
        each.text for each in plots[f"differences-{metric}"].findall(f"{SVG}text") if each.get("class") == "tick-y"
    ]
    assert names == ["second", "third"]


@pytest.mark.parametrize("plot", ["gain", "lift"])
def test_gain_and_lift_are_those_of_each_model(found: Contest, plots: dict[str, ET.Element], plot: str) -> None:
    lines = Scale(plots[plot]).lines()
    assert list(lines) == list(SIZES)
    for model in found.models:
        steps = [(each.share, getattr(each, plot).value) for each in model.gains]
        points = lines[model.name][-10:]
        assert [x for x, _ in points] == pytest.approx([x for x, _ in steps], abs=1e-3)
        assert [y for _, y in points] == pytest.approx([y for _, y in steps], abs=1e-2)


def test_the_better_model_gains_more(plots: dict[str, ET.Element]) -> None:
    lines = Scale(plots["gain"]).lines()
    third = [[y for x, y in lines[name] if abs(x - 0.3) < 1e-3][0] for name in SIZES]  # noqa: RUF015
    assert third == sorted(third)


def test_curves_are_named_with_their_areas(found: Contest, plots: dict[str, ET.Element]) -> None:
    names = [each.text for each in plots["roc"].findall(f"{SVG}text") if each.get("class") == "legend"]
    assert names == [f"{each.name} ({each.figures['roc_auc'].value:.3f})" for each in found.models]


def test_every_model_has_its_reliability(found: Contest, plots: dict[str, ET.Element]) -> None:
    for model in found.models:
        assert model.calibration is not None
        scale = Scale(plots[f"reliability-{model.name}"])
        dots = [scale.x(each.get("cx")) for each in scale.plot.findall(f"{SVG}circle")]
        assert dots == pytest.approx([each.predicted for each in model.calibration.bins], abs=1e-3)
        title = plots[f"reliability-{model.name}"].find(f"{SVG}title")
        assert title is not None
        assert title.text == f"Reliability of {model.name}"


def test_too_few_rows_have_no_tenths_to_gain_from() -> None:
    truth, models = [0, 1, 0, 1, 1], {"one": [0.1, 0.8, 0.3, 0.7, 0.9], "two": [0.4, 0.6, 0.3, 0.2, 0.9]}
    found = contest(truth, models, task="binary", metrics=["roc_auc"], resamples=100)
    made = contest_plots(found, truth, models)
    assert {"gain", "lift"}.isdisjoint(made)
    assert {"roc", "precision-recall", "differences-roc_auc"} <= set(made)


def test_residuals_of_a_number_say_how_far_each_model_is_off() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=60)
    models = {"near": truth + 0.1 * draw.normal(size=60), "far": truth + draw.normal(size=60)}
    found = contest(truth.tolist(), models, task="regression", metrics=["mae"], resamples=100)
    made = contest_plots(found, truth.tolist(), models)
    for name, predictions in models.items():
        description = ET.fromstring(made[f"residuals-{name}"]).find(f"{SVG}desc")
        assert description is not None
        assert f"60 of 60 rows. Mean {(truth - predictions).mean():.4g}" in (description.text or "")
