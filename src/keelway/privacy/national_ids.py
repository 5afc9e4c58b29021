"""National identity numbers: how they are written, and whose check digits prove that a number is one.

Numbers of bare digits are taken for one only behind their name (`BSN 111222333`): one in eleven of all nine-digit
numbers would pass the test of a Dutch citizen number.
"""

from __future__ import annotations

import importlib
import re
from typing import NamedTuple


class IdKind(NamedTuple):
    """One way of writing a number.

    Attributes:
        pattern: In the common part of RE2 and Python's `re`.
        module: The module of python-stdnum that checks it; empty where the form alone is enough.
        names: What stands before it; empty where its form is unlike other numbers.
    """

    pattern: str
    module: str
    names: str = ""


IDS = (
    IdKind(r"\d{3}-\d{2}-\d{4}", "us.ssn"),
    IdKind(r"\d{8}-?[A-HJ-NP-TV-Z]", "es.dni"),
    IdKind(r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", "es.nie"),
    IdKind(r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    IdKind(r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    IdKind(r"\d{6}[-+]\d{4}", "se.personnummer"),
    IdKind(r"\d{6}[-+A]\d{3}[0-9A-Y]", "fi.hetu"),
    IdKind(r"[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", ""),
    IdKind(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn"),
    IdKind(r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn"),
    IdKind(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    IdKind(r"\d{7}[A-W][A-IW]?", "ie.pps"),
    IdKind(r"\d{9}", "us.ssn", "ssn|social security number"),
    IdKind(r"\d{9}|\d{4}\.\d{2}\.\d{3}", "nl.bsn", "bsn|burgerservicenummer|sofinummer"),
    IdKind(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", "steuer-?id|steueridentifikationsnummer|idnr"),
    IdKind(r"\d{11}", "pl.pesel", "pesel"),
    IdKind(r"\d{6}-?\d{4}", "dk.cpr", "cpr|cpr-nr"),
    IdKind(r"\d{6} ?\d{5}", "no.fodselsnummer", "f[o\u00f8]dselsnummer|fnr"),
    IdKind(r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", "nhs"),
    IdKind(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", "sin|nas"),
    IdKind(r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar", "aadhaar|uidai"),
    IdKind(r"\d{13}", "ro.cnp", "cnp"),
    IdKind(r"\d{11}", "tr.tckimlik", "t\\.?c\\.? ?kimlik|tckn"),
)

_NAMED = r"(?i:\b(?:{names})\b(?:[ .:#=-]{{0,3}}(?:nr|no|number|nummer)\b)?\.?[\"']?[ :#=]{{1,3}}[\"']?)"


def sources() -> list[str]:
    """Return one expression for each kind, with what stands before it; the same for RE2 and `re`."""
    return [(_NAMED.format(names=kind.names) if kind.names else "") + rf"\b(?:{kind.pattern})\b" for kind in IDS]


def masked(kind: IdKind, match: re.Match[str]) -> str:
    """Return what was found with its number masked, where the check digits (and the date in it) hold."""
    number = re.search(rf"(?:{kind.pattern})$", match[0])
    if number is None or not _is_valid(kind, number[0]):
        return match[0]
    return f"{match[0][: number.start()]}[national id]"


def _is_valid(kind: IdKind, text: str) -> bool:
    if not kind.module:
        return True
    checks = importlib.import_module(f"stdnum.{kind.module}")
    return bool(checks.is_valid(re.sub(r"\s", "", text)))
