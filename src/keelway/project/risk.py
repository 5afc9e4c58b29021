"""Risk: what people answer about the harm a model can do; promote/risk_rules.py turns the answers into a tier.

Every question has to be answered: an empty tuple says "none of these", and nothing is taken for granted.

Risk(
    owner="user:olga", prohibited=(), product_safety=False, annex_iii=("employment",), exemption="",
    profiles_persons=True, transparency=("interacts_with_people",), affected=("applicants",), severity="serious",
    reversibility="hard", scale="thousands", data=("personal",), oversight="decides",
    oversight_how="A recruiter reads every application and may ignore the score.",
)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from keelway.core import parse_duration
from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Prohibited = Literal[
    "manipulation",
    "exploits_vulnerability",
    "social_scoring",
    "predicts_crime_by_profiling",
    "scrapes_faces",
    "infers_emotions_at_work_or_school",
    "categorises_by_biometrics",
    "identifies_remotely_in_public",
]
"""The practices of Article 5(1)(a) to (h) of Regulation (EU) 2024/1689, in that order."""

AnnexIII = Literal[
    "biometrics",
    "critical_infrastructure",
    "education",
    "employment",
    "essential_services",
    "law_enforcement",
    "migration",
    "justice_and_democracy",
]
"""The areas of Annex III, points 1 to 8, in that order."""

Exemption = Literal["", "narrow_task", "improves_human_work", "detects_patterns", "prepares"]
"""Why a use in an area of Annex III is no high risk: Article 6(3)(a) to (d), in that order."""

Transparency = Literal["interacts_with_people", "generates_content", "reads_emotions_or_biometrics", "deep_fakes"]
"""What Article 50(1) to (4) ask people to be told of, in that order."""

Severity = Literal["negligible", "limited", "serious", "critical"]
Reversibility = Literal["easy", "hard", "irreversible"]
Scale = Literal["few", "hundreds", "thousands", "millions"]
DataClass = Literal["personal", "special_category", "health", "financial", "children"]
Oversight = Literal["decides", "can_stop", "none"]
"""A person decides each case, a person watches and can stop it, or nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """What people answer about the harm that a model can do. It changes nothing of the model.

    Attributes:
        owner: Who answers for the model: a principal, or a role people know.
        prohibited: Which practices of Article 5 of the EU AI Act it is part of.
        product_safety: Whether it is a product, or a safety component of one, that Annex I has assessed by a third party.
        annex_iii: Which areas of Annex III it is used in.
        exemption: Which condition of Article 6(3) takes it out of high risk; empty for none.
        profiles_persons: Whether it profiles natural persons, which no exemption covers.
        transparency: Which duties of Article 50 to tell people it falls under.
        affected: Who is affected by its answers; empty where nobody is.
        severity: How bad a wrong answer can be for one of them.
        reversibility: How well it can be undone.
        scale: How many of them there are.
        data: Which classes of data it is trained on or asked with.
        oversight: What a person has to do with its answers.
        oversight_how: Who that is, and by what means.
        review_every: How long an assessment of these answers holds, such as `365d`.
        notes: What an assessor should know besides.

    Raises:
        ProjectError: An answer is not one of those offered, or answers contradict each other.
    """

    owner: str
    prohibited: tuple[Prohibited, ...]
    product_safety: bool
    annex_iii: tuple[AnnexIII, ...]
    profiles_persons: bool
    transparency: tuple[Transparency, ...]
    affected: tuple[str, ...]
    severity: Severity
    reversibility: Reversibility
    scale: Scale
    data: tuple[DataClass, ...]
    oversight: Oversight
    oversight_how: str
    exemption: Exemption = ""
    review_every: str = field(default="365d")
    notes: str = ""

    def __post_init__(self) -> None:
        lists = {"prohibited": Prohibited, "annex_iii": AnnexIII, "transparency": Transparency, "data": DataClass}
        for name, choices in lists.items():
            given = getattr(self, name)
            for each in _texts(given):
                check_choice(each, get_args(choices), what=f"answer to {name}")
            order = get_args(choices)
            object.__setattr__(self, name, tuple(sorted(set(_texts(given)), key=order.index)))
        object.__setattr__(self, "affected", _texts(self.affected))
        singles = {
            "exemption": Exemption,
            "severity": Severity,
            "reversibility": Reversibility,
            "scale": Scale,
            "oversight": Oversight,
        }
        for name, choices in singles.items():
            check_choice(getattr(self, name), get_args(choices), what=f"answer to {name}")
        _check_sense(self)

    @property
    def review_time(self) -> timedelta:
        """How long an assessment of these answers holds."""
        return parse_duration(self.review_every)


def _texts(given: Any) -> tuple[str, ...]:
    """Return several texts, of which a single one may stand alone."""
    return (given,) if isinstance(given, str) else tuple(given)


def _check_sense(risk: Risk) -> None:
    """Refuse answers that are missing or contradict each other."""
    for name in ("product_safety", "profiles_persons"):
        if not isinstance(getattr(risk, name), bool):
            raise ProjectError(
                f"{name} is answered by yes or no", expected="True or False", found=repr(getattr(risk, name))
            )
    if not risk.owner.strip():
        raise ProjectError("A risk needs an owner", expected="who answers for the model", found="empty text")
    if risk.oversight != "none" and not risk.oversight_how.strip():
        raise ProjectError(
            "Human oversight needs a how", expected="oversight_how: who, and by what means", found="empty text"
        )
    if risk.exemption and not risk.annex_iii:
        raise ProjectError(
            "An exemption exempts from nothing", expected="an area in annex_iii", found=f"exemption={risk.exemption!r}"
        )
    if risk.review_time <= timedelta(0):
        raise ProjectError("An assessment has to hold for some time", expected="such as 365d", found=risk.review_every)
