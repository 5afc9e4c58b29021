"""What a rollout may be declared to be, and what is refused before anything is deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keelway.core import canonical_json, parse_json, plain, revive
from keelway.errors import ProjectError, UsageError
from keelway.project import Analysis, Guardrail, Metric, Rollout, Stage
from keelway.testing.training import churn_model

GOAL = Analysis(metrics=(Metric("conversion"),))
ALL = (
    Rollout.all_at_once("prod"),
    Rollout.shadow("prod", hold="2h"),
    Rollout.canary("prod", steps=(1, 10, 50), hold="30m", mirror="1h"),
    Rollout.blue_green("prod", keep="2h", mirror=False),
    Rollout.ab("prod", analysis=GOAL, percent=30, layer="prices"),
    Rollout.champion_challenger("prod", percent=0),
    Rollout.bandit("prod", analysis=GOAL, floor=0.1, undecided="back"),
)


@pytest.mark.parametrize("rollout", ALL, ids=lambda each: each.strategy)
def test_a_rollout_that_was_stored_is_the_same_one(rollout: Rollout) -> None:
    assert revive(parse_json(canonical_json(rollout)), Rollout) == rollout
    assert revive(plain(rollout), Rollout) == rollout


def test_the_factories_lay_out_the_stages() -> None:
    found = {each.strategy: [(stage.percent, stage.hold, stage.mirror) for stage in each.stages] for each in ALL}
    assert found == {
        "all_at_once": [(100, "0m", False)],
        "shadow": [(0, "2h", True)],
        "canary": [(0, "1h", True), (1, "30m", False), (10, "30m", False), (50, "30m", False)],
        "blue_green": [(0, "10m", False), (100, "2h", False)],
        "ab": [(30, "7d", False)],
        "champion_challenger": [(0, "0m", True)],
        "bandit": [(100, "0m", False)],
    }


def test_only_stages_in_which_both_get_requests_are_judged() -> None:
    judged = {each.strategy: [each.is_judged(number) for number in range(len(each.stages))] for each in ALL}
    assert judged == {
        "all_at_once": [False], "shadow": [True], "canary": [True] * 4, "blue_green": [False, False], "ab": [True],
        "champion_challenger": [True], "bandit": [True],
    }  # fmt: skip
    assert Rollout.blue_green("prod").is_judged(0)


def test_only_a_shadow_leaves_the_traffic_where_it_is() -> None:
    assert [each.strategy for each in ALL if not each.takes_over] == ["shadow"]
    assert [each.strategy for each in ALL if each.several] == ["ab", "bandit"]


def test_times_are_read() -> None:
    blue_green = Rollout.blue_green("prod", keep="2h", patience="3d")
    assert (blue_green.keep, blue_green.patience_time) == ("2h", timedelta(days=3))
    assert Stage(5, "90s").hold_time == timedelta(seconds=90)
    assert Rollout.canary("prod").keep == "0m"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown strategy": (lambda: Rollout("prod", strategy="slowly", stages=(Stage(5),)), "strategy"),  # type: ignore[arg-type]
    "unknown end": (lambda: Rollout.canary("prod", undecided="wait"), "nothing is decided"),  # type: ignore[arg-type]
    "no steps": (lambda: Rollout.canary("prod", steps=()), "not those of 'canary'"),
    "shrinking steps": (lambda: Rollout.canary("prod", steps=(25, 5)), "not those of 'canary'"),
    "the same step twice": (lambda: Rollout.canary("prod", steps=(5, 5)), "not those of 'canary'"),
    "a canary of everything": (lambda: Rollout.canary("prod", steps=(5, 100)), "not those of 'canary'"),
    "a canary of nothing": (lambda: Rollout.canary("prod", steps=(0, 5)), "not those of 'canary'"),
    "a negative share": (lambda: Stage(-1), "no share"),
    "a share beyond everything": (lambda: Stage(101), "no share"),
    "a mirror that answers": (lambda: Stage(5, mirror=True), "mirrors requests or answers"),
    "a hold in words": (lambda: Stage(5, "soon"), "no duration"),
    "no patience": (lambda: Rollout.canary("prod", patience="0m"), "patience"),
    "patience in words": (lambda: Rollout.canary("prod", patience="ever"), "no duration"),
    "a shadow that answers": (lambda: Rollout("prod", strategy="shadow", stages=(Stage(5),)), "not those of 'shadow'"),
    "three colours": (
        lambda: Rollout("prod", strategy="blue_green", stages=(Stage(0), Stage(50), Stage(100))), "not those of 'blue_green'",
    ),
    "a challenger alone": (lambda: Rollout.champion_challenger("prod", percent=100), "not those of"),
    "a challenger without labels": (lambda: Rollout.champion_challenger("prod", analysis=Analysis()), "matured labels"),
    "a trial for nothing": (lambda: Rollout.ab("prod", analysis=Analysis()), "what it is for"),
    "a trial of nobody": (lambda: Rollout.ab("prod", analysis=GOAL, percent=0), "not those of 'ab'"),
    "a bandit after a quantile": (
        lambda: Rollout.bandit("prod", analysis=Analysis(metrics=(Metric("duration", "quantile"),))), "rate or a mean",
    ),
    "a floor of half": (lambda: Rollout.bandit("prod", analysis=GOAL, floor=0.5), "floor"),
    "a layer without a split": (
        lambda: Rollout("prod", strategy="blue_green", stages=(Stage(0), Stage(100)), layer="prices"), "needs no layer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("declare", WRONG.values(), ids=WRONG.keys())
def test_what_could_never_work_is_refused(declare: tuple[Callable[[], Any], str]) -> None:
    with pytest.raises(ProjectError, match=declare[1]):
        declare[0]()


def test_an_environment_is_named() -> None:
    with pytest.raises(UsageError, match="environment"):
        Rollout.canary("")


def test_a_challenger_may_be_judged_by_any_figure_of_labels() -> None:
    for kind in ("log_loss", "brier", "roc_auc"):
        analysis = Analysis((Guardrail("quality", kind, margin=0.02),))  # type: ignore[arg-type]
        assert Rollout.champion_challenger("prod", analysis=analysis).analysis == analysis


def test_a_model_has_one_rollout_an_environment_and_its_definition_does_not_change() -> None:
    plain_model = churn_model()
    model = replace(plain_model, rollouts=(Rollout.canary("prod"), Rollout.all_at_once("staging")))
    assert model.rollout_for("prod") == Rollout.canary("prod")
    assert model.rollout_for("elsewhere") is None
    assert model.definition() == plain_model.definition()
    with pytest.raises(ProjectError, match="rollout of model"):
        replace(model, rollouts=(Rollout.canary("prod"), Rollout.shadow("prod")))
