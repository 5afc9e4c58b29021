"""Charts are well-formed, say what they show to those who cannot see, and draw every figure where it belongs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from keelway.core import Axis, Chart
from keelway.errors import TrainingError, UsageError
from keelway.evaluate import (
    Importance,
    Interval,
    calibration_of,
    forest_plot,
    gain_plot,
    gain_table,
    importance_plot,
    lift_plot,
    measure,
    precision_recall_plot,
    reliability_plot,
    residual_plot,
    roc_plot,
)

SVG = "{http://www.w3.org/2000/svg}"
COLOUR_BLIND_SAFE = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c8c8c"}
PIXEL = 0.006  # half of the last digit drawn


@dataclass
class Read:
    """A chart read back: what is drawn, in the units of the data."""

    root: ET.Element

    def __post_init__(self) -> None:
        plot = self.root.find(f"{SVG}g[@class='plot']")
        self.plot = plot
        self.x_low, self.x_high = map(float, plot.get("data-x").split())
        self.y_low, self.y_high = map(float, plot.get("data-y").split())
        self.left, self.top, self.right, self.bottom = map(float, plot.get("data-box").split())

    def x(self, pixel: float) -> float:
        return self.x_low + (pixel - self.left) / (self.right - self.left) * (self.x_high - self.x_low)

    def y(self, pixel: float, *, named: bool = False) -> float:
        share = (self.bottom - pixel) / (self.bottom - self.top)
        return self.y_low + (1 - share if named else share) * (self.y_high - self.y_low)

    @property
    def near(self) -> dict[str, float]:
        return {"abs": 2 * PIXEL * max(self.x_high - self.x_low, self.y_high - self.y_low) / 100}

    def lines(self) -> list[list[tuple[float, float]]]:
        found = []
        for each in self.plot.findall(f"{SVG}polyline"):
            pairs = [tuple(map(float, pair.split(","))) for pair in each.get("points").split()]
            found.append([(self.x(x), self.y(y)) for x, y in pairs])
        return found

    def points(self, *, named: bool = False) -> list[tuple[float, float]]:
        return [
            (self.x(float(each.get("cx"))), self.y(float(each.get("cy")), named=named))
            for each in self.plot.findall(f"{SVG}circle")
        ]

    def ranges(self, *, named: bool = False) -> list[tuple[float, float, float, float]]:
        return [
            (
                self.x(float(each.get("x1"))),
                self.x(float(each.get("x2"))),
                self.y(float(each.get("y1")), named=named),
                self.y(float(each.get("y2")), named=named),
            )
            for each in self.plot.findall(f"{SVG}line")
        ]

    def bars(self) -> list[tuple[str, float, float]]:
        return [
            (
                each.get("data-name"),
                self.x(float(each.get("x"))),
                self.x(float(each.get("x")) + float(each.get("width"))),
            )
            for each in self.plot.findall(f"{SVG}rect")
        ]

    def texts(self, kind: str) -> list[str]:
        return [each.text for each in self.root.iter(f"{SVG}text") if each.get("class") == kind]


def read(text: str) -> Read:
    return Read(ET.fromstring(text))


def rows(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    chance = draw.beta(1, 2, count)
    return (draw.random(count) < chance).astype(float), chance


def every_plot() -> dict[str, str]:
    labels, chance = rows()
    return {
        "roc": roc_plot(labels, {"a": chance, "b": 1 - chance}),
        "precision and recall": precision_recall_plot(labels, {"a": chance}),
        "reliability": reliability_plot(calibration_of(labels, chance, seed=0, resamples=50)),
        "gain": gain_plot(gain_table(labels, chance)),
        "lift": lift_plot(gain_table(labels, chance)),
        "residuals": residual_plot(labels, chance),
        "forest": forest_plot(measure("binary", labels, chance, seed=0, resamples=50), label="figure", reference=0),
        "importance": importance_plot([Importance("x", "f1", Interval(0.1, 0.05, 0.2, 0.95, "t"))]),
    }


@pytest.mark.parametrize(("name", "text"), every_plot().items(), ids=every_plot().keys())
def test_a_plot_is_accessible_and_holds_nothing_foreign(name: str, text: str) -> None:
    root = ET.fromstring(text)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert title.text
    assert re.search(r"\d", description.text), "the description tells figures"
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "rect", "text", "g", "line", "polyline", "circle", "path",
    }  # fmt: skip
    assert not re.search(r"href|url\(|<style|<script|on\w+=", text)
    drawn = {each.get(kind) for each in root.find(f"{SVG}g").iter() for kind in ("stroke", "fill")} - {None, "none"}
    assert drawn <= COLOUR_BLIND_SAFE
    assert read(text).texts("label-x") != [""]


@pytest.mark.parametrize(("name", "text"), every_plot().items(), ids=every_plot().keys())
def test_everything_is_drawn_inside_the_axes(name: str, text: str) -> None:
    found = read(text)
    named = name in ("forest", "importance")
    points = [*found.points(named=named), *(point for line in found.lines() for point in line)]
    points += [(x, y) for x1, x2, y1, y2 in found.ranges(named=named) for x, y in ((x1, y1), (x2, y2))]
    assert points
    slack = found.near["abs"]
    for x, y in points:
        assert found.x_low - slack <= x <= found.x_high + slack
        assert found.y_low - slack <= y <= found.y_high + slack


def test_the_same_figures_give_the_same_bytes_and_others_another_id() -> None:
    labels, chance = rows()
    assert roc_plot(labels, {"a": chance}) == roc_plot(labels, {"a": chance})
    ids = {re.search(r'<title id="([^"]+)"', text)[1] for text in every_plot().values()}
    assert len(ids) == 8


def test_the_roc_curve_is_scikit_learns() -> None:
    labels, chance = rows()
    found = read(roc_plot(labels, {"model": chance, "ties": np.round(chance, 1)}))
    diagonal, model, ties = found.lines()
    assert diagonal == [pytest.approx((0, 0), **found.near), pytest.approx((1, 1), **found.near)]
    for line, scores in ((model, chance), (ties, np.round(chance, 1))):
        false, true, _ = peer.roc_curve(labels, scores, drop_intermediate=False)
        assert np.array(line) == pytest.approx(np.column_stack([false, true]), **found.near)
    area = peer.roc_auc_score(labels, chance)
    assert found.texts("legend")[0] == f"model ({area:.3f})"
    assert f"model {area:.4f}" in found.root.find(f"{SVG}desc").text


def test_the_precision_recall_curve_is_scikit_learns() -> None:
    labels, chance = rows()
    found = read(precision_recall_plot(labels, {"model": chance}))
    level, line = found.lines()
    precision, recall, _ = peer.precision_recall_curve(labels, chance)
    expected = np.column_stack([recall, precision])[::-1][1:]
    assert np.array(line[1:]) == pytest.approx(expected, **found.near)
    assert level[0][1] == pytest.approx(labels.mean(), **found.near)
    with pytest.raises(TrainingError, match="no recall"):
        precision_recall_plot([0, 0], {"model": [0.1, 0.2]})


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    labels, chance = rows(20_000)
    found = read(roc_plot(labels, {"model": chance}))
    line = found.lines()[1]
    assert len(line) == 600
    assert (line[0], line[-1]) == (pytest.approx((0, 0), **found.near), pytest.approx((1, 1), **found.near))
    false, true, _ = peer.roc_curve(labels, chance, drop_intermediate=False)
    for x, y in line[::50]:
        assert np.min(np.hypot(false - x, true - y)) < 2 * found.near["abs"]


def test_reliability_shows_every_bin_with_its_interval() -> None:
    labels, chance = rows()
    told = calibration_of(labels, chance, seed=0, resamples=50)
    found = read(reliability_plot(told))
    expected = [(each.predicted, each.observed.value) for each in told.bins]
    assert np.array(found.points()) == pytest.approx(np.array(expected), **found.near)
    assert [(y1, y2) for _, _, y1, y2 in found.ranges()] == [
        pytest.approx((each.observed.low, each.observed.high), **found.near) for each in told.bins
    ]


def test_gain_and_lift_show_every_step() -> None:
    steps = gain_table(*rows())
    gain, lift = read(gain_plot(steps)), read(lift_plot(steps))
    assert np.array(gain.lines()[1]) == pytest.approx(
        np.array([(0, 0), *((each.share, each.gain.value) for each in steps)]), **gain.near
    )
    assert np.array(lift.points()) == pytest.approx(
        np.array([(each.share, each.lift.value) for each in steps]), **lift.near
    )
    assert [(y1, y2) for *_, y1, y2 in lift.ranges()] == [
        pytest.approx((each.lift.low, each.lift.high), **lift.near) for each in steps
    ]


def test_residuals_are_truth_minus_prediction() -> None:
    draw = np.random.default_rng(1)
    given = draw.normal(100, 5, 50)
    truth = given + draw.normal(0, 2, 50)
    found = read(residual_plot(truth, given))
    assert np.array(sorted(found.points())) == pytest.approx(
        np.array(sorted(zip(given, truth - given, strict=True))), **found.near
    )
    many = read(residual_plot(np.zeros(5000), draw.normal(size=5000)))
    assert len(many.points()) == 2000
    assert "2,000 of 5,000 rows" in many.root.find(f"{SVG}desc").text
    assert len(read(residual_plot([3.0, 3.0], [3.0, 3.0])).points()) == 2


def test_a_forest_has_a_row_for_each_figure_the_first_on_top() -> None:
    figures = {"good & <big>": Interval(0.2, 0.1, 0.35, 0.95, "x"), "bad": Interval(-0.1, -0.3, 0.05, 0.95, "x")}
    found = read(forest_plot(figures, label="difference", reference=0.0))
    assert found.texts("tick-y") == list(figures)
    assert found.points(named=True) == [
        pytest.approx((0.2, 0), **found.near),
        pytest.approx((-0.1, 1), **found.near),
    ]
    assert found.ranges(named=True) == [
        pytest.approx((0.1, 0.35, 0, 0), **found.near),
        pytest.approx((-0.3, 0.05, 1, 1), **found.near),
    ]
    heights = [float(each.get("cy")) for each in found.plot.findall(f"{SVG}circle")]
    assert heights[0] < heights[1]
    assert found.lines()[0][0][0] == pytest.approx(0, **found.near)
    with pytest.raises(TrainingError, match="nothing to show"):
        forest_plot({}, label="x")


def test_bars_are_as_long_as_features_are_important() -> None:
    told = [
        Importance("weak", "roc_auc", Interval(-0.01, -0.02, 0.0, 0.95, "t")),
        Importance("strong", "roc_auc", Interval(0.3, 0.25, 0.35, 0.95, "t")),
    ]
    found = read(importance_plot(told))
    assert found.bars() == [
        ("strong", pytest.approx(0, **found.near), pytest.approx(0.3, **found.near)),
        ("weak", pytest.approx(-0.01, **found.near), pytest.approx(0, **found.near)),
    ]
    assert found.texts("label-x") == ["Loss of roc_auc"]
    most = [Importance(f"f{number}", "f1", Interval(number, number, number, 0.95, "t")) for number in range(40)]
    assert [name for name, *_ in read(importance_plot(most, most=3)).bars()] == ["f39", "f38", "f37"]
    with pytest.raises(TrainingError, match="nothing to show"):
        importance_plot([])


@settings(max_examples=80, deadline=None)
@drawn_by(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_escaped(title: str, name: str) -> None:
    chart = Chart(title, name, x=Axis(name), y=Axis("y", names=(name, "other")))
    chart.line([0, 1], [0, 1], name=name)
    chart.bar((0, 1), (0, 0.5), name=name)
    chart.note(0.5, 0.5, name)
    root = ET.fromstring(chart.svg().encode("utf-8", "strict"))
    plain = "".join(
        each if re.match(r"[\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", each) else "\ufffd" for each in title
    )
    assert (root.find(f"{SVG}title").text or "") == plain.replace("\r\n", "\n").replace("\r", "\n")


def test_a_name_full_of_markup_stays_a_name() -> None:
    labels, chance = rows()
    hostile = '"/><script>alert(1)</script><text x="'
    text = roc_plot(labels, {hostile: chance}, title="</title><script>")
    root = ET.fromstring(text)
    assert not list(root.iter(f"{SVG}script"))
    assert root.findall(f".//{SVG}polyline")[1].get("data-name").startswith(hostile)


@settings(max_examples=150, deadline=None)
@drawn_by(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_ticks_are_round_few_and_within_the_axis(low: float, width: float) -> None:
    found = read(Chart("t", "d", x=Axis("x", low, low + width), y=Axis("y")).svg())
    ticks = [float(each) for each in found.texts("tick-x")]
    assert len(ticks) <= 12
    assert ticks == sorted(ticks)
    slack = 1e-5 * max(abs(found.x_low), abs(found.x_high), 1e-300) + 1e-9
    assert all(found.x_low - slack <= each <= found.x_high + slack for each in ticks)


def test_a_figure_that_is_no_number_is_refused() -> None:
    chart = Chart("t", "d", x=Axis("x"), y=Axis("y"))
    with pytest.raises(UsageError, match="finite number"):
        chart.points([float("nan")], [0.0])
    with pytest.raises(UsageError, match="finite number"):
        Chart("t", "d", x=Axis("x", 0, float("inf")), y=Axis("y"))
