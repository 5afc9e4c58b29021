"""`keelway risk`, `incidents`, `drill` and `report`: what people and machines are told, in a project with a live model."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.app import App
from keelway.app.gate import declared_risks, environment_rules
from keelway.core import digest_of
from keelway.surfaces.cli.main import main
from keelway.testing.reports import ReportWorld

SETTINGS = """
[project]
name = "shop"
module = "shop_of_risks.project"
actor = "user:ana"
[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = ""
[signing]
name = "test"
[environments.staging]
policy = "policy"
[environments.prod]
policy = "policy"
after = "staging"
approvals = 1
service_principal = true
[environments.prod.checklists]
high = ["The owner read the card"]
[principals."user:ana"]
roles = ["data-scientist"]
[principals."user:ben"]
roles = ["approver"]
[principals."user:eve"]
roles = ["risk-owner"]
[principals."sp:ci"]
roles = ["deployer"]
token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
"""
PROJECT = """
from keelway import Card, Cuts, Dataset, Estimator, FallbackPlan, Label, Model, Monitor, Project, Risk, feature_set
from datetime import UTC, datetime

orders = Dataset("orders", contract="contracts/orders.yaml", source="raw/orders/**/*.csv", event_time="at")

@feature_set(entity="customer", sources=[orders])
def activity(orders, as_of):
    return orders

@Label.define(entity="customer", source=orders, horizon="90d")
def churned(orders, as_of):
    return orders

def model(name, **more):
    return Model(name, features=[activity], label=churned, estimators=[Estimator("one", "x.Y")],
                 cuts=Cuts(first=datetime(2026, 1, 1, tzinfo=UTC), every="month"), trivial_rule="recency", **more)

churn = model(
    "churn",
    card=Card(intended_use="=1+1 who to call"),
    risk=Risk(
        owner="user:eve", prohibited=(), product_safety=False, annex_iii=("employment",), profiles_persons=False,
        transparency=(), affected=("applicants",), severity="limited", reversibility="easy", scale="hundreds",
        data=("personal",), oversight="decides", oversight_how="A person decides.",
    ),
    fallback=[FallbackPlan("prod", call=("user:omar", "the shop"), by_hand="Rank by recency.", drill_every="30d")],
)
project = Project("shop", models=[churn, model("basket")], monitors=[Monitor("churn")])
"""
NOW = "1998-06-02T00:00:00Z"
Call = Callable[..., Result]


def place(root: Path) -> None:
    """Make a project of a world's folder."""
    (root / "keelway.toml").write_text(SETTINGS)
    source = root / "src/shop_of_risks"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "project.py").write_text(PROJECT)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ReportWorld:
    """A live, assessed and drilled version; tests of this module add to its story."""
    folder = tmp_path_factory.mktemp("shop")
    made = ReportWorld(folder, without={"incident", "drilled", "called"})
    place(folder)
    made.key.save(folder / ".keelway/keys/signing.pem")
    (folder / ".keelway/keys/signing.pub").write_text(made.key.public.pem())
    return made


@pytest.fixture
def call(world: ReportWorld) -> Call:
    def invoke(*words: str, who: str = "user:eve", now: str = NOW) -> Result:
        environment = {"KEELWAY_TOKEN": "test"}
        options = ["--project", str(world.folder), "--as", who, "--now", now]
        return CliRunner().invoke(main, [*words, *options], env=environment)

    return invoke


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_the_inventory_tells_of_every_model(call: Call) -> None:
    churn, basket = sorted(told(call("risk", "--json")), key=lambda line: -line["versions"])
    assert (churn["model"], churn["tier"], churn["live"]) == ("churn", "high", {"prod": "churn:2"})
    assert (churn["owner"], churn["data_classes"], churn["versions"]) == ("user:eve", ["personal"], 2)
    assert (basket["model"], basket["tier"], basket["state"], basket["versions"]) == ("basket", None, "not declared", 0)


def test_the_inventory_as_csv_is_safe_in_a_spreadsheet(call: Call) -> None:
    rows = list(csv.DictReader(io.StringIO(call("risk", "inventory", "--csv").output)))
    assert [row["model"] for row in rows] == ["basket", "churn"]
    assert rows[1]["purpose"] == "'=1+1 who to call"
    assert rows[1]["live"] == "prod=churn:2"
    assert call("risk", "inventory").output.startswith("model ")


