"""Every ready rule passes, refuses with a sentence a person understands, and refuses what is missing.

Then the policies of the example and of `keelway init`, on a whole evidence document.
"""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from keelway.core import Verdict
from keelway.engines.rego import RegoEngine
from keelway.evaluate import VerdictWord
from keelway.promote import load_policy

REPOSITORY = Path(__file__).parents[2]
MISSING = object()


def interval(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "level": 0.95, "method": "DeLong"}


def compared(against: str, verdict: str) -> dict[str, Any]:
    return {"against": against, "difference": interval(0.1, 0.05, 0.15), "p_value": 0.001, "verdict": verdict}


FULL: dict[str, Any] = {
    "environment": "production",
    "now": "1998-06-01T00:00:00Z",
    "author": "user:ana",
    "trainer": None,
    "version": {"name": "churn:3", "model": "churn", "number": 3, "semver": "1.0.2", "run_id": "r", "age_days": 1.0},
    "evaluation": {"rows": 40000, "positives": 9000, "test_as_of": "1998-01-01T00:00:00Z"},
    "metrics": {"roc_auc": interval(0.8, 0.78, 0.82), "log_loss": interval(0.5, 0.48, 0.52)},
    "trivial": {"roc_auc": interval(0.7, 0.68, 0.72)},
    "fairness": {"sex": {"four_fifths": "passes", "parity_ratio": interval(0.9, 0.85, 0.96), "sure": True}},
    "versus_trivial": compared("recency_d", "better"),
    "versus_champion": compared("churn:2", "no difference"),
    "champion": {"compared": "churn:2", "live": "churn:2"},
    "training": {"estimator": "logistic", "rows": 9000, "overlap_days": 0, "seed": 7},
    "code": {"project": "sha256:1", "commit": "c0ffee00c0ffee00", "dirty": False, "difference": ""},
    "parity": {"rows": 4000, "max_difference": 1e-7, "tolerance": 1e-5, "nulls_tested": True, "unseen_tested": True},
    "snapshots": {
        "orders": {"number": 9, "rows": 90, "age_days": 2.5, "rows_in": 100, "quarantined_share": 0.01},
        "visits": {"number": 4, "rows": 40, "age_days": 0.5, "rows_in": 40, "quarantined_share": 0.0},
    },
    "admissions": {"staging": {"admission": "sha256:0", "at": "1998-05-01T00:00:00Z", "age_days": 31.0}},
    "signature": {"verified": True, "reason": "verified"},
    "risk": {"tier": "limited", "expired": False, "stale": False},
}


def but(**changes: Any) -> dict[str, Any]:
    """Return the full evidence with other values at `section__field` paths; MISSING takes one out."""
    evidence = copy.deepcopy(FULL)
    for path, value in changes.items():
        *sections, field = path.split("__")
        place = evidence
        for section in sections:
            place = place[section]
        if value is MISSING:
            del place[field]
        else:
            place[field] = value
    return evidence


def gate_of(rule: str, folder: Path) -> Any:
    (folder / "policy").mkdir()
    (folder / "policy/gate.rego").write_text(
        "package keelway.gate\n\nimport data.keelway.lib\n\n"
        f'rules contains "one"\n\ndeny contains reason if some reason in lib.{rule}\n'
    )
    return load_policy("policy", root=folder)


