"""Model versions on the command line: handed on and checked by others; refused wherever a byte is not as it was signed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from keelway.testing.openlineage import as_written, official_event, without_empty

PARTS = ("onnx", "plan", "statement", "pipeline")
READS_ALL = (
    ("promote", "churn:1", "--to", "prod", "--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token"),
    ("card", "churn:1"),
    ("models", "export", "churn:1", "--out", "taken-nowhere"),
)
READS_THE_EXPORT = (
    ("score", "churn", "--env", "prod", "--as-of", "1998-01-01T00:00:00Z"),
    ("serve", "churn", "--port", "0"),
    ("compare", "churn:1", "RUN/logistic"),
)


def surfaces(run: str, part: str) -> list[tuple[str, ...]]:
    """Return the commands that read a part of a version."""
    found = [*READS_ALL, ("reproduce", run), *(READS_THE_EXPORT if part != "pipeline" else ())]
    return [tuple(word.replace("RUN", run) for word in words) for words in found]


@pytest.mark.journey
def test_every_command_refuses_a_version_of_which_one_bit_is_another(live: Any, flip: Any) -> None:
    version = live("show", "churn:1")["record"]
    run = version["run_id"]
    for part in (each for each in PARTS if version[each] is not None):
        path = live.artifact(version[part])
        sound = path.read_bytes()
        flip(path)
        before = live.standing()
        for words in surfaces(run, part):
            told = live.refused(*words)
            assert told["error"] in ("IntegrityError", "RefusedError"), (part, words, told)
            assert "doctor" in words or "altered" in json.dumps(told) or "does not hold" in json.dumps(told), told
        now = live.standing()
        assert [name for name in before if name.startswith("pointer") and now[name] != before[name]] == []
        checkup = json.loads(live.call("doctor").stdout)
        assert "live models" in [line["what"] for line in checkup["lines"] if not line["ok"]]
        path.write_bytes(sound)
    assert live.call("doctor").exit_code == 0


@pytest.mark.journey
def test_an_exported_version_is_verified_elsewhere_with_the_public_key_alone(live: Any, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "churn-1"
    written = live("models", "export", "churn@prod", "--out", str(folder))
    assert written["name"] == "churn:1"
    key = live.root / ".keelway" / "keys" / "signing.pub"
    away = ("--project", str(tmp_path))  # there is no project there, and none is needed
    assert live("models", "verify", str(folder), "--key", str(key), *away)["files"] == written["files"]
    live("models", "key", "--out", str(tmp_path / "models.pub"))
    live("models", "verify", str(folder), "--key", str(tmp_path / "models.pub"), *away)
    bill = live("models", "bom", "churn:1")
    assert bill == json.loads((folder / "bom.cdx.json").read_text())
    (folder / "features.json").write_text("{}")
    assert "changed: features.json" in live.refused("models", "verify", str(folder), "--key", str(key), *away)["found"]
    assert live.refused("models", "export", "churn:1", "--out", str(folder))["error"] == "UsageError"
    assert live.refused("models", "bom", "churn:9")["error"] == "MissingRecordError"


@pytest.mark.journey
def test_versions_are_listed_with_why_they_are_called_so(trained: Any) -> None:
    [line] = trained("models")
    assert (line["semver"], line["because"]) == ("1.0.0", "the first version")
    assert trained("models", "list", "churn") == [line]
    told = trained.call("models", json_wanted=False).stdout
    assert "the first version" in told


@pytest.mark.journey
def test_what_is_live_can_be_deprecated_and_not_retired(live: Any) -> None:
    told = live.refused("models", "retire", "churn:1", "--reason", "old", "--as", "user:bo")
    assert told["reasons"][0].startswith("it is admitted to")
    assert live("models", "deprecate", "churn:1", "--reason", "old")["state"] == "deprecated"
    assert live("models")[0]["state"] == "deprecated"


@pytest.mark.journey
def test_what_is_retired_never_gets_in(trained: Any) -> None:
    bo = ("--as", "user:bo")
    assert trained.refused("models", "retire", "churn:1", "--reason", "old")["error"] == "IdentityError"
    assert trained("models", "retire", "churn:1", "--reason", "old", *bo)["state"] == "retired"
    release = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
    assert "retired by user:bo: old" in json.dumps(trained.refused("promote", "churn:1", "--to", "staging", *release))
    assert "retired, use" not in trained.call("models", json_wanted=False).stdout
    assert trained("audit")["report"]["problems"] == []


@pytest.mark.journey
def test_only_an_admin_collects_and_only_what_nothing_needs(trained: Any) -> None:
    toml = trained.root / "keelway.toml"
    toml.write_text(toml.read_text("utf8") + '\n[principals."user:root"]\nroles = ["admin"]\n', "utf8")
    later = trained.at("2026-01-01T00:00:00Z")  # files of this machine are younger than that: --now makes nothing older
    assert later("gc", "--dry-run")["artifacts"] == []
    lost = trained.root / ".keelway" / "artifacts" / "ab" / ("0" * 62)
    lost.parent.mkdir(exist_ok=True)
    lost.write_bytes(b"left by a process that was killed")
    every = [path for path in (trained.root / ".keelway" / "artifacts").rglob("*") if path.is_file()]
    for path in every:
        os.utime(path, (0, 0))
    assert later.refused("gc")["error"] == "IdentityError"
    found = later("gc", "--as", "user:root")
    assert found["artifacts"] == [f"sha256:ab{'0' * 62}"]
    assert found["kept"] == len(every) - 1
    assert not lost.exists()
    report = later("audit", "--action", "collect")
    assert report["report"]["problems"] == []
    told = [(line["decision"]["subject"], line["decision"]["allowed"]) for line in report["decisions"]]
    assert told == [("collection", False), ("collection 1", True)]


@pytest.mark.journey
def test_runs_are_told_to_a_lineage_catalogue(trained: Any, tmp_path: Path) -> None:
    found = trained("lineage", "export", "--out", str(tmp_path / "events.ndjson"))
    events = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert found["events"] == len(events)
    for each in events:
        assert without_empty(as_written(official_event(each))) == without_empty(each)
    ended = {each["job"]["name"]: each for each in events if each["eventType"] == "COMPLETE"}
    features = ended["train:churn.features"]
    assert [each["name"] for each in features["outputs"]] == ["features/churn"]
    assert "transactions" in {each["name"] for each in features["inputs"]}
    assert [each["name"] for each in ended["train:churn.register"]["outputs"]] == ["versions/churn"]
    assert trained("lineage", "export", "--out", str(tmp_path / "none"), "--since", "2999-01-01")["events"] == 0
    assert trained.refused("lineage", "send")["error"] == "UsageError"
