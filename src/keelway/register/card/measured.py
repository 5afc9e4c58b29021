"""What a card says of figures: metrics with intervals, slices, fairness, calibration, threshold, importance."""

from __future__ import annotations

from collections.abc import Iterable

from keelway.core import time_text
from keelway.evaluate import Fairness, Interval, Scorecard, ThresholdChoice, in_plain_words, in_words
from keelway.register.card.evidence import CardEvidence
from keelway.register.card.records import CardBlock, CardSection, CardTable, FactList, Gap, Prose

NOTHING = "-"


def evaluation(found: CardEvidence) -> Iterable[CardSection]:
    """Yield how the model was tested, and what came out."""
    yield CardSection("Evaluation", 2)
    yield CardSection("Testing Data, Factors & Metrics", 3, tuple(_tested(found)))
    yield CardSection("Results", 3, tuple(_results(found.scorecard)))
    yield CardSection("Slices", 3, tuple(_slices(found.scorecard)))
    yield CardSection("Fairness", 3, tuple(_fairness(found)))


def examination(found: CardEvidence) -> Iterable[CardSection]:
    """Yield what the features are worth."""
    title, importance = "Model Examination", found.scorecard.importance
    if not importance:
        gap = Gap(title, "what each feature is worth", "Model(evaluation=Evaluation(importance=5))", optional=True)
        yield CardSection(title, 2, (gap,))
        return
    rows = tuple((each.feature, figure(each.loss)) for each in importance)
    caption = f"How much worse {importance[0].metric} gets when a feature is shuffled"
    yield CardSection(title, 2, (CardTable(caption, ("Feature", "Loss"), rows),))


def figure(value: Interval | None) -> str:
    """Return a figure with its interval.

    >>> figure(Interval(0.81234, 0.79, 0.83, 0.95, "DeLong"))
    '0.8123 (0.79 to 0.83)'
    """
    return NOTHING if value is None else f"{value.value:.4g} ({value.low:.4g} to {value.high:.4g})"


def _tested(found: CardEvidence) -> Iterable[CardBlock]:
    card = found.scorecard
    facts = [
        ("Rows", f"{card.rows:,}" + (f", {card.positives:,} positive" if card.task == "binary" else "")),
        ("Cut", time_text(card.test_as_of)),
        ("Overlap with labels of training", f"{card.overlap_days} days" if card.overlap_days else "none"),
        ("Metric that decides", found.declared.metrics[0]),
        ("Smallest difference that matters", f"{found.declared.evaluation.smallest_difference:g}"),
    ]
    yield FactList(tuple(facts))


def _results(card: Scorecard) -> Iterable[CardBlock]:
    yield CardTable(
        "Figures on the test rows",
        ("Metric", "Value (95 % interval)", "Interval by", "Trivial rule"),
        tuple((name, figure(each), each.method, figure(card.trivial.get(name))) for name, each in card.metrics.items()),
    )
    if card.versus_trivial is not None:
        yield Prose(f"Against the trivial rule: {in_words(card.versus_trivial)}.")
    if card.calibration is not None:
        found = card.calibration
        yield Prose(
            f"Calibration: probabilities are off by {figure(found.error)} in the mean, by {found.worst_gap:.4g} in the "
            "worst bin."
        )
    if card.threshold is not None:
        yield Prose(_threshold(card.threshold))


def _threshold(found: ThresholdChoice) -> str:
    return (
        f"Acting pays from a probability of {figure(found.threshold)}: a row then costs {figure(found.cost)}, against "
        f"{found.cost_of_none:.4g} without acting and {found.cost_of_all:.4g} acting on all."
    )


def _slices(card: Scorecard) -> Iterable[CardBlock]:
    if not card.slices:
        yield Gap(
            "Slices", "how figures differ between parts of the rows", 'Model(evaluation=Evaluation(slices=["..."]))'
        )
        return
    yield CardTable(
        f"{card.slices[0].metric} on the rows that share a value",
        ("Slice", "Rows", "Figure", "Against all others", "Verdict"),
        tuple(
            (
                f"{each.column} = {each.level}",
                f"{each.rows:,}",
                figure(each.figure),
                figure(each.difference),
                each.verdict,
            )
            for each in card.slices
        ),
    )


def _fairness(found: CardEvidence) -> Iterable[CardBlock]:
    card = found.scorecard
    if card.task != "binary":
        yield Prose(f"A model of task {card.task} makes no decision by which fairness is judged; see the slices.")
        return
    if not card.fairness:
        yield Gap(
            "Fairness", "how decisions fall on groups of people", 'Model(evaluation=Evaluation(sensitive=["..."]))'
        )
    for each in card.fairness:
        yield Prose(in_plain_words(each) + ".")
        yield _groups(each)


def _groups(found: Fairness) -> CardTable:
    return CardTable(
        f"Decisions by {found.column}, from a probability of {found.threshold:g}",
        ("Group", "Rows", "Selected", "True positive rate", "False positive rate"),
        tuple(
            (
                each.group + ("" if each.enough else " (too few to judge)"),
                f"{each.rows:,}",
                figure(each.selected),
                figure(each.true_positive),
                figure(each.false_positive),
            )
            for each in found.groups
        ),
    )
