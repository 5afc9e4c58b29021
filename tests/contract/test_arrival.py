"""Each loaded batch is accounted for once, and whatever left its bounds is told once."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import (
    Account,
    Arrival,
    CheckedBatch,
    CheckedFile,
    Freshness,
    IngestAlert,
    IngestAlertKind,
    freshness,
    freshness_alerts,
    ingest_alerts,
    raise_alerts,
    stop_alerts,
    take_account,
)
from keelway.contract.arrival.anomalies import newest_event
from keelway.core import Action, ArtifactKind, Decision, Digest, PrincipalId, digest_bytes, digest_of, time_text
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.ingest import Batch, RawFile, SkippedFile, SkipReason, batch_key, loaded_pointer
from keelway.ledger import decisions, record_decision
from keelway.project import Dataset

ANA = PrincipalId("user:ana")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = digest_bytes(b"")
HOURLY = Dataset("orders", contract="orders.yaml", source="raw/*.csv", event_time="at", schedule="0 * * * *")


@dataclass
class Feed:
    """Batches of a dataset that count as checked and loaded, without anything being read."""

    state: SqlState
    artifacts: LocalArtifacts
    folder: Path
    dataset: Dataset = HOURLY
    batches: list[Batch] = field(default_factory=list)

    def load(self, rows: int, at: datetime, **more: object) -> tuple[IngestAlert, ...]:
        """Load a batch of one file, written then, and return the alerts it gives reason for."""
        self.add(rows, at, **more)
        return self.account(at).alerts

    def add(
        self,
        rows: int,
        at: datetime,
        *,
        files: int = 1,
        events: list[datetime] | list[date] | None = None,
        changed: tuple[str, ...] = (),
        released: Digest | None = None,
    ) -> None:
        """Load a batch without taking account of it."""
        number = len(self.batches) + 1
        names = [f"raw/{number:06d}-{file}.csv" for file in range(files)]
        raw = tuple(RawFile(name, digest_bytes(name.encode()), 1, at, None) for name in names)
        skipped = tuple(SkippedFile(name, NOTHING, SkipReason.CONTENT_CHANGED, of=name) for name in changed)
        parent = digest_of(self.batches[-1]) if self.batches else None
        batch = Batch("orders", number, raw, skipped, at, parent, released=released)
        checked = self._checked(batch, rows, events)
        with self.state.transaction() as tx:
            digest = tx.insert(batch_key("orders", number), batch, parent="orders", at=at)
            tx.insert(batch_key("orders", number), checked, parent="orders", at=at)
            held = tx.pointer(loaded_pointer("orders"))
            tx.move(loaded_pointer("orders"), before=held.target if held else None, after=digest, at=at)
        self.batches.append(batch)

    def _checked(self, batch: Batch, rows: int, events: list[datetime] | list[date] | None) -> CheckedBatch:
        kept = NOTHING
        if events:
            path = self.folder / "kept.parquet"
            pq.write_table(pa.table({"id": list(range(len(events))), "at": events}), path, row_group_size=1)
            kept = self.artifacts.put_file(path, kind=ArtifactKind.SNAPSHOT).digest
        share, rest = divmod(rows, max(1, len(batch.files)))
        files = tuple(
            CheckedFile(file.name, file.digest, share + (rest if n == 0 else 0), 0, 0)
            for n, file in enumerate(batch.files)
        )
        return CheckedBatch(
            "orders", digest_of(batch), NOTHING, "1", rows, len(events or ()), 0, 0, {}, {}, files, None, kept, {},
            batch.pulled_at, batch.pulled_at,
        )  # fmt: skip

    def account(self, now: datetime) -> Account:
        return take_account(self.dataset, outcomes={}, artifacts=self.artifacts, state=self.state, now=now, actor=ANA)

    def hours(self, count: int, *, rows: int = 1000, start: datetime = MONDAY) -> datetime:
        """Load that many normal hours and return the next one; at first without taking account."""
        rng = random.Random(1)
        for number in range(count):
            self.add(round(rows * math.exp(rng.gauss(0, 0.1))), start + number * HOUR)
        self.account(start + count * HOUR)
        return start + count * HOUR

    def raised(self) -> list[tuple[IngestAlertKind, str]]:
        with self.state.snapshot() as tx:
            return [(alert.kind, alert.about) for alert in reversed(ingest_alerts("orders", tx))]

    def arrivals(self) -> list[Arrival]:
        with self.state.snapshot() as tx:
            return sorted(tx.newest(Arrival, parent="orders"), key=lambda item: item.number)

    def freshness(self, now: datetime, *, max_age_s: int | None = None) -> Freshness:
        return freshness(self.dataset, self.account(now), max_age_s=max_age_s, now=now)

    def alarm(self, now: datetime, *, max_age_s: int | None = None) -> tuple[IngestAlert, ...]:
        """Raise the alerts that the dataset's age gives reason for."""
        due = freshness_alerts("orders", self.freshness(now, max_age_s=max_age_s), now=now)
        return raise_alerts(due, state=self.state, actor=ANA)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    made = Feed(SqlState(f"sqlite:///{tmp_path}/state.db"), LocalArtifacts(tmp_path / "artifacts"), tmp_path)
    yield made
    made.state.close()


