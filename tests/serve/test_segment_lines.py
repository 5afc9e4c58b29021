"""A server's segments are packed lines: any lines come back, read as the columns that a columnar segment has, without Arrow to seal."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Digest, Environment, Prediction, PrincipalId, VersionName, canonical_json
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError
from keelway.ledger import root_of
from keelway.serve import (
    PredictionSegment,
    SealingPorts,
    columns_in,
    find_prediction,
    lines_of,
    prediction_table,
    seal_journals,
)
from keelway.serve.log_columns import columns_of
from keelway.serve.segment import seal_columns
from keelway.serve.segment_file import SegmentFile, segment_bytes
from keelway.serve.segment_lines import BLOCK_LINES, LINES_FORM, SegmentLines, packed_lines

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)
ANA = PrincipalId("user:ana")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30)).map(lambda each: each.replace(tzinfo=UTC))
values = st.none() | numbers | texts | st.lists(numbers, max_size=3).map(tuple)


def prediction(number: int = 1, **more: Any) -> Prediction:
    given = Prediction(
        prediction_id=f"{number:032x}", model="churn", version=VersionName("churn:1"), version_digest=DIGEST,
        deployment=DIGEST, environment=Environment("prod"), arm="stable", entity=f"c{number}", as_of=NOW,
        features={"recency_d": 1.5, "plan": "gold"}, value=number / 1e6, event_time=NOW + timedelta(milliseconds=number),
    )  # fmt: skip
    return replace(given, **more)


def lines(*found: Prediction) -> list[bytes]:
    return [canonical_json(each) for each in found]


def fed(found: list[bytes]) -> list[bytes]:
    return [line + b"\n" for line in found]


def whole(found: list[bytes]) -> bytes:
    return b"".join(fed(found))


predictions = st.builds(
    lambda number, features, **more: prediction(number, features=features, **more),
    st.integers(0, 2**32),
    st.dictionaries(texts, values, max_size=4),
    entity=texts,
    arm=texts,
    as_of=moments,
    event_time=moments,
    value=numbers | st.lists(numbers, min_size=1, max_size=3).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(predictions, min_size=1, max_size=6))
def test_any_lines_come_back_and_are_told_of_as_they_are(found: list[Prediction]) -> None:
    contents = packed_lines(fed(lines(*found)))
    file = SegmentLines(contents.data)
    assert (contents.root, contents.count) == (root_of(lines(*found)), len(found))
    assert file.lines() == lines(*found)
    assert gzip.decompress(contents.data) == whole(lines(*found)), "what searches files for a person can unpack it"
    ids, events = [each.prediction_id for each in found], [each.event_time for each in found]
    assert (contents.ids, contents.events) == ((min(ids), max(ids)), (min(events), max(events)))
    for number, each in enumerate(found):
        first = ids.index(each.prediction_id)
        assert file.place_of(each.prediction_id) == first, number
        assert file.lines_at(first, 1) == lines(found[first])
    assert file.place_of("f" * 32) is None


@settings(max_examples=60)
@given(st.lists(predictions, min_size=1, max_size=6))
def test_their_columns_are_those_that_a_columnar_segment_has(found: list[Prediction]) -> None:
    data = whole(lines(*found))
    packed, columnar = SegmentLines(gzip.compress(data)), SegmentFile(segment_bytes(columns_of(data)))
    plain = ["arm", "value", "entity", "event_time"]
    assert packed.columns(plain).to_pydict() == columnar.columns(plain).to_pydict()
    features = sorted({f"features.{name}" for each in found for name in each.features})
    wanted = ["prediction_id", *features, "features.never there"]
    assert packed.columns(wanted).to_pydict() == columnar.columns(wanted).to_pydict()


@pytest.mark.parametrize("value", [0.25, 1.0, (0.25, 0.75), (1.0,)])
def test_a_column_has_one_type_whether_features_are_read_or_not(value: Any) -> None:
    file = SegmentLines(gzip.compress(whole(lines(prediction(1, value=value), prediction(2, value=value)))))
    for wanted in (["value"], ["entity", "as_of", "version_digest"]):
        assert file.columns(wanted).schema == file.columns([*wanted, "features.plan"]).select(wanted).schema
    assert file.columns(["value"]).to_pydict() == {"value": [list(value) if isinstance(value, tuple) else value] * 2}
    assert file.columns().num_rows == 2


@pytest.mark.parametrize(
    "damage", [b"{}", b"", b"not JSON", lines(prediction())[0][:-1], lines(prediction())[0] + b"}"]
)
@pytest.mark.parametrize("place", [0, BLOCK_LINES + 1])
def test_a_line_that_is_no_prediction_is_told(damage: bytes, place: int) -> None:
    found = lines(*map(prediction, range(BLOCK_LINES + 3)))
    found[place] = damage
    with pytest.raises(IntegrityError, match="journal is damaged"):
        packed_lines(fed(found))


@pytest.mark.parametrize("part", ["prediction_id", "event_time", "value", "features", "version_digest"])
def test_a_line_without_one_of_its_parts_is_told(part: str) -> None:
    line = lines(prediction())[0].replace(f'"{part}"'.encode(), b'"other"')
    with pytest.raises(IntegrityError):
        packed_lines(fed([line]))


@pytest.mark.parametrize("features", [b"[1]", b"7", b'"plan"', b"null"])
def test_a_line_whose_features_are_no_object_is_told(features: bytes) -> None:
    line = re.sub(rb'"features":{[^}]*}', b'"features":' + features, lines(prediction())[0])
    assert packed_lines(fed(lines(prediction()))).ids
    with pytest.raises(IntegrityError, match="journal is damaged"):
        packed_lines(fed([line]))


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", gzip.compress(b"x" * 1000, mtime=0)[:-5], gzip.compress(b"x" * 1000, mtime=0)[:-1] + b"?"]
)
def test_a_file_that_is_none_is_told(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        SegmentLines(data)


def test_others_may_run_every_so_many_lines() -> None:
    runs: list[int] = []
    many = lines(*map(prediction, range(2 * BLOCK_LINES + 1)))
    contents = packed_lines(fed(many), between=lambda: runs.append(1))
    assert len(runs) == 3
    assert (contents.root, contents.count) == (root_of(many), len(many)), "of whole blocks and a part"
    assert SegmentLines(contents.data).lines() == many


class World:
    """A state, a store and a folder of journals."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 's.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.journals = FileJournals(folder / "journals")
        self.ports = SealingPorts(self.state, self.artifacts, ANA)

    def journalled(self, found: list[bytes]) -> PredictionSegment:
        journal = self.journals.create("churn", "prod")
        journal.append(whole(found))
        journal.close()
        [segment] = seal_journals(self.journals, ports=self.ports, now=NOW)
        return segment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def test_a_journal_becomes_packed_lines_that_prove_themselves(world: World) -> None:
    found = lines(*map(prediction, range(300)))
    segment = world.journalled(found)
    assert (segment.form, segment.count, segment.root) == (LINES_FORM, 300, root_of(found).hex())
    assert columns_in(segment, ["entity"], artifacts=world.artifacts)["entity"].to_pylist()[7] == "c7"
    with world.state.snapshot() as tx:
        assert lines_of(segment, tx=tx, artifacts=world.artifacts) == found
        _, line, kept, number = find_prediction(f"{7:032x}", tx=tx, artifacts=world.artifacts)
    assert (line, kept, number) == (found[7], segment, 7)


