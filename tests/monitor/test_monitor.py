"""Drift against reference values and by simulation; quality with late labels; outcomes exactly once."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from keelway.core import (
    Action,
    Environment,
    Outcome,
    Prediction,
    PrincipalId,
    VersionName,
    digest_bytes,
    digest_of,
    js_distance,
    psi,
    psi_null_mean,
    psi_null_quantile,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import DataError, UsageError
from keelway.evaluate import auc_interval
from keelway.features import ColumnProfile, Profile
from keelway.ledger import decisions
from keelway.monitor import (
    drift_report,
    monitor,
    quality_report,
    read_outcomes,
    record_outcomes,
)
from keelway.project import Monitor

NOW = datetime(1998, 6, 1, tzinfo=UTC)
AS_OF = datetime(1998, 1, 1, tzinfo=UTC)
BOT = PrincipalId("sp:monitor")
V1, V2 = VersionName("churn:1"), VersionName("churn:2")
WATCH = Monitor("churn", psi_threshold=0.2, min_rows=100, auc_floor=0.7, min_outcomes=50)


def test_psi_has_the_reference_values() -> None:
    skewed = (0.05, 0.05, *[0.1] * 6, 0.15, 0.15)
    assert psi([0.1] * 10, skewed) == pytest.approx(0.1 * math.log(3), rel=1e-9)
    assert psi([0.5, 0.5], [0.6, 0.4]) == pytest.approx(0.0405465, rel=1e-5)


def test_js_distance_has_the_reference_values() -> None:
    assert js_distance([1, 0], [0, 1]) == pytest.approx(1)
    assert js_distance([1, 0], [0.5, 0.5]) == pytest.approx(0.5579230, rel=1e-6)
    assert js_distance([1, 0], [0.5, 0.5]) ** 2 == pytest.approx(0.3112781, rel=1e-6)
    assert js_distance([3, 4], [6, 8]) == 0


def test_the_null_law_of_psi_holds_in_a_simulation() -> None:
    random = np.random.default_rng(1)
    draws = random.multinomial(1000, [0.1] * 10, size=(4000, 2))
    found = np.array([psi(a.tolist(), b.tolist()) for a, b in draws])
    assert psi_null_mean(1000, 1000, 10) == pytest.approx(0.018)
    assert psi_null_quantile(1000, 1000, 10, level=0.95) == pytest.approx(0.0338380, rel=1e-5)
    assert found.mean() == pytest.approx(0.018, rel=0.03)
    assert np.quantile(found, 0.95) == pytest.approx(0.03384, rel=0.05)


@pytest.mark.parametrize(
    ("before", "after"), [([], []), ([0], [0]), ([1], [0]), ([1, 2], [1]), ([math.nan, 1], [1, 1]), ([-1, 2], [1, 1])]
)
def test_what_is_no_histogram_is_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(UsageError):
        psi(before, after)


def column(counts: list[int], nulls: int = 0) -> ColumnProfile:
    edges = tuple(float(edge) for edge in range(len(counts) - 1))
    return ColumnProfile("numeric", sum(counts), nulls, edges, tuple(counts))


def drift(current: list[int], *, nulls: int = 0, rows: int | None = None):  # type: ignore[no-untyped-def]
    reference = Profile(1000, {"x": column([250] * 4)})
    now = Profile(rows or sum(current) + nulls, {"x": column(current, nulls)})
    return drift_report(now, reference, model="churn", version=V1, environment="prod", monitor=WATCH, now=NOW), now


def test_the_same_spread_is_stable_and_another_has_drifted() -> None:
    assert drift([250, 250, 250, 250])[0].verdict == "stable"
    report = drift([700, 100, 100, 100])[0]
    assert report.verdict == "drifted"
    assert report.reasons[0].startswith("x: PSI is")


def test_missing_values_count_as_a_bin() -> None:
    assert drift([125] * 4, nulls=500)[0].verdict == "drifted"


def test_too_few_rows_are_never_called_stable() -> None:
    assert drift([20, 20, 20, 20])[0].verdict == "not enough"


def test_a_feature_that_is_gone_has_drifted() -> None:
    reference = Profile(1000, {"x": column([500, 500])})
    report = drift_report(
        Profile(1000, {}), reference, model="churn", version=V1, environment="prod", monitor=WATCH, now=NOW
    )
    assert report.verdict == "drifted"
    assert report.reasons == ("x: the feature is gone",)


def test_other_bins_are_refused() -> None:
    with pytest.raises(UsageError):
        drift([500, 500])


def prediction(number: int, probability: float, *, version: VersionName = V1, arm: str = "stable") -> Prediction:
    return Prediction(
        prediction_id=f"{number:032x}",
        model="churn",
        version=version,
        version_digest=digest_bytes(version.encode()),
        deployment=digest_bytes(b"deployment"),
        environment=Environment("prod"),
        arm=arm,
        entity=f"c{number}",
        as_of=AS_OF,
        features={},
        value=probability,
        event_time=AS_OF,
    )


def outcome(number: int, value: int, *, known_at: datetime = NOW) -> Outcome:
    return Outcome("churned", f"c{number}", AS_OF, value, AS_OF, known_at)


def quality(predictions: list[Prediction], outcomes: list[Outcome]):  # type: ignore[no-untyped-def]
    return quality_report(
        predictions, outcomes, model="churn", environment="prod", label="churned", monitor=WATCH, now=NOW
    )


def test_good_answers_keep_quality_and_bad_ones_lose_it() -> None:
    truth = [outcome(n, n % 2) for n in range(100)]
    good = quality([prediction(n, 0.9 if n % 2 else 0.1) for n in range(100)], truth)
    bad = quality([prediction(n, 0.1 if n % 2 else 0.9) for n in range(100)], truth)
    assert (good.verdict, bad.verdict) == ("kept", "lost")
    assert good.slices[0].roc_auc.value == 1


def test_what_is_not_known_yet_is_pending_and_few_outcomes_judge_nothing() -> None:
    later = [outcome(n, n % 2, known_at=NOW + timedelta(days=1)) for n in range(40, 100)]
    report = quality([prediction(n, 0.5) for n in range(100)], [outcome(n, n % 2) for n in range(40)] + later)
    assert report.verdict == "not enough"
    assert (report.slices[0].matured, report.slices[0].pending) == (40, 60)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_an_answer_that_is_no_number_is_never_fine(score: float) -> None:
    answers = [prediction(n, score if n == 0 else 0.5) for n in range(100)]
    assert quality(answers, [outcome(n, n % 2) for n in range(100)]).verdict == "not enough"


def test_no_predictions_are_said() -> None:
    assert quality([], []).reasons == ("there are no predictions",)


@pytest.fixture
def state(tmp_path: Path) -> SqlState:
    return SqlState(f"sqlite:///{tmp_path / 'state.db'}")


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


def actions(state: SqlState) -> list[Action]:
    with state.snapshot() as tx:
        return [decision.action for _, decision in decisions(tx)]


def test_outcomes_are_taken_once_and_contradictions_write_nothing(state: SqlState, artifacts: LocalArtifacts) -> None:
    ports = {"state": state, "artifacts": artifacts, "now": NOW, "actor": BOT}
    first = record_outcomes([outcome(1, 1), outcome(2, 0)], **ports)
    assert first is not None
    assert first.count == 2
    assert record_outcomes([outcome(2, 0), outcome(1, 1)], **ports) is None
    with pytest.raises(DataError, match="c1 at"):
        record_outcomes([outcome(3, 1), outcome(1, 0)], **ports)
    assert record_outcomes([outcome(1, 1), outcome(3, 1)], **ports).count == 1
    with state.snapshot() as tx:
        assert [one.entity for one in read_outcomes(tx, artifacts, "churned")] == ["c1", "c2", "c3"]
    assert actions(state) == [Action.LOG_OUTCOMES] * 2


def test_drift_alerts_once_and_every_report_is_recorded(state: SqlState) -> None:
    report, profile = drift([700, 100, 100, 100])
    watch = {"profile": profile, "state": state, "now": NOW, "actor": BOT}
    (alert,) = monitor(drift=report, **watch)
    assert monitor(drift=report, **watch) == (alert,)
    assert (alert.version, alert.kind, alert.report) == (V1, "drift", digest_of(report))
    assert monitor(drift=drift([250] * 4)[0], **watch) == ()
    assert actions(state) == [Action.MONITOR, Action.ALERT, Action.MONITOR]


def test_lost_quality_alerts_for_the_version_that_lost_it(state: SqlState) -> None:
    answers = [prediction(n, 0.1 if n % 2 else 0.9) for n in range(100)]
    answers += [prediction(n, 0.9 if n % 2 else 0.1, version=V2) for n in range(100)]
    report = quality(answers, [outcome(n, n % 2) for n in range(100)])
    (alert,) = monitor(quality=report, state=state, now=NOW, actor=BOT)
    assert (alert.version, alert.kind) == (V1, "quality")
    assert alert.reasons[0].startswith("ROC AUC is 0.000 on 100 outcomes")


def test_figures_have_their_intervals_and_say_by_which_method() -> None:
    report = quality([prediction(n, 0.3 + n % 5 / 10) for n in range(100)], [outcome(n, n % 2) for n in range(100)])
    auc, loss = report.slices[0].roc_auc, report.slices[0].log_loss
    assert auc == auc_interval([n % 2 for n in range(100)], [0.3 + n % 5 / 10 for n in range(100)])
    losses = [-math.log(p if n % 2 else 1 - p) for n in range(100) for p in [0.3 + n % 5 / 10]]
    assert loss.value == pytest.approx(np.mean(losses))
    assert loss.high - loss.value == pytest.approx(1.959964 * np.std(losses, ddof=1) / 10)
    assert (auc.method, loss.method, loss.level) == ("DeLong", "normal", 0.95)


@pytest.mark.parametrize("truth", [[], [1], [0, 0, 0, 1]], ids=["nothing", "one", "one of a class"])
def test_too_few_outcomes_of_a_class_have_no_auc(truth: list[int]) -> None:
    report = quality([prediction(n, 0.5) for n in range(5)], [outcome(n, value) for n, value in enumerate(truth)])
    assert report.slices[0].roc_auc is None
    assert (report.slices[0].log_loss is None) == (not truth)
    assert digest_of(report)