# --- keeping account --------------------------------------------------------------------------------------------------


def test_what_a_batch_brought_is_written_down_once(feed: Feed) -> None:
    feed.add(900, MONDAY, files=2, events=[MONDAY - HOUR, MONDAY - 3 * HOUR])
    first = feed.account(MONDAY)
    again = feed.account(MONDAY + DAY)
    [arrival] = feed.arrivals()
    assert first.arrivals == again.arrivals == (arrival,)
    assert (arrival.number, arrival.newest_file, arrival.newest_event) == (1, MONDAY, MONDAY - HOUR)
    [slot] = arrival.slots
    assert (slot.slot, slot.files, slot.rows, slot.verdict) == (MONDAY, 2, 900, "usual")


def test_batches_that_nobody_accounted_for_are_caught_up_on(feed: Feed) -> None:
    feed.load(1, MONDAY)
    for number in range(1, 4):
        feed.add(1, MONDAY + number * HOUR)
    feed.account(MONDAY + DAY)
    assert [arrival.number for arrival in feed.arrivals()] == [1, 2, 3, 4]


def test_nothing_loaded_is_nothing_to_account_for(feed: Feed) -> None:
    found = feed.account(MONDAY)
    assert (found.arrivals, found.alerts, found.newest_event, found.newest_file) == ((), (), None, None)


def test_a_date_counts_from_its_first_moment(feed: Feed) -> None:
    feed.add(2, MONDAY, events=[date(2026, 1, 3), date(2026, 1, 2)])
    assert feed.account(MONDAY).newest_event == datetime(2026, 1, 3, tzinfo=UTC)


def test_the_files_of_one_due_time_count_together_whatever_batch_they_come_in(feed: Feed) -> None:
    feed.load(10, MONDAY - timedelta(minutes=5))
    feed.load(20, MONDAY + timedelta(minutes=5))
    assert [(slot.slot, slot.rows) for arrival in feed.arrivals() for slot in arrival.slots] == [
        (MONDAY, 10), (MONDAY, 20)
    ]  # fmt: skip


def test_a_release_is_no_delivery(feed: Feed) -> None:
    hour = feed.hours(24 * 8)
    assert feed.load(100_000, hour, released=NOTHING) == ()
    assert feed.arrivals()[-1].slots == ()
    assert feed.account(hour).newest_file == hour - HOUR


def test_a_passed_over_batch_is_accounted_for(feed: Feed) -> None:
    feed.add(0, MONDAY, files=0)
    feed.account(MONDAY)
    [arrival] = feed.arrivals()
    assert (arrival.slots, arrival.newest_file, arrival.newest_event) == ((), None, None)


# --- volume -----------------------------------------------------------------------------------------------------------