def test_segments_of_both_forms_are_read_as_one_table(world: World) -> None:
    world.journalled(lines(prediction(1), prediction(2)))
    batch = lines(*map(prediction, range(3, 103)))
    seal_columns(
        columns_of(whole(batch)), batch, journal="b", model="churn", environment="prod", ports=world.ports, now=NOW
    )
    world.journalled(lines(prediction(103, features={"recency_d": None, "plan": "new"})))
    wanted = ["entity", "value", "event_time", "features.recency_d"]
    for columns in (wanted, wanted[:3]):
        with world.state.snapshot() as tx:
            table = prediction_table("churn", "prod", columns=columns, tx=tx, artifacts=world.artifacts)
        assert table["entity"].to_pylist() == [f"c{number}" for number in range(1, 104)]
        assert table["value"].to_pylist() == [number / 1e6 for number in range(1, 104)]
    with world.state.snapshot() as tx:
        late = prediction_table(
            "churn", "prod", since=NOW + timedelta(milliseconds=102), columns=["entity"], tx=tx,
            artifacts=world.artifacts,
        )  # fmt: skip
    assert late["entity"].to_pylist() == ["c102", "c103"]


def test_a_server_seals_without_arrow_or_pandas(tmp_path: Path) -> None:
    world = World(tmp_path)
    journal = world.journals.create("churn", "prod")
    journal.append(whole(lines(*map(prediction, range(200)))))
    journal.close()
    child = (
        "import sys, pathlib, datetime\n"
        "from keelway.engines.local.artifacts import LocalArtifacts\n"
        "from keelway.engines.local.journal import FileJournals\n"
        "from keelway.engines.sql import SqlState\n"
        "from keelway.serve import SealingPorts, seal_journals\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "state, artifacts = SqlState(f'sqlite:///{folder}/s.db'), LocalArtifacts(folder / 'artifacts')\n"
        "ports = SealingPorts(state, artifacts, 'user:ana')\n"
        "now = datetime.datetime.now(datetime.UTC)\n"
        "print(len(seal_journals(FileJournals(folder / 'journals'), ports=ports, now=now)))\n"
        "print({'pyarrow', 'pandas'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["1", "set()"]
    world.state.close()
