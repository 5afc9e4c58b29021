"""Reads the one operator of an ODCS quality rule (`mustBe`, `mustBeLessThan`, ...) as bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keelway.contract.odcs.document import NOT_CHECKED, Place

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality

    from keelway.contract.contract import Rule

OPERATORS = (
    "mustBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo", "mustBeBetween",
)  # fmt: skip
REFUSED = ("mustNotBe", "mustNotBeBetween")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number must lie within.

    Attributes:
        exclusive: Whether the bound itself is refused.
        broken: What is told of a number that does not, such as `not below 5`.
    """

    minimum: str | None
    maximum: str | None
    exclusive: bool
    broken: str

    @property
    def none_at_all(self) -> bool:
        """Whether a count must be 0, so that each row by itself breaks the rule or does not."""
        return self.maximum == "0" and not self.exclusive

    def on(self, rule: Rule) -> Rule:
        """Return a rule with these bounds."""
        return replace(rule, minimum=self.minimum, maximum=self.maximum, exclusive=self.exclusive)


def bounds_of(rule: DataQuality, place: Place, *, none: bool = False) -> Bounds:
    """Return the bounds of a rule; one with `none` has no operator, as it is true or false by itself.

    Raises:
        ContractError: There is no operator, more than one, one that is not checked, or no number.
    """
    given = [name for name in (*OPERATORS, *REFUSED) if getattr(rule, name) is not None]
    for name in given:
        if name in REFUSED:
            raise place.wrong(name, ", ".join(OPERATORS), name, NOT_CHECKED)
    if none:
        if given:
            raise place.wrong(given[0], "no operator beside a condition", given[0])
        return Bounds(None, None, exclusive=False, broken="")
    if len(given) != 1:
        raise place.wrong("mustBe", f"one of {', '.join(OPERATORS)}", " and ".join(given) or "none")
    return _bounds(given[0], getattr(rule, given[0]), place)


def _bounds(operator: str, value: object, place: Place) -> Bounds:
    if operator == "mustBeBetween":
        assert isinstance(value, list)  # of two numbers, as the model of ODCS has seen
        low, high = (_number(item, operator, place) for item in value)
        if float(low) > float(high):
            raise place.wrong(operator, "the lower number first", f"{low}, {high}")
        return Bounds(low, high, exclusive=False, broken=f"not between {low} and {high}")
    number = _number(value, operator, place)
    return {
        "mustBe": Bounds(number, number, exclusive=False, broken=f"not {number}"),
        "mustBeGreaterThan": Bounds(number, None, exclusive=True, broken=f"not above {number}"),
        "mustBeGreaterOrEqualTo": Bounds(number, None, exclusive=False, broken=f"below {number}"),
        "mustBeLessThan": Bounds(None, number, exclusive=True, broken=f"not below {number}"),
        "mustBeLessOrEqualTo": Bounds(None, number, exclusive=False, broken=f"above {number}"),
    }[operator]


def _number(value: object, operator: str, place: Place) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise place.wrong(operator, "a number", f"{value!r:.80}")
    return f"{value:g}" if float(value).is_integer() and abs(value) < 1e6 else str(value)
