"""Says what came out of an experiment, what that means, what to do next, how sure it is, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from keelway.project import LABEL_KINDS
from keelway.report.experiment.figure_words import number

if TYPE_CHECKING:
    from keelway.core import VersionName
    from keelway.deploy.analysis import Outcome
    from keelway.project import Analysis
    from keelway.report.experiment.records import ArmStory, ExperimentRecords, FigureStory

STRATEGIES = {
    "all_at_once": "all traffic at once",
    "shadow": "as a shadow: it is shown copies of the requests, and nobody is shown its answers",
    "canary": "as a canary: a small part of the traffic that grows step by step",
    "blue_green": "blue and green: both are ready, and the traffic is switched at once",
    "ab": "as an A/B test: fixed parts of the traffic that stay until it is decided",
    "champion_challenger": "as a challenger beside the champion",
    "bandit": "by a bandit: traffic goes to whoever seems best so far",
}
WEEK = timedelta(days=7)
CASES = 100


def listed(texts: Iterable[object]) -> str:
    """Return texts as people list them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    given = [str(text) for text in texts]
    return " and ".join([", ".join(given[:-1]), given[-1]] if len(given) > 1 else given)


def verdict_of(records: ExperimentRecords, arms: Sequence[ArmStory]) -> str:
    """Return what came out, in one sentence."""
    start = records.start
    tried = listed(start.treatments)
    if records.state == "finished":
        return _finished(records, arms)
    if records.state == "back":
        were = "was" if len(start.treatments) == 1 else "were"
        return f"{tried} {were} taken back: {_why_back(arms, records)}."
    if records.state == "stopped":
        return "Somebody moved the traffic past it before it was decided."
    if records.state == "paused":
        return f"It is paused and waits for a person: {_why_paused(arms, records)}."
    if not arms:
        return "It has begun, and nothing has been measured yet."
    return _running(arms, start.control)


def meaning_of(arms: Sequence[ArmStory]) -> list[str]:
    """Return what the figures mean, in sentences; with several treatments, each by itself."""
    found = []
    for arm in arms:
        said = _groups(arm.figures) if arm.judged else [arm.sample_ratio]
        found += [f"{arm.version}, {_lower(text)}" if len(arms) > 1 else text for text in said]
    return found


def steps_of(records: ExperimentRecords, arms: Sequence[ArmStory]) -> list[str]:
    """Return what to do next."""
    place = f"{records.start.model} --env {records.start.environment}"
    if records.state == "finished":
        return [f"Nothing has to be done. The way back stays open: keelway rollback {place}"]
    if records.state in ("back", "stopped"):
        return [
            f"Nothing has to be done for users: {records.start.control} answers them.",
            "Find out why before it is tried again: the figures below say where to look.",
        ]
    if not arms:
        return [f"Let requests arrive, and look: keelway rollout {place}"]
    outcomes = {arm.outcome for arm in arms}
    left = outcomes - {"failure"} or outcomes  # of several treatments, those that failed are out of it
    if records.state == "paused" and (_is_told(records, "pause") or "error" not in left):
        return [f"Let it go on, with patience anew: keelway rollout {place} --resume", f"Or end it: {_end(place)}"]
    return _steps_while_running(left, place)


def certainty_of(records: ExperimentRecords, analysis: Analysis, arms: Sequence[ArmStory]) -> list[str]:
    """Return how sure the verdict is."""
    start, cases = records.start, f"at most {number(analysis.alpha * CASES)} of {CASES} such experiments"
    looks = len(records.looks)
    so_far = f"{looks} {'look' if looks == 1 else 'looks'} so far"
    alike = f"If {listed(start.treatments)} were in truth just like {start.control}"
    told = [
        f"{alike}, {cases} would take it back by mistake, however often they are looked at ({so_far}).",
        f"If it broke one of its limits, {cases} would let it through.",
        "Each interval holds at all looks together, so it may be read at any of them.",
    ]
    if any(figure.kind == "distribution" for arm in arms for figure in arm.figures):
        told.append(
            "The spread of the predictions is the exception: that it keeps its limit is said of the newest look alone."
        )
    return told


