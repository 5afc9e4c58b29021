"""Models found by name and compared on rows that none of them learned from, in a small world of customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from keelway.app.compare import CompareRoom, Comparing, _check_alike
from keelway.app.contenders import Contender, contenders
from keelway.app.contest_rows import SharedRows, shared_rows
from keelway.core import RunQuery, VersionName, digest_of
from keelway.errors import DataError, MissingRecordError, TrainingError, UsageError
from keelway.evaluate import auc_interval, compare_aucs
from keelway.features import columns_for_scoring, rows_of
from keelway.project import Evaluation, Model, RandomSplit
from keelway.testing.training import BOOSTED, CUTS, HORIZON, LOGISTIC, NOW, TrainingWorld, churn_model
from keelway.train import held_out_rows, labels_of, predictions


class Bench:
    """A world with a workspace and a champion, as the room for comparisons sees them.

    Attributes:
        champion: What serves in the last environment, if anything does.
        models: Models of other names than the world's.
    """

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder)
        self.champion: VersionName | None = None
        self.models: dict[str, Model] = {}

    @property
    def at(self) -> Any:
        world = self.world
        project = SimpleNamespace(
            model=lambda name: self.models.get(name, world.model), models=[world.model, *self.models.values()]
        )
        return SimpleNamespace(
            state=world.state,
            artifacts=world.artifacts,
            project=project,
            signing=SimpleNamespace(public_key=world.key.public),
            now=lambda: NOW,
            progress=lambda _line: None,
        )

    @property
    def room(self) -> CompareRoom:
        lab: Any = SimpleNamespace(champion=lambda _model: self.champion)
        return CompareRoom(self.at, lab)

    def trainings(self) -> dict[str, str]:
        """Return the newest training of each estimator."""
        with self.world.state.snapshot() as tx:
            found = tx.runs.search(RunQuery(kinds=("training",)))
        return {each.estimator: each.run_id for each in reversed(found)}

    def named(self, *names: str) -> list[Contender]:
        return contenders(names, at=self.at, champion=lambda _model: self.champion)

    def rows(self, found: Sequence[Contender]) -> SharedRows:
        return shared_rows(found, as_of=None, snapshots=(), at=self.at)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a world with a version of a logistic regression, and a boosted model beside it."""
    made = Bench(tmp_path_factory.mktemp("compare"))
    made.world.register(made.world.fit(LOGISTIC))
    made.world.fit(BOOSTED)
    made.champion = VersionName("churn:1")
    return made


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """Return a world to change as one likes."""
    return Bench(tmp_path / "world")


class TestContenders:
    def test_a_version_answers_with_what_it_serves(self, bench: Bench) -> None:
        [version] = bench.named("churn:1")
        assert (version.name, version.trained.estimator) == ("churn:1", "logistic")
        assert version.version is not None
        assert version.record == digest_of(version.version)

    @pytest.mark.parametrize("name", ["churn", "champion", "churn:1"])
    def test_a_version_has_several_names(self, bench: Bench, name: str) -> None:
        assert [each.name for each in bench.named(name)] == ["churn:1"]

    def test_a_training_answers_with_its_pipeline(self, bench: Bench) -> None:
        run = bench.trainings()["boosted"]
        [training] = bench.named(run[:12])
        assert training.name == f"{run[:16]}/boosted"
        assert training.version is None
        rows = bench.rows([training]).rows
        columns = columns_for_scoring(rows, training.features)
        again = predictions(training.trained, columns, artifacts=bench.world.artifacts)
        assert (training.answer(columns) == again).all()

    def test_a_training_may_be_named_with_its_estimator(self, bench: Bench) -> None:
        run = bench.trainings()["boosted"]
        assert bench.named(f"{run}/boosted")[0].record == bench.named(run)[0].record
        with pytest.raises(UsageError, match="no single model"):
            bench.named(f"{run}/forest")

    def test_order_is_kept_and_the_same_model_is_not_named_twice(self, bench: Bench) -> None:
        run = bench.trainings()["boosted"]
        assert [each.name for each in bench.named(run, "champion")] == [f"{run[:16]}/boosted", "churn:1"]
        with pytest.raises(UsageError, match="named twice") as told:
            bench.named("champion", run, "churn:1")
        assert told.value.found == "champion and churn:1 are both churn:1"

    def test_an_unknown_name_is_told_with_what_names_there_are(self, bench: Bench) -> None:
        with pytest.raises(MissingRecordError, match="No model is called that") as told:
            bench.named("nobody")
        assert "RUN/ESTIMATOR" in told.value.expected

    def test_without_a_champion_the_word_means_nothing(self, own: Bench) -> None:
        own.world.fit(LOGISTIC)
        with pytest.raises(MissingRecordError, match="has no champion yet") as told:
            own.named("champion", own.trainings()["logistic"])
        assert "keelway promote" in told.value.fix

    def test_the_champion_of_two_models_is_asked_back(self, own: Bench) -> None:
        own.models["other"] = replace(churn_model(), name="other")
        own.champion = VersionName("churn:1")
        with pytest.raises(UsageError, match="champion of which model"):
            own.named("champion")


