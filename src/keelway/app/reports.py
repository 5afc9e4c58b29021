"""Reports for those who have to show that rules were kept: compliance by framework, attachments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import in_utc, plain
from keelway.errors import StorageError, UsageError

if TYPE_CHECKING:
    from keelway.report import ComplianceReport, ControlAttachment, PrintedReport

FORMATS = ("html", "pdf", "json")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """A report, and the files it was written to."""

    report: ComplianceReport
    files: tuple[str, ...]


class ReportRoom:
    """Use cases of those who have to show that rules were kept."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def compliance(self, framework: str, *, at: datetime | None = None) -> ComplianceReport:
        """Return how far a framework's controls are answered by the ledger as it was at a time.

        Raises:
            UsageError: There is no such framework, or the time is still to come.
        """
        from keelway.report import Past, compliance_report, load_framework

        moment = in_utc(at or self._at.now())
        if moment > self._at.now():
            raise UsageError("A report tells of what was", expected=f"up to {self._at.now()}", found=str(moment))
        wanted = load_framework(framework)
        with self._at.state.snapshot() as tx:
            past = Past(tx, self._at.artifacts, moment)
            return compliance_report(wanted, past, project=self._at.settings.project.name)

    def write(self, report: ComplianceReport, folder: Path, *, formats: Sequence[str] = FORMATS) -> ReportFiles:
        """Write a report as `compliance-FRAMEWORK.html`, `.pdf` and `.json` into a folder; the same report, the same bytes.

        Raises:
            MissingExtraError: PDF is wanted and ReportLab is not installed; nothing is written.
            StorageError: A file cannot be written.
        """
        data = {form: compliance_bytes(report, form) for form in formats}
        paths = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for form, content in data.items():
                path = folder / f"compliance-{report.framework}.{form}"
                path.write_bytes(content)
                paths.append(str(path))
        except OSError as error:
            raise StorageError(f"{folder} cannot be written", found=error.strerror or str(error)) from error
        return ReportFiles(report, tuple(paths))

    def packet(self, model: str, environment: str, *, frameworks: tuple[str, ...] = ()) -> PrintedReport:
        """Return the governance packet of a model in an environment, from the project's real state.

        Raises:
            ProjectError: The project has no such model.
            SettingsError: The environment is unknown, or names no policy.
        """
        from keelway.app.packet import PACKET_FRAMEWORKS, packet_facts
        from keelway.report import governance_packet

        wanted = frameworks or PACKET_FRAMEWORKS
        return governance_packet(packet_facts(model, environment, at=self._at, frameworks=wanted))

    def write_packet(self, packet: PrintedReport, path: Path) -> Path:
        """Write a packet as Markdown, as an HTML page or as PDF, by what the file is called.

        Raises:
            UsageError: The file is called neither.
            StorageError: It cannot be written.
        """
        from keelway.engines.reportlab import report_pdf
        from keelway.report import report_markdown, report_page

        forms = {
            ".md": lambda: report_markdown(packet).encode(),
            ".html": lambda: report_page(packet).encode(),
            ".pdf": lambda: report_pdf(packet),
        }
        if path.suffix.lower() not in forms:
            raise UsageError(
                "A packet is Markdown, HTML or PDF", expected=f"a name in {', '.join(forms)}", found=path.name
            )
        data = forms[path.suffix.lower()]()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise StorageError(f"{path} cannot be written", found=error.strerror or str(error)) from error
        return path

    def attach(
        self, framework: str, control: str, path: Path, *, note: str = "", valid_until: datetime | None = None
    ) -> ControlAttachment:
        """Attach a file to a control that software cannot answer.

        Raises:
            UsageError: There is no such control, or it asks for nothing.
            IdentityError: The principal may not attach.
        """
        from keelway.report import DraftAttachment, attach_evidence, load_framework

        at = self._at
        return attach_evidence(
            load_framework(framework),
            control,
            DraftAttachment(path.name, path.read_bytes(), note, valid_until),
            principal=at.principal,
            state=at.state,
            artifacts=at.artifacts,
            now=at.now(),
        )


def compliance_bytes(report: ComplianceReport, form: str) -> bytes:
    """Return a report in one form: `html`, `pdf` or `json`."""
    from keelway.report import compliance_page, printed

    if form == "pdf":
        from keelway.engines.reportlab import report_pdf

        return report_pdf(printed(report))
    if form == "html":
        return compliance_page(report).encode()
    return json.dumps(plain(report), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