def method_of(strategy: str, analysis: Analysis, arms: Sequence[ArmStory]) -> list[str]:
    """Return how it was judged: corrections for several figures and treatments, CUPED, the bandit's warning."""
    count, treatments = len(analysis.figures), analysis.comparisons
    told = []
    if strategy == "bandit":
        told.append(
            "A bandit earns while it runs, and does not measure: arms that looked bad early got few requests, so their "
            "figures stay too low and differences between arms are no estimate of what they do. Run an A/B test where it "
            "matters how much better the best one is."
        )
    if strategy == "shadow":
        told.append("Users were never shown the answers, so nothing is known of what they would do with them.")
    if count * treatments > 1:
        several = f"{count} figures" + (f" of {treatments} treatments" if treatments > 1 else "")
        told.append(
            f"{several} are judged together, and with more of them chance has more occasions to mislead. So a figure "
            f"counts as worse only at {number(analysis.alpha / count / treatments * CASES)} % instead of "
            f"{number(analysis.alpha * CASES)} % (Bonferroni), and that all is well has to be shown for every figure by itself."
        )
    if analysis.decide == "any" and len(analysis.metrics) > 1:
        told.append("One goal of several is enough, and is corrected for how many had the chance (Holm).")
    told += [_cuped(figure) for arm in arms for figure in arm.figures if figure.cuped]
    if any(figure.kind in LABEL_KINDS for arm in arms for figure in arm.figures):
        told.append(
            "The quality of predictions is judged by those whose outcome is known by now; the others are not read."
        )
    return told


def unknown_of(records: ExperimentRecords, analysis: Analysis, arms: Sequence[ArmStory]) -> list[str]:
    """Return what was not known."""
    found = [
        f"{figure.title}{_of(arm, arms)}: {figure.sentence}"
        for arm in arms
        for figure in arm.figures
        if arm.judged and figure.difference is None
    ]
    found += [f"No figure{_of(arm, arms)} is known at the newest look." for arm in arms if not arm.judged]
    wrong = [look for look in records.looks if any(arm.verdict.outcome == "error" for arm in look.arms)]
    if wrong:
        found.append(f"{len(wrong)} of {len(records.looks)} looks could not be judged.")
    if not analysis.metrics:
        found.append("No goal was declared: the figures say what did not get worse, and not what it is good for.")
    if records.looks and records.looks[-1].at - records.start.at < WEEK:
        found.append("It was looked at for less than a week, so what differs between the days of a week was not seen.")
    return found


def _finished(records: ExperimentRecords, arms: Sequence[ArmStory]) -> str:
    """Return who has the traffic in the end."""
    start = records.start
    if not start.plan.takes_over:
        return f"{listed(start.treatments)} passed beside {start.control}, which goes on answering."
    good = [arm for arm in arms if arm.outcome == "success"]
    winner = records.deployments[-1].stable
    proven = [arm for arm in good if arm.version == winner]
    why = f": it {_good(proven).replace('keeps', 'kept').replace('reaches', 'reached')}" if proven else ""
    return f"{winner} replaced {start.control}{why}."


def _running(arms: Sequence[ArmStory], control: VersionName) -> str:
    """Return what is known while it goes on; of several treatments, those that failed are out of it."""
    failed = [arm for arm in arms if arm.outcome == "failure"]
    left = [arm for arm in arms if arm.outcome != "failure"]
    out = f"{listed(arm.version for arm in failed)} broke a limit ({_failed(failed)} got worse than allowed)"
    if not left:
        return f"{out}."
    return f"{out}; {_undecided(left, control)}" if failed else _capital(_undecided(left, control))


def _undecided(arms: Sequence[ArmStory], control: VersionName) -> str:
    """Return what is known of treatments that did not fail."""
    if any(arm.outcome == "error" for arm in arms):
        return f"it cannot be judged as it stands: {_why_paused(arms)}."
    good = [arm for arm in arms if arm.outcome == "success"]
    if good:
        one = f"{listed(arm.version for arm in good)} {_good(good)}"
        return f"{one}." if len(good) == len(arms) else f"{one}; of the others it is not decided yet."
    return f"it is not decided yet whether {listed(arm.version for arm in arms)} may replace {control}."


