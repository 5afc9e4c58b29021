"""What names a person is masked; what only looks like it stays."""

from __future__ import annotations

import gzip
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.privacy import Scrubber, ScrubFilter, scrub
from keelway.privacy.national_ids import IDS, sources
from keelway.privacy.scrub import LARGE

APACHE = Path(__file__).parents[3] / "shared" / "data" / "B_E_apache_logs.log.gz"

MASKED = {
    "e-mail": [
        "ana@example.com",
        "ana.maria+shop@mail.example.co.uk",
        "o'brien_77%x@example.museum",
        "ana%40example.com",
        "jos\u00e9@example.com",
        "ANA@EXAMPLE.COM",
    ],
    "phone": ["+49 170 1234567", "+1 (212) 555-0123", "+1.212.555.0123", "+15551234567", "0049 170 1234567", "0044 20-7946-0018"],
    "iban": ["DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB82WEST12345698765432", "GR16 0110 1050 0000 1054 7023 795"],
    "card": [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111111111111111",
        "378282246310005",
        "5555555555554444",
        "30569309025904",
        "3530111333300000",
        "6011111111111117",
        "4222222222222",
    ],
    "ip": ["203.0.113.9", "8.8.8.8", "2001:db8::8a2e:370:7334", "fe80::1ff:fe23:4567:890a", "2001:0db8:0000:0000:0000:ff00:0042:8329", "::ffff:203.0.113.9"],
    "national id": [
        "536-90-4399",
        "54362315K",
        "X-2482300W",
        "RCCMNL83S18D969H",
        "2 95 10 99 126 111 93",
        "880320-0016",
        "131052-308T",
        "QQ 12 34 56 C".replace("QQ", "AB"),
        "85.07.30-033.28",
        "756.9217.0769.85",
        "390.533.447-05",
        "6433435F",
    ],
}  # fmt: skip

NAMED = [
    "BSN 111222333",
    "bsn: 1112.22.333",
    "SSN=536904399",
    '"ssn": "536904399"',
    "NHS number: 943-476-5870",
    "PESEL 44051401359",
]

KEPT = [
    "2026-11-21T10:05:03.123456Z",
    "2026-11-21 10:05:03+0100",
    "Sat, 21 Nov 2026 10:05:03 +1000",
    "21.11.2026",
    "20261121",
    "12:34:56",
    "1,234.50",
    "1.234,50",
    "-99.95",
    "+12345678.90",
    "123456789",
    "111222333",
    "1763712345",
    "1763712345678",
    "1763712345678901",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "0196f3a2b4c47d5e8f90123456789abc",
    "123e4567-e89b-42d3-a456-426614174000",
    "41111111-1111-4111-8111-111111111111",
    "00:1a:2b:3c:4d:5e",
    "4111111111111112",
    "4111 1111 1111 1112",
    "DE89370400440532013001",
    "536-90-43990",
    "000-12-3456",
    "54362315A",
    "Chrome/32.0.1700.77",
    "Chrome/30.0.0.0 Safari/537.36",
    "rv:1.9.2.13",
    "zlib/1.2.3.4",
    "1.2.3",
    "10.11.11.0.2.2.1",
    "127.0.0.1:8080",
    "http://127.0.0.1:8080/readyz",
    "0.0.0.0:80",
    "::1",
    "rows[1::2]",
    "std::vector",
    "churn:3",
    "churn@prod",
    "user:ana",
    "sp:release",
    "raw/orders/dt=2026-11-21/orders.csv",
    "tok_abcdefghijklmnopqrstuvwxyz234567",
    "expected 8 of churn, found 7",
    "line 4111 of 1111, 1111 rows",
    "order 1234-5678-9012-3456-7890",
    "203023 4096 200 17",
    "keelway>=0.1.0",
    "@dataclass(frozen=True)",
    "",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in MASKED.items() for text in texts])
def test_what_names_a_person_is_masked(kind: str, text: str) -> None:
    assert scrub(f"before {text} after") == f"before [{kind}] after"
    assert scrub(text) == f"[{kind}]"
    assert text not in scrub(f"value '{text}', twice: ({text})")


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert scrub(text) == text
    assert scrub(f"before {text} after") == f"before {text} after"


@pytest.mark.parametrize("text", NAMED)
def test_a_bare_number_is_masked_behind_its_name(text: str) -> None:
    masked = scrub(f"{text} was refused")
    assert "[national id]" in masked
    assert re.sub(r"\D", "", masked) == ""


def test_kinds_stand_side_by_side() -> None:
    text = "203.0.113.9,198.51.100.7 ana@example.com;bo@example.com 200 4111111111111111 17"
    assert scrub(text) == "[ip],[ip] [e-mail];[e-mail] 200 [card] 17"


@pytest.mark.parametrize("kind", MASKED)
def test_any_two_of_a_kind_side_by_side_are_both_masked(kind: str) -> None:
    for one in MASKED[kind]:
        for other in MASKED[kind]:
            if kind != "phone":  # where one number ends and the next begins cannot be told
                assert scrub(f"{one} {other} x") == f"[{kind}] [{kind}] x"
            assert scrub(f"{one}, {other}") == f"[{kind}], [{kind}]"


