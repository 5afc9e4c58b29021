"""The PDF engine: writes reports by ReportLab, the same bytes for the same report."""

from keelway.engines.reportlab.pdf import report_pdf

__all__ = ["report_pdf"]
