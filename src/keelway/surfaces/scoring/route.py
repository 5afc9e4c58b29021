"""One model as the server knows it: what is loaded, how its requests are read, where its predictions are logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from keelway.core import VersionName, sortable_id, split_version
from keelway.errors import BadRequestError, KeelwayError, ServingError, UnavailableError
from keelway.features import FeatureColumn
from keelway.serve import (
    UNMARKED,
    Answer,
    AnswerExplanation,
    Explainers,
    JournalLog,
    LoadedDeployment,
    PredictionLog,
    RequestMark,
    RequestSchema,
    Router,
    Row,
    ShadowMirror,
    TallyKeeper,
    answer_rows,
    explained,
    moment_text,
)
from keelway.serve.wire import AnswerShape, CsvReader, InferenceReader, InvocationReader, WireLimits
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.surfaces.scoring.turn import Told, TurnAnswers

if TYPE_CHECKING:
    from datetime import datetime

Names = Callable[[Sequence[str]], list[str]]
Lookup = Callable[[Sequence[str], Sequence[str], "datetime"], list[Row]]
"""Returns the rows of some entities: what an online store holds of these features."""

ANONYMOUS = "anonymous:"
"""The log knows a row that names no entity by this and an id of its own; no label will ever meet it."""


@dataclass(frozen=True, slots=True)
class ModelReaders:
    """The readers of all protocols for one list of features, and the shape of the answers."""

    features: tuple[FeatureColumn, ...]
    named: RequestSchema
    inference: InferenceReader
    invocations: InvocationReader
    csv: CsvReader
    shape: AnswerShape


class ModelRoute:
    """Answers for one model in one environment.

    Args:
        router: Knows what is loaded.
        log: Takes every prediction.
        names: Gives entities that are people their tokens, before anything is routed or logged; answers go back under
            the entity that was asked for. None where entities are no people.
        lookup: Finds features of entities that are named without any; None where there is no online store.
        keeper: Keeps what the metrics' tally counts; None where nobody wants it.
        explainers: Explains answers; None where they are not explained.
    """

    def __init__(
        self,
        router: Router,
        *,
        log: JournalLog,
        metrics: ScoringMetrics,
        names: Names | None = None,
        lookup: Lookup | None = None,
        keeper: TallyKeeper | None = None,
        explainers: Explainers | None = None,
    ) -> None:
        self.router, self.log, self.metrics = router, log, metrics
        self._keeper = keeper
        self._explainers = explainers
        self._mirror = ShadowMirror(log, told=metrics)
        self._turn = TurnAnswers(log, metrics)
        self._names, self._lookup = names, lookup
        self._readers: ModelReaders | None = None

    @property
    def looks_up(self) -> bool:
        """Whether rows may leave their features to an online store."""
        return self._lookup is not None

    def start(self) -> None:
        """Begin to seal the log and to look for other deployments."""
        self.log.start()
        self._mirror.start()
        self.router.start()
        if self._keeper is not None:
            self._keeper.start()

    def close(self) -> None:
        """Stop looking, and seal the log."""
        self._mirror.close()
        self.router.close()
        self.log.close()
        if self._keeper is not None:
            self._keeper.close()

    def readers(self, loaded: LoadedDeployment, limits: WireLimits) -> ModelReaders:
        """Return what reads requests for the features that are loaded; made anew only when these change."""
        scorer = loaded.stable.scorer
        known = self._readers
        if known is not None and known.features == tuple(scorer.features) and known.shape.task == scorer.task:
            return known
        features = tuple(scorer.features)
        invocations = InvocationReader(features, limits=limits)
        self._readers = ModelReaders(
            features,
            RequestSchema(features, limits=limits, from_store=self._lookup is not None),
            InferenceReader(features, limits=limits),
            invocations,
            CsvReader(features, invocations, limits=limits),
            AnswerShape(scorer.task, tuple(scorer.classes)),
        )
        return self._readers

    def only(self, loaded: LoadedDeployment, number: str) -> LoadedDeployment:
        """Return a deployment in which one of the loaded versions answers everything, in an arm of its own.

        Raises:
            BadRequestError: No version of that number is loaded (404).
        """
        for name, version in loaded.asked.items():
            if str(split_version(name)[1]) == number:
                deployment = replace(loaded.deployment, stable=name, traffic={name: 100})
                return LoadedDeployment(deployment, {name: version}, loaded.waits)
        raise BadRequestError(
            "No such version answers here",
            expected=" or ".join(sorted(str(split_version(name)[1]) for name in loaded.versions)),
            found=number[:40].encode("unicode_escape").decode(),
            status=HTTPStatus.NOT_FOUND,
        )

    def answers(
        self,
        rows: list[Row],
        loaded: LoadedDeployment,
        *,
        now: datetime,
        mark: RequestMark = UNMARKED,
        log: PredictionLog | None = None,
        begun: float | None = None,
    ) -> list[Answer]:
        """Answer rows in their order: look up what they lack, give people their tokens, score and log.

        Args:
            mark: What the log tells of the request.
            log: Stands before the log, as where its time is measured; None is the log.
            begun: When scoring began, in seconds of `time.perf_counter`; None is now.

        Raises:
            ServingError: They cannot be answered; nothing was logged.
        """
        begun = time.perf_counter() if begun is None else begun
        named = self._whole(rows, loaded, now)
        at = moment_text(now)
        marks = [mark] * len(named)
        answered = answer_rows(named, loaded, log=log or self.log, at=at, marks=marks, on_failure=self.metrics.failed)
        self.metrics.scored([(answered, time.perf_counter() - begun)])
        if loaded.shadows:
            self._mirror.offer(named, loaded.shadows, at=at, request_id=mark.request_id)
        return self._as_asked(answered, rows)

    def goes_in_turn(self, rows: Sequence[Row], loaded: LoadedDeployment) -> bool:
        """Say whether a request that need not wait may be answered together with others."""
        return self._turn.takes(rows, loaded)

    async def answers_in_turn(
        self, rows: list[Row], loaded: LoadedDeployment, *, now: datetime, mark: RequestMark = UNMARKED
    ) -> list[Answer]:
        """Answer rows that lack nothing in their order, together with those of other requests of this turn of the loop.

        Raises:
            ServingError: They cannot be answered; nothing was logged.
        """
        return self._as_asked(await self._turn.answers(self._named(rows), loaded, now=now, mark=mark), rows)

    def ask_in_turn(
        self, rows: list[Row], loaded: LoadedDeployment, *, now: datetime, told: Told, mark: RequestMark = UNMARKED
    ) -> None:
        """Do the same for somebody who does not await the answers, but is told.

        Raises:
            ServingError: People cannot be named; nobody is told anything then.
        """
        if self._names is not None:
            told = partial(self._tell_as_asked, rows, told)
        self._turn.ask(self._named(rows), loaded, now=now, told=told, mark=mark)

    def _tell_as_asked(self, rows: Sequence[Row], told: Told, found: list[Answer] | Exception) -> None:
        told(found if isinstance(found, Exception) else self._as_asked(found, rows))

    def _as_asked(self, answered: list[Answer], rows: Sequence[Row]) -> list[Answer]:
        """Return answers under the entities that were asked for."""
        if self._names is None:
            return answered
        return [msgspec.structs.replace(answer, entity=row[0]) for answer, row in zip(answered, rows, strict=True)]

    @property
    def explains(self) -> bool:
        """Whether answers are explained."""
        return self._explainers is not None

    def explanations(self, rows: list[Row], loaded: LoadedDeployment, *, now: datetime) -> list[AnswerExplanation]:
        """Return why rows are answered as they are, in their order; nothing is logged.

        Raises:
            ServingError: They cannot be answered, or explained.
        """
        assert self._explainers is not None
        found = explained(self._whole(rows, loaded, now), loaded, explainers=self._explainers)
        return [replace(each, entity=row[0]) for each, row in zip(found, rows, strict=True)]

    def _whole(self, rows: list[Row], loaded: LoadedDeployment, now: datetime) -> list[Row]:
        """Return rows with the features that they lack, under the entities that the log knows."""
        named = self._named(rows)
        if self._lookup is not None and any(not row[2] for row in rows):
            return self._looked_up(named, loaded, now)
        return named

    def waits(self, rows: Sequence[Row], loaded: LoadedDeployment) -> bool:
        """Say whether answering waits for another process, so that it must not be done in the event loop."""
        return loaded.waits or (self._lookup is not None and any(not row[2] for row in rows))

    def _named(self, rows: list[Row]) -> list[Row]:
        """Return rows under the entities that the log knows."""
        if self._names is None:
            if rows[0][0]:
                return rows
            return [(ANONYMOUS + sortable_id(), *row[1:]) for row in rows]
        people = [row[0] for row in rows if row[0]]
        try:
            tokens = dict(zip(people, self._names(people), strict=True)) if people else {}
        except KeelwayError as error:  # never with the message: it may tell of the person
            raise ServingError(
                "People cannot be named", expected="the key vault", found=type(error).__name__
            ) from error
        return [(tokens[row[0]] if row[0] else ANONYMOUS + sortable_id(), *row[1:]) for row in rows]

    def _looked_up(self, rows: list[Row], loaded: LoadedDeployment, now: datetime) -> list[Row]:
        assert self._lookup is not None
        names = [feature.name for feature in loaded.stable.scorer.features]
        asked = [row[0] for row in rows if not row[2]]
        try:
            found = iter(self._lookup(asked, names, now))
        except (ServingError, UnavailableError):
            raise
        except KeelwayError as error:
            raise UnavailableError(
                "The online store cannot be read", expected="its features", found=type(error).__name__
            ) from error
        return [row if row[2] else next(found) for row in rows]


def version_numbers(loaded: LoadedDeployment) -> list[str]:
    """Return the numbers of the versions that answer, least first."""
    return [str(number) for number in sorted(split_version(VersionName(name))[1] for name in loaded.versions)]