def test_a_card_is_found_among_other_numbers() -> None:
    assert scrub("order 12 4111 1111 1111 1111 paid") == "order 12 [card] paid"


def test_a_phone_number_does_not_take_the_date_behind_it() -> None:
    assert scrub("+49 170 1234567 2026-11-21") == "[phone] 2026-11-21"


def test_addresses_with_a_port_are_masked_even_behind_a_name() -> None:
    assert scrub("shop/203.0.113.9:443 and http://203.0.113.9/x") == "shop/[ip]:443 and http://[ip]/x"


def test_columns_that_name_a_person_are_masked_by_name() -> None:
    columns = ["customer_id", "email"]
    text = 'customer_id=00042 {"email": "x y", \'customer_id\': 42} amount=3 email: is missing'
    assert scrub(text, columns) == (
        "customer_id=[hidden] {\"email\": [hidden], 'customer_id': [hidden]} amount=3 email: is missing"
    )
    assert scrub(text) == text


def test_a_column_name_is_no_expression() -> None:
    assert scrub("a.b=1 axb=2", ["a.b"]) == "a.b=[hidden] axb=2"


FRAGMENTS = [
    *(text for texts in MASKED.values() for text in texts),
    *NAMED,
    *KEPT,
    " ",
    "  ",
    ",",
    ";",
    "/",
    ":",
    "-",
    ".",
    "x",
    "\u00e9",
    "7",
    '"',
    "customer_id=",
    "\r",
]
LINES = st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join), max_size=12)


@settings(max_examples=60, deadline=None)
@given(LINES, st.sampled_from([(), ("customer_id",)]))
def test_many_lines_are_scrubbed_like_single_ones(lines: list[str], columns: tuple[str, ...]) -> None:
    scrubber = Scrubber(columns)
    assert scrubber.lines(lines) == [scrubber.scrub(line) for line in lines]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6).map(" ".join))
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@settings(max_examples=100, deadline=None)
@given(st.dates(), st.times(), st.integers(0, 10**8), st.uuids(), st.binary(min_size=32, max_size=32))
def test_dates_amounts_digests_and_uuids_always_survive(day, time, cents, uuid, raw) -> None:
    for text in (
        day.isoformat(),
        f"{day}T{time}Z",
        f"{cents / 100:.2f}",
        f"{cents / 100:,.2f}",
        str(uuid),
        f"sha256:{raw.hex()}",
    ):
        assert scrub(f"before {text} after") == f"before {text} after"


def test_a_large_text_keeps_its_lines() -> None:
    text = "".join(f"{n} from 203.0.113.{n % 250}\n" for n in range(10_000))
    assert len(text) > LARGE
    masked = scrub(text)
    assert masked.count("\n") == 10_000
    assert masked.startswith("0 from [ip]\n1 from [ip]\n")
    assert masked.endswith("9999 from [ip]\n")


@pytest.mark.skipif(not APACHE.exists(), reason="needs the shared data")
def test_no_address_is_left_in_a_real_access_log_and_nothing_else_changes() -> None:
    lines = gzip.decompress(APACHE.read_bytes()).decode().split("\n")
    scrubbed = Scrubber().lines(lines)
    version = r"(?:rv:|\w/)\d+(?:\.\d+){3}"
    for before, after in zip(lines, scrubbed, strict=True):
        assert not re.search(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", re.sub(version, "", after)), after
        expected = re.sub(r"^\S+ ", "[ip] ", before, count=1)
        expected = re.sub(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]+", "[e-mail]", expected)
        assert after == expected.replace("bs=60.191.124.236&", "bs=[ip]&")


def test_long_lines_take_no_time_for_ever() -> None:
    for text in ("a" * 100_000, "1 " * 50_000, "1" * 100_000, "a.b" * 30_000 + "@", "DE89 " * 20_000, "1:" * 50_000):
        assert scrub(text)


@pytest.mark.parametrize("kind", IDS, ids=lambda kind: kind.module or "by form")
def test_every_kind_of_number_has_a_check_that_exists(kind) -> None:
    from importlib import import_module

    assert re.compile(kind.pattern)
    assert not kind.module or import_module(f"stdnum.{kind.module}").is_valid("x") is False


def test_every_expression_is_understood_by_both_engines() -> None:
    import duckdb

    for source in sources():
        re.compile(source)
        duckdb.execute("SELECT regexp_matches('x', ?)", [source]).fetchall()  # all tests share this connection


def logged(columns: tuple[str, ...] = ()) -> tuple[logging.Logger, list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(ScrubFilter(columns))
    logger = logging.Logger("privacy")  # noqa: LOG001 - it must not outlive the test
    logger.addHandler(handler)
    return logger, lines


def test_log_records_are_scrubbed_with_their_arguments() -> None:
    logger, lines = logged(("customer_id",))
    logger.warning("no answer for %s, customer_id=%d", "ana@example.com", 42)
    assert lines == ["no answer for [e-mail], customer_id=[hidden]"]


def test_a_logged_exception_is_scrubbed_too() -> None:
    logger, lines = logged()
    try:
        raise ValueError("bad card 4111111111111111")
    except ValueError:
        logger.exception("failed for %s", "203.0.113.9")
    assert "failed for [ip]" in lines[0]
    assert "ValueError: bad card [card]" in lines[0]
    assert "4111111111111111" not in lines[0]
