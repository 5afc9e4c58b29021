"""The page names every metric, every choice and every plot."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from keelway import evaluate
from keelway.evaluate import METRICS
from keelway.project import Evaluation

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf8")
NAMED = set(re.findall(r"`(\w+)`", PAGE))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_is_named_beside_its_task(task: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {task} |"))
    assert set(re.findall(r"`(\w+)`", row)) - {"pinball_90"} == set(METRICS[task])


def test_every_metric_of_ranking_is_named() -> None:
    assert {name.replace("_10", "_K") for name in METRICS["ranking"]} <= NAMED


def test_every_choice_is_named_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `?([\w.]+)`? \|", PAGE, re.MULTILINE))
    usual = Evaluation()
    assert {name: told[name] for name in (each.name for each in fields(Evaluation))} == {
        "slices": "none",
        "sensitive": "none",
        "costs": "none",
        "min_support": str(usual.min_support),
        "favourable": usual.favourable,
        "smallest_difference": f"{usual.smallest_difference:g}",
        "bootstrap": str(usual.bootstrap),
        "importance": str(usual.importance),
    }


def test_every_plot_is_named() -> None:
    assert {name for name in evaluate.__all__ if name.endswith("_plot")} <= NAMED


def test_every_public_name_is_documented_and_sorted() -> None:
    for name in evaluate.__all__:
        found = getattr(evaluate, name)
        assert not (isinstance(found, type) or inspect.isfunction(found)) or found.__doc__, name
    kinds = [(0 if name.isupper() else 1 if name[0].isupper() else 2, name) for name in evaluate.__all__]
    assert kinds == sorted(kinds)


def test_every_option_of_compare_is_named() -> None:
    from keelway.surfaces.cli.compare import compare

    common = {"--project", "--as", "--token", "--now", "--json"}
    options = {each for parameter in compare.params for each in parameter.opts if each.startswith("--")}
    section = PAGE.split("## Comparing models on the command line")[1].split("\n## ")[0]
    assert options - common == set(re.findall(r"`(--[\w-]+)`", section)) & options


def test_every_sentence_of_a_verdict_begins_as_the_page_says() -> None:
    from keelway.evaluate import Comparison, Interval
    from keelway.evaluate.contest import sentence_of

    def told(gap: Interval, verdict: evaluate.VerdictWord) -> str:
        return sentence_of("churn:2", Comparison("churn:1", gap, 0.01, verdict, smallest_difference=0.005))

    for sentence in (
        told(Interval(0.012, 0.004, 0.020, 0.95, "DeLong"), "better"),
        told(Interval(0.001, -0.001, 0.003, 0.95, "DeLong"), "equivalent"),
        told(Interval(0.004, -0.005, 0.013, 0.95, "DeLong"), "no difference shown"),
    ):
        assert f"`{sentence}`" in PAGE
