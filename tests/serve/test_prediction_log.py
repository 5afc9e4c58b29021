"""Predictions survive the process that made them, and are sealed exactly once."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Digest, Environment, Prediction, PrincipalId, SystemClock, VersionName, canonical_json
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.sql.state import SqlState
from keelway.errors import BadRequestError, IntegrityError
from keelway.features import FeatureColumn
from keelway.serve import (
    JournalLog,
    LineWriter,
    RequestSchema,
    SealingPorts,
    WriterParts,
    find_prediction,
    predictions,
    seal_journals,
)
from keelway.serve.line import number_text

NOW = datetime(1998, 1, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)
FEATURES = (FeatureColumn("recency_d", "numeric"), FeatureColumn("plan", "categorical"))
WRITER = LineWriter(WriterParts(
    model="churn", version="churn:1", version_digest=DIGEST, deployment=DIGEST, environment="local", arm="stable",
    features=("recency_d", "plan"),
))  # fmt: skip


def line(number: int, entity: str = "7", values: tuple = (1.5, "gold"), probability: float = 0.25) -> str:
    row = (entity, NOW, list(values))
    return WRITER.lines([f"{number:032x}"], [row], [number_text(probability)], at="1998-01-01T00:00:00Z").decode()


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(0, 1),
)
def test_a_line_is_the_canonical_json_of_its_prediction(entity, number, text, probability):
    prediction = Prediction(
        prediction_id=f"{1:032x}", model="churn", version=VersionName("churn:1"), version_digest=DIGEST,
        deployment=DIGEST, environment=Environment("local"), arm="stable", entity=entity, as_of=NOW,
        features={"recency_d": number, "plan": text}, value=probability, event_time=NOW,
    )  # fmt: skip
    assert line(1, entity, (number, text), probability).encode() == canonical_json(prediction) + b"\n"


def test_no_line_is_lost_by_kill_9_and_each_is_sealed_once(tmp_path):
    child = (
        "import sys, pathlib; from keelway.engines.local.journal import FileJournals\n"
        "journal = FileJournals(pathlib.Path(sys.argv[1])).create('churn', 'local')\n"
        "for line in sys.stdin.buffer:\n    journal.append(line); print('ok', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", child, str(tmp_path / "j")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for number in range(20):
            process.stdin.write(line(number).encode())
            process.stdin.flush()
            assert process.stdout.readline() == b"ok\n"
        journals = FileJournals(tmp_path / "j")
        with journals.leftovers() as held:
            assert held == []  # its owner lives
        os.kill(process.pid, signal.SIGKILL)
    [path] = (tmp_path / "j").glob("*.journal")
    with path.open("ab") as stream:
        stream.write(b'{"torn')
    whole = path.read_bytes()
    state, artifacts = SqlState(f"sqlite:///{tmp_path}/s.db"), LocalArtifacts(tmp_path / "a")
    ports = SealingPorts(state, artifacts, PrincipalId("user:ana"))
    [segment] = seal_journals(journals, ports=ports, now=NOW)
    assert (segment.count, segment.torn_lines) == (20, 1)
    path.write_bytes(whole)  # as if the sealer had died before it could delete the journal
    assert seal_journals(journals, ports=ports, now=NOW) == [segment]
    with state.snapshot() as tx:
        assert len(list(predictions(tx, artifacts=artifacts, model="churn", environment="local"))) == 20
        assert find_prediction(f"{7:032x}", tx=tx, artifacts=artifacts)[3] == 7
    state.close()


def test_a_segment_is_found_by_its_ids_whatever_the_features_are_called(tmp_path):
    writer = LineWriter(WriterParts(
        model="churn", version="churn:1", version_digest=DIGEST, deployment=DIGEST, environment="local", arm="stable",
        features=("prediction_id", "version"),
    ))  # fmt: skip
    tricky = '","prediction_id":"f'
    journal = FileJournals(tmp_path / "j").create("churn", "local")
    for number in (2, 1):
        row = (tricky, NOW, ["ffff", tricky])
        journal.append(writer.lines([f"{number:032x}"], [row], ["0.5"], at="1998-01-01T00:00:00Z"))
    journal.close()
    state, artifacts = SqlState(f"sqlite:///{tmp_path}/s.db"), LocalArtifacts(tmp_path / "a")
    ports = SealingPorts(state, artifacts, PrincipalId("user:ana"))
    [segment] = seal_journals(FileJournals(tmp_path / "j"), ports=ports, now=NOW)
    assert (segment.first_id, segment.last_id) == (f"{1:032x}", f"{2:032x}")
    with state.snapshot() as tx:
        assert find_prediction(f"{1:032x}", tx=tx, artifacts=artifacts)[0].entity == tricky
    state.close()


@pytest.mark.parametrize("damaged", [b"\n", b"nonsense\n", b'{"prediction_id":"12\n'])
def test_a_damaged_journal_is_kept_and_told(tmp_path, damaged):
    journal = FileJournals(tmp_path / "j").create("churn", "local")
    journal.append(line(1).encode() + damaged)
    journal.close()
    state, artifacts = SqlState(f"sqlite:///{tmp_path}/s.db"), LocalArtifacts(tmp_path / "a")
    ports = SealingPorts(state, artifacts, PrincipalId("user:ana"))
    with pytest.raises(IntegrityError, match="is damaged"):
        seal_journals(FileJournals(tmp_path / "j"), ports=ports, now=NOW)
    assert len(list((tmp_path / "j").iterdir())) == 1
    state.close()


def test_a_closed_log_has_sealed_everything(tmp_path):
    state, artifacts = SqlState(f"sqlite:///{tmp_path}/s.db"), LocalArtifacts(tmp_path / "a")
    log = JournalLog(
        "churn", environment="local", journals=FileJournals(tmp_path / "j"),
        ports=SealingPorts(state, artifacts, PrincipalId("user:ana")), clock=SystemClock(),
    )  # fmt: skip
    log.start()
    assert log.append((line(1) + line(2)).encode())
    log.close()
    with state.snapshot() as tx:
        assert len(list(predictions(tx, artifacts=artifacts, model="churn", environment="local"))) == 2
    assert not list((tmp_path / "j").iterdir())
    state.close()


GOOD = b'{"entity":"7","features":{"recency_d":1,"plan":null}}'


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff", GOOD + b"x", GOOD.replace(b"1", b"NaN"), GOOD.replace(b"1", b"1e39"),
        GOOD.replace(b"1", b"1e999"), GOOD.replace(b"1", b'"1"'), GOOD.replace(b"1", b"true"),
        GOOD.replace(b"1", b'1,"recency_d":2'), GOOD.replace(b'"recency_d":1,', b""),
        GOOD.replace(b"1", b'1,"other":2'), GOOD.replace(b"1", b"[" * 100_000), b'{"instances":[]}',
        GOOD.replace(b'"7"', b'"\\ud800"'), GOOD.replace(b'"7"', b'"\\u0037","entity":"8"'),
        GOOD[:-1] + b',"as_of":"1998-01-01"}', GOOD[:-1] + b',"as_of":"0001-01-01T00:00:00+10:00"}',
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused(body):
    with pytest.raises(BadRequestError):
        RequestSchema(FEATURES).read(body, now=NOW)


def test_good_requests_are_read():
    schema = RequestSchema(FEATURES)
    assert schema.read(GOOD, now=NOW) == ([("7", NOW, [1.0, None])], False)
    rows, many = schema.read(b'{"instances":[' + GOOD + b"," + GOOD.replace(b"null", b'"\\"a"') + b"]}", now=NOW)
    assert many
    assert rows[1] == ("7", NOW, [1.0, '"a'])
