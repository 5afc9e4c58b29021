"""Lays well-known data sets out as raw files that a project can take in.

A row without a key gets a number, `r00001`, and a file without a header gets one; nothing else is changed, but for the
bank's campaign: its rows are in the order of the calls and tell month and weekday only, so the year is counted up
whenever a month comes before the one above it, and a month's calls are spread evenly over its first 28 days.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
ADULT = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,capital_gain,"
    "capital_loss,hours_per_week,country,income"
)
SECOND = timedelta(seconds=1)
JOURNEY_CONTRACT = Path(__file__).parents[3] / "benchmarks" / "journey.odcs.yaml"

GATE = """\
# Decisions may not fall on one group much more often than on another.
package keelway.gate

import data.keelway.lib

rules contains "four fifths"

deny contains reason if some reason in lib.four_fifths(["COLUMN"])
"""


def write(path: Path, text: str | bytes, known_at: datetime = LONG_AGO) -> Path:
    """Write a file that was uploaded at a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (known_at.timestamp(), known_at.timestamp()))
    return path


def lines_of(path: Path) -> list[str]:
    """Return the lines of a packed text."""
    with gzip.open(path, "rt", encoding="utf8", newline="") as stream:
        return stream.read().splitlines()


def numbered(lines: Iterable[str], *, mark: str = ",", first: int = 1) -> Iterator[str]:
    """Yield lines with their number before them."""
    for number, line in enumerate(lines, start=first):
        yield f"r{number:05}{mark}{line}"


def text_of(header: str, lines: Iterable[str]) -> str:
    """Return a file of a header and lines."""
    return "\n".join([header, *lines, ""])


def month_after(moment: datetime) -> datetime:
    """Return the first moment of the next month."""
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


def gate(root: Path, column: str) -> None:
    """Write the policy that a version has to keep: the four-fifths rule by one column."""
    write(root / "policies/gate.rego", GATE.replace("COLUMN", column))


def telco(data: Path, root: Path) -> None:
    """Write the customers as they came."""
    write(root / "raw/customers/telco.csv", gzip.decompress((data / "A_telco_ibm.csv.gz").read_bytes()))
    gate(root, "gender")


def iranian(data: Path, root: Path) -> None:
    """Write the customers with a number each; a double blank in a column's name becomes one."""
    header, *lines = lines_of(data / "A_iranian_churn.csv.gz")
    write(root / "raw/customers/iranian.csv", text_of("row," + " ".join(header.split()), numbered(lines)))


def adult(data: Path, root: Path) -> None:
    """Write the official two parts of the census."""
    first = 1
    for part in ("train", "test"):
        lines = [f"{part},{line}" for line in lines_of(data / f"D_adult_{part}.csv.gz") if line.strip()]
        write(root / f"raw/people/{part}.csv", text_of(f"row,part,{ADULT}", numbered(lines, first=first)))
        first += len(lines)
    gate(root, "sex")


def german(data: Path, root: Path) -> None:
    """Write the loans with numbers for names of columns, as the data set's description has them."""
    header = ",".join(["row", *(f"c{number}" for number in range(1, 22))])
    write(root / "raw/loans/german.csv", text_of(header, numbered(lines_of(data / "D_german_credit.csv.gz"))))


def spam(data: Path, root: Path) -> None:
    """Write the messages; what looks like a quote is text."""
    lines = numbered(lines_of(data / "F_sms_spam.tsv.gz"), mark="\t")
    write(root / "raw/messages/sms.tsv", text_of("row\tkind\tbody", lines))


def digits(data: Path, root: Path) -> None:
    """Write the optical digits that come with scikit-learn, a pixel a column."""
    from sklearn.datasets import load_digits

    images = load_digits()
    pixels = images.data.astype(int).tolist()
    lines = [",".join(map(str, [*row, digit])) for row, digit in zip(pixels, images.target.tolist(), strict=True)]
    header = ",".join(["row", *(f"p{place}" for place in range(64)), "digit"])
    write(root / "raw/images/digits.csv", text_of(header, numbered(lines)))


def cdnow(data: Path, root: Path) -> None:
    """Write the orders of each month, uploaded in its last second."""
    _, *lines = lines_of(data / "B_cdnow_master.txt.gz")
    months: dict[datetime, list[str]] = {}
    for number, line in enumerate(filter(str.strip, lines), start=1):
        customer, day, discs, paid = line.split()
        moment = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        months.setdefault(moment.replace(day=1), []).append(f"r{number:05},{customer},{moment.date()},{discs},{paid}")
    for month, orders in sorted(months.items()):
        text = text_of("row,customer,ordered,discs,paid", orders)
        write(root / f"raw/orders/{month:%Y-%m}.csv", text, month_after(month) - SECOND)


