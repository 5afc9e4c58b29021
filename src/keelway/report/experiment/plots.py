"""The plots of an experiment: each figure over its looks with the interval that holds at all of them, and the shares of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from keelway.core import Axis, Chart
from keelway.report.experiment.figure_words import SHARES, moment, number, span

if TYPE_CHECKING:
    from keelway.report.experiment.records import ExperimentReport, FigurePoint, FigureStory

MOST_LOOKS = 120
"""Of a plot; more are thinned, both ends among them."""
CHANCE, LIMIT = -1, 1
SPANS = ((timedelta(days=2), "Days", 86_400), (timedelta(hours=2), "Hours", 3_600), (timedelta(), "Minutes", 60))
PERCENT = 100
SHORTEST = 1.0
"""Of a plot, in units of its time: what is looked at once has lines as well."""
COLOURS = (0, 2, 3, 4, 5)
"""Of treatments; 1 is the colour of limits."""


def figure_plot(stories: Sequence[FigureStory], began: datetime) -> str:
    """Return one figure over the looks, a line and a band for each treatment; empty where nothing was measured.

    Args:
        stories: The same figure of each treatment.
        began: When the experiment began, from which the looks are counted.
    """
    shown = [
        (COLOURS[place % len(COLOURS)], story, thinned([each for each in story.points if each.value is not None]))
        for place, story in enumerate(stories)
    ]
    drawn = [(colour, story, points) for colour, story, points in shown if points]
    if not drawn:
        return ""
    first = stories[0]
    view = _view([points for _, _, points in drawn], first, began)
    chart = Chart(
        first.title,
        _described([story for _, story, _ in drawn]),
        x=Axis(f"{view.unit} since {moment(began)}", 0, view.length),
        y=Axis(_unit(first), view.low * view.times, view.high * view.times),
        height=340,
    )
    chart.line([0, view.length], [0, 0], colour=CHANCE)
    for start in _later_stages([points for _, _, points in drawn]):
        x = view.along(start)
        chart.line(
            [x, x], [view.low * view.times, view.high * view.times], name="next stage", colour=CHANCE, dashed=True
        )
    limit = view.up(first.limit)
    chart.line([0, view.length], [limit] * 2, name="limit" if limit else "no difference", colour=LIMIT, dashed=True)
    for colour, story, points in drawn:
        _draw(
            chart, view, points, story.version if len(stories) > 1 else "", colour, banded=first.kind != "distribution"
        )
    return chart.svg()


def shares_plot(report: ExperimentReport) -> str:
    """Return the share of each version over time, as steps; empty where no time went by."""
    if not report.shares:
        return ""
    end = max([report.ended or report.at, report.shares[-1].at])
    word, seconds = _clock(end - report.began)
    length = (end - report.began).total_seconds() / seconds
    if not length > 0:
        return ""
    versions = sorted({version for step in report.shares for version in step.shares}, key=_by_number)
    told = ", ".join(f"{version} {share:g} %" for version, share in report.shares[-1].shares.items())
    chart = Chart(
        "Share of the traffic",
        f"Percent of the traffic by version over time. In the end: {told}.",
        x=Axis(f"{word} since {moment(report.began)}", 0, length),
        y=Axis("Percent", 0, PERCENT),
        height=300,
    )
    starts = [max((step.at - report.began).total_seconds() / seconds, 0.0) for step in report.shares]
    for place, version in enumerate(versions):
        xs: list[float] = []
        ys: list[float] = []
        for start, stop, step in zip(starts, [*starts[1:], length], report.shares, strict=True):
            xs += [start, max(start, stop)]
            ys += [step.shares.get(version, 0.0)] * 2
        chart.line(xs, ys, name=version, colour=place, dashed=version == report.control)
    return chart.svg()


def thinned(points: Sequence[FigurePoint], most: int = MOST_LOOKS) -> list[FigurePoint]:
    """Return at most so many points, evenly taken, both ends among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(place * step)] for place in range(most)]


@dataclass(frozen=True, slots=True)
class _View:
    """Where looks and differences stand in a chart.

    Attributes:
        unit: Of the time, as a word.
        seconds: Of one such unit.
        length: Of the axis, in units.
        low: The least difference that is shown.
        high: The largest.
        times: By what differences are multiplied: 100 where they are told in percent.
    """

    began: datetime
    unit: str
    seconds: int
    length: float
    low: float
    high: float
    times: int

    def along(self, at: datetime) -> float:
        """Return where a moment stands."""
        return max((at - self.began).total_seconds() / self.seconds, 0.0)

    def up(self, value: float) -> float:
        """Return where a difference stands, at the edge where it lies beyond."""
        return min(max(value, self.low), self.high) * self.times


