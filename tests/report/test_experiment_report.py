"""An experiment report: whatever was stored, it is well-formed, tells the verdict in words, and shows no number that is none."""

from __future__ import annotations

import functools
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keelway.core import Action, Decision, VersionName, canonical_json, digest_of, plain
from keelway.deploy import RolloutLook, RolloutTurn
from keelway.deploy.analysis import MeasuredFigure, Outcome, RolloutVerdict, Status
from keelway.project import STANDARD_GUARDRAILS, Analysis, Guardrail, Metric, Rollout
from keelway.report import ExperimentRecords, ExperimentReport, experiment_lines, experiment_page, experiment_report
from keelway.testing.experiment_records import BEGAN, WHO, told, trial
from keelway.testing.experiments import canary

NOW = BEGAN + timedelta(days=30)
ANALYSIS = Analysis(
    (*STANDARD_GUARDRAILS, Guardrail("brier", "brier", margin=0.02)),
    (Metric("conversion"), Metric("spent", "mean", goal="not worse", margin=2.0)),
    planned=1_000,
)
PLAN = Rollout.canary("prod", steps=(25,), analysis=ANALYSIS)
NO_NUMBERS = re.compile(r"\b(nan|inf|infinity|none)\b", re.IGNORECASE)
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Reads a page as a browser would: elements that are open, texts, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.heads: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert tag not in ("script", "link", "iframe", "object", "img")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.heads.append(data)


def read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    assert outline.loads == []
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = ET.fromstring(svg)
        assert [each.tag.rpartition("}")[2] for each in root][:2] == ["title", "desc"]
    return outline


def report_of(records: ExperimentRecords) -> ExperimentReport:
    return experiment_report(records, project="shop", now=NOW)


@pytest.fixture(scope="module")
def slow() -> ExperimentRecords:
    """A canary that answers three times as slowly, until it is taken back."""
    return told([canary(seed=2, share=0.25, fault="latency", per_look=200, looks=20)], PLAN)


@pytest.fixture(scope="module")
def good() -> ExperimentRecords:
    """A canary that is like its control, by two stages to the end."""
    plan = Rollout.canary("prod", steps=(25, 50), analysis=Analysis((Guardrail("error_rate"),), planned=1_000))
    return told([canary(seed=1, share=share, per_look=800, looks=20) for share in (0.25, 0.5)], plan)


@pytest.fixture(scope="module")
def several() -> ExperimentRecords:
    """Two treatments, one of which converts better."""
    return trial(seed=4, looks=20)


def test_what_broke_a_limit_is_the_verdict(slow: ExperimentRecords) -> None:
    report = report_of(slow)
    assert report.state == "back"
    assert report.verdict == "churn:2 was taken back: time to answer got worse than allowed."
    assert report.meaning[0] == "Worse than allowed: time to answer."
    assert report.steps[0] == "Nothing has to be done for users: churn:1 answers them."
    latency = next(figure for figure in report.arms[0].figures if figure.name == "latency")
    assert latency.status == "violated"
    assert latency.sentence.endswith("That breaks its limit (at most 25 % longer).")
    assert latency.control is not None
    assert latency.treatment == pytest.approx(3 * latency.control, rel=0.3)
    assert report.looks[-1].news[-1].endswith("worse than allowed")


def test_a_version_that_passed_every_stage_replaced_the_other(good: ExperimentRecords) -> None:
    report = report_of(good)
    assert report.verdict == "churn:2 replaced churn:1: it kept every limit."
    assert report.ended == good.looks[-1].at
    assert [step.shares for step in report.shares] == [
        {"churn:1": 75.0, "churn:2": 25.0},
        {"churn:1": 50.0, "churn:2": 50.0},
        {"churn:2": 100.0},
    ]
    assert {point.stage for point in report.arms[0].figures[0].points} == {0, 1}
    page = experiment_page(report)
    assert 'data-name="next stage"' in page
    assert "Share of the traffic" in read(page).heads or "How the traffic was shared" in read(page).heads


def test_treatments_are_told_beside_each_other(several: ExperimentRecords) -> None:
    report = report_of(several)
    assert report.verdict == "churn:3 replaced churn:1: it kept every limit and reached its goal."
    assert [arm.version for arm in report.arms] == ["churn:2", "churn:3"]
    assert any("3 figures of 2 treatments are judged together" in line for line in report.method)
    assert report.meaning[0].startswith("churn:2, ")
    page = experiment_page(report)
    outline = read(page)
    assert outline.heads[0] == "churn:2 and churn:3 against churn:1"
    conversion = next(
        svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if "<title" in svg and "Conversion" in svg
    )
    assert conversion.count('class="band"') == 2
    assert {"churn:2", "churn:3"} <= set(re.findall(r'data-name="([^"]+)"', conversion))


def test_what_was_known_before_is_told_as_what_it_saves(several: ExperimentRecords) -> None:
    spent = next(figure for figure in report_of(several).arms[0].figures if figure.name == "spent")
    assert spent.cuped == pytest.approx(0.8, abs=0.05)  # 20 ** 2 of 20 ** 2 + 10 ** 2
    line = next(line for line in report_of(several).method if "CUPED" in line)
    assert line.startswith(("Spent of churn:2: 7", "Spent of churn:2: 8"))
    assert "times as many of them" in line
    assert "once what was known before is taken out" in spent.sentence


