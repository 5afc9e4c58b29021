"""Reads the `relationships` of an ODCS schema: values of a column that must stand in another dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.contract.contract import Rule, RuleKind
from keelway.contract.odcs.document import NOT_CHECKED, Place, Properties
from keelway.contract.odcs.severity import row_severity

if TYPE_CHECKING:
    from open_data_contract_standard.model import Relationship

_FULL_NAME = re.compile(r"/?schema/(?P<dataset>[^/]+)/properties/(?P<column>[^/]+)")


def references(relations: list[Relationship], columns: tuple[str, ...], dataset: str, place: Place) -> Iterator[Rule]:
    """Yield the rules that values stand in another dataset.

    Args:
        columns: The column that the relationships stand at; empty where they stand at the schema and name their own.

    Raises:
        ContractError: A relationship is no foreign key into another dataset.
    """
    for relation in relations:
        at = place.at("relationships")
        if relation.type not in (None, "foreignKey"):
            raise at.wrong("type", "foreignKey", str(relation.type), NOT_CHECKED)
        own = Properties(relation.customProperties, ("severity",), at)
        there = [_target(name, at) for name in _listed(relation.to)]
        here = columns or tuple(_own_column(name, dataset, at) for name in _listed(relation.from_))
        others = {name for name, _ in there}
        if len(others) != 1 or others == {dataset}:
            raise at.wrong("to", "columns of one other dataset", ", ".join(sorted(others)) or "nothing")
        if len(here) != len(there):
            raise at.wrong("to", f"{len(here)} columns, one for each that refers", str(len(there)))
        (other,) = others
        yield Rule(
            RuleKind.REFERENCE,
            here,
            f"{', '.join(here)}: not in {other}",
            severity=row_severity(own.text("severity") or None, at),
            dataset=other,
            references=tuple(name for _, name in there),
        )


def _listed(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or [])


def _target(name: str, place: Place) -> tuple[str, str]:
    """Return the dataset and the column that a relationship refers to."""
    full = _FULL_NAME.fullmatch(name)
    dataset, _, column = (full["dataset"], "", full["column"]) if full else name.partition(".")
    if not dataset or not column or "." in column or "#" in name:
        raise place.wrong("to", "dataset.column of this project", name)
    return dataset, column


def _own_column(name: str, dataset: str, place: Place) -> str:
    if "." not in name and "/" not in name:
        return name
    own, column = _target(name, place)
    if own != dataset:
        raise place.wrong("from", f"columns of {dataset}", name)
    return column
