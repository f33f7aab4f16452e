"""How hot a posterior of a loss should be, and how wide."""

from pm_statmech.calibration.adjustment import sandwich

__all__ = ["sandwich"]
