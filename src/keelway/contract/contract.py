"""Contract: what a dataset's files must look like, and which faults may be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keelway.core import Digest


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
        pii: The classification, such as `restricted`; empty for none.
        aliases: Other names a file may use for it; reading by one is a repair.
        trim: Cut white space at both ends.
        strip: Texts that are removed wherever they stand, such as a currency sign.
        decimal_comma: Read `1.234,50` as 1234.5.
        missing: Texts that mean "no value", besides the empty text.
        default: Fills a missing value; None leaves it missing.
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
    pii: str = ""
    aliases: tuple[str, ...] = ()
    trim: bool = False
    strip: tuple[str, ...] = ()
    decimal_comma: bool = False
    missing: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one dataset, as it was read from ODCS YAML.

    Attributes:
        version: The contract's own version.
        columns: In the order of the snapshot.
        key: Columns that together name a row; a repeated key is quarantined.
        unknown_columns: What happens to files with columns not named here.
        stop_at_quarantined_share: The load stops when more than this share of a batch's rows is quarantined.
        final_newline: Whether the last line needs a line end; without one it may be cut off, so it is quarantined.
        source: Digest of the YAML text, which is stored as an artifact.
        text: The YAML text itself.
    """

    dataset: str
    contract_id: str
    version: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unknown_columns: UnknownColumns
    stop_at_quarantined_share: float
    delimiter: str
    encoding: str
    final_newline: bool
    source: Digest
    text: str

    def column(self, name: str) -> Column | None:
        """Return a column by its name in the snapshot, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def column_named_in_file(self, header: str) -> Column | None:
        """Return the column that a header names, by its own name or by an alias, or None."""
        own = self.column(header)
        return own or next((column for column in self.columns if header in column.aliases), None)