def test_two_hundred_normal_hours_raise_no_alert(feed: Feed) -> None:
    hour = feed.hours(24 * 7)
    rng = random.Random(2)
    for number in range(200):
        feed.add(round(1000 * math.exp(rng.gauss(0, 0.1))), hour + number * HOUR)
    found = feed.account(hour + 200 * HOUR)
    assert (found.alerts, {item.verdict for item in found.volumes}) == ((), {"usual"})
    assert len(found.volumes) == 200


@pytest.mark.parametrize(("rows", "verdict"), [(0, "low"), (30, "low"), (40_000, "high")])
def test_an_odd_hour_raises_one_alert_that_says_what_is_usual(feed: Feed, rows: int, verdict: str) -> None:
    hour = feed.hours(24 * 8)
    [alert] = feed.load(rows, hour)
    assert (alert.kind, alert.about) == (IngestAlertKind.VOLUME, time_text(hour))
    assert f"{rows:,} rows came" in alert.reasons[0]
    assert "usual are" in alert.reasons[0]
    assert feed.arrivals()[-1].slots[-1].verdict == verdict
    with feed.state.snapshot() as tx:
        [decision] = [item for _, item in decisions(tx) if item.action is Action.ALERT]
    assert decision.evidence == {"alert": digest_of(alert), "batch": digest_of(feed.batches[-1])}
    assert decision.subject == "orders"
    assert feed.account(hour + DAY).alerts == ()


def test_of_odd_hours_in_a_row_the_first_is_told(feed: Feed) -> None:
    hour = feed.hours(24 * 8)
    assert len(feed.load(0, hour)) == 1
    assert feed.load(0, hour + HOUR) == ()
    assert feed.load(1000, hour + 2 * HOUR) == ()
    assert len(feed.load(0, hour + 3 * HOUR)) == 1


def test_the_first_ingest_of_a_long_past_raises_nothing(feed: Feed) -> None:
    rng = random.Random(4)
    for number in range(24 * 9):
        feed.add(0 if number == 200 else round(1000 * math.exp(rng.gauss(0, 0.1))), MONDAY + number * HOUR)
    assert feed.account(MONDAY + 9 * DAY).alerts == ()
    assert len(feed.arrivals()) == 24 * 9


def test_without_a_schedule_rows_per_file_are_compared(feed: Feed) -> None:
    feed.dataset = replace(feed.dataset, schedule="")
    hour = feed.hours(24 * 8)
    assert feed.load(30_000, hour, files=30) == (), "thirty files at once are no thirty times the volume"
    assert len(feed.load(30_000, hour + HOUR)) == 1


def test_too_few_hours_are_silent(feed: Feed) -> None:
    hour = feed.hours(7)
    assert feed.load(0, hour) == ()
    assert feed.account(hour).volumes == ()


# --- other content ----------------------------------------------------------------------------------------------------


def test_other_content_under_known_names_is_one_alert(feed: Feed) -> None:
    names = tuple(f"raw/{letter}.csv" for letter in "abcdefg")
    [alert] = feed.load(1, MONDAY, changed=names)
    assert (alert.kind, alert.about) == (IngestAlertKind.CHANGED, "batch 1")
    assert alert.reasons[0].endswith("raw/a.csv, raw/b.csv, raw/c.csv, raw/d.csv, raw/e.csv and 2 more")


# --- freshness --------------------------------------------------------------------------------------------------------


def test_ages_are_told_in_seconds(feed: Feed) -> None:
    feed.load(1, MONDAY, events=[MONDAY - HOUR])
    found = feed.freshness(MONDAY + HOUR, max_age_s=3 * 3600)
    assert (found.event_age_s, found.file_age_s, found.stale, found.overdue_since) == (7200.0, 3600.0, False, None)


def test_without_rows_there_is_no_age(feed: Feed) -> None:
    found = feed.freshness(MONDAY, max_age_s=1)
    assert (found.event_age_s, found.file_age_s, found.stale) == (None, None, False)


def test_rows_from_the_future_do_not_make_a_feed_look_fresh(feed: Feed) -> None:
    feed.load(3, MONDAY, events=[MONDAY - DAY, datetime(2099, 1, 1, tzinfo=UTC), MONDAY + HOUR])
    found = feed.freshness(MONDAY + 2 * HOUR, max_age_s=3600)
    assert (found.newest_event, found.event_age_s) == (MONDAY - DAY, 26 * 3600.0)
    assert (found.stale, found.undated) == (True, False)


