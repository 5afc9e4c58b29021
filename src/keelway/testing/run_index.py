"""What the index over runs promises in every state store.

class TestMyIndex(RunIndexConformance):
    @pytest.fixture
    def state(self, tmp_path): ...
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keelway.core import (
    CodeState,
    Digest,
    PrincipalId,
    Run,
    RunId,
    RunQuery,
    RunStarted,
    RunStatus,
    digest_bytes,
    digest_of,
)
from keelway.ledger import StateStore
from keelway.train.tracking import Machine, TrackedRun, parse_where

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CODE = CodeState(digest_bytes(b"project"), digest_bytes(b"environment"), "c0ffee+dirty", digest_bytes(b"diff"))
MACHINE = Machine("Linux", "x86_64", 2, 1 << 30, "3.11.2", {"numpy": "2.4"})


def tracked(number: int, **changes: object) -> TrackedRun:
    """Return a made-up run of a script."""
    run = TrackedRun(
        run_id=RunId(f"{number:032x}"),
        name=f"run {number}",
        kind="script",
        experiment="churn",
        model="churn",
        estimator="boosting" if number % 2 else "logistic",
        status="succeeded",
        parent="",
        principal=PrincipalId("user:ana"),
        seed=number,
        started_at=NOW + timedelta(minutes=number),
        ended_at=NOW + timedelta(minutes=number, seconds=2.5),
        code=CODE,
        machine=MACHINE,
        script=("train.py",),
        requirements=("numpy==2.4",),
        parameters={"depth": number, "penalty": None, "scale": True, "name": "it's"},
        metrics={"auc": number / 10, "log_loss": 1 - number / 10},
        not_finite={},
        tags={},
        dataset="",
        signature_json="",
        input_example_json="",
        artifacts={},
        warnings=(),
        error="",
        points=2,
        journal=digest_bytes(b"journal"),
    )
    return replace(run, **changes)  # type: ignore[arg-type]


class RunIndexConformance:
    """The promises of `RunIndex`."""

    @pytest.fixture
    def state(self) -> StateStore:
        """Return an empty state store. To be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def filled(self, state: StateStore) -> StateStore:
        """Return a store with runs 1 to 8; the last one's figure is no number."""
        with state.transaction() as tx:
            for number in range(1, 8):
                tx.insert(f"r{number}", tracked(number), at=NOW)
            tx.insert("r8", tracked(8, metrics={}, not_finite={"auc": "nan"}, model="other"), at=NOW)
        return state

    def found(self, state: StateStore, **asked: object) -> list[int]:
        """Return the numbers of the runs that a query finds."""
        if isinstance(where := asked.get("where"), str):
            asked["where"] = parse_where(where)
        with state.snapshot() as tx:
            return [int(entry.run_id, 16) for entry in tx.runs.search(RunQuery(**asked))]  # type: ignore[arg-type]

    def test_a_line_is_what_its_record_says(self, filled: StateStore) -> None:
        with filled.snapshot() as tx:
            (entry,) = tx.runs.named(f"{3:032x}")
            assert tx.by_digest(TrackedRun, entry.record) == tracked(3)
        assert (entry.kind, entry.name, entry.estimator, entry.seconds) == ("script", "run 3", "boosting", 2.5)
        assert (entry.commit, entry.dirty, entry.started_at) == ("c0ffee", True, NOW + timedelta(minutes=3))
        assert entry.parameters == {"depth": 3, "penalty": None, "scale": True, "name": "it's"}
        assert entry.metrics == {"auc": 0.3, "log_loss": 0.7}

    def test_a_figure_that_is_no_number_is_told_and_never_the_best(self, filled: StateStore) -> None:
        with filled.snapshot() as tx:
            (entry,) = tx.runs.named(f"{8:032x}")
        assert math.isnan(entry.metrics["auc"])
        assert self.found(filled, metric="auc") == [7, 6, 5, 4, 3, 2, 1]
        assert 8 not in self.found(filled, metric="auc", lowest=True)

    def test_the_newest_come_first_and_so_many(self, filled: StateStore) -> None:
        assert self.found(filled, limit=3) == [8, 7, 6]
        assert self.found(filled, since=NOW + timedelta(minutes=6)) == [8, 7, 6]
        assert self.found(filled, metric="log_loss", lowest=True, limit=2) == [7, 6]
        assert self.found(filled, kinds=("plan",)) == []
        assert self.found(filled, model="other") == [8]

    @pytest.mark.parametrize(
        ("where", "numbers"),
        [
            ("auc > 0.5", [7, 6]),
            ("auc > 0.5 and estimator = 'boosting'", [7]),
            ("depth <= 2", [2, 1]),
            ("params.depth = 4 or metrics.auc = 0.1", [4, 1]),
            ("not auc > 0.2", [8, 2, 1]),
            ("auc != 0.1", [7, 6, 5, 4, 3, 2]),
            ("name = 'run 5'", [5]),
            ("name like 'r\\%'", []),
            ("name like 'RUN _'", [8, 7, 6, 5, 4, 3, 2, 1]),
            ("params.name = 'it''s' and seed in (2, 3)", [3, 2]),
            ("scale = true and dirty = true and seconds > 2 and seed < 2", [1]),
            ("penalty = 'null' and started >= '2026-03-01T12:07:00Z'", [8, 7]),
            ("ended < '2026-03-01T12:01:30Z'", [1]),
            ("no_such_thing = 1", []),
            ("model = 'x'' OR ''1''=''1'", []),
        ],
    )
    def test_conditions_choose(self, filled: StateStore, where: str, numbers: list[int]) -> None:
        assert self.found(filled, where=where) == numbers

    def test_hostile_words_are_only_values(self, filled: StateStore) -> None:
        for words in ("'; DROP TABLE runs; --", '"; DELETE FROM runs; --', "%' OR 1=1 --", "\\"):
            quoted, named = words.replace("'", "''"), words.replace('"', '""')
            assert self.found(filled, where=f"model = '{quoted}' or \"{named}\" > 1 or name like '{quoted}'") == []
        with filled.snapshot() as tx:
            assert tx.runs.count() == 8

    def test_letters_beyond_ascii_are_compared_as_they_are(self, state: StateStore) -> None:
        with state.transaction() as tx:
            tx.insert("r1", tracked(1, name="\u00c4pfel"), at=NOW)
            tx.insert("r2", tracked(2, name="\u00e4PFEL"), at=NOW)
        assert self.found(state, where="name like '\u00c4PFEL'") == [1]
        assert self.found(state, where="name like '_PFel'") == [2, 1]
        assert self.found(state, where="name = '\u00c4pfel'") == [1]

    def test_what_no_column_holds_is_found_all_the_same(self, state: StateStore) -> None:
        wild = tracked(1, name="n" * 500, estimator="e\0", parameters={"text\0": "a\0b"}, metrics={"m" * 300: 0.5})
        with state.transaction() as tx:
            tx.insert("r1", wild, at=NOW)
        with state.snapshot() as tx:
            (entry,) = tx.runs.search(
                RunQuery(where=parse_where("\"text\u2400\" = 'a\u2400b' and estimator = 'e\u2400'"))
            )
            assert tx.by_digest(TrackedRun, entry.record) == wild
        assert entry.parameters == {"text\u2400": "a\u2400b"}
        assert (len(entry.name), list(entry.metrics)) == (400, ["m" * 250])

    def test_the_start_of_an_id_is_enough(self, filled: StateStore) -> None:
        with filled.transaction() as tx:
            tx.insert("new", tracked(9, run_id=RunId("01" * 16)), at=NOW)
        with filled.snapshot() as tx:
            assert [entry.name for entry in tx.runs.named("01")] == ["run 9"]
            assert len(tx.runs.named("0000")) == 8
            assert tx.runs.named("") == tx.runs.named("ff") == []

    def test_runs_wait_for_the_mirror_in_order(self, filled: StateStore) -> None:
        with filled.transaction() as tx:
            tx.runs.mirrored(RunId(f"{1:032x}"), "link")
        with filled.snapshot() as tx:
            waiting = tx.runs.unmirrored(("script",), limit=2)
            assert [int(entry.run_id, 16) for entry in waiting] == [2, 3]
            assert tx.runs.unmirrored(("trial",), limit=2) == []
            assert tx.runs.named(f"{1:032x}")[0].mirror == "link"

    def test_a_run_is_found_by_its_record(self, filled: StateStore) -> None:
        with filled.snapshot() as tx:
            (entry,) = tx.runs.named(f"{1:032x}")
            assert tx.runs.of_record(entry.record) == entry
            assert tx.runs.of_record(digest_bytes(b"nobody's")) is None

    def test_a_plan_is_open_until_its_run_is_closed(self, state: StateStore) -> None:
        run_id = RunId("ab" * 16)
        opened = RunStarted(
            run_id, "train:churn", digest_bytes(b"plan"), {}, 7, CODE, PrincipalId("user:ana"), NOW, NOW
        )
        ended = NOW + timedelta(seconds=4)
        closed = Run(run_id, "train:churn", digest_of(opened), RunStatus.SUCCEEDED, {}, {}, {"a.auc": 0.5}, ended)
        with state.transaction() as tx:
            tx.insert(run_id, opened, at=NOW)
        with state.snapshot() as tx:
            assert (tx.runs.named(run_id)[0].status, tx.runs.named(run_id)[0].seconds) == ("open", None)
        with state.transaction() as tx:
            digest = tx.insert(run_id, closed, at=NOW)
        with state.snapshot() as tx:
            (entry,) = tx.runs.named(run_id)
        assert (entry.status, entry.seconds, entry.metrics, entry.model) == ("succeeded", 4.0, {"a.auc": 0.5}, "churn")
        assert entry.record == digest

    def test_no_record_without_its_line_and_no_line_without_its_record(self, state: StateStore) -> None:
        with pytest.raises(ZeroDivisionError), state.transaction() as tx:
            tx.insert("r1", tracked(1), at=NOW)
            assert tx.runs.count() == 1
            raise ZeroDivisionError
        with state.snapshot() as tx:
            assert (tx.runs.count(), tx.count(TrackedRun)) == (0, 0)
        for _ in range(2):  # storing the same again changes nothing
            with state.transaction() as tx:
                tx.insert("r1", tracked(1), at=NOW)
        with state.snapshot() as tx:
            assert (tx.runs.count(), tx.count(TrackedRun)) == (1, 1)
            assert tx.text_of(Digest(tx.runs.named(f"{1:032x}")[0].record)) is not None
