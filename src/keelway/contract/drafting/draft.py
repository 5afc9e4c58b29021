"""Drafts a contract from sample files: an ODCS 3.1 YAML text, with a comment at each guess.

A draft is where people start, not where they end: it says what the sample holds, rounded outwards, and from how many
rows that was guessed. The sample itself keeps every rule of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keelway.contract.contract import Column
from keelway.contract.drafting.guess_column import TIME_WORDS, GuessedColumn, guess_column
from keelway.contract.drafting.guess_pii import words_of
from keelway.contract.drafting.guess_rules import likely_key
from keelway.contract.drafting.sample import Sample, SampleLayout, read_sample

FEW_ROWS = 100
"""Below this many rows every guess is weak, and the draft says so."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./%-]*[A-Za-z0-9_%]|[A-Za-z]")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True, slots=True)
class DraftedContract:
    """A draft and what it rests on.

    Attributes:
        text: The YAML text.
        rows: How many rows it was guessed from.
        key: The columns that likely name a row, or empty.
        event_time: The column that likely says when a row happened, or empty.
        notes: What a person should look at: column to a few words each.
    """

    dataset: str
    text: str
    rows: int
    columns: tuple[str, ...]
    key: tuple[str, ...]
    event_time: str
    notes: dict[str, tuple[str, ...]]


def draft_contract(samples: Sequence[Path], *, dataset: str) -> DraftedContract:
    """Return a contract for files like the samples.

    Raises:
        ContractError: A sample has no header, no rows or another layout than the first.
        StorageError: A sample cannot be read.
    """
    sample = read_sample(samples)
    texts = sample.layout.format == "csv"
    guessed = [guess_column(column, rows=sample.rows, texts=texts) for column in sample.columns]
    event_time = _event_time(guessed)
    key = _key(guessed)
    guessed = [_growing(each) if each.column.name in key else each for each in guessed]
    lines = [*_head(dataset, sample, samples), *_schema(dataset, sample)]
    for each in guessed:
        lines += _property(each, sample.rows, key=key, event_time=event_time)
    return DraftedContract(
        dataset=dataset,
        text="\n".join(lines) + "\n",
        rows=sample.rows,
        columns=tuple(each.column.name for each in guessed),
        key=key,
        event_time=event_time,
        notes={each.column.name: each.notes for each in guessed if each.notes},
    )


def _growing(guess: GuessedColumn) -> GuessedColumn:
    """Return a column of a key without an upper bound: numbers that name rows go on."""
    return replace(guess, column=replace(guess.column, maximum=None))


def _event_time(guessed: Sequence[GuessedColumn]) -> str:
    times = [each.column.name for each in guessed if each.is_time]
    named = [name for name in times if TIME_WORDS & set(words_of(name))]
    return next(iter(named or times), "")


def _key(guessed: Sequence[GuessedColumn]) -> tuple[str, ...]:
    """Return the likeliest key: an identifier that never repeats, else the fewest columns that together never do."""
    candidates = {each.column.name: each.key_values for each in guessed if each.key_values and not each.column.allowed}
    leading = [each.column.name for each in guessed if each.leads]
    first = next(iter(candidates), None)
    alone = {name: values for name, values in candidates.items() if name in leading or name == first}
    found = [key for name, values in alone.items() if len(key := likely_key({name: values}, leading=leading)) == 1]
    return found[0] if found else likely_key(candidates, leading=leading) if leading else ()


def _head(dataset: str, sample: Sample, samples: Sequence[Path]) -> Iterator[str]:
    files = f"{len(samples)} file{'s' * (len(samples) > 1)}"
    yield f"# Drafted from {sample.rows} rows of {files}. Every line is a guess: read it, mend it, then trust it."
    if sample.rows < FEW_ROWS:
        yield f"# {sample.rows} rows are few: bounds and sets will be too narrow."
    if sample.cut_short:
        yield "# The sample has more rows; they were not looked at."
    yield from ("apiVersion: v3.1.0", "kind: DataContract", f"id: {scalar(dataset)}", f"name: {scalar(dataset)}")
    yield from ("version: 0.1.0", "status: draft")


