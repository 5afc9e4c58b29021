"""What a new contract changes in single columns: names, types, repairs and PII classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keelway.contract.change.kinds import ChangeKind, ContractChange, change_of
from keelway.contract.contract import Column, Contract

NUMERIC = ("integer", "number")
WIDER_TYPES = frozenset({("integer", "number"), ("date", "timestamp")})
"""Types whose every value the second one can hold with the same meaning."""
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE")


def renamed_columns(old: Contract, new: Contract) -> dict[str, str]:
    """Return the old names that are gone but live on as an alias, and the new names of those columns."""
    names = {column.name for column in old.columns}
    renamed: dict[str, str] = {}
    for column in old.columns:
        if new.column(column.name) is None:
            heir = next((each for each in new.columns if column.name in each.aliases and each.name not in names), None)
            if heir is not None and heir.name not in renamed.values():
                renamed[column.name] = heir.name
    return renamed


def column_changes(old: Contract, new: Contract, renamed: dict[str, str]) -> Iterator[ContractChange]:
    """Yield the changes of single columns, in the order of the old contract, then the new columns."""
    for column in old.columns:
        now = new.column(renamed.get(column.name, column.name))
        if now is None:
            yield change_of(ChangeKind.COLUMN_REMOVED, column.name, column.kind)
            continue
        if now.name != column.name:
            yield change_of(ChangeKind.COLUMN_RENAMED, column.name, column.name, now.name)
            now = replace(now, aliases=tuple(alias for alias in now.aliases if alias != column.name))
        yield from _type_changes(column, now)
        yield from _reading_changes(column, now)
        yield from _value_changes(column, now)
        yield from _privacy_changes(column, now)
    yield from _added(old, new, renamed)
    yield from _reordered(old, new, renamed)


def _added(old: Contract, new: Contract, renamed: dict[str, str]) -> Iterator[ContractChange]:
    for column in new.columns:
        if old.column(column.name) is None and column.name not in renamed.values():
            kind = ChangeKind.OPTIONAL_COLUMN_ADDED
            if column.required:
                has_default = column.default is not None
                kind = ChangeKind.DEFAULTED_COLUMN_ADDED if has_default else ChangeKind.REQUIRED_COLUMN_ADDED
            yield change_of(kind, column.name, "", column.kind)


def _reordered(old: Contract, new: Contract, renamed: dict[str, str]) -> Iterator[ContractChange]:
    now = [column.name for column in new.columns]
    before = [renamed.get(column.name, column.name) for column in old.columns]
    kept = [name for name in before if name in now]
    order = [name for name in now if name in kept]
    if kept != order:
        yield change_of(ChangeKind.COLUMNS_REORDERED, "", ", ".join(kept), ", ".join(order))


def _type_changes(old: Column, new: Column) -> Iterator[ContractChange]:
    if old.kind != new.kind:
        kind = ChangeKind.TYPE_WIDENED if (old.kind, new.kind) in WIDER_TYPES else ChangeKind.TYPE_CHANGED
        yield change_of(kind, old.name, old.kind, new.kind)


def _reading_changes(old: Column, new: Column) -> Iterator[ContractChange]:
    """Yield what changes in how a header or a date is understood."""
    for alias in new.aliases:
        if alias not in old.aliases:
            yield change_of(ChangeKind.ALIAS_ADDED, old.name, "", alias)
    for alias in old.aliases:
        if alias not in (*new.aliases, new.name):
            yield change_of(ChangeKind.ALIAS_REMOVED, old.name, alias)
    if old.formats != new.formats:
        appended = new.formats[: len(old.formats)] == old.formats
        kind = ChangeKind.FORMAT_ADDED if appended else ChangeKind.FORMAT_CHANGED
        yield change_of(kind, old.name, ", ".join(old.formats), ", ".join(new.formats))


def _value_changes(old: Column, new: Column) -> Iterator[ContractChange]:
    """Yield what changes in how a text becomes a value."""
    switches = {"trim": new.kind != "string", "decimal_comma": True}
    for name, only_reads_more in switches.items():
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            kind = ChangeKind.REPAIR_ADDED if after and only_reads_more else ChangeKind.REPAIR_CHANGED
            yield change_of(kind, old.name, _switched(name, on=before), _switched(name, on=after))
    for name, harmless in (("strip", _stripping_is_harmless), ("missing", _missing_is_harmless)):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            grown = before == after[: len(before)]
            mild = grown and all(harmless(text, new) for text in after[len(before) :])
            kind = ChangeKind.REPAIR_ADDED if mild else ChangeKind.REPAIR_CHANGED
            yield change_of(kind, old.name, _listed(name, before), _listed(name, after))
    if old.default != new.default:
        yield change_of(ChangeKind.DEFAULT_CHANGED, old.name, old.default or "", new.default or "")
    if (old.multiply_by or 1.0) != (new.multiply_by or 1.0):
        told = [f"x {column.multiply_by or 1:g}" for column in (old, new)]
        yield change_of(ChangeKind.UNIT_CHANGED, old.name, *told)
    if (old.time_zone or "UTC") != (new.time_zone or "UTC"):
        yield change_of(ChangeKind.TIME_ZONE_CHANGED, old.name, old.time_zone or "UTC", new.time_zone or "UTC")


def _privacy_changes(old: Column, new: Column) -> Iterator[ContractChange]:
    if old.pii != new.pii:
        yield change_of(ChangeKind.PII_CHANGED, old.name, old.pii or "none", new.pii or "none")
    if old.token_format != new.token_format:
        yield change_of(ChangeKind.TOKEN_FORMAT_CHANGED, old.name, old.token_format, new.token_format)
    if old.classification != new.classification:
        yield change_of(ChangeKind.CLASSIFICATION_CHANGED, old.name, old.classification, new.classification)


def _switched(name: str, *, on: bool) -> str:
    return f"{name} {'on' if on else 'off'}"


def _listed(name: str, texts: tuple[str, ...]) -> str:
    return f"{name} {', '.join(map(repr, texts))}" if texts else ""


def _stripping_is_harmless(text: str, column: Column) -> bool:
    """Return whether a number that was read without cutting the text is read the same with it cut."""
    return column.kind in NUMERIC and not _NUMBER_CHARACTERS & set(text)


def _missing_is_harmless(text: str, column: Column) -> bool:
    """Return whether a text that now means "no value" was refused until now."""
    return column.kind in NUMERIC and not set(text) <= _NUMBER_CHARACTERS