RULES: list[tuple[str, dict[str, Any], str]] = [
    ("auc_floor(0.75)", {"metrics__roc_auc__low": 0.7}, "roc_auc is at least 0.7 with confidence, needs 0.75"),
    (
        'metric_floor("roc_auc", 0.75)',
        {"metrics__roc_auc__low": 0.7499999},
        "roc_auc is at least 0.7499 with confidence, needs 0.75",
    ),
    (
        'metric_ceiling("log_loss", 0.55)',
        {"metrics__log_loss__high": 0.6},
        "log_loss is at most 0.6 with confidence, allowed is 0.55",
    ),
    (
        "not_worse_than_champion",
        {"versus_champion__verdict": "worse"},
        "compared with the champion it is: worse",
    ),
    (
        "not_worse_than_champion",
        {"champion__compared": "churn:1"},
        "the champion is churn:2, but the version was compared with churn:1",
    ),
    (
        "not_worse_than_champion",
        {"champion__compared": ""},
        "the champion is churn:2, but the version was compared with nothing",
    ),
    ("not_worse_than_trivial", {"versus_trivial__verdict": "worse"}, "compared with the trivial rule it is: worse"),
    (
        "beats_trivial",
        {"versus_trivial__verdict": "no difference"},
        "it has to beat the trivial rule, and compared with it is: no difference",
    ),
    ("parity", {"parity__max_difference": 2e-5}, "the ONNX model differs by 2e-05, allowed is 1e-05"),
    ("parity", {"parity__nulls_tested": False}, "parity was checked without nulls_tested"),
    ("parity", {"parity__unseen_tested": False}, "parity was checked without unseen_tested"),
    ("parity", {"parity__rows": 0}, "parity was checked on no rows"),
    (
        "quarantined_at_most(0.05)",
        {"snapshots__orders__quarantined_share": 1 / 7},
        "orders: 0.1429 of the rows are quarantined, allowed is 0.05",
    ),
    (
        "fresh_within_days(3)",
        {"snapshots__visits__age_days": 3.5},
        "visits: the newest data is 3.5 days old, allowed is 3",
    ),
    ("no_overlap", {"training__overlap_days": 30}, "training labels overlap the test by 30 days, allowed is 0"),
    (
        "overlap_at_most_days(90)",
        {"training__overlap_days": 91},
        "training labels overlap the test by 91 days, allowed is 90",
    ),
    ("positives_at_least(500)", {"evaluation__positives": 499}, "the test has 499 positive rows, needs 500"),
    (
        'four_fifths(["sex"])',
        {"fairness__sex__four_fifths": "fails", "fairness__sex__parity_ratio__value": 0.30064},
        "the four-fifths rule by sex fails: the ratio of shares selected is 0.3006",
    ),
    (
        'four_fifths(["sex"])',
        {"fairness__sex__four_fifths": "not judged", "fairness__sex__parity_ratio": None},
        "the four-fifths rule by sex not judged: the ratio of shares selected is missing",
    ),
    (
        "signed",
        {"signature__verified": False, "signature__reason": 'made by "another" key'},
        'the signature does not verify: made by "another" key',
    ),
    ('admitted_in("staging")', {"admissions": {}}, "it was never admitted to staging"),
    ("committed", {"code__dirty": True}, "the training ran files that differ from commit c0ffee00c0ff"),
    ("committed", {"code__commit": "", "code__dirty": None}, "the training names no commit"),
]