def _schema(dataset: str, sample: Sample) -> Iterator[str]:
    layout = sample.layout
    yield from ("schema:", f"  - name: {scalar(dataset)}", "    logicalType: object")
    yield from (f"    physicalType: {layout.format}", "    customProperties:")
    nameless = f"; {sample.nameless} columns have no name" if sample.nameless else ""
    yield from _own("unknownColumns", "ignore", 6, f"quarantine or stop are stricter{nameless}")
    yield from _own("stopAtQuarantinedShare", 0.1, 6, "a load with more bad rows than this stops")
    yield from _layout(layout)
    yield "    properties:"


def _layout(layout: SampleLayout) -> Iterator[str]:
    if layout.format != "csv":
        return
    if layout.delimiter != ",":
        yield from _own("delimiter", layout.delimiter, 6)
    if layout.quote != '"':
        yield from _own("quote", layout.quote, 6)
    if layout.encoding != "utf-8":
        yield from _own("encoding", layout.encoding, 6, "guessed from the bytes")
    if layout.header == "none":
        yield from _own("header", "none", 6, "the first line looks like a row: name the columns, and keep their order")
    ending = "required" if layout.final_newline else "optional"
    yield from _own("finalNewline", ending, 6, "a file without it may be cut off in its last line")


def _property(guess: GuessedColumn, rows: int, *, key: tuple[str, ...], event_time: str) -> Iterator[str]:
    """Yield the lines of one column."""
    column = guess.column
    yield f"      - name: {scalar(column.name)}{_comment(*guess.notes)}"
    told = [f"{guess.distinct} different values in {rows} rows"]
    told += ["when a row happened?"] if column.name == event_time else []
    yield f"        logicalType: {column.kind}{_comment(*told)}"
    if column.name in key:
        yield f"        primaryKey: true{_comment('never repeats in the sample')}"
        yield f"        primaryKeyPosition: {key.index(column.name) + 1}"
    if column.required:
        yield f"        required: true{_comment('never missing in the sample')}"
    elif guess.missing:
        yield f"        required: false{_comment(f'missing in {guess.missing} of {rows} rows')}"
    if column.classification:
        yield f"        classification: {column.classification}"
    yield from _options(column)
    if column.allowed:
        yield f"        enum:{_comment('every value of the sample')}"
        yield from (f"          - value: {scalar(value)}" for value in column.allowed)
    yield from _repairs(column)


def _options(column: Column) -> Iterator[str]:
    options: list[tuple[str, str, str]] = []
    dated = column.kind in ("date", "timestamp")
    for name, value, comment in (
        ("minimum", column.minimum, "the year of the earliest" if dated else "rounded outwards"),
        ("maximum", column.maximum, "rounded outwards"),
        ("minLength", column.min_length, ""),
        ("maxLength", column.max_length, ""),
    ):
        if value is not None:
            options.append((name, scalar(value) if dated else str(value), comment))
    if column.pattern is not None:
        options.append(("pattern", scalar(column.pattern), "every value is built so"))
    if options:
        yield "        logicalTypeOptions:"
        yield from (f"          {name}: {value}{_comment(comment)}" for name, value, comment in options)


def _repairs(column: Column) -> Iterator[str]:
    found: list[tuple[str, Any]] = [
        ("pii", column.pii.value),
        ("aliases", column.aliases),
        ("trim", column.trim),
        ("strip", column.strip),
        ("decimalComma", column.decimal_comma),
        ("dateFormats", column.formats),
        ("missing", column.missing),
    ]
    chosen = [(name, value) for name, value in found if value]
    if chosen:
        yield "        customProperties:"
        for name, value in chosen:
            yield from _own(name, value, 10)


def _own(name: str, value: Any, indent: int, comment: str = "") -> Iterator[str]:
    blank = " " * indent
    written = f"[{', '.join(map(scalar, value))}]" if isinstance(value, tuple) else scalar(value)
    yield f"{blank}- property: {name}"
    yield f"{blank}  value: {written}{_comment(comment)}"


def _comment(*notes: str) -> str:
    told = "; ".join(note for note in notes if note)
    return f" # {told}" if told else ""


def scalar(value: object) -> str:
    """Return a value as YAML on one line.

    >>> scalar("plain words"), scalar("no"), scalar("a: b"), scalar(0.5), scalar(True)
    ('plain words', '"no"', '"a: b"', '0.5', 'true')
    """
    import yaml

    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=float("inf")).strip()
