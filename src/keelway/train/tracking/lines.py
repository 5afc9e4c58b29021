"""The journal of a run: one JSON array a line, and how they are read back after whatever ended the run.

    ["open", {...}]                        what is known when the run opens
    ["m", "loss", 0.3, 1, 1767225600.5]    a figure: name, value, step, seconds since 1970 (UTC)
    ["p", "depth", 3]                      a parameter; the last one of a name counts
    ["t", "stage", "draft"]                a tag
    ["a", "plot.svg", "sha256:..."]        an artifact
    ["s", "signature", "..."]              something given once: `dataset`, `signature` or `input_example`
    ["w", "ConvergenceWarning: ..."]       a warning
    ["end", "succeeded", "", 1767225601.0] how it ended, and the error

NaN and infinity, which JSON lacks, are the texts `nan`, `inf` and `-inf`. A line that a crash cut short is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from keelway.core import Digest, Scalar, plain, revive
from keelway.errors import IntegrityError
from keelway.train.tracking.record import RunOpening

GIVEN = ("dataset", "signature", "input_example")


@dataclass(slots=True)
class JournalContent:
    """What the lines of a journal say, put together.

    Attributes:
        points: Name, value, step and seconds since 1970 of every value, in order.
        given: What is given once: `dataset`, `signature`, `input_example`.
        last: The last value of each figure.
        ending: Status, error and time of the end; None where the run has none.
    """

    opening: RunOpening
    points: list[tuple[str, float, int, float]] = field(default_factory=list)
    parameters: dict[str, Scalar] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Digest] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    ending: tuple[str, str, datetime] | None = None


def opening_line(opening: RunOpening) -> bytes:
    """Return the first line of a journal."""
    return encode([["open", plain(opening)]])


def encode(events: Iterable[list[Any]]) -> bytes:
    """Return events as lines."""
    import msgspec

    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def number_told(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else str(value)


def read_journal(data: bytes) -> JournalContent:
    """Return what a journal says; a last line without its end is not read.

    Raises:
        IntegrityError: It does not start as a journal does, or a whole line in it cannot be read.
    """
    import msgspec

    lines = data[: data.rfind(b"\n") + 1].splitlines()
    decoder = msgspec.json.Decoder(list[Any])
    try:
        word, opened = decoder.decode(lines[0])
        content = JournalContent(_opening(word, opened))
        for line in lines[1:]:
            _take(content, decoder.decode(line))
    except (IndexError, ValueError, TypeError, KeyError, msgspec.MsgspecError) as error:
        raise IntegrityError(
            "The journal of a run cannot be read",
            expected="a first line that opens the run, and whole lines after it",
            found=f"{type(error).__name__}: {error}",
            fix="It was altered, or written by another version of Keelway; move the file away to go on without it.",
        ) from error
    return content


def _opening(word: str, opened: Any) -> RunOpening:
    if word != "open":
        raise ValueError(f"a first line {word!r}")
    return revive(opened, RunOpening)


def _take(content: JournalContent, event: list[Any]) -> None:
    word = event[0]
    if word == "m":
        _, name, value, step, stamp = event
        content.last[name] = number = float(value)
        content.points.append((name, number, step, stamp))
    elif word == "p":
        content.parameters[event[1]] = event[2]
    elif word == "t":
        content.tags[event[1]] = event[2]
    elif word == "a":
        content.artifacts[event[1]] = Digest(event[2])
    elif word == "s":
        content.given[event[1]] = event[2]
    elif word == "w":
        content.warnings[event[1]] = None
    elif word == "end":
        content.ending = (event[1], event[2], moment_of(event[3]))
    else:
        raise ValueError(f"an unknown line {word!r}")


def moment_of(stamp: float) -> datetime:
    """Return the moment that a journal's number of seconds stands for."""
    return datetime.fromtimestamp(stamp, UTC)
