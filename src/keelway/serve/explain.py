"""Why an answer came out: a base, what each feature added to it, and the margin that they add up to.

    told = explained(rows, loaded, explainers=explainers)
    told[0].row.contributions          # one row a feature, one column an output

A compiled plan whose answer is a sum is explained exactly. Any other scorer is asked: features of a row are put one after
the other, in an order that is drawn, into a row of the training, and each has what that changed on average (Castro et al.,
Computers and Operations Research 36, 2009; every order is also gone through backwards). That says its seed and its errors.
Nothing is logged: an explanation is no prediction.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from keelway.core import Digest
from keelway.errors import BadRequestError, KeelwayError, OverloadedError, ServingError, UnavailableError
from keelway.serve.answer import answer_texts
from keelway.serve.loaded import LoadedDeployment, LoadedVersion
from keelway.serve.ports import Scorer
from keelway.serve.wire.columns import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.register import ExplanationMethod, MarginScale, RowExplanation

PERMUTATIONS = 32
"""Orders that are drawn for each row; each is gone through in both directions."""
MOST_AT_ONCE = 1_000
"""Rows that a scorer is asked for in one call."""
MOST_KEPT = 8
MOST_UNDER_WAY = 2
"""So many requests are explained at once, each in a thread; the next one is told to come again."""


class RowExplainer(Protocol):
    """Explains the answers of one version; may be used from several threads."""

    @property
    def method(self) -> ExplanationMethod:
        """How contributions are found."""
        ...

    @property
    def scale(self) -> MarginScale:
        """What base, contributions and margin are numbers of."""
        ...

    def explain(self, rows: Sequence[Sequence[Any]]) -> list[RowExplanation]:
        """Return what made the answer to each row; raises as `Scorer.predictions`."""
        ...


FindExplainer = Callable[[LoadedVersion], RowExplainer]
"""Returns what explains a version; raises NotImplementedError with a reason where nothing can."""


@dataclass(frozen=True, slots=True)
class AnswerExplanation:
    """Why one answer came out.

    Attributes:
        value: The answer as text, as `Answer.value` holds it.
        explainer: What found the contributions.
    """

    entity: str
    value: str
    version: LoadedVersion
    explainer: RowExplainer
    row: RowExplanation


class SampledExplainer:
    """Explains any scorer by asking it.

    Args:
        reference: Rows of the training that features are put into; at least one.
        seed: Of the draws, the same for every row.
        permutations: How many orders are drawn.
    """

    method: ExplanationMethod = "permutation"

    def __init__(
        self, scorer: Scorer, reference: Sequence[Sequence[Any]], *, seed: int = 0, permutations: int = PERMUTATIONS
    ) -> None:
        self._scorer, self._reference = scorer, [list(row) for row in reference]
        self.seed, self.permutations = seed, permutations
        self.scale: MarginScale = "number" if scorer.task == "regression" else "probability"

    def explain(self, rows: Sequence[Sequence[Any]]) -> list[RowExplanation]:
        """Return what made the answer to each row; raises as `Scorer.predictions`."""
        return [self._one(row) for row in rows]

    def _one(self, row: Sequence[Any]) -> RowExplanation:
        import numpy as np

        from keelway.register import RowExplanation

        draw, width = np.random.default_rng(self.seed), len(row)
        walks: list[tuple[list[int], int]] = []
        asked: list[list[Any]] = []
        for _ in range(self.permutations):
            start = self._reference[int(draw.integers(len(self._reference)))]
            order = draw.permutation(width).tolist()
            for way in (order, order[::-1]):
                walks.append((way, len(asked)))
                asked += _walk(start, row, way)
        answers = self._asked(asked)
        changes = np.zeros((len(walks), width, answers.shape[1]))
        for number, (way, begin) in enumerate(walks):
            changes[number, way] = np.diff(answers[begin : begin + width + 1], axis=0)
        pairs = changes.reshape(self.permutations, 2, width, -1).mean(axis=1)
        spread = pairs.std(axis=0, ddof=1) if self.permutations > 1 else np.full(pairs.shape[1:], np.inf)
        base = answers[[begin for _, begin in walks]].mean(axis=0)
        return RowExplanation(answers[width], base, pairs.mean(axis=0), spread / self.permutations**0.5)

    def _asked(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        import numpy as np

        parts = [
            self._scorer.predictions(rows[begin : begin + MOST_AT_ONCE]) for begin in range(0, len(rows), MOST_AT_ONCE)
        ]
        found: NDArray[np.float64] = np.array([answer for part in parts for answer in part], dtype=np.float64)
        return found.reshape(len(rows), -1)


def _walk(start: Sequence[Any], row: Sequence[Any], way: Sequence[int]) -> list[list[Any]]:
    """Return the rows between two, of which one feature after the other becomes the second's."""
    now = list(start)
    found = [list(now)]
    for place in way:
        now[place] = row[place]
        found.append(list(now))
    return found