@pytest.mark.parametrize(("rule", "changes", "sentence"), RULES, ids=[sentence for _, _, sentence in RULES])
def test_a_ready_rule_passes_and_refuses_with_its_sentence(
    rule: str, changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    gate = gate_of(rule, tmp_path)
    assert RegoEngine().judge(gate, FULL).reasons == ()
    assert RegoEngine().judge(gate, but(**changes)).reasons == (sentence,)


WANTED = [
    ("auc_floor(0.75)", "metrics__roc_auc__low"),
    ("auc_floor(0.75)", "metrics"),
    ('metric_floor("nothing", 0)', "trivial"),
    ('metric_ceiling("log_loss", 9)', "metrics__log_loss__high"),
    ('metric_ceiling("nothing", 9)', "trivial"),
    ("not_worse_than_champion", "versus_champion"),
    ("not_worse_than_champion", "champion"),
    ("not_worse_than_champion", "champion__live"),
    ("not_worse_than_champion", "champion__compared"),
    ("not_worse_than_trivial", "versus_trivial"),
    ("beats_trivial", "versus_trivial__verdict"),
    ("parity", "parity"),
    ("parity", "parity__max_difference"),
    ("parity", "parity__tolerance"),
    ("parity", "parity__rows"),
    ("parity", "parity__nulls_tested"),
    ("parity", "parity__unseen_tested"),
    ("quarantined_at_most(1)", "snapshots__orders__quarantined_share"),
    ("quarantined_at_most(1)", "snapshots"),
    ("fresh_within_days(99)", "snapshots__visits__age_days"),
    ("fresh_within_days(99)", "snapshots"),
    ("no_overlap", "training__overlap_days"),
    ("overlap_at_most_days(99)", "training"),
    ('four_fifths(["sex"])', "fairness"),
    ('four_fifths(["sex"])', "fairness__sex"),
    ('four_fifths(["sex"])', "fairness__sex__four_fifths"),
    ("positives_at_least(0)", "evaluation__positives"),
    ("signed", "signature"),
    ("signed", "signature__verified"),
    ('admitted_in("staging")', "admissions"),
    ('admitted_in("staging")', "admissions__staging"),
    ("committed", "code"),
    ("committed", "code__commit"),
    ("committed", "code__dirty"),
]


@pytest.mark.parametrize("hole", [MISSING, None], ids=["missing", "null"])
@pytest.mark.parametrize(("rule", "path"), WANTED, ids=[f"{rule} without {path}" for rule, path in WANTED])
def test_a_ready_rule_refuses_what_is_missing_or_null(rule: str, path: str, hole: object, tmp_path: Path) -> None:
    verdict = RegoEngine().judge(gate_of(rule, tmp_path), but(**{path: hole}))
    assert not verdict.allowed
    assert verdict.reasons


@pytest.mark.parametrize("value", [0.57, 0.29, 0.1, 0.7, 0.123456789, 0.9999, 1, 0])
def test_figures_are_told_with_four_decimals_on_the_refusing_side(value: float, tmp_path: Path) -> None:
    (reason,) = RegoEngine().judge(gate_of("auc_floor(2)", tmp_path), but(metrics__roc_auc__low=value)).reasons
    assert reason == f"roc_auc is at least {math.floor(value * 10000 + 1e-6) / 10000:g} with confidence, needs 2"


@pytest.mark.parametrize("wrong", [True, [], {}, "0.9"], ids=repr)
def test_a_figure_that_is_no_number_refuses(wrong: object, tmp_path: Path) -> None:
    assert not RegoEngine().judge(gate_of("auc_floor(0)", tmp_path), but(metrics__roc_auc__low=wrong)).allowed


@pytest.mark.parametrize(
    "rule",
    [
        "four_fifths([])",
        "four_fifths(null)",
        "auc_floor(null)",
        'auc_floor("0")',
        'metric_ceiling("log_loss", "9")',
        "no_such_rule",
        "no_such_rule(1)",
    ],
)
def test_a_rule_that_is_asked_wrongly_refuses(rule: str, tmp_path: Path) -> None:
    assert not RegoEngine().judge(gate_of(rule, tmp_path), FULL).allowed


@pytest.mark.parametrize(
    "changes",
    [{"champion__live": ""}, {"admissions__production": {"age_days": 9.0}}],
    ids=["there is no champion", "it was live here before"],
)
def test_where_there_is_nothing_to_compare_with_the_champion_is_not_asked_for(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    worse = but(versus_champion=None, champion__compared="", **changes)
    assert RegoEngine().judge(gate_of("not_worse_than_champion", tmp_path), worse).allowed


@pytest.mark.parametrize("rule", ["champion", "trivial"])
@pytest.mark.parametrize("word", [*get_args(VerdictWord), "no difference"])  # the last is of earlier scorecards
def test_every_verdict_but_worse_is_not_worse(word: str, rule: str, tmp_path: Path) -> None:
    told = but(**{f"versus_{rule}__verdict": word})
    assert RegoEngine().judge(gate_of(f"not_worse_than_{rule}", tmp_path), told).allowed == (word != "worse")


def test_the_gate_in_the_documents_works(tmp_path: Path) -> None:
    (text,) = re.findall(r"```rego\n(.*?)```", (REPOSITORY / "docs/policies.md").read_text(), re.DOTALL)
    (tmp_path / "gate.rego").write_text(text)
    gate = load_policy(".", root=tmp_path)
    assert RegoEngine().judge(gate, FULL).rules == ("auc floor", "enough rows", "staging first")
    assert RegoEngine().judge(gate, FULL).allowed
    assert RegoEngine().judge(gate, but(training__rows=999)).reasons == ("trained on fewer than 1000 rows",)
    assert not RegoEngine().judge(gate, but(training__rows=None)).allowed


def judged(place: str, environment: str, evidence: dict[str, Any]) -> Verdict:
    gate = load_policy(f"policies/{environment}", root=REPOSITORY / place)
    return RegoEngine().judge(gate, {**evidence, "environment": environment})


PROJECTS = ("examples/churn", "src/keelway/template/plain")
DEGRADED: list[tuple[dict[str, Any], str, str]] = [
    ({"metrics__roc_auc__low": 0.5}, "roc_auc is at least 0.5 with confidence", "staging production"),
    ({"versus_trivial__verdict": "worse"}, "compared with the trivial rule it is: worse", "staging production"),
    ({"parity__max_difference": 0.5}, "the ONNX model differs by 0.5", "staging production"),
    ({"snapshots__orders__quarantined_share": 0.9}, "orders: 0.9 of the rows are quarantined", "staging production"),
    ({"admissions": {}}, "it was never admitted to staging", "production"),
    ({"champion__live": "churn:9"}, "the champion is churn:9, but", "production"),
    ({"evaluation__positives": 1}, "the test has 1 positive rows", "production"),
    ({"signature__verified": False, "signature__reason": "forged"}, "does not verify: forged", "production"),
    ({"risk": MISSING}, "the risk of the model was not assessed", "production"),
    ({"risk__expired": True}, "the risk assessment is due for review", "production"),
    ({"risk__stale": True}, "the risk assessment is of another declaration", "production"),
    ({"risk__tier": "high"}, "the risk tier is high, allowed is limited", "production"),
]


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("place", PROJECTS)
def test_the_policies_we_hand_out_let_a_good_version_in(place: str, environment: str) -> None:
    verdict = judged(place, environment, FULL)
    assert verdict.reasons == ()
    assert len(verdict.rules) >= 3
    assert not judged(place, environment, {}).allowed


@pytest.mark.parametrize(("changes", "part", "where"), DEGRADED, ids=[part for _, part, _ in DEGRADED])
@pytest.mark.parametrize("place", PROJECTS)
def test_the_policies_we_hand_out_refuse_as_they_are_meant_to(
    place: str, changes: dict[str, Any], part: str, where: str
) -> None:
    for environment in ("staging", "production"):
        reasons = judged(place, environment, but(**changes)).reasons
        told = [reason for reason in reasons if "did not pass" not in reason]  # some say that as well
        assert [part in reason for reason in told] == [True] * (environment in where.split())
