"""The kinds of change between two contracts, and how far each reaches: additive, widening or breaking.

Every kind of change has its level in one written table, `LEVELS`, with the reason beside it. The level is chosen for
the readers of a dataset's versions (feature sets, models, people) and for the feeds that were good until now:

- additive: whoever reads the versions sees the same values as before, of the same meaning; there may be more of them;
- widening: values may come that never came before, each of a meaning that is known;
- breaking: a name goes, a value means something else, or rows that were kept are kept out.

A difference counts only where the data can be another: a new version number or a reason in other words is no change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeLevel(StrEnum):
    """How far a change reaches, mildest first."""

    ADDITIVE = "additive"
    WIDENING = "widening"
    BREAKING = "breaking"

    @property
    def rank(self) -> int:
        """0 for the mildest level; a higher number reaches farther."""
        return list(ChangeLevel).index(self)


class ChangeKind(StrEnum):
    """What changed, in the words of `docs/schema-changes.md`."""

    OPTIONAL_COLUMN_ADDED = "optional column added"
    DEFAULTED_COLUMN_ADDED = "required column with a default added"
    REQUIRED_COLUMN_ADDED = "required column added"
    COLUMN_REMOVED = "column removed"
    COLUMN_RENAMED = "column renamed"
    COLUMNS_REORDERED = "columns reordered"
    TYPE_WIDENED = "type widened"
    TYPE_CHANGED = "type narrowed or changed"
    RULE_ADDED = "rule added"
    RULE_TIGHTENED = "rule tightened"
    RULE_LOOSENED = "rule loosened"
    RULE_REMOVED = "rule removed"
    RULE_REWRITTEN = "rule rewritten"
    UNIQUENESS_DROPPED = "uniqueness dropped"
    VALUE_ADDED = "allowed value added"
    VALUE_REMOVED = "allowed value removed"
    SEVERITY_RAISED = "severity raised"
    SEVERITY_LOWERED = "severity lowered"
    WARNING_CHANGED = "warning added, changed or removed"
    BATCH_RULE_ADDED = "rule on the batch added or tightened"
    BATCH_RULE_LOOSENED = "rule on the batch loosened, rewritten or removed"
    KEY_CHANGED = "key changed"
    PII_CHANGED = "PII class changed"
    TOKEN_FORMAT_CHANGED = "token format changed"
    CLASSIFICATION_CHANGED = "classification changed"
    ALIAS_ADDED = "alias added"
    ALIAS_REMOVED = "alias removed"
    FORMAT_ADDED = "date format added at the end"
    FORMAT_CHANGED = "date format removed or moved"
    REPAIR_ADDED = "repair added that only reads more"
    REPAIR_CHANGED = "repair changed that alters values"
    DEFAULT_CHANGED = "default changed"
    UNIT_CHANGED = "unit conversion changed"
    TIME_ZONE_CHANGED = "time zone changed"
    READING_CHANGED = "format, delimiter, quote, encoding or header changed"
    FILES_REFUSED = "more files refused"
    FILES_ADMITTED = "fewer files refused"
    STOP_SHARE_LOWERED = "stop share lowered"
    STOP_SHARE_RAISED = "stop share raised"
    OWNER_CHANGED = "owner changed"
    AGE_LOWERED = "promised age lowered or first promised"
    AGE_RAISED = "promised age raised or withdrawn"
    RETENTION_LENGTHENED = "retention lengthened or first promised"
    RETENTION_SHORTENED = "retention shortened or withdrawn"


_A, _W, _B = ChangeLevel.ADDITIVE, ChangeLevel.WIDENING, ChangeLevel.BREAKING
_K = ChangeKind
LEVELS: dict[ChangeKind, tuple[ChangeLevel, str]] = {
    _K.OPTIONAL_COLUMN_ADDED: (_A, "nobody reads it yet; earlier rows have no value in it"),
    _K.DEFAULTED_COLUMN_ADDED: (_A, "nobody reads it yet; files without it are filled"),
    _K.REQUIRED_COLUMN_ADDED: (_B, "files that were good until now are kept out"),
    _K.COLUMN_REMOVED: (_B, "whoever reads it fails"),
    _K.COLUMN_RENAMED: (_B, "whoever reads the old name fails, although files with it are still understood"),
    _K.COLUMNS_REORDERED: (_A, "columns are read by name"),
    _K.TYPE_WIDENED: (_W, "each old value fits the new type; fractions or times of day may come"),
    _K.TYPE_CHANGED: (_B, "old and new values do not compare, or rows that were kept are kept out"),
    _K.RULE_ADDED: (_B, "rows that were kept are kept out, and earlier rows may break the rule"),
    _K.RULE_TIGHTENED: (_B, "rows that were kept are kept out, and earlier rows may break the rule"),
    _K.RULE_LOOSENED: (_W, "values may come that never came before"),
    _K.RULE_REMOVED: (_W, "values may come that never came before"),
    _K.RULE_REWRITTEN: (_B, "nobody can tell by comparing the texts which rows are kept now"),
    _K.UNIQUENESS_DROPPED: (_B, "whoever joins on it counts rows twice"),
    _K.VALUE_ADDED: (_W, "a value may come that no model was trained on"),
    _K.VALUE_REMOVED: (_B, "rows that were kept are kept out, and earlier rows hold the value"),
    _K.SEVERITY_RAISED: (_B, "rows that were kept are kept out"),
    _K.SEVERITY_LOWERED: (_W, "rows are kept that were kept out"),
    _K.WARNING_CHANGED: (_A, "a warning keeps every row"),
    _K.BATCH_RULE_ADDED: (_A, "no row changes; a load may be held back"),
    _K.BATCH_RULE_LOOSENED: (_W, "loads that were held back come through"),
    _K.KEY_CHANGED: (_B, "a row stands for another thing, and joins on the old key count differently"),
    _K.PII_CHANGED: (_B, "a column holds tokens, names or nothing where it held something else"),
    _K.TOKEN_FORMAT_CHANGED: (_B, "the same person has another token"),
    _K.CLASSIFICATION_CHANGED: (_A, "a word for people; no value changes"),
    _K.ALIAS_ADDED: (_A, "more headers are understood; no value changes"),
    _K.ALIAS_REMOVED: (_B, "files with that header are no longer understood"),
    _K.FORMAT_ADDED: (_A, "only texts that were refused are read by it"),
    _K.FORMAT_CHANGED: (_B, "the same text may mean another day, or is refused"),
    _K.REPAIR_ADDED: (_A, "only texts that were refused are read by it"),
    _K.REPAIR_CHANGED: (_B, "the same text becomes another value, or is refused"),
    _K.DEFAULT_CHANGED: (_B, "a missing value becomes another value"),
    _K.UNIT_CHANGED: (_B, "the same text becomes another number"),
    _K.TIME_ZONE_CHANGED: (_B, "the same text becomes another moment"),
    _K.READING_CHANGED: (_B, "the same bytes may be other values, or nothing at all"),
    _K.FILES_REFUSED: (_B, "files that were taken are kept out"),
    _K.FILES_ADMITTED: (_W, "files are taken that were kept out"),
    _K.STOP_SHARE_LOWERED: (_A, "no row changes; a load may be held back"),
    _K.STOP_SHARE_RAISED: (_W, "loads that were held back come through"),
    _K.OWNER_CHANGED: (_A, "no value changes"),
    _K.AGE_LOWERED: (_A, "the data may only be fresher"),
    _K.AGE_RAISED: (_W, "the data may be older than readers were promised"),
    _K.RETENTION_LENGTHENED: (_A, "versions stay longer"),
    _K.RETENTION_SHORTENED: (_B, "versions that somebody counts on may go, and do not come back"),
}
"""Each kind of change, its level, and why it has that level."""


@dataclass(frozen=True, slots=True)
class ContractChange:
    """One difference between two contracts.

    Attributes:
        column: The column it is about, by its name in the old contract (a new column by its own); several joined
            by `, `; empty for the whole dataset.
        old: What the old contract says, or empty.
        new: What the new contract says, or empty.
    """

    column: str
    what: ChangeKind
    level: ChangeLevel
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class ContractDiff:
    """Everything a new contract changes; `level` is that of the farthest-reaching change, None without changes."""

    changes: tuple[ContractChange, ...]
    level: ChangeLevel | None

    def of_level(self, level: ChangeLevel) -> tuple[ContractChange, ...]:
        """Return the changes of one level."""
        return tuple(change for change in self.changes if change.level is level)


def change_of(what: ChangeKind, column: str = "", old: object = "", new: object = "") -> ContractChange:
    """Return a change with the level that the table gives its kind."""
    return ContractChange(column, what, LEVELS[what][0], str(old), str(new))