@pytest.mark.parametrize("groups", [1, 3], ids=["a row group each", "one row group"])
@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.date32()], ids=str)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(past=st.lists(st.integers(-400, 0), min_size=1, max_size=5), future=st.lists(st.integers(1, 30_000), max_size=4))
def test_a_row_from_the_future_never_changes_the_age(
    tmp_path: Path, kind: pa.DataType, groups: int, past: list[int], future: list[int]
) -> None:
    days = [MONDAY + days * DAY for days in (*future, *past)]
    values = [day.date() if pa.types.is_date(kind) else day if kind.tz else day.replace(tzinfo=None) for day in days]
    store = LocalArtifacts(tmp_path / "artifacts")
    pq.write_table(pa.table({"at": pa.array(values, kind)}), tmp_path / "kept.parquet", row_group_size=groups)
    kept = store.put_file(tmp_path / "kept.parquet", kind=ArtifactKind.SNAPSHOT).digest
    checked = CheckedBatch(
        "orders", NOTHING, NOTHING, "1", 1, len(days), 0, 0, {}, {}, (), None, kept, {}, MONDAY, MONDAY
    )
    assert newest_event(checked, "at", store, written=MONDAY) == MONDAY + max(past) * DAY


def test_where_all_rows_are_from_the_future_the_feed_is_stale_and_says_why(feed: Feed) -> None:
    feed.dataset = replace(feed.dataset, schedule="")
    feed.load(2, MONDAY, events=[MONDAY + HOUR, MONDAY + DAY])
    found = feed.freshness(MONDAY + 2 * HOUR, max_age_s=7200)
    assert (found.newest_event, found.event_age_s, found.undated, found.stale) == (None, None, True, True)
    [alert] = feed.alarm(MONDAY + 2 * HOUR, max_age_s=7200)
    assert (alert.kind, alert.about) == (IngestAlertKind.STALE, "the first batch")
    assert "dated after the file it came in" in alert.reasons[0]
    feed.load(1, MONDAY + 3 * HOUR, events=[MONDAY + 3 * HOUR])
    assert feed.alarm(MONDAY + 3 * HOUR, max_age_s=7200) == ()
    assert feed.freshness(MONDAY + 3 * HOUR, max_age_s=7200).undated is False


def test_rows_from_the_future_alone_do_not_end_an_outage(feed: Feed) -> None:
    feed.dataset = replace(feed.dataset, schedule="")
    feed.load(1, MONDAY, events=[MONDAY])
    assert len(feed.alarm(MONDAY + 3 * HOUR, max_age_s=7200)) == 1
    feed.load(1, MONDAY + 4 * HOUR, events=[MONDAY + 1000 * DAY])
    assert feed.freshness(MONDAY + 4 * HOUR, max_age_s=7200).stale
    assert feed.alarm(MONDAY + 4 * HOUR, max_age_s=7200) == (), "it is the same outage"


def test_without_a_promise_rows_from_the_future_are_told_but_not_stale(feed: Feed) -> None:
    feed.load(1, MONDAY, events=[MONDAY + DAY])
    found = feed.freshness(MONDAY)
    assert (found.undated, found.stale) == (True, False)


def test_a_release_of_rows_from_the_future_says_nothing_about_age(feed: Feed) -> None:
    feed.load(1, MONDAY, events=[MONDAY - HOUR])
    feed.load(1, MONDAY, events=[MONDAY + DAY], released=NOTHING)
    found = feed.freshness(MONDAY + HOUR, max_age_s=3600)
    assert (found.newest_event, found.event_age_s, found.undated) == (MONDAY - HOUR, 7200.0, False)


def test_an_account_that_was_kept_of_a_row_from_the_future_is_not_believed(feed: Feed) -> None:
    kept = Arrival("orders", 1, NOTHING, (), MONDAY, datetime(2099, 1, 1, tzinfo=UTC))
    found = freshness(feed.dataset, Account((), (), (kept,)), max_age_s=3600, now=MONDAY)
    assert (found.newest_event, found.undated, found.stale, found.fresh_until) == (None, True, True, None)


