"""Proof bundles: one file leads from a prediction to the raw files, and no byte of it can change unnoticed."""

from __future__ import annotations

import ast
import base64
import json
import random
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.core import (
    Action,
    ArtifactKind,
    Decision,
    Digest,
    PointerMove,
    PrincipalId,
    canonical_json,
    digest_bytes,
    digest_of,
    parse_json,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, MissingRecordError, UsageError
from keelway.ledger import (
    MemoryTree,
    Quorum,
    SigningKey,
    prove,
    provenance,
    record_decision,
    rotate,
    sign_checkpoint,
    sign_statement,
    statement,
    verify_bundle,
    verify_checkpoint,
)
from keelway.ledger.witness import cosign

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SigningKey("keelway.example/ledger", bytes(range(32)))


@dataclass(frozen=True, slots=True)
class RawFile:
    name: str
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    dataset: str
    number: int
    files: tuple[RawFile, ...]
    pulled_at: datetime
    parent: Digest | None


@dataclass(frozen=True, slots=True)
class Fitted:
    model: str
    batch: Digest
    pipeline: Digest


@dataclass(frozen=True, slots=True)
class ModelVersion:
    name: str
    trained: Digest
    onnx: Digest
    statement: Digest
    plan: Digest | None = None


@dataclass(frozen=True, slots=True)
class PredictionSegment:
    model: str
    data: Digest
    root: str
    count: int


@dataclass(frozen=True, slots=True)
class Shop:
    """A small world with one version in production and two sealed segments."""

    state: SqlState
    artifacts: LocalArtifacts
    raw: Path
    version: Digest
    segment: Digest
    lines: tuple[dict[str, Any], ...]

    def prove(self, subject: Any, **options: Any) -> bytes:
        lines = [canonical_json(line) for line in self.lines]
        return prove(
            subject, state=self.state, artifacts=self.artifacts, key=KEY, origin="keelway.example",
            **({"lines": lines} | options),
        )  # fmt: skip


def told(action: Action, subject: str, evidence: dict[str, Digest], **more: Any) -> Decision:
    return Decision(action, subject, True, PrincipalId("sp:deployer"), NOW, evidence=evidence, **more)


def fill(state: SqlState, artifacts: LocalArtifacts, raw: Path, *, promoted: bool = True) -> Shop:
    def store(data: bytes) -> Digest:
        return artifacts.put(data, kind=ArtifactKind.MODEL).digest

    parent = None
    with state.transaction() as tx:
        for number in range(3):
            name, data = f"transactions/{number}.csv", b"id,amount\n%d,7\n" % number
            (raw / "transactions").mkdir(parents=True, exist_ok=True)
            (raw / name).write_bytes(data)
            batch = Batch("transactions", number, (RawFile(name, store(data), len(data)),), NOW, parent)
            parent = tx.insert(str(number), batch, at=NOW)
            record_decision(told(Action.INGEST, "transactions", {"batch": parent}), tx=tx)
        assert parent is not None
        trained = tx.insert("t", Fitted("churn", parent, store(b"pipeline")), at=NOW)
        onnx = store(b"onnx")
        signed = sign_statement(
            provenance(
                "churn:1", onnx, build_type="https://keelway.dev/train/v1", parameters={},
                dependencies={"trained": trained}, builder="https://keelway.dev", started=NOW, finished=NOW,
            ),
            key=KEY,
        )  # fmt: skip
        version = tx.insert("churn:1", ModelVersion("churn:1", trained, onnx, store(signed)), at=NOW)
        record_decision(told(Action.REGISTER, "churn:1", {"version": version}), tx=tx)
        if promoted:
            tx.move("environment/prod/churn", before=None, after=version, at=NOW)
            moves = (PointerMove("environment/prod/churn", None, version),)
            evidence = {"document": store(b'{"auc":0.8}')}
            record_decision(told(Action.PROMOTE, "churn:1", evidence, environment="prod", moves=moves), tx=tx)
        for number in range(5):
            record_decision(told(Action.MONITOR, "churn", {"version": version}, comment=str(number)), tx=tx)
        lines = tuple(
            {"prediction_id": f"{number:032x}", "version": "churn:1", "environment": "prod", "entity": f"c{number}",
             "value": number / 7} for number in range(7)
        )  # fmt: skip
        data = b"".join(canonical_json(line) + b"\n" for line in lines)
        root = MemoryTree(data.splitlines()).root().hex()
        segment = tx.insert("s", PredictionSegment("churn", store(data), root, len(lines)), at=NOW)
        record_decision(told(Action.LOG_PREDICTIONS, "churn", {"segment": segment}), tx=tx)
    return Shop(state, artifacts, raw, version, segment, lines)


@pytest.fixture
def shop(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield fill(state, LocalArtifacts(tmp_path / "artifacts"), tmp_path / "raw")
    state.close()


def test_a_prediction_leads_to_the_raw_files(shop: Shop) -> None:
    data = shop.prove(shop.lines[3], segment=shop.segment)
    found = verify_bundle(data, key=KEY.public, files=shop.raw)
    assert found.subject == f"prediction:{3:032x}"
    assert found.chain == ("PredictionSegment", "ModelVersion", "Fitted", "Batch")
    assert (found.raw_files, found.files_checked, found.statements) == (3, 3, 1)
    assert (found.records, found.decisions) == (6, 6)  # 3 ingests, register, promote, log; no monitoring
    tree = "\n".join(found.tree)
    assert "ModelVersion churn:1" in tree
    assert "1 raw files, and 2 before it" in tree
    assert "promote churn:1 in prod by sp:deployer at 2026-03-01T00:00:00Z: allowed" in tree


def test_every_prediction_of_a_segment_can_be_proven(shop: Shop) -> None:
    for line in shop.lines:
        verify_bundle(shop.prove(line, segment=shop.segment), key=KEY.public)


def test_a_version_leads_to_the_raw_files(shop: Shop) -> None:
    found = verify_bundle(shop.prove(shop.version), key=KEY.public)
    assert found.chain == ("ModelVersion", "Fitted", "Batch")
    assert (found.raw_files, found.files_checked) == (3, 0)


def test_no_byte_of_a_bundle_can_change(shop: Shop) -> None:
    data = shop.prove(shop.lines[3], segment=shop.segment)
    dice = random.Random(20260301)
    places = {*range(40), *range(len(data) - 250, len(data)), *dice.sample(range(len(data)), 400)}
    for place in places:
        altered = bytearray(data)
        altered[place] ^= 1 << dice.randrange(8)
        with pytest.raises(IntegrityError):
            verify_bundle(bytes(altered), key=KEY.public)


@pytest.mark.parametrize("altered", [b"", b" ", b"{}", b"null", b'{"signatures":[1]}', b"[[" * 50_000], ids=range(6))
def test_what_is_no_bundle_is_refused(altered: bytes) -> None:
    with pytest.raises(IntegrityError):
        verify_bundle(altered, key=KEY.public)


def test_other_spellings_of_a_bundle_are_refused(shop: Shop) -> None:
    data = shop.prove(shop.version)
    for altered in (data + b"\n", b" " + data, json.dumps(json.loads(data)).encode(), data[:-1]):
        with pytest.raises(IntegrityError):
            verify_bundle(altered, key=KEY.public)


def test_another_key_does_not_open_a_bundle(shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="another key"):
        verify_bundle(shop.prove(shop.version), key=SigningKey(KEY.name, bytes(32)).public)


def replaced(data: bytes, old: str, new: str, *, sign: bool) -> bytes:
    """Return the bundle with a text inside it replaced, and signed again if asked."""
    envelope = parse_json(data)
    payload = base64.b64decode(envelope["payload"])
    assert old.encode() in payload
    altered = payload.replace(old.encode(), new.encode())
    if sign:
        return sign_statement(parse_json(altered), key=KEY)
    return canonical_json(envelope | {"payload": base64.b64encode(altered).decode()})


@pytest.mark.parametrize("sign", [False, True], ids=["unsigned", "signed by an insider"])
@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('\\"number\\":1', '\\"number\\":9', "record Batch"),
        ('\\"action\\":\\"promote\\"', '\\"action\\":\\"rollback\\"', "Ledger entry 4"),
        ("keelway.example\\n1", "keelway.example\\n2", "checkpoint"),
    ],
)
def test_the_part_that_was_altered_is_named(shop: Shop, old: str, new: str, names: str, *, sign: bool) -> None:
    data = shop.prove(shop.lines[3], segment=shop.segment)
    payload = base64.b64decode(parse_json(data)["payload"]).decode()
    if old not in payload:
        pytest.skip("the checkpoint has another size")
    with pytest.raises(IntegrityError, match=names):
        verify_bundle(replaced(data, old, new, sign=sign), key=KEY.public)


