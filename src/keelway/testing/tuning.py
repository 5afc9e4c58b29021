"""A small world for tests of tuning, and what every engine that keeps studies promises.

>>> world = TuningWorld(folder, trials=8)                # doctest: +SKIP
>>> world.tune().parameters                              # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keelway.core import SimulatedClock
from keelway.engines.optuna import OptunaStudies
from keelway.evaluate import figure_value
from keelway.project import Choice, Ensemble, Estimator, RandomSplit, Range, Search
from keelway.testing.training import BOOSTED, CODE, NOW, TrainingWorld
from keelway.train import TrainedModel, fit
from keelway.train.tuning import Score, Studies, StudyTerms, Tuning, TuningTrial, trials_of, tune

if TYPE_CHECKING:
    from keelway.core import Scalar

SPACE: dict[str, Range | Choice] = {"C": Range(0.0001, 100.0, log=True), "fit_intercept": Choice((True, False))}
SEARCHED = Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}, space=SPACE)
LOG_LOSS: Score = partial(figure_value, "log_loss", "binary")


@dataclass
class CountingScore:
    """Log loss that counts how often it was asked, and may cost time on a simulated clock or on the wall.

    Attributes:
        calls: How often it was asked.
        clock: Moved on by `seconds` at each call.
        hang_after: From this call on it says so in `said` and never answers.
        sleep_s: How long each call really takes.
    """

    calls: int = 0
    clock: SimulatedClock | None = None
    seconds: float = 0.0
    hang_after: int | None = None
    said: Path | None = None
    sleep_s: float = 0.0

    def __call__(self, truth: Any, predictions: Any, classes: Sequence[str]) -> float:
        """Return the log loss."""
        self.calls += 1
        if self.hang_after is not None and self.calls > self.hang_after:
            if self.said is not None:
                self.said.touch()
            time.sleep(3600)
        if self.clock is not None:
            self.clock.advance(timedelta(seconds=self.seconds))
        time.sleep(self.sleep_s)
        return LOG_LOSS(truth, predictions, classes)


@dataclass
class TuningWorld:
    """A training world whose logistic regression is searched over three random folds; another one on the folder goes on."""

    folder: Path
    rows: int = 300
    estimator: Estimator = SEARCHED
    search: Search = field(default_factory=Search)
    inner: TrainingWorld = field(init=False)

    def __post_init__(self) -> None:
        self.inner = TrainingWorld(self.folder, rows=self.rows)
        self.inner.declare(
            estimators=(self.estimator, BOOSTED, Ensemble("both", ("logistic", "boosted"))),
            split=RandomSplit(folds=3, despite_time=True),
            search=self.search,
        )
        self.studies = OptunaStudies(self.folder / "studies.db")

    @classmethod
    def of(cls, folder: Path, *, estimator: Estimator = SEARCHED, rows: int = 300, **search: Any) -> TuningWorld:
        """Return a world with a search of these terms."""
        return cls(folder, rows=rows, estimator=estimator, search=Search(**search))

    def tune(self, *, score: Score = LOG_LOSS, seed: int = 7, larger_is_better: bool = False, **more: Any) -> Tuning:
        """Search for the parameters of the logistic regression."""
        search = more.pop("search", self.search)
        return tune(
            self.inner.model,
            self.inner.table,
            estimator=self.estimator,
            search=replace(search, metric=search.metric or "log_loss"),
            score=score,
            larger_is_better=larger_is_better,
            studies=self.studies,
            artifacts=self.inner.artifacts,
            state=self.inner.state,
            seed=seed,
            now=NOW,
            code=CODE,
            **more,
        )

    def trials(self, tuning: Tuning) -> tuple[TuningTrial, ...]:
        """Return the trials that count."""
        return trials_of(tuning, self.inner.artifacts)

    def fit(self, name: str, *tunings: Tuning) -> TrainedModel:
        """Fit an estimator with the best parameters that were found."""
        at = self.inner
        return fit(
            at.model, at.table, estimator=at.model.estimator(name), artifacts=at.artifacts, state=at.state,
            tracker=at.tracker, seed=7, now=NOW, code=CODE, tunings=tunings,
        )  # fmt: skip


def tried(trials: Sequence[TuningTrial]) -> list[tuple[dict[str, Scalar], str, float | None]]:
    """Return what was tried and what came of it, without numbers and times."""
    return [(trial.parameters, trial.status, trial.value) for trial in trials]


def less_than(count: int) -> Any:
    """Return the question whether fewer trials than these were begun, stale ones aside."""
    return lambda trials: sum(trial.status != "stale" for trial in trials) < count


class StudiesSuite:
    """What every engine that keeps studies promises."""

    terms = StudyTerms("churn/logistic/1", space=SPACE, larger_is_better=False, seed=3, folds=3)

    @pytest.fixture
    def studies(self, tmp_path: Path) -> Studies:
        """Return an empty place for studies."""
        raise NotImplementedError

    @pytest.fixture
    def again(self, studies: Studies) -> Studies:
        """Return the same place as another process sees it."""
        return studies

    def test_what_was_told_is_there_for_another_process(self, studies: Studies, again: Studies) -> None:
        with studies.open(self.terms) as study:
            asked = study.ask(less_than(1))
            assert asked is not None
            study.report(asked.number, [0.5])
            study.report(asked.number, [0.5, 0.4])
            study.tell(asked.number, "complete", 0.4, "")
        [trial] = again.trials(self.terms.name)
        assert (trial.status, trial.value, trial.means) == ("complete", 0.4, (0.5, 0.4))
        assert trial.parameters == asked.parameters
        assert trial.ended_at is not None
        assert trial.seconds >= 0

    def test_proposals_lie_in_the_space(self, studies: Studies) -> None:
        space: dict[str, Range | Choice] = {
            "depth": Range(2, 9, step=3),
            "rate": Range(0.1, 0.95, step=0.25),
            "leaves": Range(1, 64, log=True),
            "kind": Choice(("a", None, True, 2)),
        }
        with studies.open(replace(self.terms, space=space, sampler="random")) as study:
            for number in range(12):
                asked = study.ask(less_than(12))
                assert asked is not None
                assert asked.number == number
                assert asked.parameters["depth"] in (2, 5, 8)
                assert any(abs(float(str(asked.parameters["rate"])) - each) < 1e-9 for each in (0.1, 0.35, 0.6, 0.85))
                assert asked.parameters["leaves"] in range(1, 65)
                assert asked.parameters["kind"] in ("a", None, True, 2)
                study.tell(number, "complete", float(number), "")
            assert study.ask(less_than(12)) is None

    def test_the_first_proposal_is_what_is_declared(self, studies: Studies) -> None:
        with studies.open(replace(self.terms, start={"C": 2.5})) as study:
            first, second = study.ask(less_than(2)), study.ask(less_than(2))
            assert first is not None
            assert second is not None
            assert first.parameters["C"] == 2.5
            assert second.parameters["C"] != 2.5

    def test_the_same_seed_proposes_the_same(self, studies: Studies) -> None:
        names = ("one", "two")
        assert self._course(studies, names[0], 14) == self._course(studies, names[1], 14)
        other = self._course(studies, "three", 14, seed=4)
        assert other != self._course(studies, names[0], 0)

    def test_a_study_that_is_carried_on_goes_on_as_if_it_had_not_stopped(
        self, studies: Studies, again: Studies
    ) -> None:
        at_once = self._course(studies, "at once", 14)
        begun = self._course(studies, "later", 6)
        assert begun == at_once[:6]
        assert self._course(again, "later", 14) == at_once

    def test_two_workers_never_begin_the_same_trial_or_one_too_many(self, studies: Studies, again: Studies) -> None:
        terms = replace(self.terms, parallel=True)
        with studies.open(terms) as one, again.open(terms) as other:
            asked = [study.ask(less_than(5)) for study in (one, other, one, other, one, other)]
            numbers = [each.number for each in asked if each is not None]
            assert numbers == [0, 1, 2, 3, 4]
            assert asked[5] is None
            assert [trial.status for trial in one.trials()] == ["running"] * 5

    def test_a_dead_workers_trial_is_stale_and_its_parameters_come_next(self, studies: Studies, again: Studies) -> None:
        with studies.open(self.terms) as living:
            with again.open(self.terms) as dying:
                left = dying.ask(less_than(3))
                assert left is not None
                dying.report(left.number, [0.7])
            follows = living.ask(less_than(3))
            assert follows is not None
            assert follows.parameters == left.parameters
            assert follows.number != left.number
            assert [trial.status for trial in living.trials()] == ["stale", "running"]
            later = living.ask(less_than(3))
            assert later is not None
            assert later.parameters != left.parameters
        assert next(iter(again.trials(self.terms.name))).status == "stale"

    def test_a_living_workers_trial_is_left_alone(self, studies: Studies, again: Studies) -> None:
        with studies.open(self.terms) as one, again.open(self.terms) as other:
            first, second = one.ask(less_than(9)), other.ask(less_than(9))
            assert first is not None
            assert second is not None
            one.tell(first.number, "complete", 0.1, "")
            assert [trial.status for trial in other.trials()] == ["complete", "running"]

    @pytest.mark.parametrize("pruner", ["median", "hyperband"])
    def test_a_hopeless_trial_is_to_be_pruned(self, studies: Studies, pruner: Any) -> None:
        told = []
        with studies.open(replace(self.terms, pruner=pruner)) as study:
            for number in range(24):
                asked = study.ask(less_than(24))
                assert asked is not None
                worse = 9.0 if number % 2 else 0.1
                told.append(study.report(asked.number, [worse + number / 1000]))
                study.tell(asked.number, *(("pruned", None, "") if told[-1] else ("complete", worse, "")))
            pruned = [trial.number for trial in study.trials() if trial.status == "pruned"]
        assert any(told[1::2])
        assert pruned == [number for number, each in enumerate(told) if each]

    def test_nothing_is_pruned_where_that_is_declared(self, studies: Studies) -> None:
        with studies.open(replace(self.terms, pruner="none")) as study:
            for number in range(10):
                asked = study.ask(less_than(10))
                assert asked is not None
                assert not study.report(asked.number, [float(number)])
                study.tell(asked.number, "complete", float(number), "")

    def test_a_failure_keeps_its_reason_and_is_not_tried_again(self, studies: Studies, again: Studies) -> None:
        with studies.open(self.terms) as study:
            asked = study.ask(less_than(2))
            assert asked is not None
            study.tell(asked.number, "failed", None, "did not converge")
            following = study.ask(less_than(2))
            assert following is not None
            assert following.parameters != asked.parameters
        first, _ = again.trials(self.terms.name)
        assert (first.status, first.error, first.value) == ("failed", "did not converge", None)

    def test_the_newest_study_is_found_by_how_its_name_starts(self, studies: Studies) -> None:
        assert studies.newest("churn/") == ""
        for name in ("churn/a/1", "churn/b/1", "churn/a/2"):
            with studies.open(replace(self.terms, name=name)):
                pass
        assert studies.newest("churn/a/") == "churn/a/2"
        assert studies.newest("churn/b/") == "churn/b/1"
        assert studies.newest("rich/") == ""

    def test_a_study_that_is_not_there_has_no_trials(self, studies: Studies) -> None:
        assert tuple(studies.trials("nobody")) == ()

    def test_what_matters_is_worth_more_than_what_does_not(self, studies: Studies) -> None:
        space: dict[str, Range | Choice] = {"matters": Range(0.0, 1.0), "noise": Range(0.0, 1.0)}
        with studies.open(replace(self.terms, space=space, sampler="random")) as study:
            while (asked := study.ask(less_than(30))) is not None:
                study.tell(asked.number, "complete", float(str(asked.parameters["matters"])), "")
            trials = study.trials()
        found = studies.importances(space, trials, seed=0)
        assert list(found) == ["matters", "noise"]
        assert found["matters"] > 0.9
        assert sum(found.values()) == pytest.approx(1)
        assert studies.importances(space, trials, seed=0) == found
        assert studies.importances(space, trials[:1], seed=0) == {}

    def _course(self, studies: Studies, name: str, until: int, *, seed: int = 3) -> list[dict[str, Scalar]]:
        """Return all parameters of a study that is carried on until it has so many trials; the best is near C = 1."""
        with studies.open(replace(self.terms, name=name, seed=seed)) as study:
            while (asked := study.ask(less_than(until))) is not None:
                study.tell(asked.number, "complete", abs(float(str(asked.parameters["C"])) - 1), "")
            return [trial.parameters for trial in study.trials()]
