"""Compaction moves predictions into columnar files, and nobody who reads the log can tell, but by the time it takes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from keelway.core import Action, Artifact, Decision, Digest, Prediction, digest_of, sortable_ids
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import ConflictError, IntegrityError, MissingRecordError
from keelway.identity import Principal
from keelway.ledger import SigningKey, audit, decisions, root_of
from keelway.monitor.rollout.log import SegmentCache, sealed_columns
from keelway.register import RetentionRules, collect
from keelway.serve import (
    CompactionTurn,
    LogCompaction,
    PredictionSegment,
    all_live_segments,
    columns_in,
    find_prediction,
    find_with_lines,
    lines_of,
    live_segments,
    replaced_data,
    waiting_segments,
)
from keelway.serve.segment import FORM
from keelway.serve.segment_lines import LINES_FORM
from keelway.serve.segment_records import SegmentCompaction, segment_key
from keelway.testing.crash import EXIT_CODE, CrashPoint, stride, swept
from keelway.testing.prediction_log import (
    ANA,
    ENVIRONMENT,
    MODEL,
    NOW,
    SealedLog,
    compact_and_die,
    prediction_of,
)
from keelway.testing.processes import exit_code_of, exit_codes_of

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
KEY = SigningKey.generate("compaction.keelway")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SealedLog]:
    made = SealedLog(tmp_path)
    yield made
    made.close()


def two_hours(log: SealedLog) -> list[PredictionSegment]:
    """Seal ten segments in each of two hours."""
    return [
        log.seal(f"j{number:02}", range(number * 10, number * 10 + 10), at=NOW + number // 10 * HOUR + number * SECOND)
        for number in range(20)
    ]


def entries(log: SealedLog, action: Action = Action.COMPACT) -> list[Decision]:
    with log.state.snapshot() as tx:
        return [each for _, each in decisions(tx) if each.action is action]


def live(log: SealedLog) -> list[PredictionSegment]:
    with log.state.snapshot() as tx:
        return live_segments(MODEL, ENVIRONMENT, tx)


def is_sound(log: SealedLog) -> bool:
    return audit(log.state, key=KEY.public, artifacts=log.artifacts).ok


def odd(number: int, draw: random.Random) -> Prediction:
    """Return a prediction that may be of another version, with features of other kinds."""
    features: list[dict[str, Any]] = [
        {"plan": "gold", "recency_d": 1.5}, {"plan": None, "recency_d": None}, {"plan": "2026-03-01", "recency_d": -0.0},
        {"plan": 3.0, "recency_d": "soon"}, {"ink": (1.0, 0.5), "plan": 'a"b\n'}, {"ink": ()}, {},
    ]  # fmt: skip
    place = draw.randrange(len(features))
    more: dict[str, Any] = {"version_digest": Digest(f"sha256:{place:064}")} if draw.random() < 0.7 else {}
    return prediction_of(number, features=features[place], arm=draw.choice(["stable", "canary"]), **more)


def odd_log(log: SealedLog, seed: int) -> list[PredictionSegment]:
    """Seal segments of every length, some of them batches, of odd predictions, in four hours."""
    draw, found, first = random.Random(seed), [], 0
    for number, hours in enumerate([0] * 6 + [1] + [2] * 5 + [3] * 2):
        count = draw.choice([1, 1, 2, 7, 70])
        made = [odd(first + place, draw) for place in range(count)]
        seal = log.batch if draw.random() < 0.2 else log.seal
        found.append(seal(f"j{number:02}", made, at=NOW + hours * HOUR + number * SECOND))
        first += count
    return found


@pytest.mark.parametrize("seed", range(3))
def test_everything_reads_the_same_before_and_after_and_when_the_old_files_are_gone(log: SealedLog, seed: int) -> None:
    segments = odd_log(log, seed)
    total = sum(each.count for each in segments)
    before = log.readings(segments, until=total + 1)
    assert len(before["predictions"]) == total
    done = log.compact(before=NOW + 3 * HOUR)
    assert done.segments + done.kept == 12
    assert log.readings(segments, until=total + 1) == before
    with log.state.snapshot() as tx:
        gone = replaced_data(tx, before=NOW + 3 * HOUR)
        assert sum(each.count for each in all_live_segments(tx)) == total
    for digest in gone:
        log.artifacts.delete(digest)
    log.compact(before=NOW + 4 * HOUR)
    assert log.readings(segments, until=total + 1) == before
    assert log.compact(before=NOW + 4 * HOUR).hours == 0


def test_an_hour_becomes_one_file_of_columns(log: SealedLog) -> None:
    segments = two_hours(log)
    done = log.compact(before=NOW + 2 * HOUR)
    assert (done.hours, done.segments, done.files, done.predictions, done.kept) == (2, 20, 2, 200, 0)
    assert [(each.form, each.count, each.sealed_at) for each in live(log)] == [
        (FORM, 100, segments[9].sealed_at), (FORM, 100, segments[19].sealed_at),
    ]  # fmt: skip
    assert columns_in(live(log)[0], ["entity"], artifacts=log.artifacts).num_rows == 100
    assert columns_in(live(log)[0], ["journal"], artifacts=log.artifacts).column_names == []


def test_only_what_was_sealed_before_the_moment_is_moved(log: SealedLog) -> None:
    segments = two_hours(log)
    assert log.compact(before=NOW + HOUR).hours == 1
    assert [each.form for each in live(log)] == [FORM] + [LINES_FORM] * 10
    assert log.compact(before=segments[15].sealed_at).segments == 5, "a part of an hour"
    assert log.compact(before=NOW + 2 * HOUR).segments == 5, "and the rest of it"
    assert [each.count for each in live(log)] == [100, 50, 50]


def test_an_hour_with_nothing_leaves_no_trace(log: SealedLog) -> None:
    done = log.compact(before=NOW)
    assert (done.hours, done.files, done.until) == (0, 0, None)
    log.seal("late", [1], at=NOW + HOUR)
    assert log.compact(before=NOW + HOUR).hours == 0
    assert entries(log) == []


def test_a_compaction_is_an_entry_with_its_actor_and_what_it_read_and_wrote(log: SealedLog) -> None:
    segments = two_hours(log)
    log.compact(before=NOW + HOUR, now=NOW + 5 * HOUR)
    [entry], [file] = entries(log), live(log)[:1]
    assert (entry.principal, entry.subject, entry.environment, entry.at) == (ANA, MODEL, ENVIRONMENT, NOW + 5 * HOUR)
    with log.state.snapshot() as tx:
        told = tx.by_digest(SegmentCompaction, entry.evidence["compaction"])
        pointer = tx.pointer("log/prod/churn")
    assert entry.evidence == {
        "compaction": digest_of(told), "segment_1": digest_of(file), "data_1": file.data,
    }  # fmt: skip
    assert pointer is not None
    assert [(each.name, each.after) for each in entry.moves] == [("log/prod/churn", pointer.target)]
    assert told.files == (digest_of(file),)
    assert told.replaced_root == root_of([digest_of(each).encode() for each in segments[:10]]).hex()
    assert len(entries(log, Action.LOG_PREDICTIONS)) == 20
    assert is_sound(log)


def test_what_is_columns_or_few_lines_alone_stays_as_it_is(log: SealedLog) -> None:
    kept = [log.batch("b", range(100), at=NOW), log.seal("few", [100, 101], at=NOW + HOUR)]
    many = log.seal("many", range(200, 300), at=NOW + 2 * HOUR)
    done = log.compact(before=NOW + 3 * HOUR)
    assert (done.segments, done.kept, done.files) == (1, 2, 1)
    assert live(log)[:2] == kept
    assert live(log)[2].data != many.data
    with log.state.snapshot() as tx:
        assert len(all_live_segments(tx)) == 3
        assert replaced_data(tx, before=NOW + 3 * HOUR) == {many.data}
        assert waiting_segments(MODEL, ENVIRONMENT, tx) == []


def test_what_expired_stays_gone_and_is_counted_as_before(log: SealedLog) -> None:
    segments = two_hours(log)
    log.artifacts.expired |= {segments[3].data, segments[12].data}

    def seen() -> Any:
        with log.state.snapshot() as tx:
            table, gone = sealed_columns(
                MODEL, ENVIRONMENT, since=NOW, tx=tx, artifacts=log.artifacts, cache=SegmentCache()
            )
        return sorted(map(str, table.to_pylist())), gone, log.readings(segments, until=200)

    before = seen()
    assert before[1] == 20
    assert log.compact(before=NOW + 2 * HOUR).kept == 2
    assert seen() == before
    assert log.artifacts.expired <= {each.data for each in live(log)}


def test_a_segment_that_is_not_what_was_sealed_stops_it_and_nothing_is_replaced(log: SealedLog) -> None:
    segments = two_hours(log)
    other = log.artifacts.get(segments[0].data)

    class Mixed(LocalArtifacts):
        def get(self, digest: Digest) -> bytes:
            return other if digest == segments[14].data else super().get(digest)

    with pytest.raises(IntegrityError, match="not what was sealed"):
        log.compact(before=NOW + 2 * HOUR, artifacts=Mixed(log.folder / "artifacts"))
    assert [each.form for each in live(log)] == [FORM] + [LINES_FORM] * 10, "the hour before was compacted"


def test_a_file_holds_so_many_rows_or_bytes_and_columns_of_one_kind(
    log: SealedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = two_hours(log)
    segments.append(
        log.seal("text", [prediction_of(200, features={"plan": "x", "recency_d": "soon"})], at=NOW + 2 * HOUR)
    )
    segments.append(log.seal("number", [prediction_of(201)], at=NOW + 2 * HOUR))
    before = log.readings(segments, until=202)
    monkeypatch.setattr("keelway.serve.compaction.FILE_ROWS", 40)
    assert log.compact(before=NOW + HOUR).files == 3
    monkeypatch.undo()
    monkeypatch.setattr("keelway.serve.compaction.FILE_BYTES", 12_000)
    assert log.compact(before=NOW + 2 * HOUR).files > 2
    monkeypatch.undo()
    assert log.compact(before=NOW + 3 * HOUR).files == 2
    assert log.readings(segments, until=202) == before


def test_what_a_clock_that_is_behind_seals_is_not_lost(log: SealedLog) -> None:
    two_hours(log)
    log.compact(before=NOW + 2 * HOUR)
    until = live(log)[-1].sealed_at
    late = log.seal("late", [500], at=NOW - HOUR)
    assert late.sealed_at == until + timedelta(microseconds=1)
    assert live(log)[-1] == late
    assert log.seal("late", [500], at=NOW) == late, "sealed once"
    assert log.compact(before=NOW + 2 * HOUR).kept == 1
    assert sum(each.count for each in live(log)) == 201


class Meanwhile(LocalArtifacts):
    """Lets something happen while a file is stored."""

    def __init__(self, log: SealedLog, times: int) -> None:
        super().__init__(log.folder / "artifacts")
        self._log, self._left = log, times

    def put(self, data: bytes, **named: Any) -> Artifact:
        if self._left:
            self._left -= 1
            self._log.seal(f"meanwhile {self._left}", [1_000 + self._left], at=NOW + 5 * SECOND)
        return super().put(data, **named)


def test_what_is_sealed_meanwhile_in_that_hour_comes_along(log: SealedLog) -> None:
    two_hours(log)
    done = log.compact(before=NOW + HOUR, artifacts=Meanwhile(log, 2))
    assert (done.hours, done.predictions, live(log)[0].count) == (1, 102, 102)
    assert is_sound(log)


def test_a_log_that_always_changes_is_told_and_left_as_it_was(log: SealedLog) -> None:
    two_hours(log)
    with pytest.raises(ConflictError, match="while it is compacted") as caught:
        log.compact(before=NOW + HOUR, artifacts=Meanwhile(log, 100))
    assert "--before" in str(caught.value.fix)
    assert entries(log) == []


def test_two_at_once_move_every_prediction_once(log: SealedLog) -> None:
    segments = two_hours(log)
    before, barrier = log.readings(segments, until=200), Barrier(2)

    def compact(_: int) -> int:
        barrier.wait()
        return log.compact(before=NOW + 2 * HOUR).predictions

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(compact, range(2))) == 200
    assert [each.count for each in live(log)] == [100, 100]
    assert log.readings(segments, until=200) == before
    assert is_sound(log)


class Interrupted(LocalArtifacts):
    """Lets something happen once, when so many files of a compaction are stored."""

    def __init__(self, log: SealedLog, files: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(log.folder / "artifacts")
        self._left, self._meanwhile = files, meanwhile

    def put(self, data: bytes, **named: Any) -> Artifact:
        made = super().put(data, **named)
        self._left -= 1
        if not self._left:
            self._meanwhile()
        return made


@pytest.mark.parametrize("files", [1, 2, 3, 4])
@pytest.mark.parametrize("hours", [1, 2], ids=["one hour", "everything"])
def test_another_compaction_in_the_midst_of_one_neither_loses_nor_doubles_anything(
    log: SealedLog, monkeypatch: pytest.MonkeyPatch, files: int, hours: int
) -> None:
    segments = two_hours(log)
    before = log.readings(segments, until=200)
    monkeypatch.setattr("keelway.serve.compaction.FILE_ROWS", 50)
    others: list[LogCompaction] = []
    store = Interrupted(log, files, lambda: others.append(log.compact(before=NOW + hours * HOUR)))
    done = log.compact(before=NOW + 2 * HOUR, artifacts=store)
    assert done.predictions + sum(each.predictions for each in others) == 200
    assert [each.count for each in live(log)] == [50] * 4
    assert log.readings(segments, until=200) == before
    assert is_sound(log)


def test_losing_every_hour_to_another_is_no_failure(log: SealedLog) -> None:
    for number in range(14):
        log.seal(f"j{number:02}", range(number * 70, number * 70 + 70), at=NOW + number * HOUR)

    class Quicker(LocalArtifacts):
        """Another compaction is always an hour ahead."""

        hours = 0

        def put(self, data: bytes, **named: Any) -> Artifact:
            self.hours += 1
            log.compact(before=NOW + self.hours * HOUR)
            return super().put(data, **named)

    store = Quicker(log.folder / "artifacts")
    assert log.compact(before=NOW + 14 * HOUR, artifacts=store).hours == 0
    assert (store.hours, len(entries(log)), len(live(log))) == (14, 14, 14)
    assert is_sound(log)


class TestTurns:
    def turn(self, log: SealedLog, at: datetime, *, every: timedelta = HOUR) -> LogCompaction:
        """Compact as a server does that looks after its log every so often."""
        return log.compact(before=at.replace(minute=0, second=0, microsecond=0), now=at, every=every)

    def turns(self, log: SealedLog) -> list[datetime]:
        with log.state.snapshot() as tx:
            return [each.at for each in tx.between(CompactionTurn, parent="prod/churn")]

    def test_of_several_servers_one_has_the_turn(self, log: SealedLog) -> None:
        two_hours(log)
        first = self.turn(log, NOW + HOUR + 2 * SECOND)
        assert (first.segments, first.is_left) == (10, False)
        second = self.turn(log, NOW + HOUR + 40 * 60 * SECOND)
        assert (second.segments, second.is_left) == (0, False), "nothing waits: no turn is needed"
        third = self.turn(log, NOW + 2 * HOUR + 1 * SECOND)
        assert (third.segments, third.is_left) == (10, False), "a little early"
        log.seal("late", [500], at=NOW + 2 * HOUR)
        fourth = self.turn(log, NOW + 3 * HOUR - 10 * 60 * SECOND)
        assert (fourth.segments, fourth.is_left) == (0, False), "an hour that goes on is not moved"
        assert self.turns(log) == [NOW + HOUR + 2 * SECOND, NOW + 2 * HOUR + SECOND]

    def test_who_comes_too_soon_leaves_it(self, log: SealedLog) -> None:
        two_hours(log)
        self.turn(log, NOW + HOUR, every=3 * HOUR)
        left = self.turn(log, NOW + 2 * HOUR, every=3 * HOUR)
        assert (left.is_left, left.hours) == (True, 0)
        assert [each.form for each in live(log)] == [FORM] + [LINES_FORM] * 10
        assert log.compact(before=NOW + 2 * HOUR).segments == 10, "by hand at any time"

    def test_the_turn_of_one_that_died_waits_for_the_next(self, log: SealedLog) -> None:
        segments = two_hours(log)
        before = log.readings(segments, until=200)
        died = Interrupted(log, 1, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log.compact(before=NOW + 2 * HOUR, every=HOUR, artifacts=died)
        assert self.turn(log, NOW + 2 * HOUR + 60 * SECOND).is_left
        assert self.turn(log, NOW + 3 * HOUR).segments == 20
        assert log.readings(segments, until=200) == before

    @pytest.mark.parametrize(("ahead", "is_left"), [(30 * 60 * SECOND, True), (61 * 60 * SECOND, False)])
    def test_a_turn_that_a_clock_put_far_ahead_counts_for_nothing(
        self, log: SealedLog, ahead: timedelta, *, is_left: bool
    ) -> None:
        two_hours(log)
        now = NOW + 2 * HOUR
        with log.state.transaction() as tx:
            taken = CompactionTurn(MODEL, ENVIRONMENT, ANA, now + ahead)
            tx.insert("prod/churn/ahead", taken, parent="prod/churn", at=taken.at)
        assert self.turn(log, now).is_left == is_left

    def test_of_many_at_once_one_takes_it(self, log: SealedLog) -> None:
        segments = two_hours(log)
        before, barrier = log.readings(segments, until=200), Barrier(4)

        def take(_: int) -> bool:
            barrier.wait()
            return self.turn(log, NOW + 2 * HOUR).is_left

        with ThreadPoolExecutor(4) as threads:
            left = list(threads.map(take, range(4)))
        assert len(self.turns(log)) == 1
        assert left.count(False) >= 1
        assert log.readings(segments, until=200) == before
        assert is_sound(log)


@pytest.mark.crash
def test_killed_at_any_write_beside_another_that_goes_on_it_ends_the_same(tmp_path: Path) -> None:
    sealed = SealedLog(tmp_path / "sealed")
    segments = two_hours(sealed)
    before = sealed.readings(segments, until=200)
    sealed.close()
    for at in swept(10):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "sealed", folder)
        calls = [(compact_and_die, folder, NOW + 2 * HOUR, CrashPoint(each)) for each in (at, 0)]
        assert exit_codes_of(calls)[1] == 0
        log = SealedLog(folder)
        assert [each.count for each in live(log)] == [100, 100], f"one killed at {at}"
        assert len(entries(log)) == 2
        assert log.readings(segments, until=200) == before
        assert is_sound(log)
        log.close()


def test_what_was_replaced_is_collected_after_its_grace_and_the_audit_holds(log: SealedLog) -> None:
    segments = two_hours(log)
    before, real = log.readings(segments, until=200), datetime.now(NOW.tzinfo)
    log.compact(before=NOW + 2 * HOUR, now=real + 10 * timedelta(days=1))
    rules = RetentionRules()

    def collected(days: float) -> tuple[Digest, ...]:
        now = real + timedelta(days=days)
        return collect(
            store=log.artifacts, state=log.state, rules=rules, principal=Principal(ANA, ("admin",)), now=now,
            replaced=lambda tx: replaced_data(tx, before=now - rules.unreferenced),
        ).artifacts  # fmt: skip

    assert collected(16.9) == (), "the bytes are old, but they were replaced less than seven days ago"
    assert set(collected(17.1)) == {each.data for each in segments}
    assert log.readings(segments, until=200) == before
    report = audit(log.state, key=KEY.public, artifacts=log.artifacts)
    assert (report.ok, report.collected) == (True, 20)


def test_logs_of_others_are_left_alone(log: SealedLog) -> None:
    segments = two_hours(log)
    log.compact(before=NOW + 2 * HOUR)
    with log.state.snapshot() as tx:
        original = tx.get(PredictionSegment, segment_key(MODEL, ENVIRONMENT, "j03"))
        assert live_segments("churn", "staging", tx) == live_segments("other", ENVIRONMENT, tx) == []
    assert original == segments[3]


@pytest.mark.crash
@pytest.mark.parametrize(("every", "writes"), [(None, 0), (HOUR, 3)], ids=["by hand", "in turn"])
def test_killed_at_any_write_it_ends_the_same(tmp_path: Path, every: timedelta | None, writes: int) -> None:
    sealed = SealedLog(tmp_path / "sealed")
    segments = two_hours(sealed)
    before = sealed.readings(segments, until=200)
    sealed.close()
    shutil.copytree(tmp_path / "sealed", tmp_path / "whole")
    whole = SealedLog(tmp_path / "whole")
    compact_and_die(tmp_path / "whole", NOW + 2 * HOUR, crash := CrashPoint(), every)
    expected = live(whole)
    whole.close()
    assert crash.count == writes + 2 * (2 + 3), "a file and a transaction for each hour, after one for the turn"
    for at in range(1, crash.count, stride()):
        shutil.copytree(tmp_path / "sealed", tmp_path / str(at))
        log = SealedLog(tmp_path / str(at))
        assert exit_code_of(compact_and_die, tmp_path / str(at), NOW + 2 * HOUR, CrashPoint(at), every) == EXIT_CODE
        assert log.readings(segments, until=200) == before, f"killed at {at}"
        log.compact(before=NOW + 2 * HOUR, now=NOW + 3 * HOUR, every=every)
        assert live(log) == expected
        assert log.readings(segments, until=200) == before
        assert is_sound(log)
        log.close()


def deployed(log: SealedLog) -> None:
    with log.state.transaction() as tx:
        tx.move(f"deployment/{ENVIRONMENT}/{MODEL}", before=None, after=prediction_of(0).deployment, at=NOW)


def made_now(log: SealedLog, *delays: timedelta) -> list[list[str]]:
    """Seal a segment of 40 predictions after each delay, with ids that tell the present time; return the ids."""
    found = []
    for number, delay in enumerate(delays):
        ids = sortable_ids(40)
        made = (prediction_of(number * 40 + place, prediction_id=each) for place, each in enumerate(ids))
        log.seal(f"now{number}", made, at=datetime.now(UTC) + delay)
        found.append(ids)
    return found


def looked_up(log: SealedLog, prediction_id: str) -> tuple[Any, ...]:
    """Return what is found of a prediction, with all lines of its segment."""
    with log.state.snapshot() as tx:
        given: dict[str, Any] = {"tx": tx, "artifacts": log.artifacts}
        found, line, segment, number = find_prediction(prediction_id, **given)
        assert find_with_lines(prediction_id, **given) == (found, number, segment, lines := lines_of(segment, **given))
    assert lines[number] == line
    assert root_of(lines).hex() == segment.root
    return found, line, segment, number


def test_a_prediction_is_found_by_the_time_in_its_id_before_and_after(
    log: SealedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(log)
    two_hours(log)
    every = [each for ids in made_now(log, *[place * SECOND for place in range(4)]) for each in ids[::13]]

    def refused(_tx: Any) -> list[PredictionSegment]:
        raise AssertionError("every record is read")

    monkeypatch.setattr("keelway.serve.segment_records.all_live_segments", refused)
    before = [looked_up(log, each) for each in every]
    log.compact(before=datetime.now(UTC) + 2 * HOUR)
    assert [looked_up(log, each) for each in every] == before


@pytest.mark.parametrize("delay", [-9 * HOUR, 30 * SECOND, 5 * HOUR], ids=["clock behind", "late", "very late"])
def test_a_prediction_that_was_sealed_at_another_time_is_found_all_the_same(log: SealedLog, delay: timedelta) -> None:
    deployed(log)
    [ids] = made_now(log, delay)
    before = looked_up(log, ids[7])
    log.compact(before=datetime.now(UTC) + 7 * HOUR)
    assert looked_up(log, ids[7]) == before


@pytest.mark.parametrize("strange", ["", "7" * 32, "f" * 12 + "7" + "f" * 19, "z" * 12 + "7" + "0" * 19, "é" * 32])
def test_an_id_that_tells_no_time_is_missing_and_nothing_else(log: SealedLog, strange: str) -> None:
    deployed(log)
    two_hours(log)
    with log.state.snapshot() as tx, pytest.raises(MissingRecordError):
        find_with_lines(strange, tx=tx, artifacts=log.artifacts)


def test_a_segment_over_several_groups_of_rows_is_found_whole(log: SealedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.serve.segment_file.GROUP_ROWS", 7)
    ids = [each for found in made_now(log, *[place * SECOND for place in range(3)]) for each in found]
    before = [looked_up(log, each) for each in ids[::11]]
    log.compact(before=datetime.now(UTC) + HOUR)
    assert len(live(log)) <= 2
    assert [looked_up(log, each) for each in ids[::11]] == before