def journey(data: Path, root: Path) -> None:
    """Write the lines of each month, uploaded in its last second; those of the last moments come with December."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    halves = [pq.read_table(data / f"B_completejourney_transactions_h{half}.parquet") for half in (1, 2)]
    sales = pa.concat_tables(halves).replace_schema_metadata()
    months = pc.min_element_wise(
        pc.add(pc.multiply(pc.subtract(pc.year(sales["transaction_timestamp"]), 2017), 12),
               pc.month(sales["transaction_timestamp"])),
        12,
    )  # fmt: skip
    contract = root / "contracts/sales.odcs.yaml"
    contract.parent.mkdir(parents=True, exist_ok=True)
    contract.write_bytes(JOURNEY_CONTRACT.read_bytes())
    for month in range(1, 13):
        begins = datetime(2017, month, 1, tzinfo=UTC)
        sink = io.BytesIO()
        pq.write_table(sales.filter(pc.equal(months, month)), sink)
        write(root / f"raw/sales/{begins:%Y-%m}.parquet", sink.getvalue(), month_after(begins) - SECOND)


def bank(data: Path, root: Path) -> None:
    """Write the campaign as it came, and month by month: whom to call, and what they answered."""
    header, *rows = csv.reader(lines_of(data / "C_bank_marketing_additional_full.csv.gz"), delimiter=";")
    numbers = [f"r{number:05}" for number in range(1, len(rows) + 1)]
    whole = [[number, *row] for number, row in zip(numbers, rows, strict=True)]
    write(root / "raw/campaign/bank.csv", csv_text(["row", *header], whole))
    kept = [place for place, name in enumerate(header) if name not in ("duration", "y")]
    for begins, month in by_month(whole, place=header.index("month") + 1):
        before, step = begins - SECOND, timedelta(days=28) / len(month)
        lists = [[row[0], before.isoformat(), *(row[place + 1] for place in kept)] for row in month]
        calls = [[row[0], (begins + step * place).isoformat(), *row[-1:]] for place, row in enumerate(month)]
        names = ["row", "listed_at", *(header[place].replace(".", "_") for place in kept)]
        write(root / f"raw/lists/{begins:%Y-%m}.csv", csv_text(names, lists), before)
        known_at = month_after(begins) - SECOND
        write(root / f"raw/calls/{begins:%Y-%m}.csv", csv_text(["row", "called_at", "y"], calls), known_at)


def by_month(rows: Sequence[list[str]], *, place: int) -> list[tuple[datetime, list[list[str]]]]:
    """Return the rows of each month, the first of which is May 2008."""
    found: list[tuple[datetime, list[list[str]]]] = []
    year, before = 2008, 0
    for row in rows:
        month = MONTHS.index(row[place]) + 1
        year += month < before
        if month != before:
            found.append((datetime(year, month, 1, tzinfo=UTC), []))
        found[-1][1].append(row)
        before = month
    return found


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return sink.getvalue()


LAY_OUTS: dict[str, Callable[[Path, Path], None]] = {
    each.__name__: each for each in (telco, iranian, adult, german, spam, digits, cdnow, journey, bank)
}


def without_quotes(draft: str) -> str:
    """Say that a quote is a letter like any other."""
    return draft.replace("    customProperties:\n", "    customProperties:\n      - {property: quote, value: ''}\n", 1)


def without_copies(draft: str) -> str:
    """Quarantine every row that equals an earlier one in all but its number."""
    columns = [
        line.removeprefix("      - name: ").partition(" #")[0]
        for line in draft.splitlines()
        if "      - name: " in line
    ]
    names = ", ".join(name for name in columns if name != "row")
    rule = (
        "    quality:\n"
        f"      - {{metric: duplicateValues, arguments: {{properties: [{names}]}}, mustBe: 0, name: a copy}}\n"
    )
    return draft.replace("    properties:\n", rule + "    properties:\n", 1)


AMENDMENTS: dict[str, Callable[[str], str]] = {
    "messages": lambda draft: without_copies(without_quotes(draft)),
    "customers_once": without_copies,
}
"""What a person changes in a draft, by dataset."""
