"""Contract: what a dataset's files must look like, and which faults may be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keelway.core import Digest


class Severity(StrEnum):
    """What happens where a rule is broken, mildest first."""

    WARN = "warn"
    """The row is kept; the break is counted and told."""
    ROW = "quarantine row"
    FILE = "quarantine file"
    STOP = "stop"
    """Nothing of the batch is loaded."""


class RuleKind(StrEnum):
    """What a rule asks, by what it has to look at."""

    REQUIRED = "required"
    TYPE = "type"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    MIN_LENGTH = "min_length"
    MAX_LENGTH = "max_length"
    PATTERN = "pattern"
    ALLOWED = "allowed"
    EXPRESSION = "expression"
    """A condition over the columns of one row, as a SQL expression that must not be false."""
    UNIQUE = "unique"
    """No other row of the dataset, in this batch or an earlier one, has these values."""
    REFERENCE = "reference"
    """The values stand in another dataset's newest version."""
    FUNCTIONAL_DEPENDENCY = "functional_dependency"
    """Rows of the batch that are equal in all columns but the last (the determinant) are equal in it (the dependent)."""
    ROW_COUNT = "row_count"
    FRESHNESS = "freshness"
    DISTRIBUTION = "distribution"
    """The column's PSI against the version before is at most `maximum`."""
    SQL = "sql"
    """A query over the batch (`{object}` is its table) whose one number lies within the bounds."""


class PiiClass(StrEnum):
    """How far a column names a person; decides what becomes of it before anything is kept."""

    NONE = ""
    SUBJECT = "subject"
    """The person's own identifier, by which erasure is asked for: kept as a token."""
    DIRECT = "direct"
    """Names a person by itself (name, e-mail, phone, card): kept as a token."""
    DROP = "drop"
    """Never kept: the column is empty in every version."""


class UnknownColumns(StrEnum):
    """What happens to a file with a column that the contract does not know."""

    IGNORE = "ignore"
    QUARANTINE = "quarantine"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, its rules, and the repairs that are allowed.

    Attributes:
        name: The name in the snapshot.
        kind: `string`, `integer`, `number`, `boolean`, `date` or `timestamp`.
        formats: strptime formats that are accepted besides ISO 8601; reading by one is a repair.
        minimum: Lowest value, as the contract writes it (a number, or an ISO date).
        exclusive_minimum: Whether `minimum` itself is refused.
        pattern: RE2 expression that a part of the value must match.
        classification: How sensitive it is, in the owner's words, such as `restricted`.
        pii: Whether and how it names a person.
        token_format: `digits` keeps the token's length and makes it of digits only; empty makes it `tok_...`.
        aliases: Other names a file may use for it; reading by one is a repair.
        trim: Cut white space at both ends.
        strip: Texts that are removed wherever they stand, such as a currency sign.
        decimal_comma: Read `1.234,50` as 1234.5.
        missing: Texts that mean "no value", besides the empty text.
        default: Fills a missing value; None leaves it missing.
        multiply_by: Converts the unit: a number is multiplied by it once it is read; None leaves it.
        time_zone: IANA zone of timestamps that are written without an offset; empty is UTC.
    """

    name: str
    kind: str
    required: bool = False
    unique: bool = False
    formats: tuple[str, ...] = ()
    minimum: str | None = None
    maximum: str | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    allowed: tuple[str, ...] = ()
    classification: str = ""
    pii: PiiClass = PiiClass.NONE
    token_format: str = ""
    aliases: tuple[str, ...] = ()
    trim: bool = False
    strip: tuple[str, ...] = ()
    decimal_comma: bool = False
    missing: tuple[str, ...] = ()
    default: str | None = None
    multiply_by: float | None = None
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One question that a contract asks of rows, of a set of rows or of a whole batch.

    Attributes:
        columns: The columns it is about; empty for the whole batch. Of a functional dependency the last one is the
            dependent, and those before it are the determinant.
        reason: What is told of a row or batch that breaks it, such as `amount: below 0`.
        minimum: Lowest value, length, count, or result, as the contract writes it; None for no bound.
        maximum: Highest value, length, count, age in seconds, PSI, or result; None for no bound.
        exclusive: Whether the bound itself is refused.
        text: The pattern, the expression or the query.
        allowed: The allowed values.
        dataset: The dataset referred to, with its columns in `references`.
    """

    kind: RuleKind
    columns: tuple[str, ...]
    reason: str
    severity: Severity = Severity.ROW
    minimum: str | None = None
    maximum: str | None = None
    exclusive: bool = False
    text: str = ""
    allowed: tuple[str, ...] = ()
    dataset: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one dataset, as it was read from ODCS YAML.

    Attributes:
        version: The contract's own version.
        columns: In the order of the snapshot.
        rules: Every question asked, those that stand in the columns included, in the order of the columns.
        owner: Who answers for the data.
        max_age_s: How old the youngest row may be (the service level `latency`), in seconds; None for no promise.
        retention_days: How long versions are kept (the service level `retention`), in days; None for no promise.
        key: Columns that together name a row; a repeated key is quarantined.
        unknown_columns: What happens to files with columns not named here.
        stop_at_quarantined_share: The load stops when more than this share of a batch's rows is quarantined.
        final_newline: Whether the last line needs a line end; without one it may be cut off, so it is quarantined.
        format: `csv`, `jsonl` or `parquet`; empty goes by the file's name (`.csv`, `.jsonl`, `.parquet`, with `.gz`
            or `.zst` after it).
        quote: The quoting character; empty for none.
        has_header: Whether a CSV file names its columns; without names they come in the order of `columns`, but for
            those that the partitions in the file's name give.
        skip_lines: Lines above the header, or else above the first row, of a CSV file that are passed over.
        source: Digest of the YAML text, which is stored as an artifact.
        text: The YAML text itself.
    """

    dataset: str
    contract_id: str
    version: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    key: tuple[str, ...]
    unknown_columns: UnknownColumns
    stop_at_quarantined_share: float
    format: str
    delimiter: str
    quote: str
    encoding: str
    final_newline: bool
    owner: str
    max_age_s: int | None
    source: Digest
    text: str
    retention_days: int | None = None
    has_header: bool = True
    skip_lines: int = 0

    @property
    def pii_columns(self) -> tuple[Column, ...]:
        """The columns that name a person."""
        return tuple(column for column in self.columns if column.pii)

    def column(self, name: str) -> Column | None:
        """Return a column by its name in the snapshot, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def column_named_in_file(self, header: str) -> Column | None:
        """Return the column that a header names, by its own name or by an alias, or None."""
        own = self.column(header)
        return own or next((column for column in self.columns if header in column.aliases), None)
