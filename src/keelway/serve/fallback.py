"""What answers when the version that should answer cannot: declared, tried in its order, and marked in every answer.

    previous            the version that was stable before; for a canary, the stable one
    baseline:churn:1    a version by name, such as a plain logistic regression
    constant:0.05       one number: a probability, or a regression's value

An answer of one of these carries its mark, `"fallback": "previous:churn:3"`, and is logged and counted under the arm
`fallback:previous:churn:3`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keelway.core import VersionName, split_version
from keelway.errors import KeelwayError, SettingsError

if TYPE_CHECKING:
    from keelway.features import FeatureColumn

ARM = "fallback:"


@dataclass(frozen=True, slots=True)
class Fallback:
    """One link of the chain.

    Attributes:
        version: The version of a baseline; None otherwise.
        value: The number of a constant.
    """

    kind: Literal["previous", "baseline", "constant"]
    version: VersionName | None = None
    value: float = 0.0

    def mark(self, version: VersionName) -> str:
        """Return what an answer is marked with that a version gave in another's place."""
        return f"constant:{self.value:g}" if self.kind == "constant" else f"{self.kind}:{version}"


def parse_fallback(text: str) -> Fallback:
    """Return a link as it is written in `keelway.toml`.

    Raises:
        SettingsError: It is none.
    """
    kind, _, rest = text.partition(":")
    if text == "previous":
        return Fallback("previous")
    try:
        if kind == "baseline":
            split_version(rest)
            return Fallback("baseline", VersionName(rest))
        value = float(rest) if kind == "constant" else math.nan
    except (KeelwayError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(
            "A fallback is none", expected="previous, baseline:MODEL:NUMBER or constant:NUMBER", found=text
        )
    return Fallback("constant", value=value)


class ConstantScorer:
    """Answers every row with one number.

    Args:
        like: The scorer in whose place it answers; it takes the same rows.
    """

    def __init__(self, value: float, *, like: Any) -> None:
        self.features: Sequence[FeatureColumn] = like.features
        self.task = like.task
        self.classes: tuple[str, ...] = like.classes
        self._value = value

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the number for each row."""
        return [self._value] * len(rows)
