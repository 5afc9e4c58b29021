"""Takes in outcomes, exactly once: the same outcome again changes nothing, another value for it is refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Outcome, PrincipalId, checked_name, time_text
from keelway.errors import DataError
from keelway.monitor.batches import EXAMPLES, batches_of, keep_batch, put_lines, read_lines
from keelway.monitor.record import OutcomeBatch

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.project import LabelValue, Task

EXPECTED: dict[Task, str] = {"binary": "0 or 1", "multiclass": "names of known classes", "regression": "finite numbers"}
_Case = tuple[str, datetime]


def record_outcomes(
    outcomes: Iterable[Outcome],
    *,
    task: Task = "binary",
    classes: Collection[str] | None = None,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    actor: PrincipalId,
) -> OutcomeBatch | None:
    """Store the outcomes of one label that are not known yet; None when all of them are.

    Args:
        task: What the label is of.
        classes: The names that a multiclass label may have; None for any.

    Raises:
        DataError: An outcome contradicts a known one or another in the batch, has a value that no label of the task has,
            or the batch mixes labels; nothing is written.
    """
    given = list(outcomes)
    labels = {one.label for one in given}
    if not given:
        return None
    if len(labels) != 1:
        raise DataError("A batch of outcomes speaks of one label", expected="one", found=", ".join(sorted(labels)))
    label = checked_name(labels.pop(), what="label")
    with state.transaction() as tx:
        known = {_case(one): one for one in read_outcomes(tx, artifacts, label)}
        new = _unknown(given, known, task, classes)
        if not new:
            return None
        number = tx.count(OutcomeBatch, parent=label) + 1
        data = put_lines(new, f"{label}-{number}.jsonl", artifacts)
        batch = OutcomeBatch(label, number, len(new), data, now, actor)
        keep_batch(batch, label, what="outcomes", comment=f"{len(new)} outcomes", tx=tx)
    return batch


def read_outcomes(tx: Transaction, artifacts: ArtifactStore, label: str) -> list[Outcome]:
    """Return every outcome of a label, in the order they were learned."""
    return read_lines(Outcome, batches_of(OutcomeBatch, label, tx), artifacts)


def wanted_of(value: LabelValue, task: Task, classes: Collection[str] | None = None) -> str:
    """Return what an outcome has to be, where this value is not one; empty where it is.

    >>> wanted_of(1, "binary"), wanted_of(math.inf, "regression"), wanted_of("bat", "multiclass", ("cat", "dog"))
    ('', 'a finite number', 'one of the classes cat, dog')
    """
    if task == "binary":
        return "" if value in (0, 1) else "0 or 1"
    if task == "regression":
        return "" if not isinstance(value, str) and math.isfinite(value) else "a finite number"
    if not isinstance(value, str) or not value:
        return "the name of a class"
    return (
        ""
        if classes is None or value in classes
        else f"one of the classes {', '.join(sorted(classes)) or '(none is known)'}"
    )


def _unknown(
    given: list[Outcome], known: dict[_Case, Outcome], task: Task, classes: Collection[str] | None
) -> list[Outcome]:
    """Return the outcomes that say something new, sorted."""
    new: dict[_Case, Outcome] = {}
    wrong: list[str] = []
    for one in given:
        case = _case(one)
        before = known.get(case) or new.get(case)
        if wanted := wanted_of(one.value, task, classes):
            wrong.append(f"{_told(one)} is {one.value}, not {wanted}")
        elif before is None:
            new[case] = one
        elif before.value != one.value:
            wrong.append(f"{_told(one)} is {one.value}, was {before.value}")
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(given)} outcomes cannot be taken",
            expected=f"{EXPECTED[task]}, and one value for each entity and cut date",
            found="; ".join(wrong[:EXAMPLES]),
            fix="Mend the file and record it again; nothing was written.",
        )
    return [new[case] for case in sorted(new)]


def _case(outcome: Outcome) -> _Case:
    return outcome.entity, outcome.as_of


def _told(outcome: Outcome) -> str:
    return f"{outcome.entity} at {time_text(outcome.as_of)}"