def test_a_prediction_that_was_never_made_is_refused(shop: Shop) -> None:
    with pytest.raises(MissingRecordError):
        shop.prove(shop.lines[3] | {"value": 1.0}, segment=shop.segment)
    with pytest.raises(UsageError):
        shop.prove(shop.lines[3])
    data = replaced(
        shop.prove(shop.lines[3], segment=shop.segment), '\\"entity\\":\\"c3\\"', '\\"entity\\":\\"c4\\"', sign=True
    )
    with pytest.raises(IntegrityError, match="prediction"):
        verify_bundle(data, key=KEY.public)


def test_a_version_that_was_never_let_in_is_refused(tmp_path: Path) -> None:
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    shop = fill(state, LocalArtifacts(tmp_path / "a"), tmp_path / "raw", promoted=False)
    with pytest.raises(IntegrityError, match="never let in"):
        verify_bundle(shop.prove(shop.lines[0], segment=shop.segment), key=KEY.public)
    state.close()


def test_what_is_not_stored_cannot_be_proven(shop: Shop) -> None:
    with pytest.raises(MissingRecordError):
        shop.prove(digest_bytes(b"nothing"))


def test_a_raw_file_that_differs_is_named(shop: Shop) -> None:
    data = shop.prove(shop.version)
    path = shop.raw / "transactions" / "1.csv"
    path.write_bytes(path.read_bytes().replace(b"7", b"8"))
    with pytest.raises(IntegrityError, match=r"transactions/1\.csv differs"):
        verify_bundle(data, key=KEY.public, files=shop.raw)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"transactions/1\.csv is missing"):
        verify_bundle(data, key=KEY.public, files=shop.raw)


