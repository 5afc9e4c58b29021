"""The sealed answers of a rollout in columns: who was in which arm, and the first answer that each entity got there.

Ten requests of one entity are not ten rows, so an entity counts once: by its first answer. What came first is known as
soon as it is there and never changes, so figures of one look go on in the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keelway.core import digest_of
from keelway.deploy import ASKED, SHADOW

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from keelway.core import VersionName
    from keelway.deploy import Deployment

    Whole = NDArray[np.int64]

NOWHERE = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class SealedAnswers:
    """Answers that deployments gave, in the order in which they were given; all columns are of one length.

    Attributes:
        names: Arms by number.
        entities: Entities by number.
        deployment: Which of the deployments sent the request, from 0.
        assigned: The arm that the entity is in, by number.
        answered: The arm that gave the answer; another one where a fallback did.
        entity: By number.
        values: What was answered; NaN of several classes, whose probabilities stand in the table.
        row: The place in the table.
        as_of: Microseconds since 1970, UTC.
        at: When it was answered, the same.
    """

    names: tuple[str, ...]
    entities: pa.Array
    deployment: Whole
    assigned: Whole
    answered: Whole
    entity: Whole
    values: NDArray[np.float64]
    row: Whole
    as_of: Whole
    at: Whole

    def __len__(self) -> int:
        return len(self.entity)

    def number_of(self, arm: str) -> int:
        """Return the number of an arm; one that nothing has where it gave no answer."""
        return self.names.index(arm) if arm in self.names else NOWHERE

    def where(self, chosen: NDArray[np.bool_] | Whole) -> SealedAnswers:
        """Return those answers, by a mask or by their places."""
        columns = ("deployment", "assigned", "answered", "entity", "values", "row", "as_of", "at")
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def during(self, deployments: Sequence[int]) -> SealedAnswers:
        """Return the answers of some of the deployments."""
        import numpy as np

        return self.where(np.isin(self.deployment, list(deployments)))

    def of_arm(self, arm: str) -> SealedAnswers:
        """Return what an arm answered itself."""
        return self.where(self.answered == self.number_of(arm))

    def firsts(self) -> SealedAnswers:
        """Return the first answer to each entity."""
        import numpy as np

        return self.where(np.unique(self.entity, return_index=True)[1])


def sealed_answers(
    table: pa.Table, deployments: Sequence[Deployment], *, shadow: VersionName | None = None
) -> SealedAnswers:
    """Return the answers of deployments in a table of predictions.

    Args:
        table: As `sealed_columns` returns it; one row a prediction.
        deployments: Of the rollout, in order; what others sent, and what named its version itself, is left out.
        shadow: The shadow that is looked at; answers of other shadows are left out.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known = {str(digest_of(each)): place for place, each in enumerate(deployments)}
    senders, places = _coded(table["deployment"])
    deployment = np.array([known.get(name, NOWHERE) for name in senders] or [NOWHERE], dtype=np.int64)[places]
    names, answered = _coded(table["arm"])
    versions, version = _coded(table["version"])
    mirrored = np.array([name == SHADOW for name in names] or [False])[answered]
    looked_at = np.array([name == shadow for name in versions] or [False])[version]
    at = table["event_time"].to_numpy()
    asked_for = np.array([name == ASKED for name in names] or [False])[answered]
    rows = np.flatnonzero((deployment != NOWHERE) & ~asked_for & (~mirrored | looked_at))
    rows = rows[np.argsort(at[rows], kind="stable")]
    entities = pc.dictionary_encode(table["entity"].take(pa.array(rows))).combine_chunks()
    found = SealedAnswers(
        names=names,
        entities=entities.dictionary,
        deployment=deployment[rows],
        assigned=answered[rows],
        answered=answered[rows],
        entity=entities.indices.to_numpy().astype(np.int64),
        values=table["value"].to_numpy()[rows],
        row=rows,
        as_of=table["as_of"].to_numpy()[rows],
        at=at[rows],
    )
    return _with_assigned(found, deployments)


def microseconds(moment: datetime) -> int:
    """Return a moment as whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def _with_assigned(answers: SealedAnswers, deployments: Sequence[Deployment]) -> SealedAnswers:
    """Return answers with the arm of each entity, where a fallback answered in its place."""
    import numpy as np

    names = list(answers.names)
    assigned = answers.assigned.copy()
    usual: Mapping[int, set[str]] = {place: {*each.arms, SHADOW} for place, each in enumerate(deployments)}
    for number, name in enumerate(answers.names):
        strange = [place for place, arms in usual.items() if name not in arms]
        for row in np.flatnonzero((answers.answered == number) & np.isin(answers.deployment, strange)):
            arm = deployments[answers.deployment[row]].arm_of(answers.entities[answers.entity[row]].as_py())
            if arm not in names:
                names.append(arm)
            assigned[row] = names.index(arm)
    return replace(answers, names=tuple(names), assigned=assigned)


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Whole]:
    """Return the values of a column with few of them, and the number of each row's."""
    import numpy as np

    whole = column.combine_chunks()
    return tuple(whole.dictionary.to_pylist()), whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)
