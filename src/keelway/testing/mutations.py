r"""A catalogue of what goes wrong with a clean feed, each with what must be seen of it.

A mutation is a pure function of an hour of the feed and a seed. Its outcome is the strongest thing that is told:

1. `refused`: nothing of the file is loaded, and the reason is told.
2. `quarantined`: some rows are kept out, each with its reason.
3. `warned`: all rows are loaded, and a warning is told.
4. `repaired`: all rows are loaded as the clean feed has them, by repairs that the contract declares and that are counted.
5. `harmless`: all rows are loaded as the clean feed has them, and there is nothing to tell.
6. `missed`: rows are loaded that the clean feed does not have, and nothing is told.

>>> from keelway.testing.feed import hour
>>> CATALOGUE["no rows"].spoilt(hour(10), seed=0)
b'order_id,customer_id,channel,city,quantity,unit_price,amount,ordered_at\n'
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from random import Random

from keelway.testing.feed import HEADER, Feed, hour_before
from keelway.testing.spoil import (
    Spoil,
    added,
    again,
    both,
    cells,
    columns,
    data,
    dearer,
    gzipped,
    header,
    lines,
    more,
    moved,
    named,
    rows,
    shifted_left,
    swapped,
    text,
    times,
    written,
)


class SeenAs(StrEnum):
    """What is seen of a mutation, the strongest first."""

    REFUSED = "refused"
    QUARANTINED = "quarantined"
    WARNED = "warned"
    REPAIRED = "repaired"
    HARMLESS = "harmless"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One thing that goes wrong.

    Attributes:
        what: What the source did.
        expected: What must be seen of it.
        spoil: Writes the spoilt bytes.
        place: The object's name; the same as the clean file's unless the mutation is about the name.
    """

    name: str
    what: str
    expected: SeenAs
    spoil: Spoil
    place: Callable[[Feed], str] = field(default=attrgetter("name"))

    @property
    def harmful(self) -> bool:
        """Whether somebody has to be told: the rows cannot be read as they were meant."""
        return self.expected not in (SeenAs.HARMLESS, SeenAs.REPAIRED)

    def spoilt(self, feed: Feed, *, seed: int) -> bytes:
        """Return the bytes that the broken source writes for an hour."""
        return self.spoil(feed, Random(f"{self.name}/{feed.name}/{seed}"))


REFUSED, QUARANTINED, WARNED, REPAIRED, HARMLESS, MISSED = SeenAs


def _packed(feed: Feed) -> str:
    return feed.name + ".gz"


def _before(feed: Feed) -> str:
    return hour_before(feed).name


def _without(column: str) -> Spoil:
    return columns([name for name in HEADER if name != column])


def _restated(feed: Feed, random: Random) -> bytes:
    """Write the hour before again, with one price corrected."""
    return cells("unit_price", lambda _: "1.99", share=0.001)(hour_before(feed), random)