def test_an_altered_material_stops_the_proof(shop: Shop) -> None:
    digest = digest_bytes(b"pipeline")
    path = shop.artifacts.path_of(digest)
    path.chmod(0o644)
    path.write_bytes(b"pipelinX")
    with pytest.raises(IntegrityError):
        shop.prove(shop.version)


VERIFIER = Path(__file__).with_name("standalone_verifier.py")


@pytest.fixture(scope="module")
def standalone() -> dict[str, Any]:
    """The verifier that was written from the document alone."""
    return runpy.run_path(str(VERIFIER), run_name="standalone")


def test_the_standalone_verifier_is_small_and_owes_keelway_nothing() -> None:
    source = VERIFIER.read_text("utf8")
    assert source.count("\n") < 200
    names = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    roots = {str(name).split(".")[0] for name in names}
    assert roots - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_standalone_verifier_names_only_rules_that_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "proofs.md").read_text("utf8")
    asked = set(re.findall(r'"([A-Z][0-9])[":]', VERIFIER.read_text("utf8")))
    assert len(asked) > 15
    assert asked <= set(re.findall(r"\*\*([A-Z][0-9])\*\*", page))


def test_both_verifiers_accept_what_holds(shop: Shop, standalone: dict[str, Any]) -> None:
    data = shop.prove(shop.lines[3], segment=shop.segment)
    found = standalone["verify"](data, KEY.public.pem())
    assert found == {"subject": f"prediction:{3:032x}", "records": 6, "entries": 6, "raw_files": 3}
    for subject in (shop.version, shop.segment):
        standalone["verify"](shop.prove(subject), KEY.public.pem())