def test_a_bandit_warns_and_shows_its_shares() -> None:
    plan = Rollout.bandit("prod", analysis=Analysis((Guardrail("error_rate"),), (Metric("conversion"),), comparisons=2))
    records = trial(seed=1, looks=2, plan=plan)
    moved = [
        replace(records.deployments[0], number=number, at=BEGAN + timedelta(hours=number), traffic=dict(zip(records.deployments[0].traffic, parts, strict=True)))
        for number, parts in enumerate([(34, 33, 33), (20, 20, 60), (10, 5, 85)], start=1)
    ]  # fmt: skip
    report = report_of(replace(records, deployments=tuple(moved)))
    assert any(line.startswith("A bandit earns while it runs, and does not measure") for line in report.method)
    page = experiment_page(report)
    plot = next(svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if "Share of the traffic" in svg)
    assert len(re.findall('class="line"', plot)) == 3
    assert "In the end: churn:1 10 %, churn:2 5 %, churn:3 85 %." in plot


def test_lost_requests_are_no_verdict_on_the_version() -> None:
    report = report_of(told([canary(seed=3, share=0.25, fault="lost rows", per_look=400, looks=20)], PLAN))
    assert report.state == "paused"
    assert "the traffic did not go where it was meant to go" in report.verdict
    assert report.steps[-1] == "If it cannot be mended, end it: keelway rollout churn --env prod --abort"
    assert "Somewhere requests are lost" in report.arms[0].sample_ratio
    assert {figure.status for figure in report.arms[0].figures} == {"unknown"}
    assert all(figure.points for figure in report.arms[0].figures)  # what was seen before is still shown
    assert "No figure is known at the newest look." in report.unknown
    assert not any("Conversion" in line for line in experiment_lines(report))


def test_nothing_measured_yet_is_said() -> None:
    report = report_of(told([[]], PLAN))
    assert report.verdict == "It has begun, and nothing has been measured yet."
    assert report.arms == ()
    assert "At a glance" not in read(experiment_page(report)).heads


def test_a_rollout_of_no_time_is_drawn_without_a_history(good: ExperimentRecords) -> None:
    at_once = replace(
        good,
        looks=tuple(replace(look, at=BEGAN) for look in good.looks[-1:]),
        deployments=tuple(replace(each, at=BEGAN) for each in good.deployments),
    )
    page = experiment_page(report_of(at_once))
    read(page)
    assert "Share of the traffic" not in page
    (limit,) = re.findall(r'data-name="limit" points="([\d.]+),[\d.]+ ([\d.]+),', page)
    assert float(limit[0]) < float(limit[1])  # the line of the limit has a length


def test_who_did_what_is_told(slow: ExperimentRecords) -> None:
    turn = RolloutTurn("churn", slow.start.environment, "r1", 1, "stop", NOW, WHO, "by hand")
    stopped = report_of(replace(slow, turns=(turn,)))
    assert stopped.verdict == "churn:2 was taken back: a person decided so."
    paused = replace(turn, to="pause")
    running = replace(slow, state="paused", turns=(paused,), looks=slow.looks[:1])
    report = report_of(running)
    assert report.verdict == "It is paused and waits for a person: a person paused it."
    assert report.steps[0].endswith("keelway rollout churn --env prod --resume")
    assert "by hand" in " ".join(read(experiment_page(stopped)).texts)


def test_a_treatment_that_is_taken_out_leaves_the_others_open(several: ExperimentRecords) -> None:
    look = several.looks[0]
    bad = replace(
        look.arms[0].verdict, outcome="failure", figures=(_figure(look.arms[0].verdict, "conversion", "violated"),)
    )
    records = replace(
        several, looks=(replace(look, arms=(replace(look.arms[0], verdict=bad), look.arms[1])),), state="running"
    )
    report = report_of(records)
    assert report.verdict == (
        "churn:2 broke a limit (conversion got worse than allowed); it is not decided yet whether churn:3 may replace churn:1."
    )
    assert report.steps[0].startswith("Wait.")


def test_a_shadow_that_passes_takes_nothing(good: ExperimentRecords) -> None:
    plan = Rollout.shadow("prod", analysis=Analysis((Guardrail("error_rate"),)))
    records = replace(good, start=replace(good.start, declared=plain(plan)))
    report = report_of(records)
    assert report.verdict == "churn:2 passed beside churn:1, which goes on answering."
    assert any("Users were never shown the answers" in line for line in report.method)


def test_decisions_stand_with_the_numbers_of_their_entries(slow: ExperimentRecords) -> None:
    refused = Decision(
        Action.DEPLOY, subject="churn", allowed=False, principal=WHO, at=NOW, reasons=("churn:2 is retired",)
    )  # fmt: skip
    report = report_of(replace(slow, decisions=(*slow.decisions, (77, refused))))
    assert [line.entry for line in report.decisions] == [41, 42, 77]
    text = " ".join(read(experiment_page(report)).texts)
    assert "#77" in text
    assert "churn:2 is retired" in text


