"""Reads the severity of a rule, in the words of ODCS and of Keelway."""

from __future__ import annotations

from keelway.contract.contract import Severity
from keelway.contract.odcs.document import Place

SEVERITIES = {
    "warn": Severity.WARN,
    "warning": Severity.WARN,
    "row": Severity.ROW,
    "error": Severity.ROW,
    "file": Severity.FILE,
    "stop": Severity.STOP,
}
BATCH_SEVERITIES = {"warn": Severity.WARN, "warning": Severity.WARN, "stop": Severity.STOP, "error": Severity.STOP}


def batch_severity(text: str | None, place: Place, *, default: Severity = Severity.STOP) -> Severity:
    """Return the severity of a rule on the batch, which can warn or stop; there is no row to quarantine."""
    if text is None:
        return default
    if text not in BATCH_SEVERITIES:
        raise place.wrong("severity", f"{' or '.join(BATCH_SEVERITIES)} for a rule on the whole batch", text)
    return BATCH_SEVERITIES[text]


def row_severity(text: str | None, place: Place) -> Severity:
    """Return the severity of a rule on rows; one that is not given quarantines the row."""
    if text is not None and text not in SEVERITIES:
        raise place.wrong("severity", " or ".join(SEVERITIES), text)
    return SEVERITIES[text] if text else Severity.ROW