def _view(drawn: Sequence[Sequence[FigurePoint]], story: FigureStory, began: datetime) -> _View:
    """Return what is shown: no difference, the limit, and all that was known after the first quarter of each stage."""
    last = max(point.at for points in drawn for point in points)
    unit, seconds = _clock(last - began)
    late = [point for points in drawn for stage in _stages(points) for point in stage[len(stage) // 4 :]]
    ends = [end for point in late for end in (point.value, point.low, point.high) if end is not None]
    low, high = min(0.0, story.limit, *ends), max(0.0, story.limit, *ends)
    room = (high - low) * 0.06 or 1e-9
    times = PERCENT if story.kind in (*SHARES, "quantile") else 1
    length = max((last - began).total_seconds() / seconds, SHORTEST)
    return _View(began, unit, seconds, length, low - room, high + room, times)


def _stages(points: Sequence[FigurePoint]) -> list[list[FigurePoint]]:
    return [list(stage) for _, stage in groupby(points, key=lambda point: point.stage)]


def _later_stages(drawn: Sequence[Sequence[FigurePoint]]) -> list[datetime]:
    """Return when each stage but the first was looked at first."""
    firsts: dict[int, datetime] = {}
    for point in sorted((point for points in drawn for point in points), key=lambda each: each.at):
        firsts.setdefault(point.stage, point.at)
    return list(firsts.values())[1:]


def _draw(chart: Chart, view: _View, points: Sequence[FigurePoint], name: str, colour: int, *, banded: bool) -> None:
    """Draw one treatment; every stage begins anew, because it is judged by itself."""
    for stage in _stages(points):
        _draw_stage(chart, view, stage, name, colour, banded=banded)
    chart.points([view.along(points[-1].at)], [view.up(points[-1].value or 0.0)], colour=colour)


def _draw_stage(
    chart: Chart, view: _View, points: Sequence[FigurePoint], name: str, colour: int, *, banded: bool
) -> None:
    """Draw the interval as a band, and what was measured as a line."""
    bounded = [point for point in points if not (point.low is None and point.high is None)]
    if bounded and banded:
        lows = [view.up(view.low if point.low is None else point.low) for point in bounded]
        highs = [view.up(view.high if point.high is None else point.high) for point in bounded]
        places = [view.along(point.at) for point in bounded]
        chart.band(places, lows, highs, colour=colour)
        if len(bounded) == 1:  # a band of one look has no width
            chart.range((places[0], places[0]), (lows[0], highs[0]), colour=colour)
    xs, values = [view.along(point.at) for point in points], [view.up(point.value or 0.0) for point in points]
    chart.line(xs, values, name=name, colour=colour)


def _described(stories: Sequence[FigureStory]) -> str:
    """Return the plot in words, for those who cannot see it."""
    told = []
    for story in stories:
        scale, unit = (PERCENT, " %") if story.kind in (*SHARES, "quantile") else (1, "")
        value = "not known" if story.difference is None else f"{number(story.difference * scale)}{unit}"
        where = span(story, story.low, story.high)
        told.append(
            f"{story.version} less its control, over {len(story.points)} looks: in the end {value}"
            f"{f', the truth {where}' if where else ''}."
        )
    limit = "The dashed line is the limit." if stories[0].limit else "The line at 0 is no difference."
    return f"{stories[0].title}. {' '.join(told)} {limit} The band is where the truth lies, at all looks together."


def _unit(story: FigureStory) -> str:
    if story.kind in SHARES:
        return "Difference, percentage points"
    if story.kind == "quantile":
        return "Difference, percent"
    return "Distance (PSI)" if story.kind == "distribution" else "Difference"


def _clock(length: timedelta) -> tuple[str, int]:
    """Return in which unit a time is told, and how many seconds it has."""
    return next((word, seconds) for shortest, word, seconds in SPANS if length >= shortest)


def _by_number(version: str) -> tuple[str, int]:
    model, _, text = version.rpartition(":")
    return model, int(text) if text.isdigit() else 0