def test_the_same_records_and_moment_give_the_same_bytes() -> None:
    one, other = (report_of(trial(seed=4, looks=3)) for _ in range(2))
    assert experiment_page(one) == experiment_page(other)
    assert canonical_json(one) == canonical_json(other)
    assert digest_of(one) == digest_of(other)


def test_many_looks_make_a_page_that_can_be_read(several: ExperimentRecords) -> None:
    first = several.looks[0]
    looks = tuple(replace(first, number=number, at=BEGAN + timedelta(minutes=number)) for number in range(1, 3_001))
    changed = (*looks[:1_500], replace(looks[1_500], move="pause"), *looks[1_501:])
    report = report_of(replace(several, looks=changed, state="running"))
    page = experiment_page(report)
    assert len(report.looks) == 3_000
    assert "of 3,000 looks" in page
    assert "pauses" in page  # the one at which something changed is kept
    assert len(page) < 400_000


MARKED = "<b>&\"'x"


def test_a_name_with_markup_stays_text(slow: ExperimentRecords) -> None:
    start = replace(
        slow.start, model=MARKED, control=VersionName(f"{MARKED}:1"), treatments=(VersionName(f"{MARKED}:2"),)
    )
    looks = tuple(
        replace(look, reasons=(MARKED,), control=start.control, arms=tuple(replace(arm, version=start.treatments[0]) for arm in look.arms))
        for look in slow.looks
    )  # fmt: skip
    page = experiment_page(report_of(replace(slow, start=start, looks=looks)))
    assert "<b>" not in page
    assert MARKED in "".join(read(page).texts)


@functools.cache
def first_look() -> RolloutLook:
    return trial(seed=1, looks=1).looks[0]


def _figure(verdict: RolloutVerdict, name: str, status: Status) -> MeasuredFigure:
    return replace(next(each for each in verdict.figures if each.name == name), status=status)


NUMBERS = st.none() | st.floats() | st.floats(-0.1, 0.1) | st.sampled_from([0.0, -0.0, -1.0, 1e308, 5e-324, math.nan])
FIGURES = st.builds(
    MeasuredFigure,
    st.sampled_from([each.name for each in ANALYSIS.figures]),
    st.sampled_from(get_args(Status)),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["conversion: 3 rows in the smaller arm", "<i>odd & long</i>", ""]),
    NUMBERS,
    NUMBERS,
    NUMBERS,
)
VERDICTS = st.builds(
    RolloutVerdict,
    st.sampled_from(get_args(Outcome)),
    st.lists(st.sampled_from(["because", "a < b"]), min_size=1, max_size=2).map(tuple),
    st.lists(FIGURES, max_size=7, unique_by=lambda each: each.name).map(tuple),
    NUMBERS,
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
)
STATES = st.sampled_from(["running", "paused", "finished", "back", "stopped"])
LARGE = MeasuredFigure("spent", "held", 1e308, -1e308, 1e-320, "", 1e308, math.inf, 1.0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(VERDICTS, min_size=1, max_size=4), STATES, st.sampled_from(["hold", "advance", "finish", "back", "pause"])
)
@example([RolloutVerdict("success", ("x",), (LARGE,), math.nan, (1, 1))], "running", "hold")
def test_any_stored_look_gives_a_well_formed_report(verdicts: list[RolloutVerdict], state: Any, move: Any) -> None:
    begun = told([[]], PLAN)
    first = first_look()
    looks = tuple(
        replace(first, number=number, arms=(replace(first.arms[0], verdict=verdict),), move=move, at=BEGAN + timedelta(hours=number))
        for number, verdict in enumerate(verdicts, start=1)
    )  # fmt: skip
    report = report_of(replace(begun, looks=looks, state=state))
    outline = read(experiment_page(report))
    shown = " ".join([*outline.texts, *experiment_lines(report)])
    assert not NO_NUMBERS.search(shown)
    canonical_json(report)  # refuses NaN and infinity
    assert report.verdict.endswith(".")
    assert len(report.looks) == len(verdicts)


@given(st.floats(-0.9, 5), st.floats(0, 3), st.floats(0, 3))
def test_harm_and_difference_are_the_same_thing_seen_from_both_sides(harm: float, below: float, above: float) -> None:
    """More harm is less conversion, so the ends of the interval change places, and still hold the figure between them."""
    figure = MeasuredFigure("conversion", "open", harm, harm - below, harm + above, "", 0.1, 0.1)
    first = first_look()
    verdict = RolloutVerdict("inconclusive", ("x",), (figure,), 1.0, (10, 10))
    look = replace(first, arms=(replace(first.arms[0], verdict=verdict),))
    story = report_of(replace(told([[]], PLAN), looks=(look,))).arms[0].figures[0]
    assert story.name == "conversion"
    assert story.difference == -harm
    assert story.low is not None
    assert story.high is not None
    assert story.low <= story.difference <= story.high
