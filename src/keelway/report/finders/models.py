"""Finders of evidence about models: where they come from, how good and how even-handed they are, what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.core import Action, Digest
from keelway.report.finders.found import gap, met, not_applicable, partly
from keelway.report.past import Past, PastEntry

if TYPE_CHECKING:
    from keelway.evaluate import Scorecard
    from keelway.register import ModelVersion
    from keelway.report.records import Point

ALIKE = ("bit-equal", "metric-equal")
FINE = ("better", "equivalent", "no difference shown")


def provenance(past: Past) -> Iterator[Point]:
    """Every model can be traced to the run, the code and the data that made it."""
    from keelway.features import FeatureTable
    from keelway.train import TrainedModel

    for version, entry in past.judged:
        trained = past.record(TrainedModel, version.trained)
        if trained is None or past.record(FeatureTable, version.feature_table) is None:
            yield gap(f"{version.name}: records of its training are missing", entry)
        elif not trained.code.commit:
            yield partly(f"{version.name}: no commit holds the code that trained it; its digest is on record", entry)
        elif trained.code.dirty:
            yield partly(f"{version.name}: the code that trained it differed from its commit", entry)
        else:
            yield met(f"{version.name}: run, data and commit {trained.code.commit[:12]} are on record", entry)


def evaluation(past: Past) -> Iterator[Point]:
    """Every model was measured on rows it did not learn from, with intervals, against something simple."""
    for version, entry, card in _scorecards(past):
        if card is None or not card.metrics:
            yield gap(f"{version.name}: no measured figures are on record", entry)
            continue
        name, figure = next(iter(card.metrics.items()))
        told = f"{version.name}: {name} {figure.value:.4g} (from {figure.low:.4g} to {figure.high:.4g}) on {card.rows} rows"
        rival = card.versus_trivial
        if rival is None:
            yield partly(f"{told}; it was compared with nothing simple", entry)
        elif rival.verdict in FINE:
            yield met(f"{told}; against the trivial rule: {rival.verdict}", entry)
        else:
            yield gap(f"{told}; against the trivial rule: {rival.verdict}", entry)


def calibration(past: Past) -> Iterator[Point]:
    """It was measured whether probabilities can be taken at their word."""
    for version, entry, card in _scorecards(past):
        if card is not None and card.task == "regression":
            yield not_applicable(f"{version.name} answers with numbers, not with probabilities", entry)
        elif card is None or card.calibration is None:
            yield gap(f"{version.name}: calibration was not measured", entry)
        else:
            yield met(f"{version.name}: the expected calibration error is {card.calibration.error.value:.4f}", entry)


def fairness(past: Past) -> Iterator[Point]:
    """It was measured how evenly decisions fall on groups of people, and the four-fifths rule passes."""
    for version, entry, card in _scorecards(past):
        if card is None or not card.fairness:
            yield gap(f"{version.name}: no sensitive column was declared, so nothing was measured", entry)
            continue
        for one in card.fairness:
            told = f"{version.name}: by {one.column} the four-fifths rule {one.four_fifths}"
            point = {"passes": met, "not judged": partly}.get(one.four_fifths, gap)
            yield point(told, entry)


def robustness(past: Past) -> Iterator[Point]:
    """The exported model answers like the trained one, with missing and unseen values too."""
    for version, entry in past.judged:
        parity = version.parity
        told = f"{version.name}: it differs by at most {parity.max_difference:.3g} on {parity.rows} rows"
        if not parity.max_difference <= parity.tolerance:
            yield gap(f"{told}, more than {parity.tolerance:.3g}", entry)
        elif parity.nulls_tested and parity.unseen_tested:
            yield met(told, entry)
        else:
            yield partly(f"{told}, without missing and unseen values", entry)


def leakage(past: Past) -> Iterator[Point]:
    """Training labels do not reach into the test."""
    for version, entry, card in _scorecards(past):
        if card is None:
            yield gap(f"{version.name}: no scorecard is on record", entry)
        elif card.overlap_days:
            yield partly(f"{version.name}: training labels overlap the test by {card.overlap_days} days", entry)
        else:
            yield met(f"{version.name}: no training label reaches into the test", entry)


def signatures(past: Past) -> Iterator[Point]:
    """Every model is signed, and signature and bytes were checked before it was let in."""
    for version, entry in past.judged:
        if not past.has(version.statement):
            yield gap(f"{version.name}: its signed statement is missing", entry)
        else:
            yield met(f"{version.name}: a signed statement names its bytes", entry)
    for place in past.serving:
        verified = _judged_document(past, place.entry).get("signature", {})
        name = f"{place.entry.decision.subject} in {place.environment}"
        if isinstance(verified, dict) and verified.get("verified") is True:
            yield met(f"{name}: the signature was checked at the door", place.entry)
        else:
            yield gap(f"{name}: no checked signature is on record", place.entry)


def bill_of_materials(past: Past) -> Iterator[Point]:
    """It is known what every model is made of, down to the packages it was trained with."""
    for version, entry in past.judged:
        if "bom" in entry.decision.evidence:
            yield met(f"{version.name}: a bill of materials was registered with it", entry)
        else:
            yield gap(f"{version.name}: no bill of materials was registered with it", entry)


def cards(past: Past) -> Iterator[Point]:
    """Every model that answers has a model card, and the door saw how complete it is."""
    for place in past.serving:
        card = _judged_document(past, place.entry).get("card")
        name = f"{place.entry.decision.subject} in {place.environment}"
        if not isinstance(card, dict):
            yield partly(
                f"{name}: the card can be made from the evidence (keelway card); the door did not ask for it",
                place.entry,
            )
        elif card.get("gaps") == 0:
            yield met(f"{name}: its model card answers every question", place.entry)
        else:
            missing = ", ".join(map(str, card.get("missing", ())[:5]))
            yield partly(f"{name}: its model card lacks {missing or 'answers'}", place.entry)


def reproduction(past: Past) -> Iterator[Point]:
    """Training again was tried, and gave the same model."""
    from keelway.promote import VersionCheck

    told: dict[str, Point] = {}
    for entry in past.entries(Action.CHECK):
        check = past.record(VersionCheck, entry.decision.evidence.get("check"))
        if check is not None and check.kind == "reproduction":
            alike = check.figures.get("alike")
            point = met if alike in ALIKE else gap
            told[check.version] = point(f"{check.version}: trained again, it came out {alike}", entry)
    for version, entry in past.judged:
        yield told.get(version.name) or partly(f"{version.name}: nobody recorded training it again", entry)


def _scorecards(past: Past) -> Iterator[tuple[ModelVersion, PastEntry, Scorecard | None]]:
    from keelway.evaluate import Scorecard

    for version, entry in past.judged:
        yield version, entry, past.record(Scorecard, version.scorecard)


def _judged_document(past: Past, entry: PastEntry) -> dict[str, object]:
    """Return the document that the door judged when a version was let in."""
    evidence: Digest | None = entry.decision.evidence.get("evidence")
    return past.document(evidence)
