"""An auditor's day: what was live, who let it in, whether the ledger holds, and a proof that is checked elsewhere."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keelway.ledger import SigningKey
from keelway.surfaces.cli.main import main

NEXT_DAY = "1998-01-03T00:00:00Z"


@pytest.fixture(scope="module")
def desk(live_project: Path, tmp_path_factory: pytest.TempPathFactory, desk_of: Callable[[Path], Any]) -> Any:
    """A project with version 1 live, an administrator and a repository for checkpoints, and a rotation on the next day."""
    root = tmp_path_factory.mktemp("audit") / "churn"
    shutil.copytree(live_project, root)
    desk = desk_of(root)
    desk.edit("keelway.toml", "[signing]\n", '[signing]\npublish = ["git:../audit.git", "kept"]\n')
    desk.edit(
        "keelway.toml", '[principals."user:bo"]', '[principals."user:cy"]\nroles = ["admin"]\n\n[principals."user:bo"]'
    )
    subprocess.run(["git", "init", "--quiet", "--bare", str(root.parent / "audit.git")], check=True)
    desk("audit", "publish")
    desk("prove", "churn:1", "--out", str(root / "before.json"))
    desk("models", "export", "churn:1", "--out", str(root / "exported"))
    desk.at(NEXT_DAY)("keys", "rotate", "--as", "user:cy", "--comment", "yearly")
    desk("audit", "publish")
    return desk


def elsewhere(folder: Path, *words: str, code: int = 0) -> Any:
    """Run a command in a folder that is no project."""
    done = CliRunner().invoke(main, [*words, "--project", str(folder), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout or done.stderr)


def test_status_tells_what_was_live_and_why(desk: Any) -> None:
    status = desk("status", "--at", "1998-01-02T12:00:00Z")
    prod, staging = status["live"]
    assert (prod["version"], prod["environment"], prod["since"]) == ("churn:1", "prod", "1998-01-02T00:00:00Z")
    assert (prod["by"], prod["action"], prod["requested_by"]) == ("sp:release", "promote", "user:ana")
    assert [answer["by"] for answer in prod["approvals"]] == ["user:bo"]
    assert "auc floor" in prod["rules"]
    assert {"version", "evidence", "admission", "request", "approval_1"} <= prod["evidence"].keys()
    assert prod["traffic"] == {"churn:1": 100}
    assert prod["traffic_entry"] > prod["entry"] > staging["entry"]
    assert (staging["traffic"], staging["traffic_since"]) == ({}, None)
    assert status["ledger_size"] == desk.at(NEXT_DAY)("status")["ledger_size"] - 1
    assert [each["number"] for each in status["datasets"]] == [1]
    before = desk("status", "--at", "1998-01-01T12:00:00Z")
    assert (before["live"], before["datasets"], before["ledger_size"]) == ([], [], 0)
    shown = desk.call("status", json_wanted=False).stdout
    assert "approved by user:bo" in shown
    assert "asked for by user:ana" in shown


def test_the_log_is_chosen_and_handed_on(desk: Any) -> None:
    promoted = desk("audit", "log", "--action", "promote", "--environment", "prod")
    assert [line["decision"]["subject"] for line in promoted] == ["churn:1"]
    assert desk("audit", "log", "--refused") == []
    assert [line["decision"]["action"] for line in desk("audit", "log", "--since", NEXT_DAY)] == ["rotate_key"]
    text = desk.call("audit", "log", "--subject", "churn", "--csv", json_wanted=False).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["action"] for row in rows} >= {"register", "promote", "deploy"}
    assert "no such action" in desk.refused("audit", "log", "--action", "nonsense")["what"]


def test_checkpoints_go_to_all_targets(desk: Any) -> None:
    size = desk("audit", "verify")["report"]["size"]
    listed = subprocess.run(
        ["git", "-C", str(desk.root.parent / "audit.git"), "tag"], check=True, capture_output=True, text=True
    ).stdout
    assert f"/{size:012d}-" in listed
    assert list((desk.root / "kept").glob(f"{size:012d}-*.note"))
    again = desk("audit", "publish")
    assert [place["written"] for place in again["places"]] == [False, False, False]


def test_a_kept_checkpoint_shows_that_the_database_was_replaced(desk: Any, tmp_path: Path, desk_of: Any) -> None:
    (kept,) = (desk.root / "kept").glob("*20-*.note")
    shutil.copytree(desk.root, tmp_path / "churn")
    other = desk_of(tmp_path / "churn")
    for folder in (".keelway/checkpoints", "kept"):
        shutil.rmtree(other.root / folder)
    other.edit("keelway.toml", 'publish = ["git:../audit.git", "kept"]\n', "")
    for table in ("log_leaves", "log_nodes"):
        other.sql(f'DELETE FROM {table} WHERE "index" >= 15')
    other.sql("DELETE FROM records WHERE kind = 'Decision' AND key >= '000000000015'")
    result = other.call("audit", "verify", "--checkpoint", str(kept), json_wanted=False)
    assert result.exit_code == 1
    assert "the first bad entry: entry 15" in result.stdout
    assert "restored: Entry 15 is missing" in result.stdout
    assert other.call("audit", "verify", "--checkpoint", "absent").exit_code == 1


@pytest.mark.parametrize(
    "subject", ["churn:1", "churn@prod", "deployment:churn@prod", "snapshot:transactions/1", "transactions", "run"]
)
def test_a_thing_is_proven_in_an_empty_folder(desk: Any, tmp_path: Path, subject: str) -> None:
    if subject == "run":
        subject = f"run:{desk('audit', 'log', '--action', 'run')[0]['decision']['subject']}"
    desk("prove", subject, "--out", str(tmp_path / "proof.json"))
    shutil.copy(desk.root / ".keelway/keys/signing.pub", tmp_path / "key.pub")
    words = ("verify", str(tmp_path / "proof.json"), "--key", str(tmp_path / "key.pub"))
    found = elsewhere(tmp_path, *words)
    assert (found["subject"], found["raw_files"]) == (subject, 52)
    told = CliRunner().invoke(main, [*words, "--explain"]).stdout
    assert "├─ this bundle - signed by churn.keelway" in told
    assert "entry 0: ingest transactions by user:ana" in told
    assert told.endswith(f"verified: {subject}\n")


def test_what_is_not_there_cannot_be_proven(desk: Any) -> None:
    for subject in ("churn:9", "deployment:churn@staging", "run:nothing", "snapshot:transactions/9", "nothing"):
        desk.refused("prove", subject)


def test_a_bundle_of_the_old_key_still_verifies(desk: Any, tmp_path: Path) -> None:
    key = ("--key", str(desk.root / ".keelway/keys/signing.pub"))
    assert elsewhere(tmp_path, "verify", str(desk.root / "before.json"), *key)["subject"] == "churn:1"
    assert elsewhere(tmp_path, "models", "verify", str(desk.root / "exported"), *key)
    assert desk("audit")["report"]["problems"] == []
    assert desk("doctor")["lines"][0]["ok"]


def test_a_witness_signs_and_is_asked_for(desk: Any, tmp_path: Path) -> None:
    key = SigningKey.generate("witness.example/w1")
    key.save(tmp_path / "w1.pem")
    (tmp_path / "w1.pub").write_text(key.public.pem())
    log = desk.root / ".keelway/keys/signing.pub"
    size = desk("status")["ledger_size"]
    desk("audit", "proof", "3", "--out", str(tmp_path / "request"))
    words = ("audit", "witness", str(tmp_path / "request"), "--key", str(tmp_path / "w1.pem"), "--log", str(log))
    (tmp_path / "seen").mkdir()
    done = elsewhere(tmp_path, *words, "--out", str(tmp_path / "seen"))
    assert (done["witnessed"]["checkpoint"]["size"], done["witnessed"]["before"]) == (size, None)
    asked = ("--witness", str(tmp_path / "w1.pub"))
    assert desk.call("audit", "verify", *asked).exit_code == 1
    report = desk("audit", "verify", *asked, "--checkpoint", str(tmp_path / "seen"))["report"]
    assert report["witnessed"] == size
    desk("prove", "churn:1", "--checkpoint", done["path"], "--out", str(tmp_path / "proof.json"))
    verify = ("verify", str(tmp_path / "proof.json"), "--key", str(log), *asked)
    assert elsewhere(tmp_path, *verify)["checkpoint"]["size"] == size
    refused = elsewhere(tmp_path, "verify", str(desk.root / "before.json"), "--key", str(log), *asked, code=1)
    assert refused["what"] == "Too few witnesses signed the checkpoint"
