"""What the conformance suites of checkers stand on: contracts made of columns, files made of bytes, and a tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keelway.contract import (
    NOTHING,
    Against,
    Checker,
    Column,
    Contract,
    Findings,
    Rule,
    RuleKind,
    Tokenizer,
    UnknownColumns,
)
from keelway.core import digest_bytes
from keelway.ingest import RawFile

KNOWN_AT = datetime(2026, 3, 2, 3, tzinfo=UTC)
DAY = Column("day", "date", required=True)


def contract_of(*columns: Column, rules: Sequence[Rule] = (), **choices: Any) -> Contract:
    """Return a contract of some columns: they are required and typed as they say, and keep these further rules."""
    own = [Rule(RuleKind.REQUIRED, (column.name,), f"{column.name}: missing") for column in columns if column.required]
    own += [
        Rule(RuleKind.TYPE, (column.name,), f"{column.name}: not {column.kind}")
        for column in columns
        if column.kind != "string"
    ]
    text = repr((columns, rules, choices))
    plain = Contract(
        dataset="orders",
        contract_id="orders",
        version="1.0.0",
        columns=columns,
        rules=(*own, *rules),
        key=(),
        unknown_columns=UnknownColumns.IGNORE,
        stop_at_quarantined_share=1.0,
        format="",
        delimiter=",",
        quote='"',
        encoding="utf-8",
        final_newline=True,
        owner="",
        max_age_s=None,
        source=digest_bytes(text.encode()),
        text=text,
    )
    return replace(plain, **choices)


@dataclass(slots=True)
class CheckRoom:
    """A folder with files and a checker.

    Attributes:
        known_at: File to when it became known; `KNOWN_AT` unless it says otherwise.
    """

    checker: Checker
    folder: Path
    known_at: dict[str, datetime] = field(default_factory=dict)
    rounds: int = 0

    def check(
        self,
        contract: Contract,
        files: Mapping[str, bytes | str],
        *,
        against: Against = NOTHING,
        tokenizer: Tokenizer | None = None,
        waived: Sequence[str] = (),
        keep: bool = True,
    ) -> Findings:
        """Check files with these names and contents."""
        self.rounds += 1
        given = []
        for number, (name, body) in enumerate(files.items()):
            data = body.encode() if isinstance(body, str) else body
            path = self.folder / f"raw-{self.rounds}-{number}"
            path.write_bytes(data)
            known_at = self.known_at.get(name, KNOWN_AT)
            given.append((RawFile(name, digest_bytes(data), len(data), known_at, None), path))
        out = self.folder / f"out-{self.rounds}"
        out.mkdir()
        return self.checker.check(
            given,
            contract,
            event_time="day",
            folder=out,
            against=against,
            tokenizer=tokenizer,
            waived=frozenset(waived),
            keep=keep,
        )

    def parquet(self, columns: Mapping[str, Any]) -> bytes:
        """Return the bytes of a Parquet file of these columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / "made.parquet"
        pq.write_table(pa.table(dict(columns)), path)
        return path.read_bytes()

    def version(self, name: str, columns: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the files of a version that has these columns."""
        path = self.folder / f"{name}.parquet"
        path.write_bytes(self.parquet(columns))
        return (path,)


def kept(found: Findings, *names: str) -> list[Any]:
    """Return the kept rows: as tuples of these columns, as values where there is one, as mappings without any."""
    import pyarrow.parquet as pq

    assert found.rows is not None
    rows: list[Any] = pq.read_table(found.rows).to_pylist()
    if not names:
        return rows
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def quarantined(found: Findings) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return the quarantined rows: line, text and reasons."""
    import pyarrow.parquet as pq

    if found.quarantine is None:
        return []
    return [(row["row"], row["raw"], tuple(row["reasons"])) for row in pq.read_table(found.quarantine).to_pylist()]


@dataclass(slots=True)
class PlainTokenizer:
    """Gives tokens that can be told in advance, and remembers what it was asked.

    Attributes:
        asked: Column to the values it was asked for, in order.
    """

    asked: dict[str, list[str]] = field(default_factory=dict)

    def tokens(self, values: Sequence[str], column: Column) -> list[str]:
        """Return a token for each value."""
        self.asked.setdefault(column.name, []).extend(values)
        return [self.token(value) for value in values]

    def token(self, value: str) -> str:
        """Return the token of one value."""
        return f"tok_{hashlib.sha256(value.encode()).hexdigest()[:12]}"
