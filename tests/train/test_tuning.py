"""A search can be repeated, interrupted and limited; what it found is what is trained with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import RunQuery, SimulatedClock, digest_of
from keelway.engines.optuna.workers import Workers
from keelway.errors import IntegrityError, TrainingError, UsageError
from keelway.evaluate import figure_value
from keelway.project import Choice, Estimator, RandomSplit, Range, Search
from keelway.testing.searches import begun, race, search_until
from keelway.testing.training import LOGISTIC, NOW
from keelway.testing.tuning import LOG_LOSS, SEARCHED, CountingScore, TuningWorld, tried
from keelway.train.tracking import TrackedRun, points_of
from keelway.train.tuning import (
    TrialOrigin,
    Tuning,
    TuningTrial,
    best_of,
    considered,
    history_plot,
    parameter_plot,
    record_trials,
    slice_plot,
    study_name,
    trial_run_id,
    tuned,
    within,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def trial(number: int, value: float | None, status: Any = "complete") -> TuningTrial:
    return TuningTrial(number, status, {"C": float(number)}, value, (), AT, None if status == "running" else AT)


trials_of_a_study = st.lists(
    st.one_of(
        st.floats(0, 1).map(lambda value: (value, "complete")),
        st.sampled_from([(None, "pruned"), (None, "failed"), (None, "stale"), (None, "stopped")]),
    ),
    max_size=40,
).map(lambda made: [trial(number, value, status) for number, (value, status) in enumerate(made)])


class TestWhenEnoughIsTried:
    @given(trials_of_a_study, st.integers(1, 12), st.one_of(st.none(), st.integers(1, 6)), st.booleans())
    def test_what_counts_never_changes_when_the_study_goes_on(
        self, trials: list[TuningTrial], most: int, patience: int | None, upwards: bool
    ) -> None:
        search = Search(trials=most, patience=patience)
        whole, ending = considered(trials, search, larger_is_better=upwards)
        for place in range(len(trials) + 1):
            part, early = considered(trials[:place], search, larger_is_better=upwards)
            assert whole[: len(part)] == part
            if early is not None:
                assert (part, early) == (whole, ending)

    @given(trials_of_a_study, st.integers(1, 12))
    def test_never_more_than_the_budget_counts_and_what_says_nothing_never_does(
        self, trials: list[TuningTrial], most: int
    ) -> None:
        counted, ending = considered(trials, Search(trials=most), larger_is_better=True)
        assert len(counted) <= most
        assert not {each.status for each in counted} & {"stale", "stopped"}
        assert (ending == "trials") == (len(counted) == most) or ending == "failing"

    def test_patience_counts_from_the_best_trial(self) -> None:
        values = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9]
        trials = [trial(number, value) for number, value in enumerate(values)]
        counted, ending = considered(trials, Search(patience=3), larger_is_better=True)
        assert (len(counted), ending) == (5, "patience")
        assert considered(trials, Search(patience=4), larger_is_better=True)[1] is None

    def test_pruned_and_failed_trials_try_patience_too(self) -> None:
        trials = [trial(0, 0.5), trial(1, None, "pruned"), trial(2, None, "failed"), trial(3, 0.9)]
        assert considered(trials, Search(patience=2), larger_is_better=True)[1] == "patience"

    def test_nothing_but_failures_ends_a_search(self) -> None:
        trials = [trial(number, None, "failed") for number in range(10)]
        assert considered(trials, Search(trials=50), larger_is_better=True)[1] == "failing"
        assert considered([trial(0, 0.1), *trials[1:]], Search(trials=50), larger_is_better=True)[1] is None

    def test_the_earliest_of_equals_is_best(self) -> None:
        trials = [trial(0, 0.4), trial(1, 0.6), trial(2, 0.6), trial(3, None, "pruned")]
        assert best_of(trials, larger_is_better=True) == trials[1]
        assert best_of(trials, larger_is_better=False) == trials[0]
        assert best_of(trials[3:], larger_is_better=True) is None


@pytest.mark.parametrize(
    ("value", "allowed", "expected"),
    [
        (1, Range(1, 5), True),
        (6, Range(1, 5), False),
        (1.5, Range(1, 5), False),
        (1.5, Range(1.0, 5), True),
        (True, Range(0, 1), False),
        (0.35, Range(0.1, 0.9, step=0.25), True),
        (0.36, Range(0.1, 0.9, step=0.25), False),
        ("1", Range(0, 1), False),
        (1, Choice((True, False)), False),
        (None, Choice((None, "l2")), True),
    ],
)
def test_a_value_lies_in_a_space_or_not(value: Any, allowed: Range | Choice, expected: bool) -> None:
    assert within(value, allowed) is expected


class TestTune:
    def test_it_finds_better_parameters_than_the_worst_it_tried(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=8, pruner="none")
        tuning = world.tune()
        values = [each.value for each in world.trials(tuning) if each.value is not None]
        assert tuning.value == min(values) < max(values)
        assert tuning.parameters.keys() == SEARCHED.space.keys()
        assert (tuning.trials, tuning.ended, len(tuning.folds)) == (8, "trials", 3)
        assert tuning.feature_table == digest_of(world.inner.table)

    def test_the_same_seed_tries_the_same(self, tmp_path: Path) -> None:
        worlds = [TuningWorld.of(tmp_path / name, trials=12) for name in "ab"]
        one, two = (tried(world.trials(world.tune())) for world in worlds)
        assert one == two
        assert tried(worlds[0].trials(worlds[0].tune(seed=8))) != one

    def test_a_finished_search_is_not_done_again(self, tmp_path: Path) -> None:
        first = TuningWorld.of(tmp_path, trials=4).tune()
        score = CountingScore()
        assert TuningWorld.of(tmp_path, trials=4).tune(score=score) == first
        assert score.calls == 0

    def test_a_longer_search_carries_on_with_the_shorter_one(self, tmp_path: Path) -> None:
        short = TuningWorld.of(tmp_path / "a", trials=4, pruner="none")
        begun = short.trials(short.tune())
        score = CountingScore()
        longer = TuningWorld.of(tmp_path / "a", trials=7, pruner="none")
        carried_on = longer.trials(longer.tune(score=score))
        assert carried_on[:4] == begun
        assert score.calls == 3 * 3
        at_once = TuningWorld.of(tmp_path / "b", trials=7, pruner="none")
        assert tried(at_once.trials(at_once.tune())) == tried(carried_on)

    def test_a_shorter_search_takes_the_first_trials_of_a_longer_one(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=6, pruner="none")
        longer = world.trials(world.tune())
        score = CountingScore()
        shorter = world.tune(search=Search(trials=3, pruner="none"), score=score)
        assert world.trials(shorter) == longer[:3]
        assert score.calls == 0

    def test_patience_stops_it(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=50, patience=3, pruner="none")
        tuning = world.tune(score=lambda truth, predictions, classes: 0.5)
        assert (tuning.ended, tuning.trials, tuning.best_trial) == ("patience", 4, 0)

    def test_the_time_stops_it_and_the_trial_that_runs_then(self, tmp_path: Path) -> None:
        clock = SimulatedClock(NOW)
        world = TuningWorld.of(tmp_path, trials=50, timeout_s=65.0, pruner="none")
        score = CountingScore(clock=clock, seconds=10)  # 30 s a trial
        tuning = world.tune(score=score, wall=clock)
        assert (tuning.ended, tuning.trials, score.calls) == ("time", 2, 7)
        assert [each.status for each in world.studies.trials(tuning.study)] == ["complete", "complete", "stopped"]

    def test_one_trial_is_always_finished(self, tmp_path: Path) -> None:
        clock = SimulatedClock(NOW)
        world = TuningWorld.of(tmp_path, trials=50, timeout_s=1.0)
        tuning = world.tune(score=CountingScore(clock=clock, seconds=10), wall=clock)
        assert (tuning.ended, tuning.trials) == ("time", 1)

    @pytest.mark.parametrize("pruner", ["median", "hyperband"])
    def test_pruning_saves_fits_and_says_so(self, tmp_path: Path, pruner: str) -> None:
        score = CountingScore()
        world = TuningWorld.of(tmp_path, trials=16, sampler="random", pruner=pruner)
        tuning = world.tune(score=score)
        trials = world.trials(tuning)
        pruned = [each for each in trials if each.status == "pruned"]
        assert len(pruned) == tuning.pruned > 0
        assert all(each.value is None and len(each.means) < 3 for each in pruned)
        assert score.calls == sum(len(each.means) for each in trials) < 16 * 3
        assert tuning.best_trial not in {each.number for each in pruned}

    def test_parameters_that_the_estimator_refuses_fail_and_the_search_goes_on(self, tmp_path: Path) -> None:
        estimator = replace(SEARCHED, space={**SEARCHED.space, "solver": Choice(("lbfgs", "nonsense"))})
        world = TuningWorld.of(tmp_path, estimator=estimator, trials=8, sampler="random")
        tuning = world.tune()
        failed = [each for each in world.trials(tuning) if each.status == "failed"]
        assert len(failed) == tuning.failed > 0
        assert all("nonsense" in each.error for each in failed)
        assert tuning.parameters["solver"] == "lbfgs"

    def test_a_search_in_which_everything_fails_says_why(self, tmp_path: Path) -> None:
        estimator = replace(SEARCHED, space={"C": Range(-2.0, -1.0)})
        score = CountingScore()
        with pytest.raises(TrainingError, match="No trial") as told:
            TuningWorld.of(tmp_path, estimator=estimator, trials=40).tune(score=score)
        assert "10 trials" in told.value.found
        assert "'C'" in told.value.found
        assert score.calls == 0

    def test_a_metric_that_is_no_number_fails_the_trial(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError) as told:
            TuningWorld.of(tmp_path, trials=2).tune(score=lambda truth, predictions, classes: float("nan"))
        assert "nan" in told.value.found

    def test_an_estimator_without_a_space_is_refused(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path)
        world.estimator = LOGISTIC
        with pytest.raises(UsageError, match="nothing to search"):
            world.tune()

    def test_what_is_declared_is_tried_first(self, tmp_path: Path) -> None:
        estimator = replace(SEARCHED, parameters={"max_iter": 1000, "C": 3.25})
        world = TuningWorld.of(tmp_path, estimator=estimator, trials=2)
        first, second = world.trials(world.tune())
        assert first.parameters["C"] == 3.25
        assert second.parameters["C"] != 3.25

    def test_an_error_of_the_score_ends_the_search_and_loses_nothing(self, tmp_path: Path) -> None:
        def broken(truth: Any, predictions: Any, classes: Any) -> float:
            if score.calls == 7:
                raise ZeroDivisionError
            return score(truth, predictions, classes)

        score = CountingScore()
        world = TuningWorld.of(tmp_path, trials=5, pruner="none")
        with pytest.raises(ZeroDivisionError):
            world.tune(score=broken)
        after = TuningWorld.of(tmp_path, trials=5, pruner="none")
        assert after.tune(score=LOG_LOSS).trials == 5
        statuses = [each.status for each in after.studies.trials(after.tune().study)]
        assert statuses.count("stale") == 1
        assert statuses.count("complete") == 5

    def test_an_altered_history_is_refused(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=2)
        tuning = world.tune()
        path = world.inner.artifacts.path_of(tuning.history)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"complete", b"excellen"))
        with pytest.raises(IntegrityError):
            world.trials(tuning)


class TestWhatDecidesAStudy:
    def test_budgets_do_not_and_everything_else_does(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path)
        model, table, code = world.inner.model, world.inner.table, world.tune.__globals__["CODE"]

        def name(**changes: Any) -> str:
            given: dict[str, Any] = {"estimator": SEARCHED, "search": Search(), "seed": 1, "code": code, **changes}
            return study_name(given.pop("model", model), given.pop("table", table), **given)

        same = [Search(trials=9), Search(timeout_s=3.0), Search(patience=2), Search(metric="roc_auc")]
        assert {name(search=each) for each in same} == {name()}
        others = [
            name(seed=2),
            name(search=Search(sampler="random")),
            name(search=Search(pruner="none")),
            name(search=Search(metric="brier")),
            name(search=Search(workers=2)),
            name(estimator=replace(SEARCHED, space={"C": Range(1, 2)})),
            name(code=replace(code, environment_digest=digest_of("other"))),
            name(table=replace(table, rows=1)),
            name(model=replace(model, overlap="when_unavoidable")),
        ]
        assert len({name(), *others}) == len(others) + 1
        assert name().startswith("churn/logistic/")


RARE_IN_ONE_FOLD = RandomSplit(folds=2, test_share=0.1, despite_time=True)


def relabelled(rows: pa.Table, label: Callable[[dict[str, Any]], Any], kind: pa.DataType) -> pa.Table:
    """Return rows with another label."""
    place = rows.column_names.index("label")
    return rows.set_column(place, "label", pa.array([label(row) for row in rows.to_pylist()], kind))


def kill_while_it_tries(folder: Path, *, after: int) -> None:
    """Begin a search in another process, and kill it in the call of the score that follows so many."""
    said = folder / "said"
    process = begun(search_until, folder, after, said)
    until = time.monotonic() + 120
    while not said.exists():
        assert process.exitcode is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.join()
    said.unlink()


class TestInterruption:
    @pytest.mark.crash
    def test_a_killed_search_loses_its_running_trial_only_and_ends_as_if_it_had_not_been(self, tmp_path: Path) -> None:
        whole = TuningWorld.of(tmp_path / "whole", trials=9)
        expected = tried(whole.trials(whole.tune()))
        folder = tmp_path / "killed"
        folder.mkdir()
        kill_while_it_tries(folder, after=4)  # in the middle of the second trial
        kill_while_it_tries(folder, after=7)  # and again, later
        world = TuningWorld.of(folder, trials=9)
        left = world.studies.trials(world.studies.newest("churn/"))
        tuning = world.tune()
        assert tried(world.trials(tuning)) == expected
        everything = world.studies.trials(tuning.study)
        assert [each for each in everything[: len(left)] if each.status == "complete"] == [
            each for each in left if each.status == "complete"
        ]
        assert [each.status for each in everything].count("stale") == 2

    @pytest.mark.crash
    @pytest.mark.parametrize("workers", [1, 2])
    def test_processes_that_search_at_once_share_one_study(self, tmp_path: Path, workers: int) -> None:
        TuningWorld.of(tmp_path)
        told = [tmp_path / "told" / name for name in "ab"]
        told[0].parent.mkdir()
        racing = [begun(race, tmp_path, 12, workers, each) for each in told]
        for process in racing:
            process.join(200)
        assert [process.exitcode for process in racing] == [0, 0]
        names = {each.read_text() for each in told}
        world = TuningWorld.of(tmp_path, trials=12, pruner="none", workers=workers)
        tuning = world.tune()
        assert names == {tuning.study}
        assert [each.number for each in world.trials(tuning)] == list(range(12))
        assert len(world.studies.trials(tuning.study)) == 12

    @pytest.mark.crash
    def test_no_worker_outlives_a_killed_search(self, tmp_path: Path) -> None:
        process = begun(race, tmp_path, 100_000, 2, tmp_path / "told")
        folder = tmp_path / "studies.db.workers"
        until = time.monotonic() + 200
        while len(list(folder.glob("*"))) < 2:
            assert process.exitcode is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        process.join()
        workers = Workers(tmp_path / "studies.db")
        while not all(workers.is_dead(path.name) for path in folder.glob("*")):
            assert time.monotonic() < until
            time.sleep(0.05)


class TestOtherTasks:
    def test_a_number_is_searched_for_by_its_error(self, tmp_path: Path) -> None:
        ridge = Estimator("logistic", "sklearn.linear_model.Ridge", space={"alpha": Range(0.001, 1e6, log=True)})
        world = TuningWorld.of(tmp_path, estimator=ridge, trials=6, sampler="random", pruner="none", metric="rmse")
        world.inner.declare(task="regression", metrics=("rmse",), estimators=(ridge,))
        world.inner.build(change=lambda rows: relabelled(rows, lambda row: row["spend"] / 10, pa.float64()))
        tuning = world.tune(score=partial(figure_value, "rmse", "regression"))
        values = [each.value for each in world.trials(tuning) if each.value is not None]
        assert tuning.value == min(values) < max(values)

    @pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
    def test_a_class_that_a_fold_lacks_has_no_probability(self, tmp_path: Path, metric: str) -> None:
        def kind(row: dict[str, Any]) -> str:
            return "rare" if row["entity"] in {"c00000", "c00001"} else "low" if row["spend"] < 50 else "high"

        world = TuningWorld.of(tmp_path, trials=3, pruner="none", metric=metric)
        world.inner.declare(task="multiclass", metrics=(metric,), estimators=(SEARCHED,), split=RARE_IN_ONE_FOLD)
        world.inner.build(change=lambda rows: relabelled(rows, kind, pa.string()))
        better = metric == "accuracy"
        tuning = world.tune(score=partial(figure_value, metric, "multiclass"), larger_is_better=better)
        assert (tuning.failed, tuning.trials) == (0, 3)

    def test_a_fold_of_one_class_is_left_out_and_none_is_told(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=2)
        first = {"c00000"}
        world.inner.build(change=lambda rows: relabelled(rows, lambda row: int(row["entity"] in first), pa.int8()))
        with pytest.raises(TrainingError, match="No fold"):
            world.tune()


class TestTraining:
    def test_the_best_parameters_are_trained_with_and_recorded(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=4)
        tuning = world.tune()
        trained = world.fit("logistic", tuning)
        assert trained.parameters == {"max_iter": 1000, **tuning.parameters}
        assert trained.studies == {tuning.study: digest_of(tuning)}
        untuned = world.fit("logistic")
        assert untuned.pipeline != trained.pipeline
        assert untuned.studies == {}

    def test_members_of_an_ensemble_are_trained_with_their_best_parameters(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=3)
        tuning = world.tune()
        member = world.fit("logistic", tuning)
        trained = world.fit("both", tuning)
        assert trained.studies == member.studies
        assert member.pipeline in world.inner.artifacts.get(trained.pipeline).decode()

    def test_an_estimator_that_was_not_searched_stays_as_it_is(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=2)
        tuning = world.tune()
        assert world.fit("boosted", tuning) == world.fit("boosted")
        assert tuned(world.inner.model, [tuning]).estimators[1:] == world.inner.model.estimators[1:]

    def test_a_tuning_reads_back_from_the_state(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=2, timeout_s=500.0, patience=2)
        tuning = world.tune()
        with world.inner.state.snapshot() as tx:
            assert tx.newest(Tuning, parent="churn") == [tuning]
            assert tx.by_digest(Tuning, digest_of(tuning)) == tuning


class TestRuns:
    def test_each_trial_is_a_run_once(self, tmp_path: Path) -> None:
        world = TuningWorld.of(tmp_path, trials=6, sampler="random")
        tuning = world.tune()
        origin = TrialOrigin(
            study=tuning.study, model="churn", estimator="logistic", metric="log_loss", experiment="shop", parent="p",
            principal="user:ana", seed=7, code=tuning.code, dataset=tuning.feature_table,  # type: ignore[arg-type]
        )  # fmt: skip
        at = world.inner
        trials = world.studies.trials(tuning.study)
        assert record_trials(trials[:3], origin, artifacts=at.artifacts, state=at.state) == 3
        assert record_trials(trials, origin, artifacts=at.artifacts, state=at.state) == 3
        assert record_trials(trials, origin, artifacts=at.artifacts, state=at.state) == 0
        with at.state.snapshot() as tx:
            found = tx.runs.search(RunQuery(kinds=("trial",), metric="log_loss", lowest=True, model="churn"))
            best = tx.find(TrackedRun, trial_run_id(tuning.study, tuning.best_trial))
        assert len(found) == 6
        assert best is not None
        assert found[0].run_id == best.run_id
        assert found[0].parameters == pytest.approx(tuning.parameters)
        assert (best.parent, best.dataset, best.tags["keelway.study"]) == ("p", tuning.feature_table, tuning.study)
        means = [point.value for point in points_of(best, at.artifacts)]
        assert means == list(world.trials(tuning)[tuning.best_trial].means)


class TestPlots:
    trials = tuple(
        TuningTrial(n, "complete", {"C": 10.0**n, "kind": "ab"[n % 2]}, 0.5 + n / 10, (), AT, AT + timedelta(seconds=n))
        for n in range(4)
    )

    def test_the_history_shows_each_trial_and_the_best_so_far(self) -> None:
        svg = history_plot((*self.trials, trial(4, None, "pruned")), metric="roc_auc", larger_is_better=True)
        assert svg.count('class="point"') == 4
        assert "4 complete trials of 5" in svg
        assert "from 0.5 to 0.8" in svg
        assert "<script" not in svg

    def test_a_slice_over_a_range_on_a_logarithm_says_so(self) -> None:
        svg = slice_plot(self.trials, "C", Range(1.0, 1000.0, log=True), metric="roc_auc")
        assert "log10 of C" in svg
        assert svg.count('class="point"') == 4

    def test_a_slice_over_a_choice_names_each_value(self) -> None:
        svg = slice_plot(self.trials, "kind", Choice(("a", "b")), metric="roc_auc")
        assert "one of a, b" in svg
        assert svg.count('class="point"') == 4

    def test_the_importance_has_a_bar_for_each_parameter(self) -> None:
        svg = parameter_plot({"C": 0.9, "<kind>": 0.1})
        assert svg.count('class="bar"') == 2
        assert "<kind>" not in svg

    def test_nothing_is_drawn_of_nothing(self) -> None:
        with pytest.raises(TrainingError):
            history_plot([trial(0, None, "failed")], metric="roc_auc", larger_is_better=True)
        with pytest.raises(TrainingError):
            parameter_plot({})
