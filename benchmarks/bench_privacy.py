"""What privacy costs: tokens for 10 M ids against bare HMACs, scrubbing 100 MB against one pass of DuckDB, sealing.

Ids are generated (seeded); the log is a real access log of Apache, repeated, where KEELWAY_BENCH_LOG names one, else
lines like it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import hmac
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from _figures import Figure, report

from keelway.contract import Column, PiiClass
from keelway.core import ArtifactKind
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql.keys import SqliteKeyVault
from keelway.privacy import Keyring, Scrubber, SealedArtifacts, TenantKey, Tokens

IDS, DISTINCT = 10_000_000, 500_000
LOG_BYTES = 100_000_000
SEALED_BYTES = 256_000_000
PERSON = Column("person", "string", pii=PiiClass.SUBJECT)
NUMBER = Column("person", "string", pii=PiiClass.SUBJECT, token_format="digits")
SIMPLE_IP = r"\b\d{1,3}(\.\d{1,3}){3}\b"


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


def ids() -> pa.Array:
    """Return ids of people as a column holds them."""
    numbers = np.random.default_rng(5).integers(0, DISTINCT, IDS)
    names = pa.array([f"{number:012d}" for number in range(DISTINCT)])
    return names.take(pa.array(numbers))


def tokenised(column: pa.Array, name: Callable[[list[str]], list[str]]) -> pa.Array:
    """Return a column with a name for each value, asking once for each different one."""
    encoded = pc.dictionary_encode(column)
    names = pa.array(name(encoded.dictionary.to_pylist()))
    return names.take(encoded.indices)


def bare(values: list[str]) -> list[str]:
    """Return the HMAC of each value, with nothing kept and nothing to erase."""
    key = b"k" * 32
    return [hmac.new(key, value.encode(), hashlib.sha256).hexdigest() for value in values]


def measure_tokens(folder: Path) -> list[Figure]:
    column = ids()
    floor_s, _ = seconds(lambda: tokenised(column, bare))
    with closing(SqliteKeyVault(folder / "vault.db")) as vault:
        tokens = Tokens(TenantKey.generate(), vault)
        first_s, first = seconds(lambda: tokenised(column, lambda values: tokens.tokens(values, PERSON)))
        again_s, again = seconds(lambda: tokenised(column, lambda values: tokens.tokens(values, PERSON)))
        digits_s, _ = seconds(lambda: tokenised(column, lambda values: tokens.tokens(values, NUMBER)))
        marks = tokens.marks(first.slice(0, 1).to_pylist())
        erase_s, _ = seconds(lambda: vault.destroy_values(marks))
    assert first.equals(again)
    to = "bare hmac over the distinct ids"
    return [
        Figure("privacy.tokens_floor", floor_s, "s for 10 M ids, 500 k distinct"),
        Figure("privacy.tokens_first", first_s, "s, every id new", to, first_s / floor_s),
        Figure("privacy.tokens_again", again_s, "s, every id known", to, again_s / floor_s),
        Figure("privacy.tokens_digits", digits_s, "s, every id new, digits", to, digits_s / floor_s),
        Figure("privacy.destroy_one", erase_s * 1000, "ms to destroy one key among a million"),
    ]


def log_text() -> str:
    path = os.environ.get("KEELWAY_BENCH_LOG", "")
    if path:
        text = gzip.decompress(Path(path).read_bytes()).decode()
    else:
        agent = '"http://example.com/" "Mozilla/5.0 (X11; Linux x86_64) Chrome/32.0.1700.77 Safari/537.36"'
        text = "".join(
            f'203.0.113.{n % 250} - - [17/May/2015:10:05:{n % 60:02d} +0000] "GET /a/{n} HTTP/1.1" 200 {n * 37} {agent}\n'
            for n in range(10_000)
        )
    return text * (LOG_BYTES // len(text) + 1)


def one_pass(text: str) -> str:
    """Replace what looks like an address, and nothing else."""
    table = pa.table({"line": pa.array(text.split("\n"), pa.large_string())})
    with duckdb.connect() as connection:
        connection.register("log", table)
        query = "SELECT regexp_replace(line, $pattern, '[ip]', 'g') AS line FROM log"
        return "\n".join(connection.execute(query, {"pattern": SIMPLE_IP}).fetchnumpy()["line"].tolist())


def measure_scrubbing() -> list[Figure]:
    text = log_text()
    megabytes = len(text) / 1e6
    Scrubber().scrub(text[: len(text) // 20])
    one_pass(text[: len(text) // 20])
    floor_s, _ = seconds(lambda: one_pass(text))
    all_s, scrubbed = seconds(lambda: Scrubber().scrub(text))
    assert "[ip]" in scrubbed
    return [
        Figure("privacy.scrub_floor", megabytes / floor_s, "MB/s, one DuckDB regexp_replace"),
        Figure("privacy.scrub", megabytes / all_s, "MB/s, 30 shapes", "one DuckDB regexp_replace", all_s / floor_s),
    ]


def measure_sealing(folder: Path) -> list[Figure]:
    raw = folder / "raw.bin"
    raw.write_bytes(os.urandom(SEALED_BYTES))
    with closing(SqliteKeyVault(folder / "seals.db")) as vault:
        keyring = Keyring(TenantKey.generate(), vault)
        inner, plain = LocalArtifacts(folder / "sealed"), LocalArtifacts(folder / "plain")
        store = SealedArtifacts(inner, keyring=lambda: keyring, folder=folder / "copies", seals=True)
        plain_s, _ = seconds(lambda: plain.put_file(raw, kind=ArtifactKind.RAW_FILE))
        seal_s, stored = seconds(lambda: store.put_file(raw, kind=ArtifactKind.RAW_FILE))
        open_s, _ = seconds(lambda: store.path_of(stored.digest))
        store.release()
    size = SEALED_BYTES / 1e6
    return [
        Figure("privacy.seal", size / seal_s, "MB/s", "storing it unsealed", seal_s / plain_s),
        Figure("privacy.open", size / open_s, "MB/s"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = [*measure_tokens(Path(folder)), *measure_scrubbing(), *measure_sealing(Path(folder))]
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
