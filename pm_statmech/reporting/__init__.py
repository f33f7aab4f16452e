"""Verdicts in words, and one self-contained HTML page."""

from pm_statmech.reporting.findings import Finding, Verdict
from pm_statmech.reporting.page import report
from pm_statmech.reporting.questions import verdict

__all__ = ["Finding", "Verdict", "report", "verdict"]