def test_the_standalone_verifier_runs_where_there_is_nothing_else(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(shop.prove(shop.version))
    (folder / "key.pub").write_text(KEY.public.pem())
    command = [sys.executable, "-I", str(VERIFIER), "bundle.json", "key.pub"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["raw_files"] == 3
    (folder / "key.pub").write_text(SigningKey(KEY.name, bytes(32)).public.pem())
    refused = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (refused.returncode, "signed by another key" in refused.stderr) == (1, True)


def test_neither_verifier_accepts_an_altered_byte(shop: Shop, standalone: dict[str, Any]) -> None:
    data = shop.prove(shop.lines[3], segment=shop.segment)
    dice = random.Random(20261121)
    for place in {*range(20), *range(len(data) - 150, len(data)), *dice.sample(range(len(data)), 200)}:
        altered = bytearray(data)
        altered[place] ^= 1 << dice.randrange(8)
        with pytest.raises((standalone["Refused"], ValueError, KeyError, TypeError, AttributeError)):
            standalone["verify"](bytes(altered), KEY.public.pem())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\\"number\\":1', '\\"number\\":9'),
        ('\\"action\\":\\"promote\\"', '\\"action\\":\\"monitor\\"'),
        ("keelway.example\\n", "keelway.elsewhere\\n"),
        ('\\"entity\\":\\"c3\\"', '\\"entity\\":\\"c4\\"'),
        ('\\"environment\\":\\"prod\\",\\"prediction_id', '\\"environment\\":\\"test\\",\\"prediction_id'),
        ('"materials":{', '"materials":{"x":1,'),
        ('"kind":"ModelVersion"', '"kind":"Something"'),
        ('"index":3,"line"', '"index":2,"line"'),
    ],
    ids=["record", "decision", "checkpoint", "prediction", "environment", "a material too many", "kind", "line"],
)
def test_both_verifiers_agree_on_what_an_insider_altered(
    shop: Shop, standalone: dict[str, Any], old: str, new: str
) -> None:
    data = replaced(shop.prove(shop.lines[3], segment=shop.segment), old, new, sign=True)
    told = []
    for verify in (lambda: verify_bundle(data, key=KEY.public), lambda: standalone["verify"](data, KEY.public.pem())):
        try:
            verify()
            told.append("accepted")
        except (IntegrityError, standalone["Refused"], KeyError):
            told.append("refused")
    assert told == (["accepted"] * 2 if "materials" in old else ["refused"] * 2)


def version_signed_about(shop: Shop, also: dict[str, Digest], plan: Digest | None) -> Digest:
    """Record another version whose statement is about its model and something else, beside a key that is vouched for."""
    onnx, store = digest_bytes(b"onnx"), shop.artifacts
    with shop.state.transaction() as tx:
        trained = tx.get(Fitted, "t")
        told_of = provenance(
            "churn:2", onnx, build_type="https://keelway.dev/train/v1", parameters={}, dependencies={},
            builder="https://keelway.dev", started=NOW, finished=NOW, also=also,
        )  # fmt: skip
        signed = store.put(sign_statement(told_of, key=KEY), kind=ArtifactKind.RECORD).digest
        record = ModelVersion("churn:2", digest_of(trained), onnx, signed, plan)
        version = tx.insert("churn:2", record, at=NOW)
        vouched = statement({"key": digest_bytes(b"a key")}, predicate_type="https://example.org/key", predicate={})
        evidence = {
            "version": version,
            "key": store.put(sign_statement(vouched, key=KEY), kind=ArtifactKind.RECORD).digest,
        }
        record_decision(told(Action.REGISTER, "churn:2", evidence), tx=tx)
    return version


PLAN = digest_bytes(b"plan")
OTHER = digest_bytes(b"pipeline")


@pytest.mark.parametrize(
    ("also", "plan", "holds"),
    [
        ({"churn:2/plan": PLAN}, PLAN, True),
        ({}, None, True),
        ({}, PLAN, False),
        ({"churn:2/plan": OTHER}, PLAN, False),
        ({"churn:1/plan": PLAN}, PLAN, False),
        ({"churn:2/plan": PLAN}, None, False),
        ({"churn:2": OTHER}, None, False),
    ],
    ids=["a plan", "no plan", "unsigned plan", "other plan", "other's plan", "plan too many", "other model"],
)
def test_both_verifiers_know_a_version_by_all_that_its_statement_is_about(
    shop: Shop, standalone: dict[str, Any], also: dict[str, Digest], plan: Digest | None, holds: bool
) -> None:
    data = shop.prove(version_signed_about(shop, also, plan))
    if holds:
        assert verify_bundle(data, key=KEY.public).statements == 2, "its own, and the one about the key"
        standalone["verify"](data, KEY.public.pem())
        return
    with pytest.raises(IntegrityError, match="statement of churn:2 is about something else"):
        verify_bundle(data, key=KEY.public)
    with pytest.raises(standalone["Refused"], match="S4"):
        standalone["verify"](data, KEY.public.pem())


