"""Statistics of a tempered run; each reads a DataTree and never a model."""

from pm_statmech.stats.combination import log_evidence
from pm_statmech.stats.evidence import stepping_stone
from pm_statmech.stats.exchange import ladder_summary
from pm_statmech.stats.free_energy import thermodynamics
from pm_statmech.stats.predictive import ExpectedLoss, loo

__all__ = [
    "ExpectedLoss",
    "ladder_summary",
    "log_evidence",
    "loo",
    "stepping_stone",
    "thermodynamics",
]