class TestRows:
    def test_without_a_wish_they_are_the_test_rows(self, bench: Bench) -> None:
        found = bench.named("churn:1", bench.trainings()["boosted"])
        shared = bench.rows(found)
        table = bench.world.table
        own = held_out_rows(rows_of(table, bench.world.artifacts), bench.world.model, table)
        assert sorted(shared.rows["entity"].to_pylist()) == sorted(own["entity"].to_pylist())
        assert set(shared.rows["as_of"].to_pylist()) == {CUTS[2]}
        assert shared.source == "test rows of churn:1, cut 2025-05-01T00:00:00Z"
        assert shared.warnings == ()

    def test_the_newest_test_cut_among_the_models_decides(self, bench: Bench) -> None:
        old, new = bench.named("churn:1", bench.trainings()["boosted"])
        old = replace(old, trained=replace(old.trained, test_as_of=CUTS[1], train_as_ofs=CUTS[:1]))
        assert bench.rows([old, new]).source.startswith(f"test rows of {new.name}")
        assert bench.rows([new, old]).source.startswith(f"test rows of {new.name}")

    def test_rows_from_before_the_data_of_a_model_are_refused(self, bench: Bench) -> None:
        later = CUTS[2] + timedelta(days=1)
        one, two = bench.named("churn:1", bench.trainings()["boosted"])
        ahead = replace(two, trained=replace(two.trained, train_as_ofs=(*CUTS[:2], later)))
        with pytest.raises(DataError, match="learned from later data") as told:
            bench.rows([one, ahead])
        assert told.value.expected == "a cut after 2025-05-02T00:00:00Z"

    @pytest.mark.parametrize(
        ("last", "days"), [(CUTS[1], 0), (CUTS[2] - timedelta(days=10), 20), (CUTS[2] - HORIZON, 0)]
    )
    def test_labels_known_after_the_cut_are_told(self, bench: Bench, last: datetime, days: int) -> None:
        one, two = bench.named("churn:1", bench.trainings()["boosted"])
        trained = replace(two.trained, train_as_ofs=(CUTS[0], last), test_as_of=CUTS[1])
        told = bench.rows([one, replace(two, trained=trained)]).warnings
        assert [each for each in told if f"up to {days} days after" in each] == list(told)
        assert bool(told) == bool(days)

    def test_rows_that_a_model_learned_from_are_left_out_and_counted(self, own: Bench) -> None:
        own.world.declare(split=RandomSplit(despite_time=True))
        own.world.fit(LOGISTIC)
        first = own.trainings()["logistic"]
        own.world.build(seed=1)
        own.world.fit(BOOSTED)
        found = own.named(own.trainings()["boosted"], first)
        shared = own.rows(found)
        assert 0 < shared.rows.num_rows < 180, "a fifth of 900, but for those that the other one learned from"
        lost = [each for each in shared.warnings if "were left out, because a model learned from them" in each]
        assert lost == [f"{180 - shared.rows.num_rows:,} rows were left out, because a model learned from them."]

    def test_a_split_that_is_declared_otherwise_by_now_is_refused(self, own: Bench) -> None:
        own.world.fit(LOGISTIC)
        own.world.declare(split=RandomSplit(despite_time=True))
        with pytest.raises(DataError, match="declared otherwise") as told:
            own.rows(own.named(own.trainings()["logistic"]))
        assert told.value.expected.endswith("training rows")

    def test_a_feature_that_is_not_computed_any_more_is_told(self, bench: Bench) -> None:
        found = bench.named("churn:1", bench.trainings()["boosted"])
        shared = bench.rows(found)
        without: pa.Table = shared.rows.drop_columns(["spend"])
        with pytest.raises(DataError, match="churn:1 reads a feature that is not computed any more") as told:
            replace(shared, rows=without).answers(found[0])
        assert told.value.expected == "spend"


@pytest.fixture(scope="module")
def comparing(bench: Bench) -> Comparing:
    return bench.room.models(["champion", bench.trainings()["boosted"]], metrics=["roc_auc", "brier"], seed=3)