class Explainers:
    """Keeps what explains the versions that were asked about, a few of them; safe to use from several threads.

    Args:
        find: Finds what explains a version.
    """

    def __init__(self, find: FindExplainer) -> None:
        self._find = find
        self._known: OrderedDict[Digest, RowExplainer | str] = OrderedDict()
        self._guard = threading.Lock()
        self._free = threading.BoundedSemaphore(MOST_UNDER_WAY)

    def of(self, version: LoadedVersion) -> RowExplainer:
        """Return what explains a version.

        Raises:
            BadRequestError: Nothing does (501).
            UnavailableError: What would cannot be read now.
        """
        with self._guard:
            found = self._known.pop(version.digest, None)
            if found is None:
                found = self._found(version)
            self._known[version.digest] = found
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        if isinstance(found, str):
            raise BadRequestError(
                f"{version.version} cannot be explained",
                expected="a version whose answers are sums, or rows of its training",
                found=found,
                status=HTTPStatus.NOT_IMPLEMENTED,
            )
        return found

    def _found(self, version: LoadedVersion) -> RowExplainer | str:
        try:
            return self._find(version)
        except NotImplementedError as error:
            return str(error)
        except KeelwayError as error:
            raise UnavailableError(
                f"What explains {version.version} cannot be read",
                expected="its plan, or rows of its training",
                found=type(error).__name__,
            ) from error

    def enter(self) -> None:
        """Begin to explain a request; `leave` must follow.

        Raises:
            OverloadedError: As many as may be are being explained.
        """
        if not self._free.acquire(blocking=False):
            raise OverloadedError(
                "There is too much to explain", expected=f"at most {MOST_UNDER_WAY} requests at once", found="another",
                fix="Ask again later, for fewer rows at once.",
            )  # fmt: skip

    def leave(self) -> None:
        """End what was begun."""
        self._free.release()


def explained(rows: Sequence[Row], loaded: LoadedDeployment, *, explainers: Explainers) -> list[AnswerExplanation]:
    """Return why each row is answered as it is, in their order; no fallback answers in another's place.

    Raises:
        BadRequestError: A version cannot be explained (501).
        ServingError: It gives no answer.
        OverloadedError: There is too much to explain.
        UnavailableError: What explains it cannot be read now.
    """
    explainers.enter()
    try:
        versions = [loaded.version_for(row[0]) for row in rows]
        found: dict[int, AnswerExplanation] = {}
        for arm in dict.fromkeys(version.arm for version in versions):
            places = [place for place, version in enumerate(versions) if version.arm == arm]
            found |= zip(
                places, _of_one([rows[place] for place in places], versions[places[0]], explainers), strict=True
            )
    finally:
        explainers.leave()
    return [found[place] for place in range(len(rows))]


def _of_one(rows: Sequence[Row], version: LoadedVersion, explainers: Explainers) -> list[AnswerExplanation]:
    explainer = explainers.of(version)
    values = [row[2] for row in rows]
    texts = answer_texts(version, values)
    told = explainer.explain(values)
    if len(told) != len(rows):
        raise ServingError("An explanation is missing", expected=f"{len(rows)}", found=f"{len(told)}")
    return [
        AnswerExplanation(row[0], text, version, explainer, each)
        for row, text, each in zip(rows, texts, told, strict=True)
    ]