def test_both_verifiers_follow_a_rotation(shop: Shop, standalone: dict[str, Any]) -> None:
    before = shop.prove(shop.lines[3], segment=shop.segment)
    new = SigningKey(KEY.name, bytes(range(1, 33)))
    with shop.state.snapshot() as tx:
        known = [parse_json(tx.text_of(shop.version)[1].encode())["statement"]]
    with shop.state.transaction() as tx:
        public, _ = rotate(KEY, new, statements=known, actor=PrincipalId("user:ana"), at=NOW, tx=tx)
    late = shop.prove(shop.version)  # by the old key, which may still speak of the entry that retired it
    with shop.state.transaction() as tx:
        record_decision(told(Action.MONITOR, "churn", {"version": shop.version}), tx=tx)
    key = SigningKey(new.name, new.seed, public.earlier)
    after = prove(shop.version, state=shop.state, artifacts=shop.artifacts, key=key, origin="keelway.example")
    for data in (before, late, after):
        verify_bundle(data, key=public)
        standalone["verify"](data, public.pem())
    stolen = shop.prove(shop.version)
    with pytest.raises(IntegrityError, match="retired"):
        verify_bundle(stolen, key=public)
    with pytest.raises(standalone["Refused"], match="C4: the key was retired"):
        standalone["verify"](stolen, public.pem())


def test_a_bundle_is_proven_by_a_checkpoint_that_was_witnessed(shop: Shop) -> None:
    one, two = (SigningKey(f"witness.example/{number}", bytes([number]) * 32) for number in (1, 2))
    with shop.state.snapshot() as tx:
        published = sign_checkpoint(tx.log, origin="keelway.example", key=KEY)
    text = cosign(published.text, key=one, at=NOW)
    with shop.state.transaction() as tx:
        record_decision(told(Action.REGISTER, "later", {"version": shop.version}), tx=tx)
    data = shop.prove(shop.version, checkpoint=verify_checkpoint(text, key=KEY.public))
    found = verify_bundle(data, key=KEY.public, quorum=Quorum((one.public,), 1))
    assert found.checkpoint.size == published.size
    assert "witnessed by witness.example/1 at 2026-03-01T00:00:00Z" in "\n".join(found.explanation)
    with pytest.raises(IntegrityError, match="Too few witnesses"):
        verify_bundle(data, key=KEY.public, quorum=Quorum((one.public, two.public), 2))
    with pytest.raises(IntegrityError, match="Too few witnesses"):
        verify_bundle(shop.prove(shop.version), key=KEY.public, quorum=Quorum((one.public,), 1))


def test_the_explanation_tells_every_record_once_and_why_it_is_believed(shop: Shop) -> None:
    found = verify_bundle(shop.prove(shop.lines[3], segment=shop.segment), key=KEY.public)
    text = "\n".join(found.explanation)
    assert found.explanation[0] == found.subject
    for words in (
        "this bundle - signed by keelway.example/ledger",
        "it is line 3 of 7 in the sealed segment",
        "ModelVersion churn:1",
        "statement: signed statement",
        "https://slsa.dev/provenance/v1 of churn:1; its signature holds",
        "moved environment/prod/churn from nothing to",
        "Batch transactions 2",
        "and 2 before it, each naming the one before by digest",
        "raw files: 3",
    ):
        assert words in text
    assert all(text.count(f"entry {entry}: ") - text.count(" (told above)") <= 1 for entry in range(5))
    assert text.count("its text has this digest") == 4  # the two batches before are one line


def test_a_version_that_came_back_or_went_past_the_gate_was_let_in(tmp_path: Path) -> None:
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    shop = fill(state, LocalArtifacts(tmp_path / "a"), tmp_path / "raw", promoted=False)
    with state.transaction() as tx:
        tx.move("environment/prod/churn", before=None, after=shop.version, at=NOW)
        moves = (PointerMove("environment/prod/churn", None, shop.version),)
        evidence = {"version": shop.version}
        record_decision(told(Action.SKIP_GATE, "churn:1", evidence, environment="prod", moves=moves), tx=tx)
    found = verify_bundle(shop.prove(shop.lines[0], segment=shop.segment), key=KEY.public)
    assert any("skip_gate churn:1 in prod" in line for line in found.explanation)
    state.close()
