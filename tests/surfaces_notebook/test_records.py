"""Every kind of record that a notebook shows, made by hand: escaped, complete, and the same each time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.lab import VersionLine
from keelway.app.notebooks import NotebookLint, NotebookRun
from keelway.app.runs import ComparedValue, RunDetail, RunsCompared
from keelway.core import CodeState, PrincipalId, Run, RunId, RunStarted, RunStatus, VersionName, digest_bytes
from keelway.engines.jupyter import CellFailure, NotebookFinding
from keelway.evaluate import Comparison, Interval, Scorecard
from keelway.features import ColumnProfile, FeatureColumn, FeatureTable, Profile
from keelway.flow import RunView
from keelway.surfaces.notebook import records
from keelway.testing.flow import note_step
from keelway.testing.run_index import tracked
from keelway.train.tracking import entry_from

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
D = digest_bytes(b"d")
EVIL = "<script>alert(1)</script>"
HALF = Interval(0.5, 0.4, 0.6, 0.95, "DeLong")
ENTRY = entry_from(tracked(1, name=EVIL), status="succeeded")


@dataclass(frozen=True, slots=True)
class Shown:
    record: Any
    html: Callable[[Any], str | None]
    parts: tuple[str, ...]


def view() -> RunView:
    started = RunStarted(RunId("r1"), "train:churn", D, {}, 0, CodeState(D, D), PrincipalId("user:ana"), NOW, NOW)
    run = Run(RunId("r1"), "train:churn", D, RunStatus.SUCCEEDED, {}, {}, {"auc": 0.75})
    plan: Any = SimpleNamespace(steps=(note_step("a"),))
    return RunView(started, plan, {"a": None, EVIL: None}, run)


def card() -> Scorecard:
    worse = Comparison("trivial", HALF, 0.031, "better")
    return Scorecard(
        "churn", "lr", D, D, NOW, 90, 20, {"roc_auc": HALF}, {}, worse, replace(worse, verdict="worse"), EVIL, 0, D,
        warnings=("a window overlaps",),
    )  # fmt: skip


SHOWN: dict[str, Shown] = {
    "a run": Shown(ENTRY, lambda run: records.html_of_runs([run]), ("script", "boosting", "log_loss=0.9", "(dirty)")),
    "one run": Shown(
        RunDetail(ENTRY, {"error": "ValueError"}), records.html_of_run, ("c0ffee and changes", "ValueError", "depth")
    ),
    "a tracked run": Shown(
        tracked(2, error=EVIL, warnings=("careful",)), records.html_of_tracked, ("careful", "auc", "0.2")
    ),
    "a plan's run": Shown(view(), records.html_of_view, ("Run r1 of train:churn", "open", "0.75")),
    "runs side by side": Shown(
        RunsCompared((ENTRY, ENTRY), (), (ComparedValue(EVIL, (1, None), same=False),), ()),
        records.html_of_compared,
        ("differs", "<td>*</td>", ENTRY.run_id[:16]),
    ),
    "a scorecard": Shown(
        card(), records.html_of_scorecard, ("churn, lr: 90 test rows", "DeLong", "0.031", "worse", "a window overlaps")
    ),
    "a feature table": Shown(
        FeatureTable("churn", "training", D, D, "c", (NOW,), (FeatureColumn(EVIL, "numeric"),), "y", 1, 9, {"tx": D}, D),
        records.html_of_table,
        ("2026-03-01T12:00:00Z", "numeric", "<dd>9</dd>"),
    ),
    "a profile": Shown(
        Profile(9, {EVIL: ColumnProfile("numeric", 9, 1, mean=2.5)}), records.html_of_profile, ("9 rows", "2.5")
    ),
    "versions": Shown(
        VersionLine(VersionName("churn:1"), "1.0.0", EVIL, "roc_auc", 0.8, 0.7, 0.9, None, "", ("prod",), "ana", NOW),
        lambda line: records.html_of_versions([line]),
        ("churn:1", "roc_auc 0.8000 (0.7000 to 0.9000)", "prod"),
    ),
    "a notebook's run": Shown(
        NotebookRun(
            RunId("n1"), "first", "failed", D, D, "", {"depth": 2}, 5, 3, 1.5,
            CellFailure(3, 1, "KeyError", "no", EVIL), (RunId("c1"),),
        ),
        records.html_of_notebook,
        ("3 of 5", "KeyError: no", "c1", "depth"),
    ),
    "a lint": Shown(
        NotebookLint(("a",), True, (), (NotebookFinding("a", 1, 0, "order", EVIL),)),
        records.html_of_lint,
        ("1 notebooks, 1 findings", "order"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN.keys())
def test_a_record_is_shown_whole_and_harmless(shown: Shown) -> None:
    html = shown.html(shown.record)
    assert html is not None
    assert [part for part in shown.parts if part not in html] == []
    assert EVIL not in html
    assert "&lt;script&gt;" in html
    assert html == shown.html(shown.record)


def test_models_on_the_same_rows_are_shown_with_their_verdicts() -> None:
    duel = SimpleNamespace(sentence="boosting is better by 0.02")
    models = [SimpleNamespace(name=EVIL, figures={"roc_auc": HALF}), SimpleNamespace(name="lr", figures={})]
    contest: Any = SimpleNamespace(deciding=(duel,), models=models, metrics=("roc_auc",), rows=90)
    html = records.html_of_models_compared(SimpleNamespace(contest=contest, warnings=("few rows",)))  # type: ignore[arg-type]
    assert "<li>boosting is better by 0.02</li>" in html
    assert "<li>few rows</li>" in html
    assert "0.5000 (0.4000 to 0.6000)" in html
    assert EVIL not in html


@pytest.mark.parametrize(("module", "name"), records.KNOWN, ids=lambda part: part)
def test_every_record_that_is_named_by_text_is_there(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    assert (found.__module__, found.__qualname__) == (module, name)


def test_lists_of_one_kind_are_one_table() -> None:
    html = records.html_of_many([ENTRY, ENTRY])
    assert html is not None
    assert html.count("<tr>") == 3
    assert records.html_of_many([ENTRY, 1]) is None
    assert records.html_of_many([]) is None
    assert records.html_of_many(["a"]) is None
