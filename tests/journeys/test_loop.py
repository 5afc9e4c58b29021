"""The whole loop by single commands, each answering in JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
LATER = "1998-07-02T12:00:00Z"
AS_OF = "1998-01-01T00:00:00Z"


def test_a_second_ingest_does_nothing(trained) -> None:
    before = trained.standing()
    [report] = trained("ingest")
    assert (report["files"], report["snapshot_number"]) == (0, 1)
    assert trained.standing() == before


def test_a_second_run_comes_from_the_cache_and_gives_the_same_version(trained) -> None:
    answer = trained("run", "churn")
    assert answer["version"]["name"] == "churn:1"
    assert [line["name"] for line in trained("models")] == ["churn:1"]
    assert len(trained("runs")) == 2


def test_a_run_says_why_an_estimator_went_on(trained) -> None:
    baseline, other = trained("run", "churn")["candidates"]
    assert (baseline["estimator"], other["estimator"]) == ("logistic", "boosting")
    assert [each["chosen"] for each in (baseline, other)] == [True, False]
    assert "stands unless another is shown to be better" in baseline["because"]
    assert other["because"].startswith("worse than logistic: log_loss differs by")
    for each in (baseline, other):
        assert each["metric"] == "log_loss"
        assert each["low"] < each["value"] < each["high"]
        assert each["trials"] == 0
    told = trained.call("run", "churn", json_wanted=False).stdout
    assert "chosen by log_loss (95% intervals)" in told
    assert f"* logistic  {baseline['value']:.4f} ({baseline['low']:.4f} to {baseline['high']:.4f})" in told
    assert other["because"] in told


def test_a_run_of_one_estimator_without_a_search_had_nothing_to_choose(trained) -> None:
    text = (trained.root / "src" / "churn" / "project.py").read_text("utf8")
    begin, end = text.index('        Estimator(\n            "boosting"'), text.index("    cuts=")
    trained.edit("src/churn/project.py", text[begin:end], "    ],\n")
    answer = trained("run", "churn")
    assert answer["candidates"] == []
    assert "evaluate:boosting" not in answer["run"]["steps"]
    assert "chosen by" not in trained.call("run", "churn", json_wanted=False).stdout


def test_a_step_that_fails_keeps_what_its_error_expected_and_found(trained) -> None:
    told = trained.at("1997-02-01T00:00:00Z").refused("run", "churn")
    assert told["error"] == "StepError"
    assert "FeatureError: " in told["what"]
    assert told["expected"]
    assert "expected" not in told["found"]
    assert "keelway run --resume" in told["fix"]


def test_looking_changes_nothing(trained) -> None:
    before = trained.standing()
    [snapshot] = trained("snapshots", "transactions")
    assert trained("check", "transactions")["rows_ok"] == snapshot["rows"]
    assert trained("quarantine", "transactions")["total_rows"] == 0
    assert trained("promote", "churn", "--to", "staging", "--check")["allowed"]
    logistic = trained("runs", "--kind", "training", "--where", "estimator = 'logistic'")[0]["run_id"]
    assert trained("compare", "churn:1", logistic)["contest"]["leader"] == "churn:1"
    assert trained.standing() == before


def test_a_record_is_shown_by_each_of_its_names(trained) -> None:
    version = trained("show", "churn:1")
    assert version["kind"] == "ModelVersion"
    assert trained("show", version["digest"]) == version
    assert trained("show", "transactions")["kind"] == "Snapshot"
    run = trained("runs")[0]["run_id"]
    assert trained("show", run)["record"]["run_id"] == run


def test_a_step_that_succeeded_is_not_executed_again(trained) -> None:
    run = trained("runs")[0]["run_id"]
    assert trained("step", run, "register")["status"] in ("succeeded", "cached")
    assert [line["name"] for line in trained("models")] == ["churn:1"]


def test_a_rejected_version_stays_outside(trained) -> None:
    trained("promote", "churn:1", "--to", "staging", *RELEASE)
    trained("promote", "churn:1", "--to", "prod", "--request")
    assert not trained("reject", "churn:1", "--to", "prod", "--as", "user:bo", "--comment", "no")["approved"]
    assert trained.refused("promote", "churn:1", "--to", "prod", *RELEASE)["reasons"]
    assert [line["environment"] for line in trained("status")["live"]] == ["staging"]


def test_the_loop_closes_with_a_challenger_beside_the_champion(live) -> None:
    assert live("score", "churn", "--as-of", AS_OF)["by_version"] == {"churn:1": live("score", "churn")["rows"]}
    later = live.at(LATER)
    later.upload(LATER)
    assert later("ingest")[0]["files"] > 0
    known = later("outcomes", "churn", "--from-label", "--as-of", AS_OF)
    assert known["recorded"] > 0
    assert later("outcomes", "churn", "--from-label", "--as-of", AS_OF)["recorded"] == 0
    assert later("monitor", "churn")["quality"]["slices"]
    assert later("retrain", "churn", "--anyway")["version"] == "churn:2"
    assert later("compare", "champion", "churn:2")["contest"]["models"][0]["name"] == "churn:1"
    assert later("status", "--at", "1998-02-01")["live"][0]["version"] == "churn:1"


def test_outcomes_come_from_a_file_too(live) -> None:
    live("score", "churn", "--as-of", AS_OF, "--limit", "5")
    entity = live.rows(1)[0]["entity"]
    file = live.root / "outcomes.csv"
    file.write_text(f"entity,as_of,value\n{entity},{AS_OF},1\n")
    assert live.at(LATER)("outcomes", "churn", str(file))["recorded"] == 1


def test_business_events_come_from_a_file_and_count_once(live) -> None:
    live.edit(
        "src/churn/project.py", "    cuts=", '    business=(BusinessMetric("purchases", window="14d"),),\n    cuts='
    )
    live.edit("src/churn/project.py", "    Analysis,\n", "    Analysis,\n    BusinessMetric,\n")
    file = live.root / "events.csv"
    entity = live.rows(1)[0]["entity"]
    file.write_text(f"entity,event_time,amount\n{entity},1998-02-01T00:00:00Z,9.5\n{entity},1998-02-03T00:00:00Z,-2\n")
    later = live.at(LATER)
    told = later("outcomes", "churn", str(file), "--stream", "purchases", "--until", "1998-03-01T00:00:00Z")
    assert told == {"stream": "purchases", "recorded": 2, "known": 0, "complete_until": "1998-03-01T00:00:00Z"}
    again = later("outcomes", "churn", str(file), "--stream", "purchases")
    assert (again["recorded"], again["known"], again["complete_until"]) == (0, 2, told["complete_until"])
    assert later.refused("outcomes", "churn", str(file), "--stream", "visits")["expected"] == "purchases"
    assert later.refused("outcomes", "churn", "--stream", "purchases")["error"] == "UsageError"


def test_a_bundle_is_verified_without_a_project_and_breaks_with_one_byte(live, tmp_path: Path, flip) -> None:
    bundle = tmp_path / "bundle.json"
    proof = live("prove", "churn@prod", "--out", str(bundle))
    assert proof["raw_files"] > 0
    key = tmp_path / "key.pub"
    shutil.copy(live.root / ".keelway/keys/signing.pub", key)
    words = ("verify", str(bundle), "--key", str(key), "--project", str(tmp_path))
    assert live(*words)["raw_files"] == proof["raw_files"]
    assert live(*words, "--files", str(live.root))
    raw = next((live.root / "raw").rglob("*.csv"))
    flip(raw)
    assert raw.name in json.dumps(live.refused(*words, "--files", str(live.root)))
    flip(bundle)
    assert live.refused(*words)["what"]


@pytest.mark.parametrize("command", ["audit", "doctor"])
def test_a_changed_ledger_entry_is_named(live, command: str) -> None:
    live.sql("UPDATE log_leaves SET data = CAST(replace(data, 'user:ana', 'user:eve') AS BLOB) WHERE \"index\" = 3")
    result = live.call(command)
    assert result.exit_code == 1
    assert "entry 3" in result.output.lower() or '"first_bad": 3' in result.output


def test_a_changed_record_is_not_proven(live) -> None:
    live.sql("UPDATE records SET body = replace(body, 'user:ana', 'user:eve') WHERE kind = 'ModelVersion'")
    assert live.refused("prove", "churn@prod")["error"] == "IntegrityError"


def test_doctor_finds_a_sound_project_sound(live) -> None:
    assert all(line["ok"] for line in live("doctor")["lines"])
    assert live("audit")["report"]["problems"] == []


def test_init_writes_a_project_that_ingests(desk_at, tmp_path: Path) -> None:
    desk = desk_at(tmp_path / "shop")
    desk("init", str(desk.root))
    assert desk.refused("init", str(desk.root))["error"] == "UsageError"
    assert desk.refused("ingest")["error"] == "SourceError"


def test_a_canary_is_judged_and_traffic_goes_back(live) -> None:
    later = live.at("1998-07-01T12:00:00Z")
    live.upload("1998-07-01T12:00:00Z")
    assert later("retrain", "churn", "--anyway")["version"] == "churn:2"
    assert "admitted" in str(later.refused("deploy", "churn:2", "--canary", "20", *RELEASE))
    later.through_the_door("churn:2")
    assert later("deploy", "churn:2", "--canary", "20", *RELEASE)["traffic"] == {"churn:1": 80, "churn:2": 20}
    judged = later("rollout", "churn", "--dry")
    assert judged["move"] in ("hold", "pause"), "nothing was asked yet"
    assert judged["deployment"]["traffic"] == {"churn:1": 80, "churn:2": 20}
    assert later("deploy", "plan", "churn")["change"] == "none"
    scored = later("score", "churn", "--as-of", "1998-07-01")
    assert set(scored["by_version"]) == {"churn:1", "churn:2"}
    assert later("rollout", "churn", "--pause", *RELEASE)["state"] == "paused"
    assert later("rollout", "status", "churn")["treatments"] == ["churn:2"]
    assert later.refused("rollback", "churn")["error"] == "IdentityError"
    assert later("rollback", "churn", *RELEASE)["traffic"] == {"churn:1": 100}
    assert later.refused("rollout", "churn", *RELEASE)["fix"]
    (line,) = [line for line in later("status")["live"] if line["environment"] == "prod"]
    assert (line["version"], line["traffic"]) == ("churn:1", {"churn:1": 100})
