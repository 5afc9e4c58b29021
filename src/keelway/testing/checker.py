"""What every engine that checks rows must do; inherit it and give the fixture `checker`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.contract import Checker, Contract, Findings, load_contract
from keelway.core import digest_bytes
from keelway.ingest import RawFile

KNOWN_AT = datetime(2026, 3, 2, 3, tzinfo=UTC)
HEAD = "id,day,amount\n"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: conformance
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - name: id
        logicalType: string
        required: true
        customProperties:
          - property: aliases
            value: [ident]
      - name: day
        logicalType: date
        required: true
      - name: amount
        logicalType: number
        required: true
        logicalTypeOptions:
          minimum: 0
        customProperties:
          - property: decimalComma
            value: true
"""


class CheckerConformance:
    """Promises of `Checker`. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def contract(self, tmp_path: Path) -> Contract:
        """A contract with a repair of a name, a repair of a value, and a limit."""
        path = tmp_path / "orders.odcs.yaml"
        path.write_text(CONTRACT, "utf8")
        return load_contract(path, "orders")

    def check(self, checker: Checker, contract: Contract, folder: Path, *bodies: str) -> Findings:
        """Check files with these bodies."""
        files = []
        for number, body in enumerate(bodies):
            path = folder / f"{number}.csv"
            path.write_text(body, "utf8", newline="")
            data = path.read_bytes()
            files.append((RawFile(path.name, digest_bytes(data), len(data), KNOWN_AT, None), path))
        out = folder / f"out-{len(list(folder.iterdir()))}"
        out.mkdir()
        return checker.check(files, contract, event_time="day", folder=out)

    def kept(self, findings: Findings) -> list[dict[str, Any]]:
        """Return the kept rows."""
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(findings.rows).to_pylist()
        return rows

    def test_every_line_is_kept_or_quarantined(self, checker: Checker, contract: Contract, tmp_path: Path) -> None:
        body = HEAD + "1,2026-03-01,2.5\n2,never,1\n\n3,2026-03-01,-1\n4,2026-03-01\n5,2026-03-01,7\n"
        found = self.check(checker, contract, tmp_path, body)
        (file,) = found.files
        assert (file.rows_in, file.rows_ok, file.rows_quarantined) == (5, 2, 3)
        assert [row["id"] for row in self.kept(found)] == ["1", "5"]
        assert [row.raw for row in found.examples] == ["2,never,1", "3,2026-03-01,-1", "4,2026-03-01"]
        assert all(row.reasons for row in found.examples)

    def test_a_kept_row_says_where_it_came_from(self, checker: Checker, contract: Contract, tmp_path: Path) -> None:
        found = self.check(checker, contract, tmp_path, HEAD + "1,2026-03-01,2.5\n")
        (row,) = self.kept(found)
        assert (row["_file"], row["_row"], row["_known_at"]) == (found.files[0].digest, 2, KNOWN_AT)
        assert row["amount"] == 2.5

    def test_only_what_the_contract_allows_is_repaired(
        self, checker: Checker, contract: Contract, tmp_path: Path
    ) -> None:
        found = self.check(checker, contract, tmp_path, 'ident,day,amount\n1,2026-03-01,"2,5"\n2,01.03.2026,3\n')
        (row,) = self.kept(found)
        assert (row["id"], row["amount"]) == ("1", 2.5)
        assert found.repairs["amount"] == {"decimal_comma": 1}
        assert found.files[0].renamed == {"ident": "id"}
        assert found.files[0].rows_quarantined == 1

    def test_a_file_without_a_required_column_is_quarantined_whole(
        self, checker: Checker, contract: Contract, tmp_path: Path
    ) -> None:
        found = self.check(checker, contract, tmp_path, "day,amount\n2026-03-01,1\n", HEAD + "1,2026-03-01,1\n")
        assert found.files[0].reasons
        assert found.files[0].missing == ("id",)
        assert len(self.kept(found)) == 1

    def test_the_same_files_give_the_same_bytes(self, checker: Checker, contract: Contract, tmp_path: Path) -> None:
        bodies = [HEAD + "".join(f"{n},2026-03-0{day},{n / 4}\n" for n in range(500)) for day in (1, 2)]
        first, second = (self.check(checker, contract, tmp_path, *bodies) for _ in range(2))
        assert first.rows is not None
        assert second.rows is not None
        assert first.rows.read_bytes() == second.rows.read_bytes()

    def test_nothing_but_bad_rows_leaves_none(self, checker: Checker, contract: Contract, tmp_path: Path) -> None:
        found = self.check(checker, contract, tmp_path, HEAD + "1,never,1\n")
        assert self.kept(found) == []
        assert found.quarantine is not None
