"""Files of business events: CSV or JSON lines, and errors that name the line."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.app.events import events_in
from keelway.core import BusinessEvent, time_text
from keelway.errors import DataError
from keelway.testing.memory import memory_folder
from keelway.testing.serving import NOW


def written(folder: Path, text: str, name: str = "events.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def read(file: Path) -> list[BusinessEvent]:
    return list(events_in(file, "purchases", now=NOW))


def test_a_line_is_an_event_and_what_it_does_not_say_is_usual(tmp_path: Path) -> None:
    text = "entity,event_time,amount,event_id,known_at\nc1,2026-02-01T00:00:00Z,12.5,o7,2026-02-02T00:00:00Z\n"
    text += "c2,2026-02-01T00:00:00Z,,,\n"
    one, two = read(written(tmp_path, text))
    assert (one.stream, one.entity, one.amount, one.event_id) == ("purchases", "c1", 12.5, "o7")
    assert time_text(one.known_at) == "2026-02-02T00:00:00Z"
    assert (two.amount, two.event_id, two.known_at) == (1, "", NOW)


def test_json_lines_hold_the_same(tmp_path: Path) -> None:
    lines = [
        {"entity": 7, "event_time": "2026-02-01T00:00:00Z", "amount": -3},
        {"entity": "c2", "event_time": "2026-02-01T01:00:00+01:00"},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    one, two = read(written(tmp_path, text, "events.jsonl"))
    assert (one.entity, one.amount) == ("7", -3)
    assert (two.event_time, two.amount) == (one.event_time, 1)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("e.csv", "entity,event_time,ammount\nc1,2026-02-01T00:00:00Z,5\n", "take out ammount"),
        ("e.csv", "entity,amount\nc1,5\n", "add event_time"),
        ("e.csv", "", "add entity"),
        ("e.csv", "entity,event_time,amount\nc1,2026-02-01T00:00:00Z,5\nc2,2026-02-01T00:00:00Z,nan\n", "line 3"),
        ("e.csv", "entity,event_time,amount\nc1,2026-02-01T00:00:00Z,much\n", "line 2"),
        ("e.csv", "entity,event_time\nc1,yesterday\n", "line 2"),
        ("e.csv", "entity,event_time\n,2026-02-01T00:00:00Z\n", "line 2"),
        ("e.csv", "entity,event_time\nc1,2026-02-01T00:00:00Z,5,6\n", "line 2"),
        ("e.jsonl", '{"entity": "c1", "event_time": "2026-02-01T00:00:00Z", "amount": true}\n', "line 1"),
        ("e.jsonl", '{"entity": "c1", "event_time": "2026-02-01T00:00:00Z", "amount": {}}\n', "line 1"),
        ("e.jsonl", '{"entity": "c1", "event_time": "2026-02-01T00:00:00Z", "amount": NaN}\n', "line 1"),
        ("e.jsonl", '{"entity": "c1"\n', "line 1: this is no JSON"),
        ("e.jsonl", '["c1"]\n', "found list"),
        ("e.jsonl", '{"entity": "c1", "event_time": "2026-02-01T00:00:00Z", "sum": 5}\n', "take out sum"),
    ],
)
def test_what_is_no_event_is_refused_and_the_line_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, text, name))
    assert told in f"{caught.value} {caught.value.fix}"


EVENTS = st.builds(
    BusinessEvent,
    stream=st.just("purchases"),
    entity=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs")), min_size=1),
    amount=st.floats(allow_nan=False, allow_infinity=False),
    event_time=st.integers(0, 10**9).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    known_at=st.integers(0, 10**9).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    event_id=st.from_regex(r"[a-z0-9]*", fullmatch=True),
)


@given(st.lists(EVENTS, max_size=8), st.booleans())
def test_what_was_written_is_read(events: list[BusinessEvent], as_json: bool) -> None:
    fields = ("entity", "event_time", "amount", "event_id", "known_at")
    rows = [
        {
            name: time_text(value) if name.endswith(("time", "at")) else value
            for name in fields
            for value in [getattr(one, name)]
        }
        for one in events
    ]
    with memory_folder() as folder:
        file = folder / ("e.jsonl" if as_json else "e.csv")
        with file.open("w", newline="", encoding="utf-8") as stream:
            if as_json:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(stream, fields)
                writer.writeheader()
                writer.writerows(rows)
        assert read(file) == events
