"""Charts as SVG, written by hand: no plotting library, no browser, the same bytes for the same figures.

A chart has a title and a description for those who cannot see it, labelled axes, and colours that stay apart for the
colour-blind (Okabe and Ito 2008), helped by dashes and shapes. It holds no script, style sheet or link, so that a page with
a strict content security policy may hold it.

>>> chart = Chart("Lift", "How much better than chance", x=Axis("share", 0, 1), y=Axis("lift", 0, 3))
>>> chart.line([0.1, 1.0], [2.5, 1.0], name="model")
>>> chart.svg().startswith("<svg")
True
"""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keelway.errors import UsageError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY, INK, PAPER = "#8c8c8c", "#222222", "#ffffff"
FONT = 'font-family="system-ui, sans-serif"'
TOP, RIGHT, BOTTOM, LEFT = 48, 20, 56, 64  # px around the plot
LETTER = 6.6  # px a letter of 12 px takes on average
LONGEST_NAME = 28  # letters
MOST_POINTS = 600  # of a line; more are thinned
TICKS = 5
LEGEND_ROW = 20  # px
NO_LENGTH = 1e-300  # of an axis; a fifth of less than this is no number that a tick can stand on


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it shows, from where to where; or names, at 0, 1, 2 and so on, the first on top."""

    label: str
    low: float = 0.0
    high: float = 1.0
    names: tuple[str, ...] = ()


class Chart:
    """A plot with two axes that lines, points, bars and ranges are drawn into, in data units."""

    def __init__(self, title: str, description: str, *, x: Axis, y: Axis, width: int = 640, height: int = 400) -> None:
        self._title, self._description = title, description
        self._x, self._y = _widened(x), _widened(y)
        self._width, self._height = width, height
        named = max((min(len(name), LONGEST_NAME) for name in y.names), default=0)
        self._left = max(LEFT, round(named * LETTER) + 36)
        self._marks: list[str] = []
        self._legend: list[tuple[str, int, bool]] = []

    def line(
        self, xs: Iterable[float], ys: Iterable[float], *, name: str = "", colour: int = 0, dashed: bool = False
    ) -> None:
        """Draw a line through points; a long one is thinned."""
        places = _thinned(list(zip(xs, ys, strict=True)))
        points = " ".join(f"{_px(self._across(x))},{_px(self._up(y))}" for x, y in places)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        stroke = _colour(colour)
        self._marks.append(
            f'<polyline class="line" data-name="{_text(name)}" points="{points}" fill="none" stroke="{stroke}" '
            f'stroke-width="2"{dash}/>'
        )
        self._named(name, colour, dashed=dashed)

    def points(self, xs: Iterable[float], ys: Iterable[float], *, name: str = "", colour: int = 0) -> None:
        """Draw a dot at each point."""
        for x, y in zip(xs, ys, strict=True):
            self._marks.append(
                f'<circle class="point" data-name="{_text(name)}" cx="{_px(self._across(x))}" cy="{_px(self._up(y))}" '
                f'r="3" fill="{_colour(colour)}" fill-opacity="0.8"/>'
            )
        self._named(name, colour, dashed=False)

    def range(self, x: tuple[float, float], y: tuple[float, float], *, colour: int = 0) -> None:
        """Draw a straight piece between two corners, such as an interval."""
        self._marks.append(
            f'<line class="range" x1="{_px(self._across(x[0]))}" y1="{_px(self._up(y[0]))}" '
            f'x2="{_px(self._across(x[1]))}" y2="{_px(self._up(y[1]))}" stroke="{_colour(colour)}" stroke-width="2"/>'
        )

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], *, colour: int = 0) -> None:
        """Fill what lies between two lines over the same places, such as an interval over time."""
        edge = [*zip(xs, lows, strict=True), *reversed(list(zip(xs, highs, strict=True)))]
        points = " ".join(f"{_px(self._across(x))},{_px(self._up(y))}" for x, y in edge)
        self._marks.append(f'<polygon class="band" points="{points}" fill="{_colour(colour)}" fill-opacity="0.18"/>')

    def bar(self, x: tuple[float, float], y: tuple[float, float], *, name: str = "", colour: int = 0) -> None:
        """Draw a filled rectangle between two corners."""
        left, right = sorted(self._across(each) for each in x)
        top, bottom = sorted(self._up(each) for each in y)
        self._marks.append(
            f'<rect class="bar" data-name="{_text(name)}" x="{_px(left)}" y="{_px(top)}" width="{_px(right - left)}" '
            f'height="{_px(bottom - top)}" fill="{_colour(colour)}"/>'
        )

    def note(self, x: float, y: float, text: str) -> None:
        """Write a text to the right of a point."""
        self._marks.append(
            f'<text class="note" x="{_px(self._across(x) + 8)}" y="{_px(self._up(y) + 4)}" font-size="11" '
            f'fill="{INK}">{_text(text)}</text>'
        )

    def svg(self) -> str:
        """Return the chart as a text that may stand in an HTML page or a file."""
        key = hashlib.sha256("".join((self._title, self._description, *self._marks)).encode()).hexdigest()[:12]
        box = (self._left, TOP, self._width - RIGHT, self._height - BOTTOM)
        legend, height = self._key()
        parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {height}" width="{self._width}" '
                f'height="{height}" role="img" aria-labelledby="title-{key} desc-{key}" {FONT} font-size="12">'
            ),
            f'<title id="title-{key}">{_text(self._title)}</title>',
            f'<desc id="desc-{key}">{_text(self._description)}</desc>',
            f'<rect width="{self._width}" height="{height}" fill="{PAPER}"/>',
            f'<text x="{self._left}" y="22" font-size="15" font-weight="600" fill="{INK}">{_text(self._title)}</text>',
            *self._frame(),
            (
                f'<g class="plot" data-x="{self._x.low:.10g} {self._x.high:.10g}" data-y="{self._y.low:.10g} {self._y.high:.10g}" '
                f'data-box="{" ".join(map(str, box))}">'
            ),
            *self._marks,
            "</g>",
            *legend,
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _across(self, x: float) -> float:
        share = (_finite(x) - self._x.low) / (self._x.high - self._x.low)
        return self._left + share * (self._width - RIGHT - self._left)

    def _up(self, y: float) -> float:
        share = (_finite(y) - self._y.low) / (self._y.high - self._y.low)
        if self._y.names:
            share = 1 - share
        return self._height - BOTTOM - share * (self._height - BOTTOM - TOP)

    def _named(self, name: str, colour: int, *, dashed: bool) -> None:
        if name and (name, colour, dashed) not in self._legend:
            self._legend.append((name, colour, dashed))

    def _frame(self) -> list[str]:
        """Return axes, ticks and labels."""
        bottom, right = self._height - BOTTOM, self._width - RIGHT
        made = []
        for value, text in _ticks(self._x):
            x = _px(self._across(value))
            made.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="#e6e6e6"/>')
            made.append(
                f'<text class="tick-x" x="{x}" y="{bottom + 18}" text-anchor="middle" fill="{INK}">{_text(text)}</text>'
            )
        for value, text in _ticks(self._y):
            y = self._up(value)
            made.append(f'<line x1="{self._left}" y1="{_px(y)}" x2="{right}" y2="{_px(y)}" stroke="#e6e6e6"/>')
            made.append(
                f'<text class="tick-y" x="{self._left - 8}" y="{_px(y + 4)}" text-anchor="end" fill="{INK}">'
                f"{_text(text)}</text>"
            )
        made.append(f'<path d="M{self._left} {TOP}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
        made.append(
            f'<text class="label-x" x="{_px((self._left + right) / 2)}" y="{self._height - 14}" text-anchor="middle" '
            f'fill="{INK}">{_text(self._x.label)}</text>'
        )
        middle = _px((TOP + bottom) / 2)
        made.append(
            f'<text class="label-y" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle" '
            f'fill="{INK}">{_text(self._y.label)}</text>'
        )
        return made

    def _key(self) -> tuple[list[str], int]:
        """Return the legend, in one row under the title and as many below the chart as it needs, and the whole height."""
        made, x, y, height = [], float(self._left), 36, self._height
        for name, colour, dashed in self._legend:
            shown = _shortened(name)
            length = 27 + len(shown) * LETTER
            if x > self._left and x + length > self._width - RIGHT:
                x, y, height = float(self._left), height + 4, height + LEGEND_ROW
            dash = ' stroke-dasharray="6 4"' if dashed else ""
            made.append(
                f'<line x1="{_px(x)}" y1="{y}" x2="{_px(x + 22)}" y2="{y}" stroke="{_colour(colour)}" stroke-width="3"{dash}/>'
            )
            made.append(f'<text class="legend" x="{_px(x + 27)}" y="{y + 4}" fill="{INK}">{_text(shown)}</text>')
            x += length + 17
        return made, height


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return where an axis is marked: at its names, or at round numbers.

    >>> [text for _, text in _ticks(Axis("share", 0, 1))]
    ['0', '0.2', '0.4', '0.6', '0.8', '1']
    """
    if axis.names:
        return [(float(place), _shortened(name)) for place, name in enumerate(axis.names)]
    raw = (axis.high - axis.low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * 0.999)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [(number * step, f"{number * step:.6g}") for number in range(first, last + 1)]


def _widened(axis: Axis) -> Axis:
    """Return an axis that has a length, with half a place of room around names."""
    if axis.names:
        return Axis(axis.label, -0.5, len(axis.names) - 0.5, axis.names)
    low, high = _finite(axis.low), _finite(axis.high)
    if not high - low > NO_LENGTH:
        room = abs(low) / 10 or 0.5
        low, high = low - room, low + room
    return Axis(axis.label, low, high)


def _thinned(places: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return at most so many points of a line, evenly taken, both ends among them."""
    if len(places) <= MOST_POINTS:
        return places
    step = (len(places) - 1) / (MOST_POINTS - 1)
    return [places[round(number * step)] for number in range(MOST_POINTS)]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise UsageError("A chart cannot show a figure", expected="a finite number", found=str(value))
    return float(value)


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _colour(number: int) -> str:
    """Return a colour of the palette; -1 is grey, for what is only there to compare with."""
    return GREY if number < 0 else COLOURS[number % len(COLOURS)]


def _text(text: str) -> str:
    """Return a text that may stand in XML, also in an attribute; letters that XML does not know become a box."""
    return html.escape(re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "\ufffd", text), quote=True)


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
