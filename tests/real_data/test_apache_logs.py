"""A web server's log goes in, and no client's address is in anything that is written."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import load_contract, quarantined_rows
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.engines.sql.keys import SqliteKeyVault
from keelway.privacy import Keyring, SealedArtifacts, TenantKey, Tokens, is_token, scrub
from keelway.project import Dataset
from keelway.snapshot import read
from keelway.testing.intake import Intake

CONTRACT = Path(__file__).with_name("apache.odcs.yaml")
WEB = Dataset("web", contract="web.yaml", source="raw/web/**/*", event_time="stamp")
HEADER = b"client ident user stamp zone request status size referrer agent\n"
NOW = datetime(2015, 5, 21, tzinfo=UTC)
ADDRESS = re.compile(rb"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])")


@pytest.fixture(scope="module")
def log(data_folder: Path) -> bytes:
    return gzip.decompress((data_folder / "B_E_apache_logs.log.gz").read_bytes())


@pytest.fixture(scope="module")
def clients(log: bytes) -> set[bytes]:
    return {line.split(b" ")[0] for line in log.splitlines()}


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    vault = SqliteKeyVault(tmp_path / "vault.db")
    keyring = Keyring(TenantKey.parse("5a" * 32), vault)
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    inner = LocalArtifacts(tmp_path / "artifacts")
    yield Intake(
        dataset=WEB,
        contract=load_contract(CONTRACT, WEB.name),
        objects=tmp_path / "objects",
        state=state,
        artifacts=SealedArtifacts(inner, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True),
        tables=DeltaTables.below(tmp_path / "tables"),
        tokenizer=Tokens(keyring.tenant, vault),
    )
    state.close()
    vault.close()


def written(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield each file below a folder with its bytes, and Parquet files with their values as well."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            if data[:4] == b"PAR1":
                yield path, str(pq.read_table(path).to_pylist()).encode()


def told_of_clients(data: bytes, clients: set[bytes]) -> set[bytes]:
    return set(ADDRESS.findall(data)) & clients


def test_the_log_is_what_its_description_says(log: bytes, clients: set[bytes]) -> None:
    assert (log.count(b"\n"), len(clients)) == (10_000, 1_753)
    assert told_of_clients(log, clients) == clients


def test_no_address_is_in_anything_that_is_written(
    intake: Intake, log: bytes, clients: set[bytes], tmp_path: Path
) -> None:
    intake.upload("raw/web/access.log", HEADER + log, NOW)
    batch = intake.pull(NOW)
    assert batch is not None
    checked = intake.check(batch)
    snapshot = intake.take(checked)
    intake.artifacts.release()
    found = {
        path.name: told
        for path, data in written(tmp_path)
        if not path.is_relative_to(intake.objects) and (told := told_of_clients(data, clients))
    }
    assert found == {}
    assert (checked.rows_in, checked.rows_quarantined, snapshot.rows) == (9_999, 1, 9_998)
    assert told_of_clients(repr((batch, checked, snapshot)).encode(), clients) == set()


def test_the_rows_keep_everything_but_the_address(intake: Intake, log: bytes, clients: set[bytes]) -> None:
    intake.upload("raw/web/access.log", HEADER + log, NOW)
    snapshot = intake.ingest(NOW)
    assert snapshot is not None
    (path,) = read(snapshot, tables=intake.tables, artifacts=intake.artifacts)
    rows = pq.read_table(path).to_pylist()
    tokens = {row["client"] for row in rows}
    assert all(is_token(token) for token in tokens)
    kept = [line for line in log.splitlines() if line.split(b" ")[0] not in (b"46.118.127.106", b"180.76.5.152")]
    assert len(tokens) >= len({line.split(b" ")[0] for line in kept})
    assert {row["user"] for row in rows} == {None}
    assert rows[0]["stamp"] == datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)
    assert (rows[0]["status"], rows[0]["size"]) == (200, 203023)
    assert sum(row["size"] or 0 for row in rows) == sum(_size(line) for line in log.splitlines() if _whole(line))


def _whole(line: bytes) -> bool:
    """Say whether a line is neither cut off nor swallowed by the open quote of the one before."""
    return not (line.startswith(b"46.118.127.106 ") and not line.endswith(b'"')) and b'"GET /robots.txt' not in line


def _size(line: bytes) -> int:
    found = re.search(rb'" [0-9]{3} ([0-9]+|-) "', line)
    assert found is not None
    return 0 if found[1] == b"-" else int(found[1])


def test_the_line_that_was_cut_off_can_be_read_with_the_keys_only(intake: Intake, log: bytes) -> None:
    intake.upload("raw/web/access.log", HEADER + log, NOW)
    batch = intake.pull(NOW)
    assert batch is not None
    checked = intake.check(batch)
    (row,) = quarantined_rows(checked, artifacts=intake.artifacts)
    assert row.raw.startswith("46.118.127.106 - - [20/May/2015:12:05:17 +0000]")
    assert row.reasons == ("text stands outside its quotes",)


def test_the_scrubber_leaves_no_address_in_the_log_itself(log: bytes, clients: set[bytes]) -> None:
    scrubbed = scrub(log.decode())
    assert told_of_clients(scrubbed.encode(), clients) == set()
    assert scrubbed.count("\n") == log.count(b"\n")
    assert scrubbed.splitlines()[0] == log.decode().splitlines()[0].replace("83.149.9.216", "[ip]")