def test_an_assessment_holds_once_it_is_made(call: Call) -> None:
    first = told(call("risk", "assess", "churn", "--json"))
    again = told(call("risk", "assess", "churn", "--json", now="1998-06-03"))
    assert first == again
    assert told(call("risk", "show", "churn", "--json"))["state"] == "assessed"
    assert "tier high" in call("risk", "assess", "churn").output
    assert "Annex III, point 4" in call("risk", "show", "churn").output
    due = told(call("risk", "show", "churn", "--json", now="1999-12-01"))
    assert due["state"] == "due"


def test_who_may_not_assess_is_told_who_may(call: Call) -> None:
    refused = call("risk", "assess", "churn", who="user:ana")
    assert refused.exit_code == 3
    assert "risk-owner" in refused.output
    silent = call("risk", "assess", "basket")
    assert (silent.exit_code, "Risk(...)" in silent.output) == (2, True)


BEYOND_ANA = [
    (("risk", "assess", "churn"), ("assess", "churn", "")),
    (("drill", "record", "churn", "--env", "prod", "--kind", "call", "--passed"), ("drill", "churn", "prod")),
    (("models", "retire", "churn:1", "--reason", "old"), ("retire", "churn:1", "")),
    (("gc",), ("collect", "collection", "")),
    (("erase", "--subject", "C1"), ("erase", "erasure", "")),
    (("keys", "rotate"), ("rotate_key", "test", "")),
    (("aliases", "sync"), ("check", "registry aliases", "")),
    (("rollback", "churn", "--in", "prod"), ("rollback", "churn", "prod")),
    (("deploy", "churn:2", "--env", "prod"), ("deploy", "churn:2", "prod")),
    (("report", "attach", "art-4", __file__, "--framework", "eu-ai-act"), ("check", "eu-ai-act/art-4", "")),
]


@pytest.mark.parametrize(("words", "entry"), BEYOND_ANA, ids=lambda value: " ".join(value[:2]))
def test_what_a_role_does_not_allow_stands_in_the_ledger(
    call: Call, words: tuple[str, ...], entry: tuple[str, str, str]
) -> None:
    refused = call(*words, "--json", who="user:ana")
    assert (refused.exit_code, json.loads(refused.stderr)["error"]) == (3, "IdentityError")
    newest = told(call("audit", "log", "--json", "--limit", "1"))[0]["decision"]
    assert (newest["action"], newest["subject"], newest["environment"]) == entry
    assert (newest["allowed"], newest["principal"]) == (False, "user:ana")
    assert newest["reasons"][0].startswith("user:ana may not")


def test_refusals_by_role_take_no_evidence_away(call: Call) -> None:
    for framework in ("soc2", "gdpr", "eu-ai-act"):
        words = ("report", "compliance", "--framework", framework, "--json")
        before = told(call(*words, "--at", "1998-06-01T23:59:59Z"))["report"]
        after = told(call(*words))["report"]
        assert after["counts"] == before["counts"]
        assert after["ledger_size"] >= before["ledger_size"] + len(BEYOND_ANA)


def test_an_incident_is_opened_followed_and_closed(call: Call) -> None:
    opened = told(
        call(
            "incidents", "open", "Wrong unit", "--model", "churn", "--env", "prod", "--severity", "major",
            "--decision", "0", "--personal-data", "--aware-at", "1998-06-01T12:00:00Z", "--json", who="user:ana",
        )
    )  # fmt: skip
    number = str(opened["incident"]["number"])
    assert opened["duties"][0]["duty"]["due_at"] == "1998-06-04T12:00:00Z"
    assert "gdpr-33" in call("incidents").output
    early = call("incidents", "close", number)
    assert (early.exit_code, "the root cause is missing" in early.output) == (3, True)
    news = (
        "--root-cause",
        "a new unit",
        "--corrective-action",
        "a range",
        "--notified",
        "gdpr-33=1998-06-01T18:00:00Z",
    )
    assert call("incidents", "update", number, *news, who="user:ana").exit_code == 0
    closed = told(call("incidents", "close", number, "--note", "done", "--json"))
    assert (closed["closed_at"], closed["duties"][0]["late"]) == (NOW, False)
    assert call("incidents", "list").output == "nothing yet\n"
    assert "closed" in call("incidents", "list", "--all").output
    shown = call("incidents", "show", number).output
    assert "bears on ledger entries 0" in shown
    assert "user:ana: a new unit" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "fraud", "--env", "prod"), "Unknown model"),
        (("--model", "churn", "--env", "moon"), "Unknown environment"),
        (("--model", "churn", "--env", "prod", "--prediction", "p1"), "No such prediction"),
        (("--model", "churn", "--env", "prod", "--decision", "999"), "no such entry"),
    ],
)
def test_an_incident_bears_on_what_there_is(call: Call, words: tuple[str, ...], said: str) -> None:
    refused = call("incidents", "open", "x", "--severity", "minor", *words)
    assert refused.exit_code in (1, 2)
    assert said in refused.output


