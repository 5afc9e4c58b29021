"""Reports from the ledger as it was at a time: compliance by framework, and the governance packet of a model."""

from keelway.report.answer import compliance_report
from keelway.report.attach import DraftAttachment, attach_evidence
from keelway.report.document import PrintedReport, ReportWriter, TablePart, TextPart, printed
from keelway.report.experiment import (
    EFFECT_HEADS,
    Assumption,
    ExperimentRecords,
    ExperimentReport,
    PlannedExperiment,
    PlanWish,
    assumption_rows,
    effect_rows,
    experiment_lines,
    experiment_page,
    experiment_report,
    plan_sentences,
    planned_experiment,
)
from keelway.report.finders import FINDERS
from keelway.report.forms import report_markdown, report_page
from keelway.report.framework_files import control_of, framework_names, load_framework
from keelway.report.packet import PacketFacts, governance_packet
from keelway.report.page import compliance_page
from keelway.report.past import Past
from keelway.report.records import (
    AnswerStatus,
    ComplianceReport,
    Control,
    ControlAnswer,
    ControlAttachment,
    EvidenceLink,
    FoundEvidence,
    Framework,
    Point,
)

__all__ = [
    "EFFECT_HEADS",
    "FINDERS",
    "AnswerStatus",
    "Assumption",
    "ComplianceReport",
    "Control",
    "ControlAnswer",
    "ControlAttachment",
    "DraftAttachment",
    "EvidenceLink",
    "ExperimentRecords",
    "ExperimentReport",
    "FoundEvidence",
    "Framework",
    "PacketFacts",
    "Past",
    "PlanWish",
    "PlannedExperiment",
    "Point",
    "PrintedReport",
    "ReportWriter",
    "TablePart",
    "TextPart",
    "assumption_rows",
    "attach_evidence",
    "compliance_page",
    "compliance_report",
    "control_of",
    "effect_rows",
    "experiment_lines",
    "experiment_page",
    "experiment_report",
    "framework_names",
    "governance_packet",
    "load_framework",
    "plan_sentences",
    "planned_experiment",
    "printed",
    "report_markdown",
    "report_page",
]
