"""The index over runs: one line for each run, whatever made it, found by its figures in milliseconds.

The index is a projection of records: the store writes a line in the transaction that stores the record it comes from,
so neither is there without the other, and the index can be made anew from the records at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from keelway.core.digest import Digest
from keelway.core.ids import RunId
from keelway.core.run import Scalar

FieldKind = Literal["text", "number", "time", "flag"]
RUN_FIELDS: dict[str, FieldKind] = {
    "commit": "text",
    "dirty": "flag",
    "ended": "time",
    "estimator": "text",
    "id": "text",
    "kind": "text",
    "model": "text",
    "name": "text",
    "parent": "text",
    "principal": "text",
    "seconds": "number",
    "seed": "number",
    "started": "time",
    "status": "text",
}
"""What every run has, and what is compared with it; any other name is a metric or a parameter."""

RunScope = Literal["", "field", "metric", "parameter"]
RunOperator = Literal["=", "!=", "<", "<=", ">", ">=", "like"]


@dataclass(frozen=True, slots=True)
class RunTest:
    """One comparison; a run that lacks the figure does not meet it.

    Attributes:
        name: The field, metric or parameter.
        scope: What the name is; empty is a metric or a parameter, whichever meets the test.
        operator: `like` is a pattern with `%` and `_`, whatever the case.
        value: What to compare with; a time is RFC 3339 text.
    """

    name: str
    scope: RunScope
    operator: RunOperator
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class RunAll:
    """Every part holds."""

    parts: tuple[RunFilter, ...]


@dataclass(frozen=True, slots=True)
class RunAny:
    """At least one part holds."""

    parts: tuple[RunFilter, ...]


@dataclass(frozen=True, slots=True)
class RunNot:
    """The part does not hold."""

    part: RunFilter


RunFilter = RunTest | RunAll | RunAny | RunNot


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are asked for, and in which order.

    Attributes:
        kinds: Only these kinds; empty is all.
        model: Only runs of this model; empty is all.
        where: What else they have to meet.
        metric: Order by this figure, best first, and leave out runs without it; empty is newest first.
        lowest: Whether the smallest figure is the best.
        since: Only runs that started then or later.
        limit: At most so many.
    """

    kinds: tuple[str, ...] = ()
    model: str = ""
    where: RunFilter | None = None
    metric: str = ""
    lowest: bool = False
    since: datetime | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One line of the index.

    Attributes:
        run_id: The run; of a training the 64 digits of its key.
        kind: `plan`, `training`, `trial`, `script` or `autolog`.
        status: `open`, `succeeded`, `failed` or `interrupted`.
        commit: The git commit it ran at, or empty.
        dirty: Whether files differed from the commit.
        parent: The run it belongs to, or empty.
        seconds: How long it took on the wall's clock; None where nobody measured it.
        record: The record it is the line of.
        parameters: What it was given.
        metrics: The last value of each figure; one that is no finite number counts as missing when runs are ordered.
        mirror: The tracker's id of the run, empty until it is mirrored.
    """

    run_id: RunId
    kind: str
    name: str
    model: str
    estimator: str
    status: str
    principal: str
    seed: int
    commit: str
    dirty: bool
    parent: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    record: Digest
    parameters: dict[str, Scalar] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    mirror: str = ""


class RunIndex(Protocol):
    """The index inside one transaction."""

    def search(self, query: RunQuery) -> list[RunEntry]:
        """Return the runs that a query asks for, in its order."""
        ...

    def named(self, name: str) -> list[RunEntry]:
        """Return the runs with that id, or whose id starts with it: at most ten, newest first."""
        ...

    def of_record(self, record: Digest) -> RunEntry | None:
        """Return the run whose line is that of a record, or None."""
        ...

    def unmirrored(self, kinds: Sequence[str], *, limit: int) -> list[RunEntry]:
        """Return runs of some kinds that ended and are not mirrored yet, oldest first."""
        ...

    def mirrored(self, run_id: RunId, link: str) -> None:
        """Note under which id the tracker shows a run."""
        ...

    def count(self) -> int:
        """Return how many runs the index holds."""
        ...


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """What became known about a run after its line was written.

    Attributes:
        run_id: The run, or empty where only its record is known.
        record: The record of the line, where `run_id` is empty.
        metrics: Figures to add or to put in the place of earlier ones.
        status: How it ended, or empty for no change.
        becomes: The record of the line from now on, or None for no change.
        seconds: How long it took, or None for no change.
    """

    run_id: RunId
    record: Digest | None
    metrics: dict[str, float]
    status: str = ""
    ended_at: datetime | None = None
    becomes: Digest | None = None
    seconds: float | None = None
