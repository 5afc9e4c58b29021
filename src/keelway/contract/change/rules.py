"""What a new contract changes in its rules: each is paired with the rule that asks the same of the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from keelway.contract.change.kinds import ChangeKind, ContractChange, change_of
from keelway.contract.contract import Contract, Rule, RuleKind, Severity

BATCH_KINDS = (RuleKind.ROW_COUNT, RuleKind.FRESHNESS, RuleKind.DISTRIBUTION, RuleKind.SQL)
_WORDS = {
    RuleKind.MINIMUM: "minimum",
    RuleKind.MAXIMUM: "maximum",
    RuleKind.MIN_LENGTH: "shortest",
    RuleKind.MAX_LENGTH: "longest",
    RuleKind.ALLOWED: "one of",
}


def rule_changes(old: Contract, new: Contract, renamed: dict[str, str]) -> Iterator[ContractChange]:
    """Yield the changes of rules, key first; rules of columns that came or went belong to those columns."""
    keys = (tuple(renamed.get(name, name) for name in old.key), new.key)
    if keys[0] != keys[1]:
        yield change_of(ChangeKind.KEY_CHANGED, "", ", ".join(old.key), ", ".join(new.key))
    told = _told_by_columns(old, new, renamed)
    names = {now: was for was, now in renamed.items()}
    for was, now in _paired(_comparable(old, keys, renamed), _comparable(new, keys, {})):
        rule = was or now
        assert rule is not None
        if not rule.columns or not all(told & {(name, rule.kind), (name, None)} for name in rule.columns):
            column = ", ".join(names.get(name, name) for name in rule.columns)
            for kind in _kinds(was, now):
                yield change_of(kind, column, rule_text(was), rule_text(now))


def rule_text(rule: Rule | None) -> str:
    """Return a rule in a few words, such as `minimum 0 (quarantine row)`; empty for none.

    >>> rule_text(Rule(RuleKind.MINIMUM, ("age",), "age: below 0", minimum="0"))
    'minimum 0 (quarantine row)'
    """
    if rule is None:
        return ""
    if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY:
        return f"{rule.columns[-1]} follows from {', '.join(rule.columns[:-1])} ({rule.severity})"
    bounds = [text for text in (rule.minimum, rule.maximum) if text is not None]
    parts = [_WORDS.get(rule.kind, rule.kind.value), rule.text, rule.dataset, " to ".join(bounds)]
    parts += [", ".join(rule.allowed), "itself excluded" if rule.exclusive else "", f"({rule.severity})"]
    return " ".join(part for part in parts if part)


def _comparable(contract: Contract, keys: tuple[tuple[str, ...], ...], renamed: dict[str, str]) -> list[Rule]:
    """Return the rules in the new names and without their reasons; the key is compared by itself."""
    rules = [_in_new_names(rule, renamed) for rule in contract.rules]
    return [rule for rule in rules if rule.kind is not RuleKind.UNIQUE or rule.columns not in keys]


def _in_new_names(rule: Rule, renamed: dict[str, str]) -> Rule:
    """Return a rule in the new names, without its reason; in which order a determinant is written says nothing."""
    columns = tuple(renamed.get(name, name) for name in rule.columns)
    if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY:
        columns = (*sorted(columns[:-1]), columns[-1])
    return replace(rule, columns=columns, reason="")


def _told_by_columns(old: Contract, new: Contract, renamed: dict[str, str]) -> set[tuple[str, RuleKind | None]]:
    """Return the columns whose coming, going or change of type says all about their rules (None: of any kind)."""
    told: set[tuple[str, RuleKind | None]] = set()
    before = {renamed.get(column.name, column.name): column for column in old.columns}
    for name in before.keys() ^ {column.name for column in new.columns}:
        told.add((name, None))
    for column in new.columns:
        if column.name in before and before[column.name].kind != column.kind:
            told.add((column.name, RuleKind.TYPE))
    return told


def _paired(before: list[Rule], after: list[Rule]) -> Iterator[tuple[Rule | None, Rule | None]]:
    """Yield pairs of rules that differ; a rule without a partner is paired with None."""
    was_left = [rule for rule in before if rule not in after]
    now_left = [rule for rule in after if rule not in before]
    for was in was_left:
        partner = next((now for now in now_left if (now.kind, now.columns) == (was.kind, was.columns)), None)
        if partner is not None:
            now_left.remove(partner)
        yield was, partner
    for now in now_left:
        yield None, now


def _kinds(was: Rule | None, now: Rule | None) -> list[ChangeKind]:
    """Return what kinds of change lie between two rules that differ."""
    kind = (was or now).kind  # type: ignore[union-attr]  # one of the two is there
    if kind in BATCH_KINDS:
        return [_of_batch(was, now)]
    if not _binds(was) and not _binds(now):
        return [ChangeKind.WARNING_CHANGED]
    if kind is RuleKind.UNIQUE and not _binds(now):
        return [ChangeKind.UNIQUENESS_DROPPED]
    if was is None:
        return [ChangeKind.RULE_ADDED]
    if now is None:
        return [ChangeKind.RULE_REMOVED]
    found = _asked(was, now) if _binds(was) and _binds(now) else []
    if was.severity is not now.severity:
        found.append(ChangeKind.SEVERITY_RAISED if _rank(now) > _rank(was) else ChangeKind.SEVERITY_LOWERED)
    return found


def _of_batch(was: Rule | None, now: Rule | None) -> ChangeKind:
    if now is None or (was is not None and _rank(now) < _rank(was)):
        return ChangeKind.BATCH_RULE_LOOSENED
    if was is None or _asked(was, now) in ([], [ChangeKind.RULE_TIGHTENED]):
        return ChangeKind.BATCH_RULE_ADDED
    return ChangeKind.BATCH_RULE_LOOSENED


def _binds(rule: Rule | None) -> bool:
    """Return whether a rule keeps rows out."""
    return rule is not None and rule.severity is not Severity.WARN


def _rank(rule: Rule) -> int:
    return list(Severity).index(rule.severity)


def _asked(was: Rule, now: Rule) -> list[ChangeKind]:
    """Return what kinds of change lie between what two rules ask."""
    found = []
    if (was.text, was.dataset, was.references) != (now.text, now.dataset, now.references):
        found.append(ChangeKind.RULE_REWRITTEN)
    if set(was.allowed) - set(now.allowed):
        found.append(ChangeKind.VALUE_REMOVED)
    if set(now.allowed) - set(was.allowed):
        found.append(ChangeKind.VALUE_ADDED)
    moves = {_move(was, now, end) for end in ("minimum", "maximum")}
    found += [kind for kind in (ChangeKind.RULE_TIGHTENED, ChangeKind.RULE_LOOSENED) if kind in moves]
    return found


def _move(was: Rule, now: Rule, end: str) -> ChangeKind | None:
    """Return how one bound moved, or None where it stands."""
    before, after = _bound(was, end), _bound(now, end)
    if before == after:
        return None
    if after is None or before is None:
        return ChangeKind.RULE_LOOSENED if after is None else ChangeKind.RULE_TIGHTENED
    higher = after > before
    return ChangeKind.RULE_TIGHTENED if higher == (end == "minimum") else ChangeKind.RULE_LOOSENED


def _bound(rule: Rule, end: str) -> tuple[float, int] | None:
    """Return where a bound stands: its value, and which side of it when the value itself is refused."""
    text = getattr(rule, end)
    if text is None:
        return None
    side = 1 if end == "minimum" else -1
    return _number(text), side if rule.exclusive else 0


def _number(text: str) -> float:
    """Return a bound as a number that can be compared: a moment counts seconds."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