class TestAnswer:
    def test_figures_are_those_of_the_rows(self, bench: Bench, comparing: Comparing) -> None:
        contest, table = comparing.found.contest, bench.world.table
        rows = held_out_rows(rows_of(table, bench.world.artifacts), bench.world.model, table)
        labels = labels_of(rows).astype(float)
        scores = [each.answer(columns_for_scoring(rows, each.features)) for each in self._both(bench)]
        for model, given in zip(contest.models, scores, strict=True):
            assert model.figures["roc_auc"].value == pytest.approx(auc_interval(labels, given).value, abs=1e-9)
        alone = compare_aucs(labels, scores[1], scores[0], against="churn:1")
        assert contest.duels[0].comparison.difference.value == pytest.approx(alone.difference.value, abs=1e-9)

    def _both(self, bench: Bench) -> list[Contender]:
        return bench.named("churn:1", bench.trainings()["boosted"])

    def test_every_model_is_described(self, bench: Bench, comparing: Comparing) -> None:
        version, training = comparing.found.models
        assert (version.given, version.name, version.kind) == ("champion", "churn:1", "version")
        assert (training.kind, training.estimator, training.seed) == ("training", "boosted", 7)
        assert version.learned_until == CUTS[1]
        assert (comparing.found.entity, comparing.found.label) == ("customer", "churned")
        assert comparing.found.snapshots == bench.world.table.snapshots
        assert comparing.found.contest.seed == 3

    def test_the_page_and_the_plots_are_of_the_same_answer(self, comparing: Comparing, tmp_path: Path) -> None:
        page = comparing.write_page(tmp_path / "new" / "page.html").read_text("utf8")
        assert comparing.found.rows_digest in page
        assert comparing.found.contest.duels[0].sentence.split("[")[0] in page
        files = comparing.write_plots(tmp_path / "plots")
        assert [path.stem for path in files][:3] == ["differences-roc_auc", "differences-brier", "roc"]
        assert not [path for path in files if "/" in path.stem or ":" in path.stem]
        for path, svg in zip(files, comparing.plots().values(), strict=True):
            assert path.read_text("utf8") == svg
            assert svg.strip() in page

    def test_the_same_question_has_the_same_answer(self, bench: Bench, comparing: Comparing) -> None:
        again = bench.room.models(["champion", bench.trainings()["boosted"]], metrics=["roc_auc", "brier"], seed=3)
        assert again.found == comparing.found
        assert again.page() == comparing.page()

    def test_what_the_model_declares_is_taken_without_a_wish(self, own: Bench) -> None:
        own.world.declare(evaluation=Evaluation(slices=("plan",), smallest_difference=0.02, bootstrap=100))
        own.world.fit(LOGISTIC)
        own.world.fit(BOOSTED)
        found = own.room.models(list(own.trainings().values())).found
        assert found.contest.metrics == own.world.model.metrics == ("roc_auc", "log_loss")
        assert found.contest.margins == {"roc_auc": 0.02, "log_loss": 0.0}
        assert {each.column for each in found.contest.slices} == {"plan"}
        assert found.warnings == ()

    def test_a_margin_for_the_first_metric_or_for_any(self, bench: Bench) -> None:
        names = ["churn:1", bench.trainings()["boosted"]]
        found = bench.room.models(names, metrics=["brier", "roc_auc"], margins=["0.01", "roc_auc=0.5"]).found
        assert found.contest.margins == {"brier": 0.01, "roc_auc": 0.5}
        assert found.contest.duels[1].word == "no difference worth having"

    @pytest.mark.parametrize("margin", ["", "x", "-0.1", "nan", "inf", "mcc=0.1", "roc_auc=", "=", "a=b=0.1"])
    def test_what_is_no_margin_is_refused(self, bench: Bench, margin: str) -> None:
        with pytest.raises(UsageError, match="margin cannot be read"):
            bench.room.models(["churn:1", bench.trainings()["boosted"]], metrics=["roc_auc"], margins=[margin])

    @pytest.mark.parametrize(("asked", "used"), [("holm", "holm"), ("bh", "benjamini-hochberg"), ("none", "none")])
    def test_corrections_have_short_names(self, bench: Bench, asked: Any, used: str) -> None:
        found = bench.room.models(["churn:1", bench.trainings()["boosted"]], correction=asked).found
        assert found.contest.correction == used

    @pytest.mark.parametrize("names", [[], ["churn:1"]])
    def test_one_model_alone_is_no_comparison(self, bench: Bench, names: list[str]) -> None:
        with pytest.raises(UsageError, match="nothing to compare"):
            bench.room.models(names)

    def test_an_unknown_metric_is_refused(self, bench: Bench) -> None:
        with pytest.raises(TrainingError, match="Unknown metric"):
            bench.room.models(["churn:1", bench.trainings()["boosted"]], metrics=["rmse"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"entity": "shop"}, "entity"),
        ({"label": "left"}, "label"),
        ({"horizon_s": 7}, "horizon"),
        ({"task": "regression"}, "task"),
        ({"classes": ("a", "b")}, "classes"),
    ],
)
def test_models_that_predict_something_else_are_refused(bench: Bench, change: dict[str, Any], told: str) -> None:
    one, two = bench.named("churn:1", bench.trainings()["boosted"])
    if set(change) <= {"task", "classes"}:
        two = replace(two, trained=replace(two.trained, **change))
    else:
        two = replace(two, table=replace(two.table, **change))
    with pytest.raises(DataError, match="do not predict the same") as refused:
        _check_alike([one, two])
    assert refused.value.expected.startswith(told)
    assert refused.value.found.startswith(told)
