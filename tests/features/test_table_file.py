"""The same rows give the same file, in whatever parts they come; only one group of them is held."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.errors import StorageError
from keelway.features import table_file as module
from keelway.features.table_file import parts_of, scratch_files, table_file

GROUP = 100


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", GROUP)


def rows(count: int) -> pa.Table:
    return pa.table(
        {
            "entity": [f"c{number:05}" for number in range(count)],
            "as_of": pa.array([0] * count, pa.timestamp("us", "UTC")),
            "spent": pa.array([None if number % 7 == 0 else number / 3 for number in range(count)], pa.float64()),
            "kind": pa.array([f"k{number % 3}" for number in range(count)], pa.string()),
            "pair": pa.array([[number, -number] for number in range(count)], pa.list_(pa.float32())),
        }
    )


def as_a_whole(table: pa.Table, path: Path) -> bytes:
    """Write the file in one go, with what feature tables were written with before they came in parts."""
    pq.write_table(
        table, path, version="2.6", data_page_version="1.0", compression="zstd", compression_level=3, row_group_size=GROUP,
        use_dictionary=["kind"], store_schema=False,
    )  # fmt: skip
    return path.read_bytes()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 450), st.lists(st.integers(0, 450), max_size=6))
def test_parts_of_any_size_give_the_bytes_of_the_whole(tmp_path: Path, count: int, cuts: list[int]) -> None:
    table = rows(count)
    ends = [0, *sorted(min(cut, count) for cut in cuts), count]
    with table_file(tmp_path / "parts", table.schema) as file:
        for start, end in pairwise(ends):
            file.add(table.slice(start, end - start))
    assert file.rows == count
    assert (tmp_path / "parts").read_bytes() == as_a_whole(table, tmp_path / "whole")
    assert pa.concat_tables([table.slice(0, 0), *parts_of(tmp_path / "parts", table.column_names)]).equals(table)


def test_what_is_held_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    part, held = rows(30), []
    with table_file(tmp_path / "rows", part.schema) as file:
        before = pa.total_allocated_bytes()
        for _ in range(400):
            file.add(part)
            held.append(pa.total_allocated_bytes() - before)
    assert max(held[200:]) <= 1.2 * max(held[:40])


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("There is no device that is always full")
    with pytest.raises(StorageError, match="No space left"), scratch_files(tmp_path):
        full.write_text("rows")