def test_a_waiver_has_a_reason(call: Call) -> None:
    assert "DUTY=REASON" in call("incidents", "update", "1", "--waive", "gdpr-33").output
    assert call("incidents", "show", "99").exit_code == 1


def test_plans_say_who_is_called_and_when_a_drill_is_due(call: Call) -> None:
    [before] = told(call("drill", "--json"))
    assert (before["overdue"], before["plan"]["call"], before["last"]) == (True, ["user:omar", "the shop"], None)
    assert "overdue" in call("drill").output
    words = ("drill", "record", "churn", "--env", "prod", "--kind", "rollback", "--passed", "--seconds", "12")
    made = told(call(*words, "--with", "user:omar", "--json", who="sp:ci"))
    assert (made["next_due"], made["participants"]) == ("1998-07-02T00:00:00Z", ["user:omar"])
    [after] = told(call("drill", "--json"))
    assert (after["overdue"], after["due_at"]) == (False, "1998-07-02T00:00:00Z")
    assert call("drill", "record", "churn", "--env", "prod", "--kind", "call", "--failed", who="sp:ci").exit_code == 2


MISTAKES = [
    (("audit", "log", "--principal", "ana"), "user:NAME or sp:NAME"),
    (("audit", "log", "--since", "1998-06-02", "--until", "1998-06-01"), "ends before it begins"),
    (("audit", "proof", "99999"), "never had so many entries"),
    (("audit", "verify", "--checkpoint", "nowhere.note"), "Name what you kept"),
    (("prove", "deployment:churn"), "deployment:MODEL@ENVIRONMENT"),
    (("prove", "run:zzz"), "There is no such run"),
    (("prove", "sha256:abcd"), "64 hexadecimal digits"),
    (("prove", "nothing"), "See `keelway models`"),
    (("policy", "replay", "policy", "--against", "1998-06-02..1998-06-01"), "ends before it begins"),
    (("policy", "replay", "policy", "--against", "1998-01-01..", "--environment", "moon"), "Unknown environment"),
    (("policy", "measure", "churn:2"), "--latency, --leakage or --reproduce"),
    (("policy", "check", "/"), "outside the project"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=lambda value: " ".join(value[:3]))
def test_a_mistake_is_told_with_what_would_be_right(call: Call, words: tuple[str, ...], said: str) -> None:
    plainly, as_json = call(*words), call(*words, "--json")
    assert plainly.exit_code == as_json.exit_code != 0
    assert said in plainly.output
    assert said in as_json.stderr
    assert set(json.loads(as_json.stderr)) == {"error", "what", "expected", "found", "fix"}


def test_every_reason_of_a_refusal_stands_on_a_line_of_its_own(call: Call) -> None:
    told_ = call("promote", "churn:1", "--to", "staging", who="user:ana").output.splitlines()
    first = next(number for number, line in enumerate(told_) if line.startswith("  found:    "))
    assert told_[first + 1].startswith(" " * 12)
    assert told_[first + 1].strip()


def looked(call: Call, what: str, now: str) -> dict[str, Any]:
    """Return one line of `keelway doctor`."""
    answer = json.loads(call("doctor", "--json", now=now).stdout)
    return next(line for line in answer["lines"] if line["what"] == what)


def test_doctor_tells_of_drills_that_are_overdue(call: Call) -> None:
    kept = looked(call, "drills", now="1998-07-01")
    assert (kept["ok"], kept["found"]) == (True, "prod/churn: due by 1998-07-02T00:00:00Z")
    late = looked(call, "drills", now="1998-07-03")
    assert (late["ok"], "prod/churn: due by 1998-07-02" in late["found"]) == (False, True)
    assert "keelway drill record churn --env prod" in late["fix"]


def test_doctor_tells_of_people_who_should_have_been_told(call: Call) -> None:
    assert looked(call, "incidents", now=NOW)["found"] == "none is open"
    words = ("--model", "churn", "--env", "prod", "--severity", "minor", "--personal-data", "--high-risk-to-persons")
    opened = told(call("incidents", "open", "Letters to strangers", *words, "--json"))
    number = str(opened["incident"]["number"])
    waiting = looked(call, "incidents", now="1998-06-04")
    assert waiting["ok"]
    assert "the data protection authority by 1998-06-05T00:00:00Z (GDPR, Article 33(1))" in waiting["found"]
    assert "the persons affected without undue delay" in waiting["found"]
    late = looked(call, "incidents", now="1998-06-06")
    assert not late["ok"]
    assert f"incident {number}: the data protection authority" in late["found"]
    assert late["fix"].startswith(f"keelway incidents update {number} --notified gdpr-33=")
    answers = ("--notified", "gdpr-33=1998-06-02T00:00:00Z", "--waive", "gdpr-34=the letters came back")
    assert call("incidents", "update", number, *answers).exit_code == 0
    assert looked(call, "incidents", now="1998-06-06")["found"] == "1 open; to be told: nobody any more"
    over = ("--root-cause", "a list", "--corrective-action", "a check")
    assert call("incidents", "close", number, *over).exit_code == 0


def test_a_report_is_written_and_does_not_change(call: Call, tmp_path: Path) -> None:
    words = ("report", "compliance", "--framework", "eu-ai-act", "--at", "1998-06-01T20:00:00Z")
    first = call(*words, "--out", str(tmp_path / "a"))
    assert first.exit_code == 0, first.output
    assert "gap" in first.output
    call("drill", "record", "churn", "--env", "prod", "--kind", "restore", "--passed", who="sp:ci")
    answer = told(call(*words, "--out", str(tmp_path / "b"), "--json", now="1998-06-09"))
    assert [Path(file).name for file in answer["files"]] == [
        f"compliance-eu-ai-act.{form}" for form in ("html", "pdf", "json")
    ]
    for file in answer["files"]:
        assert (tmp_path / "a" / Path(file).name).read_bytes() == Path(file).read_bytes()
    assert answer["report"]["counts"]["gap"] >= 3


def test_a_report_of_tomorrow_is_refused(call: Call) -> None:
    refused = call("report", "compliance", "--framework", "gdpr", "--at", "1999-01-01")
    assert (refused.exit_code, "tells of what was" in refused.output) == (2, True)


def test_evidence_is_attached_to_an_organisational_control(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "training.pdf"
    file.write_bytes(b"who was taught")
    words = ("report", "attach", "art-4", str(file), "--framework", "eu-ai-act")
    assert call(*words, who="user:ana").exit_code == 3
    assert "training.pdf is attached" in call(*words, "--note", "2026", "--valid-until", "1999-06-01").output
    report = told(call("report", "compliance", "--framework", "eu-ai-act", "--json"))["report"]
    found = next(one for one in report["answers"] if one["control"]["control_id"] == "art-4")
    assert (found["status"], found["attachments"][0]["note"]) == ("met", "2026")


def test_the_packet_names_real_people_rules_and_plans(call: Call, tmp_path: Path) -> None:
    told_ = call("report", "packet", "churn", "--to", "prod").output
    for said in (
        "staging -\\> prod", "approve (1 of role approver)", "user:ben", "sp:ci", "rule: all", "user:omar, the shop",
        "Rank by recency.", "The owner read the card", "tier high", "Retrospective", "live is churn:2",
        "There is no earlier version that was let in here",
    ):  # fmt: skip
        assert said in told_, said
    for name in ("packet.md", "packet.html", "packet.pdf"):
        assert call("report", "packet", "churn", "--to", "prod", "--out", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / "packet.md").read_text() == told_
    assert '<li class="bad">There is no earlier version' in (tmp_path / "packet.html").read_text()
    assert (tmp_path / "packet.pdf").read_bytes().startswith(b"%PDF")
    assert call("report", "packet", "churn", "--to", "prod", "--out", str(tmp_path / "packet.doc")).exit_code == 2


def test_the_packet_of_a_model_that_says_nothing_is_full_of_gaps(call: Call) -> None:
    told_ = call("report", "packet", "basket", "--to", "prod").output
    for said in (
        "No purpose is told",
        "nobody assessed it",
        "No version is registered",
        "Nobody is called",
        "not monitored",
    ):
        assert f"- **GAP: {said}" in told_ or f"GAP: Risk: {said}" in told_ or said in told_, said
    assert told_.count("**GAP:") > 8
    assert call("report", "packet", "fraud", "--to", "prod").exit_code == 2


def test_the_door_knows_what_the_project_declares(world: ReportWorld) -> None:
    with closing(App.open(world.folder, actor="user:ana")) as app:
        declared = app.workspace.project.model("churn").risk
        assert environment_rules("prod", at=app.workspace).risks == {"churn": digest_of(declared)}


def test_a_project_that_does_not_load_declares_nothing_to_the_door(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "src/shop_of_risks/project.py").write_text("raise ValueError")
    with closing(App.open(tmp_path, actor="user:ana")) as app:
        assert declared_risks(app.workspace) == {}