def _end(place: str) -> str:
    return f"keelway rollout {place} --abort"


def _steps_while_running(outcomes: set[Outcome], place: str) -> list[str]:
    if "error" in outcomes:
        return [
            "Mend what could not be measured; nothing is let through meanwhile.",
            f"Then look again: keelway rollout {place}",
            f"If it cannot be mended, end it: {_end(place)}",
        ]
    if "failure" in outcomes:
        return [f"End it: {_end(place)}", "Find out why before it is tried again."]
    if "success" in outcomes:
        return [f"Let it go on; the next stage follows at a look: keelway rollout {place}"]
    return [
        "Wait. Looking often does no harm, because the judgement holds at all looks together.",
        f"Look again: keelway rollout {place}",
        f"See how long it takes to show an effect: keelway experiment plan {place} --effect 10%",
    ]


def _is_told(records: ExperimentRecords, to: str) -> bool:
    return bool(records.turns) and records.turns[-1].to == to


def _good(arms: Sequence[ArmStory]) -> str:
    """Return what those did that were shown to be good."""
    goals = all(any(figure.role == "goal" for figure in arm.figures) for arm in arms)
    if len(arms) == 1:
        return "keeps every limit" + (" and reaches its goal" if goals else "")
    return "keep every limit" + (" and reach their goals" if goals else "")


def _why_back(arms: Sequence[ArmStory], records: ExperimentRecords) -> str:
    if _is_told(records, "stop"):
        return "a person decided so"
    names = _failed(arms)
    if names:
        return f"{names} got worse than allowed"
    return listed(records.looks[-1].reasons) if records.looks and records.looks[-1].reasons else "a person decided so"


def _failed(arms: Sequence[ArmStory]) -> str:
    return listed(dict.fromkeys(_lower(f.title) for arm in arms for f in arm.figures if f.status == "violated"))


def _why_paused(arms: Sequence[ArmStory], records: ExperimentRecords | None = None) -> str:
    if records is not None and _is_told(records, "pause"):
        return "a person paused it"
    wrong = [arm for arm in arms if arm.outcome == "error"]
    if any(not arm.judged for arm in wrong):
        return "the traffic did not go where it was meant to go, so no figure can be believed"
    names = dict.fromkeys(_lower(f.title) for arm in wrong for f in arm.figures if f.status == "unknown")
    if names:
        return f"{listed(names)} could not be measured"
    return "something could not be measured" if wrong else "it took longer than it was given"


def _groups(figures: Sequence[FigureStory]) -> list[str]:
    """Return which figures are how, the gravest first."""
    said = (
        ("violated", "Worse than allowed"),
        ("unknown", "Could not be measured"),
        ("open", "Not settled yet"),
        ("held", "Shown to be as it should be"),
    )
    return [
        f"{words}: {listed(names)}."
        for status, words in said
        if (names := [_lower(figure.title) for figure in figures if figure.status == status])
    ]


def _cuped(figure: FigureStory) -> str:
    part = figure.cuped or 0.0
    times = f", as if there were {number(1 / (1 - part))} times as many of them" if 0 < part < 1 else ""
    return (
        f"{figure.title} of {figure.version}: {number(part * CASES)} % of what differs between entities was known of them "
        f"before the experiment, and is taken out (CUPED){times}."
    )


def _lower(text: str) -> str:
    """Return a text that goes on within a sentence."""
    return text[:1].lower() + text[1:]


def _capital(text: str) -> str:
    """Return a text as a sentence begins; a version keeps its name."""
    return text[:1].upper() + text[1:] if text.startswith("it ") else text


def _of(arm: ArmStory, arms: Sequence[ArmStory]) -> str:
    return f" of {arm.version}" if len(arms) > 1 else ""
