"""What a new contract changes, and how far the change reaches: the whole comparison, and that of the dataset itself.

diff = changes_between(old, new)
if diff.level is ChangeLevel.BREAKING:
    ...
"""

from __future__ import annotations

from collections.abc import Iterator

from keelway.contract.change.columns import column_changes, renamed_columns
from keelway.contract.change.kinds import ChangeKind, ContractChange, ContractDiff, change_of
from keelway.contract.change.rules import rule_changes
from keelway.contract.contract import Contract, UnknownColumns


def changes_between(old: Contract, new: Contract) -> ContractDiff:
    """Return what a new contract changes, columns first, then rules, then the whole dataset."""
    renamed = renamed_columns(old, new)
    changes = (
        *column_changes(old, new, renamed),
        *rule_changes(old, new, renamed),
        *_reading_changes(old, new),
        *_header_changes(old, new, renamed),
        *_promise_changes(old, new),
    )
    levels = [change.level for change in changes]
    return ContractDiff(changes, max(levels, key=lambda level: level.rank) if levels else None)


def _reading_changes(old: Contract, new: Contract) -> Iterator[ContractChange]:
    for name in ("format", "delimiter", "quote", "encoding"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield change_of(ChangeKind.READING_CHANGED, "", f"{name} {before!r}", f"{name} {after!r}")
    if old.final_newline != new.final_newline:
        kind = ChangeKind.FILES_REFUSED if new.final_newline else ChangeKind.FILES_ADMITTED
        words = {True: "final newline required", False: "final newline optional"}
        yield change_of(kind, "", words[old.final_newline], words[new.final_newline])
    order = list(UnknownColumns)
    before, after = (order.index(each.unknown_columns) for each in (old, new))
    if before != after:
        kind = ChangeKind.FILES_REFUSED if after > before else ChangeKind.FILES_ADMITTED
        yield change_of(kind, "", f"unknown columns: {old.unknown_columns}", f"unknown columns: {new.unknown_columns}")


def _header_changes(old: Contract, new: Contract, renamed: dict[str, str]) -> Iterator[ContractChange]:
    """Yield what changes about the lines above the rows; without a header the order of the columns says it."""
    if old.has_header != new.has_header:
        words = {True: "header in the first line", False: "no header"}
        yield change_of(ChangeKind.READING_CHANGED, "", words[old.has_header], words[new.has_header])
    elif not new.has_header:
        before = [renamed.get(column.name, column.name) for column in old.columns]
        after = [column.name for column in new.columns]
        if before != after:
            told = (f"no header, columns {', '.join(names)}" for names in (before, after))
            yield change_of(ChangeKind.READING_CHANGED, "", *told)
    if old.skip_lines != new.skip_lines:
        told = (f"lines above that are passed over: {each.skip_lines}" for each in (old, new))
        yield change_of(ChangeKind.READING_CHANGED, "", *told)


def _promise_changes(old: Contract, new: Contract) -> Iterator[ContractChange]:
    before, after = old.stop_at_quarantined_share, new.stop_at_quarantined_share
    if before != after:
        kind = ChangeKind.STOP_SHARE_LOWERED if after < before else ChangeKind.STOP_SHARE_RAISED
        yield change_of(kind, "", f"{before:g}", f"{after:g}")
    if old.owner != new.owner:
        yield change_of(ChangeKind.OWNER_CHANGED, "", old.owner, new.owner)
    if old.max_age_s != new.max_age_s:
        younger = new.max_age_s is not None and (old.max_age_s is None or new.max_age_s < old.max_age_s)
        kind = ChangeKind.AGE_LOWERED if younger else ChangeKind.AGE_RAISED
        told = ["" if age is None else f"{age} s" for age in (old.max_age_s, new.max_age_s)]
        yield change_of(kind, "", *told)
    if old.retention_days != new.retention_days:
        longer = new.retention_days is not None and new.retention_days > (old.retention_days or 0)
        kind = ChangeKind.RETENTION_LENGTHENED if longer else ChangeKind.RETENTION_SHORTENED
        told = ["" if days is None else f"{days} days" for days in (old.retention_days, new.retention_days)]
        yield change_of(kind, "", *told)
