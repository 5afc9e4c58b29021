"""An experiment report as lines of plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.report.experiment.outcome_words import STRATEGIES

if TYPE_CHECKING:
    from keelway.report.experiment.records import ExperimentReport


def experiment_lines(report: ExperimentReport) -> Iterator[str]:
    """Yield a report in short: the verdict, what it means, what to do next, every figure, what is not known."""
    yield report.verdict
    yield f"{report.rollout} of {report.model} in {report.environment}, {STRATEGIES.get(report.strategy, report.strategy)}"
    said = {"means": report.meaning, "next": report.steps, "how sure": report.certainty}
    yield from _under(said)
    several = len(report.arms) > 1
    for arm in report.arms:
        for figure in arm.figures if arm.judged else ():
            yield f"{figure.title}{f' ({arm.version})' if several else ''}: {figure.sentence}"
    yield from _under({"not known": report.unknown})


def _under(said: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield sentences, each group with its name before the first."""
    for title, sentences in said.items():
        for place, sentence in enumerate(sentences):
            yield f"  {'' if place else title + ':':<11}{sentence}"
