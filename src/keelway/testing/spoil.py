"""Ways to spoil a file of the feed: small functions that the catalogue of mutations is made of.

Each takes a file of the feed and a source of chance, and returns the bytes that a broken source would have written.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from keelway.testing.feed import Feed

Spoil = Callable[[Feed, Random], bytes]
Change = Callable[[str], str]
Row = tuple[str, ...]
MOMENT = "%Y-%m-%dT%H:%M:%SZ"


def cells(column: str, change: Change, *, share: float = 1.0) -> Spoil:
    """Change the cells of a column, all of them or a share."""

    def spoil(feed: Feed, random: Random) -> bytes:
        at = feed.column(column)
        chosen = _some(len(feed.rows), share, random)
        return feed.with_rows(
            [
                (*row[:at], change(row[at]), *row[at + 1 :]) if nth in chosen else row
                for nth, row in enumerate(feed.rows)
            ]
        ).csv()

    return spoil


def both(first: str, second: str, change: Change, *, share: float = 1.0) -> Spoil:
    """Change the cells of two columns of the same rows alike, so that they still fit each other."""

    def changed(row: Row, at: Sequence[int]) -> Row:
        return tuple(change(cell) if index in at else cell for index, cell in enumerate(row))

    def spoil(feed: Feed, random: Random) -> bytes:
        at = [feed.column(first), feed.column(second)]
        chosen = _some(len(feed.rows), share, random)
        return feed.with_rows([changed(row, at) if nth in chosen else row for nth, row in enumerate(feed.rows)]).csv()

    return spoil


def dearer(factor: float) -> Spoil:
    """Multiply every price, and give each amount the value that follows."""

    def spoil(feed: Feed, random: Random) -> bytes:
        quantity, price, amount = (feed.column(name) for name in ("quantity", "unit_price", "amount"))
        changed = []
        for row in feed.rows:
            cells = list(row)
            cells[price] = f"{float(row[price]) * factor:.2f}"
            cells[amount] = f"{int(row[quantity]) * float(cells[price]):.2f}"
            changed.append(cells)
        return feed.with_rows(changed).csv()

    return spoil


def _some(count: int, share: float, random: Random) -> frozenset[int]:
    """Return the numbers of a share of the rows, at least one."""
    return frozenset(random.sample(range(count), max(1, round(share * count))))


def swapped(first: str, second: str) -> Spoil:
    """Exchange the cells of two columns under an unchanged header."""

    def spoil(feed: Feed, random: Random) -> bytes:
        one, two = feed.column(first), feed.column(second)
        order = list(range(len(feed.header)))
        order[one], order[two] = two, one
        return feed.with_rows([[row[at] for at in order] for row in feed.rows]).csv()

    return spoil


def header(change: Callable[[Row], Row]) -> Spoil:
    """Change the header alone."""
    return lambda feed, _: replace(feed, header=change(feed.header)).csv()


def named(old: str, new: str) -> Spoil:
    """Rename a column in the header."""
    return header(lambda names: tuple(new if name == old else name for name in names))


def columns(names: Sequence[str]) -> Spoil:
    """Write these columns only, in this order; one may come twice."""

    def spoil(feed: Feed, random: Random) -> bytes:
        at = [feed.column(name) for name in names]
        return replace(feed, header=tuple(names)).with_rows([[row[index] for index in at] for row in feed.rows]).csv()

    return spoil


def added(name: str, value: str, *, position: int) -> Spoil:
    """Write one more column with the same value in each row."""

    def put(row: Row, cell: str) -> Row:
        return (*row[:position], cell, *row[position:])

    def spoil(feed: Feed, random: Random) -> bytes:
        wider = replace(feed, header=put(feed.header, name))
        return wider.with_rows([put(row, value) for row in feed.rows]).csv()

    return spoil


def shifted_left(share: float) -> Spoil:
    """Lose the first cell of some rows: the others move to the left."""

    def spoil(feed: Feed, random: Random) -> bytes:
        chosen = _some(len(feed.rows), share, random)
        return feed.with_rows([(*row[1:], "") if nth in chosen else row for nth, row in enumerate(feed.rows)]).csv()

    return spoil


def rows(change: Callable[[list[Row], Random], Sequence[Row]]) -> Spoil:
    """Change which rows there are, or their order."""
    return lambda feed, random: feed.with_rows(change(list(feed.rows), random)).csv()


def again(share: float) -> Callable[[list[Row], Random], Sequence[Row]]:
    """Write a share of the rows a second time."""

    def change(found: list[Row], random: Random) -> Sequence[Row]:
        chosen = _some(len(found), share, random)
        return [row for nth, row in enumerate(found) for _ in range(2 if nth in chosen else 1)]

    return change


def more(times: int) -> Spoil:
    """Write several times as many rows, each with a number of its own."""

    def spoil(feed: Feed, random: Random) -> bytes:
        found = [row for row in feed.rows for _ in range(times)]
        first = int(feed.rows[0][0])
        return feed.with_rows([(f"{first + nth:010d}", *row[1:]) for nth, row in enumerate(found)]).csv()

    return spoil


def text(change: Callable[[str, Random], str], *, encoding: str = "utf-8") -> Spoil:
    """Change the text of the whole file."""
    return lambda feed, random: change(feed.text(), random).encode(encoding)


def lines(change: Callable[[list[str]], Sequence[str]]) -> Spoil:
    """Change the lines of the file, the header among them; each has its line end."""
    return text(lambda whole, _: "".join(change(whole.splitlines(keepends=True))))


def data(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of the whole file."""
    return lambda feed, _: change(feed.csv())


def gzipped(share: float = 1.0) -> Spoil:
    """Compress the file, and keep only the first share of the bytes."""

    def cut(clean: bytes) -> bytes:
        packed = gzip.compress(clean, mtime=0)
        return packed[: round(len(packed) * share)]

    return data(cut)


def written(form: str) -> Change:
    """Write a time in another format."""
    return lambda cell: f"{datetime.strptime(cell, MOMENT):{form}}"  # noqa: DTZ007 - it is UTC, and stays so


def moved(**by: float) -> Change:
    """Move a time."""
    return lambda cell: f"{datetime.strptime(cell, MOMENT) + timedelta(**by):{MOMENT}}"  # noqa: DTZ007


def times(factor: float, *, digits: int = 2) -> Change:
    """Multiply a number."""
    return lambda cell: f"{float(cell) * factor:.{digits}f}"
