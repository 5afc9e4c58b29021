"""Turns declared answers into a risk tier, by rules that each name the article they rest on; docs/risk.md lists them.

The tier is the worst that any rule gives: unacceptable, high, limited, minimal. Rules called `house` are not law: they
keep a model that can do great harm from being treated like one that cannot. This is an aid to people who judge, and no
legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from keelway.project import AnnexIII, Exemption, Prohibited, Transparency

if TYPE_CHECKING:
    from keelway.project import Risk

RiskTier = Literal["minimal", "limited", "high", "unacceptable"]
TIERS: tuple[RiskTier, ...] = get_args(RiskTier)
"""From the mildest to the worst."""


@dataclass(frozen=True, slots=True)
class RiskReason:
    """Why a tier is at least this.

    Attributes:
        tier: What the rule gives.
        rule: What it found, as a sentence without a full stop.
        reference: The article of Regulation (EU) 2024/1689, or `house` for a rule of our own.
    """

    tier: RiskTier
    rule: str
    reference: str


def tier_by_rules(risk: Risk) -> tuple[RiskTier, tuple[RiskReason, ...]]:
    """Return the tier of declared answers and every reason for it, the worst first."""
    reasons = sorted(
        [*_prohibited(risk), *_high(risk), *_limited(risk), *_house(risk)], key=lambda one: -TIERS.index(one.tier)
    )
    if not reasons:
        reasons = [RiskReason("minimal", "no rule gives more", "Article 95")]
    return reasons[0].tier, tuple(reasons)


def _prohibited(risk: Risk) -> Iterator[RiskReason]:
    order = get_args(Prohibited)
    for each in risk.prohibited:
        letter = "abcdefgh"[order.index(each)]
        yield RiskReason(
            "unacceptable", f"it is part of a prohibited practice: {_words(each)}", f"Article 5(1)({letter})"
        )


def _high(risk: Risk) -> Iterator[RiskReason]:
    if risk.product_safety:
        yield RiskReason(
            "high", "it is a product or safety component that is assessed by a third party", "Article 6(1)"
        )
    order = get_args(AnnexIII)
    for area in risk.annex_iii:
        point = f"Annex III, point {order.index(area) + 1}"
        if risk.profiles_persons:
            yield RiskReason("high", f"it profiles natural persons in {_words(area)}", f"Article 6(3), {point}")
        elif not risk.exemption:
            yield RiskReason("high", f"it is used in {_words(area)}", f"Article 6(2), {point}")


def _limited(risk: Risk) -> Iterator[RiskReason]:
    order = get_args(Transparency)
    for each in risk.transparency:
        yield RiskReason("limited", f"people have to be told: {_words(each)}", f"Article 50({order.index(each) + 1})")
    if risk.exemption and not risk.profiles_persons:
        letter = "abcd"[get_args(Exemption).index(risk.exemption) - 1]
        rule = f"it is exempted from high risk ({_words(risk.exemption)}), which has to be documented and registered"
        yield RiskReason("limited", rule, f"Article 6(3)({letter}) and 6(4)")


def _house(risk: Risk) -> Iterator[RiskReason]:
    if risk.affected and risk.severity == "critical":
        yield RiskReason("high", "a wrong answer can be critical for a person", "house")
    if risk.affected and risk.severity == "serious" and risk.reversibility == "irreversible":
        yield RiskReason("high", "a wrong answer can do serious harm that nobody can undo", "house")
    if risk.affected and risk.severity == "serious" and risk.oversight == "none":
        yield RiskReason("high", "a wrong answer can do serious harm, and nobody watches", "house")
    sensitive = [each for each in risk.data if each in ("special_category", "health", "children")]
    if sensitive:
        yield RiskReason("limited", f"it uses sensitive data: {', '.join(map(_words, sensitive))}", "house")
    if risk.affected and risk.severity == "serious":
        yield RiskReason("limited", "a wrong answer can do serious harm", "house")


def _words(key: str) -> str:
    return key.replace("_", " ")