def test_rows_older_than_promised_raise_one_alert_an_outage(feed: Feed) -> None:
    feed.dataset = replace(feed.dataset, schedule="")
    feed.load(1, MONDAY, events=[MONDAY - HOUR])
    assert feed.alarm(MONDAY + HOUR, max_age_s=7200) == ()
    [alert] = feed.alarm(MONDAY + 3 * HOUR, max_age_s=7200)
    assert alert.kind is IngestAlertKind.STALE
    assert "4:00:00 ago; promised is 2:00:00" in alert.reasons[0]
    assert feed.alarm(MONDAY + 4 * HOUR, max_age_s=7200) == ()
    feed.load(1, MONDAY + 5 * HOUR, events=[MONDAY])
    assert feed.alarm(MONDAY + 5 * HOUR, max_age_s=7200) == (), "old rows that trickle in are the same outage"
    feed.load(1, MONDAY + 6 * HOUR, events=[MONDAY + 6 * HOUR])
    assert feed.alarm(MONDAY + 7 * HOUR, max_age_s=7200) == ()
    assert len(feed.alarm(MONDAY + 9 * HOUR, max_age_s=7200)) == 1, "the next outage is another"


def test_without_a_promise_nothing_is_stale(feed: Feed) -> None:
    feed.dataset = replace(feed.dataset, schedule="")
    feed.load(1, MONDAY, events=[MONDAY])
    assert feed.alarm(MONDAY + 1000 * DAY) == ()


def test_a_missing_file_raises_one_alert_an_outage(feed: Feed) -> None:
    feed.load(1, MONDAY)
    assert feed.alarm(MONDAY + HOUR + timedelta(minutes=15)) == ()
    [alert] = feed.alarm(MONDAY + HOUR + timedelta(minutes=16))
    assert (alert.kind, alert.about) == (IngestAlertKind.MISSING, time_text(MONDAY + HOUR))
    assert feed.alarm(MONDAY + 5 * HOUR) == ()
    feed.load(1, MONDAY + 6 * HOUR)
    assert len(feed.alarm(MONDAY + 8 * HOUR)) == 1
    assert [kind for kind, _ in feed.raised()] == [IngestAlertKind.MISSING] * 2


# --- stops ------------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_stopped_again_raises_one_alert(feed: Feed) -> None:
    waiting = Batch("orders", 1, (), (), MONDAY, None)

    def stop(action: Action = Action.QUARANTINE) -> tuple[IngestAlert, ...]:
        refusal = Decision(action, "orders", False, ANA, MONDAY, {"batch": digest_of(waiting)}, ("too many bad rows",))
        with feed.state.transaction() as tx:
            tx.insert(batch_key("orders", 1), waiting, parent="orders", at=MONDAY)
            record_decision(refusal, tx=tx)
        with feed.state.snapshot() as tx:
            due = stop_alerts("orders", tx=tx, now=MONDAY)
        return raise_alerts(due, state=feed.state, actor=ANA)

    assert stop() == ()
    [alert] = stop(Action.CONTRACT)
    assert (alert.kind, alert.about) == (IngestAlertKind.STOPPED, "batch 1")
    assert "stopped 2 times" in alert.reasons[0]
    assert "too many bad rows" in alert.reasons[0]
    assert stop() == ()


def test_alerts_are_listed_by_dataset_newest_first(feed: Feed) -> None:
    for number in range(3):
        one = IngestAlert("orders", IngestAlertKind.VOLUME, str(number), ("odd",), {}, MONDAY + number * HOUR)
        raise_alerts([one, replace(one, dataset="other")], state=feed.state, actor=ANA)
    with feed.state.snapshot() as tx:
        assert [alert.about for alert in ingest_alerts("orders", tx)] == ["2", "1", "0"]
        assert len(ingest_alerts(None, tx)) == 6
        assert [alert.about for alert in ingest_alerts(None, tx, limit=2)] == ["2", "2"]
