"""Compliance reports: answers to controls, and pages whose bytes depend on the ledger and a date alone."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.app.reports import compliance_bytes
from keelway.core import Action, canonical_json
from keelway.errors import IdentityError, UsageError
from keelway.identity import Principal
from keelway.report import (
    FINDERS,
    ComplianceReport,
    ControlAnswer,
    ControlAttachment,
    DraftAttachment,
    attach_evidence,
    compliance_page,
    compliance_report,
    control_of,
    framework_names,
    load_framework,
    printed,
)
from keelway.testing.door import ANA, EVE
from keelway.testing.reports import HOUR, ReportWorld

NAMES = ("eu-ai-act", "gdpr", "hipaa", "iso-42001", "nist-ai-rmf", "soc2")
FORMS = ("html", "pdf", "json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ReportWorld:
    return ReportWorld(tmp_path_factory.mktemp("whole"))


def reported(world: ReportWorld, name: str = "eu-ai-act", *, after: timedelta = timedelta(0)) -> ComplianceReport:
    with world.reading(world.now + after) as past:
        return compliance_report(load_framework(name), past, project="shop")


def answer(report: ComplianceReport, control: str) -> ControlAnswer:
    return next(one for one in report.answers if one.control.control_id == control)


def attach(world: ReportWorld, control: str = "art-4", *, who: Principal = EVE, **facts: object) -> ControlAttachment:
    told: dict[str, Any] = {"name": "training.pdf", "note": "who was taught", "data": b"a list", **facts}
    ports = {"state": world.state, "artifacts": world.artifacts, "now": world.now}
    return attach_evidence(load_framework("eu-ai-act"), control, DraftAttachment(**told), principal=who, **ports)


def test_there_are_six_frameworks() -> None:
    assert framework_names() == NAMES
    with pytest.raises(UsageError, match="framework"):
        load_framework("iso-9001")


@pytest.mark.parametrize("name", NAMES)
def test_every_control_is_asked_in_a_few_words_and_answered_by_finders_that_exist(name: str) -> None:
    framework = load_framework(name)
    ids = [control.control_id for control in framework.controls]
    assert len(set(ids)) == len(ids) >= 19
    for control in framework.controls:
        assert set(control.finders) <= FINDERS.keys()
        assert control.finders or control.attach
        assert control.reference
        assert 2 <= len(control.title.split()) <= 14
        assert re.fullmatch(r"[a-z0-9-]+", control.control_id)
    with pytest.raises(UsageError, match="no control"):
        control_of(framework, "art-0")


def test_every_finder_answers_some_control() -> None:
    used = {finder for name in NAMES for control in load_framework(name).controls for finder in control.finders}
    assert used == FINDERS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_story_leaves_only_what_people_have_to_attach(whole: ReportWorld, name: str) -> None:
    report = reported(whole, name)
    for one in report.answers:
        if one.control.organisational and one.status != "not applicable":
            assert one.status == "gap"
            assert one.control.attach in one.reason
        elif one.status == "gap":
            pytest.fail(f"{one.control.control_id}: {one.reason}")
    assert sum(report.counts.values()) == len(report.answers)


def test_evidence_is_linked_by_entry_and_digest(whole: ReportWorld) -> None:
    one = answer(reported(whole), "art-6")
    assert one.status == "met"
    [link] = one.links
    told = whole.told()[link.entry]
    assert (link.action, link.principal, link.records) == ("assess", EVE.id, told.evidence)


def test_a_control_is_partly_met_when_some_of_its_evidence_is_there(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"monitored"})
    report = reported(world)
    assert answer(report, "art-72").status == "partly"
    assert "never monitored" in answer(report, "art-72").reason
    assert answer(report, "art-12").status == "met"


def test_what_does_not_apply_says_why(tmp_path: Path) -> None:
    report = reported(ReportWorld(tmp_path, annex_iii=(), data=()))
    one = answer(report, "art-14")
    assert (one.status, one.reason) == ("not applicable", "every model is assessed below high risk")
    assert [link.action for link in one.links] == ["assess"]
    assert answer(report, "art-5").status == "met"


def test_a_stale_assessment_exempts_from_nothing(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, annex_iii=(), data=(), review_every="30d")
    world.now += timedelta(days=40)
    assert answer(reported(world), "art-14").status != "not applicable"


def test_what_nobody_assessed_applies(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"assessed"})
    assert answer(reported(world), "art-14").status == "partly"
    assert answer(reported(world, "hipaa"), "308-a-7").status == "met"
    assert "not applicable" not in {
        one.status for one in reported(world, "hipaa").answers if one.control.organisational
    }


def test_health_rules_apply_to_health_data(whole: ReportWorld, tmp_path: Path) -> None:
    assert {one.status for one in reported(whole, "hipaa").answers} == {"not applicable"}
    assert answer(reported(ReportWorld(tmp_path, data=("health",)), "hipaa"), "312-b").status == "met"


def test_privacy_rules_apply_where_a_contract_names_persons(tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "nobody").mkdir()
    named = ReportWorld(tmp_path / "named", data=())
    nobody = ReportWorld(tmp_path / "nobody", data=(), without={"checked"})
    assert answer(reported(named, "gdpr"), "art-17").status == "met"
    assert answer(reported(nobody, "gdpr"), "art-17").status == "not applicable"


def test_attached_evidence_answers_what_software_cannot_until_it_ends(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path)
    before = world.now
    world.now += HOUR
    made = attach(world, valid_until=world.now + timedelta(days=30))
    assert answer(reported(world), "art-4").status == "met"
    assert answer(reported(world), "art-4").attachments == (made,)
    assert answer(reported(world, after=timedelta(days=30)), "art-4").status == "partly"
    with world.reading(before) as past:
        assert answer(compliance_report(load_framework("eu-ai-act"), past, project="shop"), "art-4").status == "gap"
    assert world.told()[-1].evidence["file"] == made.file
    assert world.artifacts.get(made.file) == b"a list"


def test_attaching_the_same_twice_is_one_attachment(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path)
    assert attach(world) == attach(world)
    assert attach(world, note="another year").number == 2
    assert sum(one.action is Action.CHECK for one in world.told()) == 3


def test_an_attachment_alone_does_not_make_up_for_a_missing_assessment(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"assessed"})
    attach(world, "art-27")
    one = answer(reported(world), "art-27")
    assert (one.status, "nobody told whom it affects" in one.reason) == ("partly", True)


def test_what_cannot_be_attached_is_refused(whole: ReportWorld) -> None:
    with pytest.raises(IdentityError):
        attach(whole, who=ANA)
    with pytest.raises(UsageError, match="ledger alone"):
        attach(whole, "art-12")
    with pytest.raises(UsageError, match="no control"):
        attach(whole, "art-99")
    with pytest.raises(UsageError, match="valid no more"):
        attach(whole, valid_until=whole.now)
    with pytest.raises(UsageError, match="empty"):
        attach(whole, data=b"")


PRINTED = [(name, form) for name in NAMES for form in FORMS if form != "pdf" or name in ("eu-ai-act", "gdpr")]


@pytest.fixture(scope="module")
def of_then(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportWorld, dict[str, ComplianceReport], datetime]:
    """Return a world that went on after reports were made of it."""
    world = ReportWorld(tmp_path_factory.mktemp("then"), without={"incident", "drilled", "vacuumed", "erased"})
    then, first = world.now, {name: reported(world, name) for name in NAMES}
    for chapter in ("drilled", "incident", "vacuumed", "erased", "assessed"):
        world.tell(chapter)
    return world, first, then


@pytest.mark.parametrize(("name", "form"), PRINTED)
def test_the_report_of_a_past_date_never_changes(
    of_then: tuple[ReportWorld, dict[str, ComplianceReport], datetime], name: str, form: str
) -> None:
    world, first, then = of_then
    with world.reading(then) as past:
        again = compliance_report(load_framework(name), past, project="shop")
    assert compliance_bytes(again, form) == compliance_bytes(first[name], form)
    assert form == "pdf" or compliance_bytes(reported(world, name), form) != compliance_bytes(again, form)


def test_the_page_has_gaps_in_red_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    page = compliance_page(reported(ReportWorld(tmp_path, without={"assessed"})))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert {target for target in targets if target.startswith("entry-")}
    assert targets <= set(re.findall(r'id="([^"]+)"', page))
    assert '<span class="tag bad">gap</span>' in page
    assert "class='bad'>churn: nobody assessed its risk" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_what_people_wrote_is_text_on_the_page(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, oversight_how="<img src=x onerror=alert(1)> & more")
    attach(world, name="<b>.pdf", note="</main><script>")
    page = compliance_page(reported(world))
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;img src=x" in page


def test_the_json_is_the_report(whole: ReportWorld) -> None:
    report = reported(whole)
    assert json.loads(compliance_bytes(report, "json")) == json.loads(canonical_json(report))


def test_the_pdf_holds_every_control_and_no_time_of_making(whole: ReportWorld) -> None:
    from pypdf import PdfReader

    report = reported(whole)
    data = compliance_bytes(report, "pdf")
    reader = PdfReader(io.BytesIO(data))
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    assert all(one.control.control_id in text for one in report.answers)
    assert report.ledger_root[:16] in text
    assert reader.metadata is not None
    assert reader.metadata.title == "EU AI Act: shop"
    assert b"/CreationDate (D:19700101000000" in data


def test_letters_that_the_pdf_fonts_lack_are_numbers(tmp_path: Path) -> None:
    from pypdf import PdfReader

    report = reported(ReportWorld(tmp_path, oversight_how="Ömer sagt: 中 <b>"))
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(compliance_bytes(report, "pdf"))).pages)
    assert "Ömer sagt: [U+4E2D] <b>" in " ".join(text.split())


def test_what_is_printed_marks_gaps(tmp_path: Path) -> None:
    parts = printed(reported(ReportWorld(tmp_path, without={"assessed"}))).parts
    assert any(getattr(part, "kind", "") == "bad" and "assessed its risk" in part.text for part in parts)  # type: ignore[union-attr]
