"""Card: what only people can say of a model. Everything else that its model card says is told by the evidence.

Card(license="apache-2.0", intended_use="Who to call before they leave.", contact="shop-data@example.org")
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keelway.errors import ProjectError


@dataclass(frozen=True, slots=True)
class Card:
    """What people say of a model. What is left empty is shown as a gap on its card; nothing here changes the model.

    Attributes:
        summary: What the model does, in a sentence or two.
        license: An SPDX-like identifier in small letters, such as `apache-2.0`; `other` needs a name and a link.
        license_name: What the licence is called, where it is `other`.
        license_link: Where it can be read, where it is `other`.
        language: Codes of the natural languages of the texts it reads, such as `en`.
        tags: More tags for the card's metadata.
        developed_by: Who made it; the author of the version without.
        repository: Where its code is kept.
        intended_use: What it is for, who uses it, and whom it affects.
        downstream_use: What it may be built into.
        out_of_scope: What it must not be used for.
        limitations: Where it fails, and whom that harms.
        recommendations: What its users should do about that.
        hardware: What it was trained on.
        emissions_g: Grams of CO2 equivalent that training cost; None where nobody measured.
        emissions_source: How they were measured.
        citation: How to cite it.
        contact: Whom to ask.

    Raises:
        ProjectError: A licence `other` has no name and link, or emissions are no number of 0 or more.
    """

    summary: str = ""
    license: str = ""
    license_name: str = ""
    license_link: str = ""
    language: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    developed_by: str = ""
    repository: str = ""
    intended_use: str = ""
    downstream_use: str = ""
    out_of_scope: str = ""
    limitations: str = ""
    recommendations: str = ""
    hardware: str = ""
    emissions_g: float | None = None
    emissions_source: str = ""
    citation: str = ""
    contact: str = ""

    def __post_init__(self) -> None:
        for name in ("language", "tags"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if self.license == "other" and not (self.license_name and self.license_link):
            raise ProjectError(
                "A licence of its own needs a name and a link",
                expected="license_name and license_link",
                found="license='other' alone",
            )
        if self.emissions_g is not None and not 0 <= self.emissions_g < math.inf:
            raise ProjectError("Wrong emissions_g", expected="grams, 0 or more", found=str(self.emissions_g))
