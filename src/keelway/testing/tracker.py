"""What every tracker that keeps something promises.

class TestMyTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, tmp_path): return MyTracker(tmp_path)
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from keelway.core import digest_bytes
from keelway.errors import MissingRecordError, TrainingError
from keelway.testing.run_index import tracked
from keelway.train import Tracker
from keelway.train.tracking import MetricPoint


class TrackerConformance:
    """The promises of `Tracker`."""

    @pytest.fixture
    def tracker(self) -> Tracker:
        """Return an empty tracker. To be overridden."""
        raise NotImplementedError

    def record(self, tracker: Tracker, key: str) -> str:
        """Record a small training."""
        return tracker.record_training(
            "churn",
            name="a",
            parameters={"c": 1.0, "penalty": None},
            metrics={"rows": 3.0},
            tags={"keelway.key": key, "keelway.commit": ""},
            dataset_digest=digest_bytes(b"d"),
            signature_json="{}",
            artifacts={"pipeline": digest_bytes(b"p")},
        )

    def test_a_training_is_recorded_once(self, tracker: Tracker) -> None:
        run = self.record(tracker, "one")
        assert self.record(tracker, "one") == run
        assert self.record(tracker, "two") != run
        tracker.log_metrics(run, {"auc": 0.5})
        tracker.log_metrics("", {"auc": 0.5})

    def announced(self, tracker: Tracker, key: str) -> AbstractContextManager[None]:
        """Announce a small training."""
        return tracker.announced_training(
            "churn",
            name="a",
            parameters={"c": 1.0, "penalty": None},
            tags={"keelway.key": key, "keelway.commit": ""},
            dataset_digest=digest_bytes(b"d"),
            signature_json="{}",
        )

    def test_an_announced_training_is_one_run_however_it_goes_on(self, tracker: Tracker) -> None:
        with self.announced(tracker, "one"):
            pass
        run = self.record(tracker, "one")
        with self.announced(tracker, "one"):
            pass
        assert self.record(tracker, "one") == run
        with pytest.raises(TrainingError, match="no rows"), self.announced(tracker, "two"):
            raise TrainingError("no rows")
        second = self.record(tracker, "two")
        assert second != run
        assert self.record(tracker, "two") == second

    def test_a_version_is_registered_once_and_aliases_show_it(self, tracker: Tracker) -> None:
        run = self.record(tracker, "one")
        link = tracker.register_version("churn", 1, run, {"keelway.key": "t"})
        assert tracker.register_version("churn", 1, run, {"keelway.key": "t"}) == link
        assert tracker.register_version("churn", 2, "", {"keelway.key": "u"}) != link
        assert tracker.alias_of("churn", "prod") is None
        for number in (1, 2):
            tracker.set_alias("churn", "prod", number)
            assert tracker.alias_of("churn", "prod") == number
        with pytest.raises(MissingRecordError):
            tracker.set_alias("churn", "prod", 9)
        for _ in range(2):
            tracker.remove_alias("churn", "prod")
            assert tracker.alias_of("churn", "prod") is None

    def test_a_tracked_run_is_shown_once(self, tracker: Tracker) -> None:
        run = tracked(1)
        points = [MetricPoint("loss", 0.5, 0, run.started_at), MetricPoint("loss", float("nan"), 1, run.ended_at)]
        link = tracker.mirror(run, points, {}, metrics={"auc": 0.5})
        assert tracker.mirror(run, points, {}, metrics={"auc": 0.5}) == link
        assert tracker.mirror(tracked(2), [], {}, metrics={}) != link
