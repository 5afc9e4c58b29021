"""A chart keeps its legend inside, goes on below the plot where names are many, and draws the smallest range."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Axis, Chart
from keelway.core.chart import LETTER, LONGEST_NAME, RIGHT
from keelway.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.lists(st.text("abcdefgh ij", min_size=1, max_size=40).map(str.strip).filter(bool), max_size=9, unique=True)


def drawn(names: list[str], *, width: int = 640, height: int = 400) -> ET.Element:
    """Return a chart with a line for each name."""
    chart = Chart("Lift", "Better than chance", x=Axis("share"), y=Axis("lift"), width=width, height=height)
    for place, name in enumerate(names):
        chart.line([0, 1], [0, 1], name=name, colour=place, dashed=place % 2 == 1)
    return ET.fromstring(chart.svg())


def legend(root: ET.Element) -> list[ET.Element]:
    return [each for each in root.findall(f"{SVG}text") if each.get("class") == "legend"]


def size(root: ET.Element) -> tuple[float, float]:
    _, _, width, height = (float(each) for each in (root.get("viewBox") or "").split())
    return width, height


@settings(deadline=None)
@given(NAMES)
def test_every_name_stands_inside_the_chart_once(names: list[str]) -> None:
    root = drawn(names)
    width, height = size(root)
    found = legend(root)
    shown = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    assert [each.text for each in found] == shown
    for each in found:
        left, length = float(each.get("x") or 0), len(each.text or "") * LETTER
        assert left + length <= width - RIGHT + 1
        assert 0 < float(each.get("y") or 0) < height


@settings(deadline=None)
@given(NAMES)
def test_no_two_names_of_a_legend_overlap(names: list[str]) -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    for each in legend(drawn(names)):
        left = float(each.get("x") or 0)
        rows.setdefault(each.get("y") or "", []).append((left, left + len(each.text or "") * LETTER))
    for spans in rows.values():
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_few_names_stand_under_the_title_and_take_no_room() -> None:
    root = drawn(["champion", "challenger"])
    assert size(root) == (640, 400)
    assert {each.get("y") for each in legend(root)} == {"40"}


def test_many_names_make_the_chart_higher_and_leave_the_plot_where_it_is() -> None:
    few, many = drawn(["one"]), drawn([f"a model called number {number}" for number in range(8)])
    assert size(many)[1] > size(few)[1] == 400
    assert many.get("height") == f"{size(many)[1]:g}"
    paper = many.find(f"{SVG}rect")
    assert paper is not None
    assert paper.get("height") == many.get("height")
    boxes = [root.find(f"{SVG}g[@class='plot']").get("data-box") for root in (few, many)]  # type: ignore[union-attr]
    assert boxes[0] == boxes[1]
    assert all(float(each.get("y") or 0) > 400 or each.get("y") == "40" for each in legend(many))


def test_dashes_are_in_the_legend_too() -> None:
    lines = [each for each in drawn(["plain", "dashed"]).findall(f"{SVG}line") if each.get("stroke-width") == "3"]
    assert [each.get("stroke-dasharray") for each in lines] == [None, "6 4"]


def test_a_name_that_is_drawn_twice_is_told_once() -> None:
    chart = Chart("Lift", "Better than chance", x=Axis("share"), y=Axis("lift"))
    chart.line([0, 1], [0, 1], name="model")
    chart.points([0.5], [0.5], name="model")
    chart.points([0.5], [0.6], name="other")
    assert [each.text for each in legend(ET.fromstring(chart.svg()))] == ["model", "other"]


@pytest.mark.parametrize("width", [0.0, 5e-324, 1e-310, 1e-301])
@pytest.mark.parametrize("low", [0.0, 1.0, -3.5])
def test_a_range_without_length_is_widened(low: float, width: float) -> None:
    chart = Chart("Flat", "One value", x=Axis("x", low, low + width), y=Axis("y"))
    chart.points([low], [0.5])
    root = ET.fromstring(chart.svg())
    plot = root.find(f"{SVG}g[@class='plot']")
    assert plot is not None
    first, last = map(float, (plot.get("data-x") or "").split())
    assert first < low < last
    assert [each for each in root.findall(f"{SVG}text") if each.get("class") == "tick-x"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_drawn(value: float) -> None:
    chart = Chart("Lift", "Better than chance", x=Axis("share"), y=Axis("lift"))
    with pytest.raises(UsageError, match="cannot show"):
        chart.points([0.5], [value])
    with pytest.raises(UsageError, match="cannot show"):
        Chart("Lift", "Better than chance", x=Axis("share", 0, value), y=Axis("lift"))


def test_a_band_lies_between_its_two_lines() -> None:
    chart = Chart("Band", "Where the truth is", x=Axis("time", 0, 2), y=Axis("difference", -1, 1))
    chart.band([0, 1, 2], [-1, -0.5, 0], [1, 0.5, 0], colour=2)
    root = ET.fromstring(chart.svg())
    (polygon,) = root.iter(f"{SVG}polygon")
    corners = [tuple(map(float, corner.split(","))) for corner in (polygon.get("points") or "").split()]
    assert len(corners) == 6
    assert [x for x, _ in corners[:3]] == [x for x, _ in corners[3:]][::-1]
    assert corners[2] == corners[3]  # where the lines meet
    assert all(low[1] >= high[1] for low, high in zip(corners[:3], corners[3:][::-1], strict=True))  # down is larger
    assert polygon.get("fill") != "none"


def test_a_band_of_no_numbers_is_refused() -> None:
    chart = Chart("Band", "", x=Axis("time"), y=Axis("difference"))
    with pytest.raises(UsageError, match="cannot show a figure"):
        chart.band([0.0], [math.nan], [1.0])
