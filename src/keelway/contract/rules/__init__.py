"""The rules of a contract as Ibis expressions, the same on every engine."""

from keelway.contract.rules.distribution import bins_of, psi
from keelway.contract.rules.expressions import ROW_RULES, rules_asked, violations
from keelway.contract.rules.judge import judge, within
from keelway.contract.rules.patterns import spelled
from keelway.contract.rules.queries import NUMBER, number_of

__all__ = [
    "NUMBER",
    "ROW_RULES",
    "bins_of",
    "judge",
    "number_of",
    "psi",
    "rules_asked",
    "spelled",
    "violations",
    "within",
]
