"""Records as a notebook shows them: tables of HTML, every text escaped, equal records alike to the byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import Scalar, html_facts, html_list, short, time_text
from keelway.surfaces.notebook.display import escaped_table

if TYPE_CHECKING:
    from keelway.app.compare import ModelsCompared
    from keelway.app.lab import VersionLine
    from keelway.app.notebooks import NotebookLint, NotebookRun
    from keelway.app.runs import RunDetail, RunsCompared
    from keelway.core import RunEntry
    from keelway.evaluate import Contest, Interval, Scorecard
    from keelway.features import FeatureTable, Profile
    from keelway.flow import RunView
    from keelway.train.tracking import TrackedRun

MOST_FIGURES = 4
SHORT_ID = 16
DIFFERS = "differs"


def html_of_runs(runs: Sequence[RunEntry]) -> str:
    """Return runs as a table, with the first figures of each."""
    heads = ["run", "kind", "name", "estimator", "status", "started", "seconds", "figures"]
    return escaped_table("Runs", heads, [_run_row(run) for run in runs])


def html_of_run(detail: RunDetail) -> str:
    """Return one run: what it was, what it was given and what it measured."""
    entry = detail.entry
    facts = {
        "run": entry.run_id,
        "kind": entry.kind,
        "name": entry.name,
        "status": entry.status,
        "started": time_text(entry.started_at),
        "seconds": _told(entry.seconds),
        "seed": _told(entry.seed),
        "commit": entry.commit + (" and changes" if entry.dirty else ""),
        "parent": entry.parent,
        "error": str(detail.record.get("error") or ""),
    }
    return "\n".join([_facts(facts), _values("Parameters", entry.parameters), _values("Figures", entry.metrics)])


def html_of_tracked(run: TrackedRun) -> str:
    """Return a run that a script, a fit or a notebook told of itself."""
    facts = {"run": run.run_id, "name": run.name, "status": run.status, "error": run.error}
    parts = [_facts(facts), _values("Parameters", run.parameters), _values("Figures", run.metrics)]
    return "\n".join([*parts, html_list(run.warnings)])


def html_of_view(view: RunView) -> str:
    """Return a run of a plan as it stands: each step with how it ended."""
    rows = [
        [
            name,
            step.status if step else "open",
            f"from run {step.cached_from[:8]}" if step and step.cached_from else "",
            step.error if step else "",
        ]
        for name, step in view.steps.items()
    ]
    told = f"Run {view.started.run_id} of {view.started.plan}"
    figures = dict(view.run.metrics) if view.run else {}
    return "\n".join([escaped_table(told, ["step", "status", "cached", "error"], rows), _values("Figures", figures)])


def html_of_compared(compared: RunsCompared) -> str:
    """Return runs side by side; what differs is marked."""
    heads = ["", *(run.run_id[:SHORT_ID] for run in compared.runs), DIFFERS]
    lines = (*compared.facts, *compared.parameters, *compared.metrics)
    rows = [[line.name, *map(_told, line.values), "" if line.same else "*"] for line in lines]
    return escaped_table("Runs side by side", heads, rows)


def html_of_scorecard(card: Scorecard) -> str:
    """Return an evaluation: figures with their intervals, comparisons in words, and what a reader must know."""
    told = f"{card.model}, {card.estimator}: {card.rows} test rows as of {time_text(card.test_as_of)}"
    versus = {"the trivial rule": card.versus_trivial, card.champion or "the champion": card.versus_champion}
    rows = [
        [name, found.metric, _interval(found.difference), f"{found.p_value:.3g}", found.verdict]
        for name, found in versus.items()
        if found is not None
    ]
    against = escaped_table("Compared with", ["against", "figure", "difference", "p", "verdict"], rows) if rows else ""
    return "\n".join([_intervals(told, card.metrics), against, html_list(card.warnings)])


def html_of_contest(contest: Contest) -> str:
    """Return models on the same rows: what is shown in sentences, then every figure of each."""
    sentences = html_list(duel.sentence for duel in contest.deciding)
    rows = [
        [model.name, *(_interval(model.figures[name]) if name in model.figures else "-" for name in contest.metrics)]
        for model in contest.models
    ]
    return f"{sentences}\n{escaped_table(f'{contest.rows} rows', ['model', *contest.metrics], rows)}"


def html_of_models_compared(compared: ModelsCompared) -> str:
    """Return models that were compared, with what a reader must know."""
    return f"{html_of_contest(compared.contest)}\n{html_list(compared.warnings)}"


def html_of_table(table: FeatureTable) -> str:
    """Return what a feature table holds: its rows, cut dates and columns."""
    facts = {
        "model": table.model,
        "purpose": table.purpose,
        "rows": str(table.rows),
        "entity": table.entity,
        "label": table.label or "",
        "cut dates": ", ".join(time_text(moment) for moment in table.as_ofs),
        "snapshots": ", ".join(f"{name} {short(digest)}" for name, digest in sorted(table.snapshots.items())),
        "data": short(table.data),
    }
    columns = [[column.name, column.kind] for column in table.features]
    return f"{_facts(facts)}\n{escaped_table('Features', ['name', 'kind'], columns)}"


def html_of_profile(profile: Profile) -> str:
    """Return how the columns of a table are spread."""
    rows = [
        [name, each.kind, each.count, each.nulls, *map(_told, (each.mean, each.std, each.minimum, each.maximum))]
        for name, each in profile.columns.items()
    ]
    heads = ["column", "kind", "values", "missing", "mean", "deviation", "least", "most"]
    return escaped_table(f"{profile.rows} rows", heads, rows)


def html_of_versions(lines: Sequence[VersionLine]) -> str:
    """Return model versions as a table."""
    rows = [
        [
            line.name,
            line.semver,
            line.estimator,
            f"{line.metric} {line.value:.4f} ({line.low:.4f} to {line.high:.4f})",
            ", ".join(line.admitted_to) or "-",
            line.author,
            time_text(line.created_at),
        ]
        for line in lines
    ]
    return escaped_table(
        "Model versions", ["version", "semantic", "estimator", "figure", "admitted to", "author", "made"], rows
    )


def html_of_notebook(run: NotebookRun) -> str:
    """Return what executing a notebook came to."""
    failure = run.failure
    facts = {
        "run": run.run_id,
        "notebook": run.name,
        "status": run.status,
        "cells": f"{run.executed} of {run.cells}",
        "stopped at": "" if failure is None else f"cell {failure.cell}: {failure.source}",
        "because": "" if failure is None else f"{failure.kind}: {failure.message}",
        "runs made in it": ", ".join(run.children),
    }
    return f"{_facts(facts)}\n{_values('Parameters', run.parameters)}"


def html_of_lint(report: NotebookLint) -> str:
    """Return what a look over notebooks found."""
    rows = [[each.notebook, each.cell or "", each.line or "", each.rule, each.message] for each in report.findings]
    told = f"{len(report.notebooks)} notebooks, {len(rows)} findings"
    return escaped_table(told, ["notebook", "cell", "line", "rule", "found"], rows)


def html_of_many(records: Sequence[Any]) -> str | None:
    """Return a list of records of one kind as one table, or None where it is something else."""
    kinds = {type(record) for record in records}
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    shown = _MANY.get((kind.__module__, kind.__name__))
    return None if shown is None else shown(records)


def _run_row(entry: RunEntry) -> list[str]:
    figures = [name for name in sorted(entry.metrics) if "/" not in name][:MOST_FIGURES]
    return [
        entry.run_id[:SHORT_ID] if entry.kind == "training" else entry.run_id,
        entry.kind,
        entry.name + (" (dirty)" if entry.dirty else ""),
        entry.estimator,
        entry.status,
        time_text(entry.started_at),
        _told(entry.seconds),
        " ".join(f"{name}={entry.metrics[name]:.4g}" for name in figures),
    ]


def _intervals(caption: str, figures: dict[str, Interval]) -> str:
    rows = [
        [name, f"{each.value:.4f}", f"{each.low:.4f}", f"{each.high:.4f}", each.method]
        for name, each in figures.items()
    ]
    return escaped_table(caption, ["figure", "value", "low", "high", "method"], rows)


def _interval(figure: Interval) -> str:
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"


def _facts(facts: dict[str, str]) -> str:
    return html_facts((name, text) for name, text in facts.items() if text)


def _values(caption: str, values: dict[str, Any]) -> str:
    rows = [[name, _told(value)] for name, value in sorted(values.items())]
    return escaped_table(caption, ["name", "value"], rows) if rows else ""


def _told(value: Scalar) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


KNOWN: dict[tuple[str, str], Callable[[Any], str]] = {
    ("keelway.app.compare", "ModelsCompared"): html_of_models_compared,
    ("keelway.app.notebooks", "NotebookLint"): html_of_lint,
    ("keelway.app.notebooks", "NotebookRun"): html_of_notebook,
    ("keelway.app.runs", "RunDetail"): html_of_run,
    ("keelway.app.runs", "RunsCompared"): html_of_compared,
    ("keelway.evaluate.contest.records", "Contest"): html_of_contest,
    ("keelway.evaluate.records", "Scorecard"): html_of_scorecard,
    ("keelway.features.records", "FeatureTable"): html_of_table,
    ("keelway.features.records", "Profile"): html_of_profile,
    ("keelway.flow.records", "RunView"): html_of_view,
    ("keelway.train.tracking.record", "TrackedRun"): html_of_tracked,
}
"""Module and class to what shows it; named by text, so that showing nothing imports nothing."""
_MANY: dict[tuple[str, str], Callable[[Any], str]] = {
    ("keelway.app.lab", "VersionLine"): html_of_versions,
    ("keelway.core.run_index", "RunEntry"): html_of_runs,
}
KNOWN |= {kind: lambda record, shown=shown: shown([record]) for kind, shown in _MANY.items()}  # type: ignore[misc]