_COLUMNS = (
    Mutation("column dropped", "`quantity` is gone", REFUSED, _without("quantity")),
    Mutation("column added last", "a new column `discount`", HARMLESS, added("discount", "0.00", position=8)),
    Mutation("column added between", "a new column before `quantity`", HARMLESS, added("vat", "19", position=4)),
    Mutation("column renamed, alias", "`quantity` is called `qty`", REPAIRED, named("quantity", "qty")),
    Mutation("column renamed", "`quantity` is called `pieces`", REFUSED, named("quantity", "pieces")),
    Mutation("column in capitals", "`quantity` is called `QUANTITY`", REFUSED, named("quantity", "QUANTITY")),
    Mutation("column twice", "`amount` stands twice", REFUSED, columns([*HEADER, "amount"])),
    Mutation("column name twice", "`unit_price` is called `amount`, too", REFUSED, named("unit_price", "amount")),
    Mutation("columns reordered", "the same columns, backwards", HARMLESS, columns(HEADER[::-1])),
    Mutation("header reordered alone", "the names move, the cells stay", REFUSED, header(lambda names: names[::-1])),
    Mutation("header padded", "blanks around each name", HARMLESS, header(lambda all_: tuple(f" {n} " for n in all_))),
    Mutation("two columns swapped", "`unit_price` and `amount`", QUARANTINED, swapped("unit_price", "amount")),
    Mutation("two texts swapped", "`channel` and `city`", REFUSED, swapped("channel", "city")),
    Mutation("two ids swapped", "`order_id` and `customer_id`", REFUSED, swapped("order_id", "customer_id")),
    Mutation("cells shifted, some rows", "5 % of the rows lose their first cell", QUARANTINED, shifted_left(0.05)),
    Mutation("cells shifted, all rows", "every row loses its first cell", REFUSED, shifted_left(1)),
    Mutation("header missing", "the file begins with an order", REFUSED, lines(lambda found: found[1:])),
    Mutation("header twice", "the header again in the middle", QUARANTINED, lines(lambda f: [*f[:90], f[0], *f[90:]])),
    Mutation("title above the header", "a line of prose first", REFUSED, lines(lambda f: ["Orders of the day\n", *f])),
)
_VALUES = (
    Mutation("integer as decimal", "quantity `2` as `2.0`", REFUSED, cells("quantity", lambda cell: f"{cell}.0")),
    Mutation("number as word", "3 % of quantities are `two`", QUARANTINED, cells("quantity", lambda _: "two", share=0.03)),
    Mutation("cents, one column", "amount in cents: x 100", REFUSED, cells("amount", times(100))),
    Mutation("cents, both columns", "price and amount x 100", REFUSED, both("unit_price", "amount", times(100))),
    Mutation("unit x 1000", "quantity in thousandths", REFUSED, cells("quantity", times(1000, digits=0))),
    Mutation("prices doubled", "price and amount x 2, still plausible", WARNED, both("unit_price", "amount", times(2))),
    Mutation("another currency", "price and amount x 1.1", MISSED, dearer(1.1)),
    Mutation("new enum value", "3 % of channels are `kiosk`", QUARANTINED, cells("channel", lambda _: "kiosk", share=0.03)),
    Mutation("enum in capitals", "channel `WEB` for `web`", REFUSED, cells("channel", str.upper)),
    Mutation("enum as code", "channel `w` for `web`", REFUSED, cells("channel", lambda cell: cell[0])),
    Mutation("misspelt", "2 % of cities are `Berlni`", QUARANTINED, cells("city", lambda _: "Berlni", share=0.02)),
    Mutation("nulls", "20 % of customers are empty", QUARANTINED, cells("customer_id", lambda _: "", share=0.2)),
    Mutation("column empty", "every city is empty", REFUSED, cells("city", lambda _: "")),
    Mutation("null as NULL", "5 % of amounts are `NULL`", QUARANTINED, cells("amount", lambda _: "NULL", share=0.05)),
    Mutation("null as N/A", "5 % of quantities are `N/A`", QUARANTINED, cells("quantity", lambda _: "N/A", share=0.05)),
    Mutation("null as dash", "5 % of customers are `-`", QUARANTINED, cells("customer_id", lambda _: "-", share=0.05)),
    Mutation("null as 0", "5 % of quantities are `0`", QUARANTINED, cells("quantity", lambda _: "0", share=0.05)),
    Mutation("null as 999999", "5 % of customers are unknown", QUARANTINED, cells("customer_id", lambda _: "999999", share=0.05)),
    Mutation("NaN", "2 % of amounts are `nan`", QUARANTINED, cells("amount", lambda _: "nan", share=0.02)),
    Mutation("spreadsheet error", "2 % of amounts are `#REF!`", QUARANTINED, cells("amount", lambda _: "#REF!", share=0.02)),
    Mutation("a default creeps in", "half of the channels become `web`", WARNED, cells("channel", lambda _: "web", share=0.5)),
    Mutation("constant column", "every city is Berlin", WARNED, cells("city", lambda _: "Berlin")),
    Mutation("city shift", "a third of the cities become Zürich", WARNED, cells("city", lambda _: "Zürich", share=0.33)),
    Mutation("sign flipped", "amounts are negative", REFUSED, cells("amount", times(-1))),
    Mutation("some signs flipped", "2 % of amounts are negative", QUARANTINED, cells("amount", times(-1), share=0.02)),
    Mutation("credit notes", "3 % of prices and amounts negative", QUARANTINED, both("unit_price", "amount", times(-1), share=0.03)),
    Mutation("outliers", "1 % of prices and amounts x 10,000", QUARANTINED, both("unit_price", "amount", times(10_000), share=0.01)),
    Mutation("rounded", "amounts in whole euros", REFUSED, cells("amount", times(1, digits=0))),
    Mutation("one digit less", "prices with one decimal", REFUSED, cells("unit_price", times(1, digits=1))),
    Mutation("trailing zeros", "amounts with four decimals, the same value", HARMLESS, cells("amount", times(1, digits=4))),
    Mutation("decimal comma", "amount `1,50` for `1.50`", REPAIRED, cells("amount", lambda cell: cell.replace(".", ","))),
    Mutation("decimal comma, undeclared", "the same in `unit_price`", REFUSED, cells("unit_price", lambda cell: cell.replace(".", ","))),
    Mutation("thousands separators", "order number `1,004,487`", REFUSED, cells("order_id", lambda cell: f"{int(cell):,}")),
    Mutation("currency sign", "amount `€35.56`", REFUSED, cells("amount", lambda cell: f"€{cell}")),
    Mutation("leading zeros lost", "customer `396` for `000396`", REFUSED, cells("customer_id", lambda cell: str(int(cell)))),
    Mutation("id as float", "order number `1004487.0`", REFUSED, cells("order_id", lambda cell: f"{float(cell)}")),
    Mutation("id in scientific notation", "order number `1.00449E+06`", REFUSED, cells("order_id", lambda cell: f"{float(cell):.5E}")),
    Mutation("padded, declared", "blanks around the channel", REPAIRED, cells("channel", lambda cell: f"  {cell} ")),
    Mutation("padded", "blanks around the customer", REFUSED, cells("customer_id", lambda cell: f" {cell} ")),
    Mutation("invisible characters", "3 % of customers end in a zero-width space", QUARANTINED, cells("customer_id", lambda cell: f"{cell}\u200b", share=0.03)),
    Mutation("control characters", "3 % of cities begin with byte 1", QUARANTINED, cells("city", lambda cell: f"\x01{cell}", share=0.03)),
    Mutation("line end in a cell", "5 % of cities hold a line end", QUARANTINED, cells("city", lambda cell: f"{cell}\n", share=0.05)),
    Mutation("other letters", "`ü` as two characters", REFUSED, cells("city", lambda cell: unicodedata.normalize("NFD", cell))),
)  # fmt: skip
_TIMES = (
    Mutation("date format, declared", "`02.03.2026 14:00:05`", REPAIRED, cells("ordered_at", written("%d.%m.%Y %H:%M:%S"))),
    Mutation("date format", "`03/02/2026 14:00:05`", REFUSED, cells("ordered_at", written("%m/%d/%Y %H:%M:%S"))),
    Mutation("two-digit year", "`26-03-02T14:00:05Z`", REFUSED, cells("ordered_at", written("%y-%m-%dT%H:%M:%SZ"))),
    Mutation("epoch seconds", "`1772460005.0`", REFUSED, cells("ordered_at", written("%s"))),
    Mutation("day and month swapped", "`2026-02-03` for `2026-03-02`", REFUSED, cells("ordered_at", written("%Y-%d-%mT%H:%M:%SZ"))),
    Mutation("time of day lost", "`2026-03-02`", REFUSED, cells("ordered_at", written("%Y-%m-%d"))),
    Mutation("minutes lost", "`2026-03-02T14:00:00Z`", REFUSED, cells("ordered_at", written("%Y-%m-%dT%H:00:00Z"))),
    Mutation("local time marked as UTC", "two hours ahead", REFUSED, cells("ordered_at", moved(hours=2))),
    Mutation("another zone marked as UTC", "five hours behind", REFUSED, cells("ordered_at", moved(hours=-5))),
    Mutation("with an offset", "the same moments, as `+02:00`", HARMLESS, cells("ordered_at", lambda cell: moved(hours=2)(cell)[:-1] + "+02:00")),
    Mutation("future", "1 % of orders are a year ahead", QUARANTINED, cells("ordered_at", moved(days=365), share=0.01)),
    Mutation("stale", "the orders are a day old", REFUSED, cells("ordered_at", moved(days=-1))),
    Mutation("1970", "3 % of orders are from 1970", QUARANTINED, cells("ordered_at", lambda _: "1970-01-01T00:00:00Z", share=0.03)),
    Mutation("no such day", "2 % of orders on 30 February", QUARANTINED, cells("ordered_at", lambda cell: f"2026-02-30{cell[10:]}", share=0.02)),
)  # fmt: skip
_ROWS = (
    Mutation("rows twice, some", "5 % of rows come twice", QUARANTINED, rows(again(0.05))),
    Mutation("rows twice, all", "every row comes twice", QUARANTINED, rows(again(1))),
    Mutation("rows in another order", "shuffled", HARMLESS, rows(lambda found, random: random.sample(found, len(found)))),
    Mutation("file again, other name", "the bytes of the hour before", REFUSED, lambda feed, _: hour_before(feed).csv()),
    Mutation("file again, other bytes", "the hour before, with CRLF", REFUSED, lambda feed, _: hour_before(feed).text(line_end="\r\n").encode()),
    Mutation("file restated", "the hour before under its own name, one price changed", REFUSED, _restated, _before),
    Mutation("keys used again", "order numbers start from the first again", REFUSED, cells("order_id", lambda cell: f"{int(cell) % 1000 + 1_000_000:010d}")),
    Mutation("unknown customers", "10 % of customers do not exist", QUARANTINED, cells("customer_id", lambda cell: f"9{cell[1:]}", share=0.1)),
    Mutation("half the rows", "every second order is gone", WARNED, rows(lambda found, _: found[::2])),
    Mutation("first half only", "the second half hour is gone", REFUSED, rows(lambda found, _: found[: len(found) // 2])),
    Mutation("last half only", "the first half hour is gone", REFUSED, rows(lambda found, _: found[len(found) // 2 :])),
    Mutation("ten rows missing", "ten orders in the middle are gone", WARNED, rows(lambda found, _: [*found[:50], *found[60:]])),
    Mutation("three rows", "only three orders", REFUSED, rows(lambda found, _: found[:3])),
    Mutation("three times the rows", "with new order numbers", REFUSED, more(3)),
    Mutation("no rows", "header only", REFUSED, rows(lambda found, _: [])),
)  # fmt: skip
_FILES = (
    Mutation("empty file", "zero bytes", REFUSED, data(lambda _: b"")),
    Mutation("latin-1", "encoding latin-1", REFUSED, text(lambda whole, _: whole, encoding="latin-1")),
    Mutation("utf-16", "encoding UTF-16 with its mark", REFUSED, text(lambda whole, _: whole, encoding="utf-16")),
    Mutation("byte order mark", "UTF-8 with its mark", HARMLESS, text(lambda whole, _: whole, encoding="utf-8-sig")),
    Mutation("mojibake", "UTF-8 read as latin-1 and written again", REFUSED, text(lambda whole, _: whole.encode().decode("latin-1"))),
    Mutation("question marks", "every umlaut became `?`", REFUSED, data(lambda clean: clean.decode().encode("ascii", "replace"))),
    Mutation("semicolons", "delimiter `;`", REFUSED, lambda feed, _: feed.text(delimiter=";").encode()),
    Mutation("tabs", "delimiter tab", REFUSED, lambda feed, _: feed.text(delimiter="\t").encode()),
    Mutation("semicolons, old header", "delimiter `;` below the header", REFUSED, lines(lambda f: [f[0], *(line.replace(",", ";") for line in f[1:])])),
    Mutation("all quoted", "a quote around every cell", HARMLESS, lambda feed, _: feed.text(quote_all=True).encode()),
    Mutation("single quotes", "every cell in `'`", REFUSED, lambda feed, _: feed.text(quote="'", quote_all=True).encode()),
    Mutation("quote left open", "a quote in the middle never closes", REFUSED, lines(lambda f: [*f[:40], '"' + f[40], *f[41:]])),
    Mutation("CRLF", "line ends of Windows", HARMLESS, lambda feed, _: feed.text(line_end="\r\n").encode()),
    Mutation("CR", "line ends of old Macs", HARMLESS, lambda feed, _: feed.text(line_end="\r").encode()),
    Mutation("mixed line ends", "every second line ends in CRLF", HARMLESS, lines(lambda f: [line if n % 2 else line[:-1] + "\r\n" for n, line in enumerate(f)])),
    Mutation("blank lines", "an empty line after every tenth", HARMLESS, lines(lambda f: [line if n % 10 else line + "\n" for n, line in enumerate(f)])),
    Mutation("trailing delimiters", "a comma at the end of each order", REFUSED, lines(lambda f: [f[0], *(line[:-1] + ",\n" for line in f[1:])])),
    Mutation("footer", "a last line `Total: 482`", QUARANTINED, lines(lambda f: [*f, "Total: 482\n"])),
    Mutation("comment line", "a line `# partial export` in the middle", QUARANTINED, lines(lambda f: [*f[:30], "# partial export\n", *f[30:]])),
    Mutation("trailing garbage", "200 bytes of noise at the end", REFUSED, lambda feed, random: feed.csv() + random.randbytes(200)),
    Mutation("zero bytes", "a block of NUL bytes at the end", QUARANTINED, data(lambda clean: clean + bytes(512))),
    Mutation("cut within a line", "the upload broke off", REFUSED, data(lambda clean: clean[: len(clean) * 6 // 10 - 7])),
    Mutation("cut in the last cell", "the last seven bytes are gone", QUARANTINED, data(lambda clean: clean[:-7])),
    Mutation("no last line end", "the very last byte is gone", QUARANTINED, data(lambda clean: clean[:-1])),
    Mutation("compressed", "gzip, named `.csv.gz`", HARMLESS, gzipped(), _packed),
    Mutation("compressed, cut off", "half of the gzip file", REFUSED, gzipped(0.5), _packed),
    Mutation("compressed, wrong name", "gzip, named `.csv`", HARMLESS, gzipped()),
    Mutation("error page", "HTML in place of the file", REFUSED, data(lambda _: b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n")),
    Mutation("error answer", "JSON in place of the file", REFUSED, data(lambda _: b'{"error": "rate limit exceeded"}\n')),
)  # fmt: skip
GROUPS: Mapping[str, Sequence[Mutation]] = {
    "Columns": _COLUMNS,
    "Values": _VALUES,
    "Times": _TIMES,
    "Rows": _ROWS,
    "Files": _FILES,
}
CATALOGUE = {mutation.name: mutation for group in GROUPS.values() for mutation in group}
