"""Lines become columns and the very same lines again, whatever stands in them; a segment's file proves each of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keelway.core import Digest, Environment, Prediction, VersionName, canonical_json, time_text
from keelway.errors import IntegrityError
from keelway.ledger import MemoryTree, RunningRoot, root_of
from keelway.serve.line import number_text
from keelway.serve.log_columns import columns_of
from keelway.serve.log_lines import LINE, number_texts, quoted_texts, time_texts
from keelway.serve.segment_file import GROUP_ROWS, SegmentFile, segment_bytes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGESTS = [Digest("sha256:" + digit * 64) for digit in "012"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 30)).map(lambda each: each.replace(tzinfo=UTC))
values = st.none() | numbers | texts | st.lists(numbers, max_size=3).map(tuple)


def prediction(number: int = 1, **more: Any) -> Prediction:
    given = Prediction(
        prediction_id=f"{number:032x}", model="churn", version=VersionName("churn:1"), version_digest=DIGESTS[0],
        deployment=DIGESTS[0], environment=Environment("prod"), arm="stable", entity="7", as_of=NOW,
        features={"recency_d": 1.5, "plan": "gold"}, value=0.25, event_time=NOW + timedelta(microseconds=number * 137),
    )  # fmt: skip
    return replace(given, **more)


def lines_of(found: Sequence[Prediction]) -> bytes:
    return b"".join(canonical_json(each) + b"\n" for each in found)


def many(count: int) -> bytes:
    return lines_of([prediction(number, entity=f"c{number % 9}", value=number / 7) for number in range(count)])


versions = st.sampled_from(DIGESTS[:2])
odd_predictions = st.builds(
    lambda number, features, **more: prediction(number, features=features, **more),
    st.integers(0, 2**32),
    st.dictionaries(texts, values, max_size=4),
    entity=texts,
    arm=texts,
    as_of=moments,
    event_time=moments,
    value=numbers | st.lists(numbers, min_size=1, max_size=3).map(tuple),
    version_digest=versions,
)


@settings(max_examples=60)
@given(st.lists(odd_predictions, min_size=1, max_size=6))
@example([prediction(features={}), prediction(2, features={"recency_d": "soon"})])
@example([prediction(features={"plan": "2026-03-01 00:00:00", "line": "x"})])
@example([prediction(features={"a": 1e20, "b": -1e15, "c": 5e-324, "d": 2.0**53, "e": 1e300})])
@example([prediction(features={"ink": (1.0, 0.5)}, value=(0.25, 0.75)), prediction(2, features={"ink": ()})])
def test_any_lines_come_back_byte_for_byte(found: list[Prediction]) -> None:
    data = lines_of(found)
    file = SegmentFile(segment_bytes(columns_of(data)))
    assert b"".join(line + b"\n" for line in file.lines()) == data
    again = file.columns(["prediction_id", "entity", "as_of", "event_time"]).to_pylist()
    assert again == [
        {name: getattr(each, name) for name in ("prediction_id", "entity", "as_of", "event_time")} for each in found
    ]


@given(st.lists(numbers | st.integers(-(10**22), 10**22).map(float), min_size=1))
def test_numbers_are_written_as_canonical_json_has_them(given: list[float]) -> None:
    written = number_texts(pa.array([*given, None])).to_pylist()
    assert written == [number_text(each) for each in given] + [None]
    assert [text.encode() for text in written[:-1]] == [canonical_json(each) for each in given]


@given(st.lists(texts, min_size=1))
def test_texts_are_written_as_canonical_json_has_them(given: list[str]) -> None:
    assert [text.encode() for text in quoted_texts(pa.array(given)).to_pylist()] == [
        canonical_json(each) for each in given
    ]


@given(st.lists(moments, min_size=1))
def test_moments_are_written_as_everywhere(given: list[datetime]) -> None:
    assert time_texts(pa.array(given, pa.timestamp("us", "UTC"))).to_pylist() == [time_text(each) for each in given]


def test_versions_with_other_features_stand_in_one_segment_with_types_of_their_own() -> None:
    other = {"version_digest": DIGESTS[1], "features": {"note": "hello", "ink": (1.0, 2.0)}}
    data = lines_of([prediction(number, **(other if number % 3 else {})) for number in range(100)])
    columns = columns_of(data)
    assert LINE not in columns.table.column_names, "no line has to be kept"
    assert columns.names == {DIGESTS[0]: ("plan", "recency_d"), DIGESTS[1]: ("ink", "note")}
    kinds = {field.name: str(field.type) for field in columns.table.schema if field.name.startswith("features.")}
    assert sorted(kinds) == ["features.ink", "features.note", "features.plan", "features.recency_d"]
    assert (kinds["features.recency_d"], kinds["features.note"]) == ("double", "string")
    assert SegmentFile(segment_bytes(columns)).lines() == data.splitlines()


def test_only_lines_that_columns_cannot_tell_are_kept() -> None:
    spaced = json.dumps(json.loads(canonical_json(prediction(1)))).encode() + b"\n"
    more = canonical_json(prediction(2)).replace(b'"model"', b'"later":1,"model"') + b"\n"
    data = (
        lines_of([prediction(0)])
        + spaced
        + more
        + lines_of([prediction(3, features={"recency_d": "soon", "plan": None})])
    )
    columns = columns_of(data * 20)
    kept = columns.table[LINE].to_pylist()[:4]
    assert [line is not None for line in kept] == [False, True, True, True]
    assert columns.table["features.recency_d"].to_pylist()[:4] == [1.5, 1.5, 1.5, None]
    file = SegmentFile(segment_bytes(columns))
    assert file.lines() == (data * 20).splitlines()
    assert LINE not in file.columns().column_names


@pytest.mark.parametrize("count", [1, 64, GROUP_ROWS + 7])
def test_each_line_is_found_by_its_id_and_proven_by_the_root(count: int) -> None:
    data = many(count)
    lines, file = data.splitlines(), SegmentFile(segment_bytes(columns_of(data)))
    assert file.lines() == lines
    for number in {0, count // 2, count - 1}:
        assert file.place_of(f"{number:032x}") == number
        assert file.lines_at(number, 1) == [lines[number]]
    assert file.place_of(f"{count:032x}") is None
    assert root_of(file.lines()) == MemoryTree(lines).root()


def test_a_found_line_is_written_from_its_own_group_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = many(3 * GROUP_ROWS)
    file, read = SegmentFile(segment_bytes(columns_of(data))), []
    inner = file._file.read_row_group
    monkeypatch.setattr(file, "_file", _Watched(file._file, inner, read))
    number = GROUP_ROWS + 5
    assert file.place_of(f"{number:032x}") == number
    assert file.lines_at(number, 1) == [data.splitlines()[number]]
    assert read == [1, 1], "its ids, and then its rows"


class _Watched:
    """A Parquet file that notes which groups of rows are read."""

    def __init__(self, inner: Any, read_row_group: Any, read: list[int]) -> None:
        self._inner, self._read_row_group, self._read = inner, read_row_group, read

    def read_row_group(self, number: int, **more: Any) -> Any:
        self._read.append(number)
        return self._read_row_group(number, **more)

    def read_row_groups(self, numbers: list[int], **more: Any) -> Any:
        self._read += numbers
        return self._inner.read_row_groups(numbers, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_columns_take_a_fifth_of_the_room_of_lines() -> None:
    data = many(2_000)
    assert len(segment_bytes(columns_of(data))) * 5 < len(data)


@pytest.mark.parametrize("damaged", [b"\n", b"nonsense\n", b"{}\n", b'{"prediction_id":"12"}\n', b"[]\n"])
def test_a_line_that_is_no_prediction_is_refused(damaged: bytes) -> None:
    with pytest.raises(IntegrityError, match="is damaged"):
        columns_of(many(3) + damaged)


def test_bytes_that_are_no_segment_are_refused(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    with pytest.raises(IntegrityError, match="cannot be read"):
        SegmentFile(b"PAR1 and then nonsense")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(IntegrityError, match="another file of Parquet"):
        SegmentFile((tmp_path / "x.parquet").read_bytes())


@given(st.lists(st.binary(max_size=3), max_size=300))
def test_a_root_of_what_is_at_hand_is_the_running_one(leaves: list[bytes]) -> None:
    running = RunningRoot()
    for leaf in leaves:
        running.add(leaf)
    assert root_of(leaves) == running.root()
