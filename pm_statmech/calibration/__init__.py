"""How hot a posterior of a loss should be, and how wide."""

from pm_statmech.calibration.adjustment import sandwich
from pm_statmech.calibration.matching import (
    information_matching,
    information_matching_trace,
    loss_likelihood_bootstrap,
)
from pm_statmech.calibration.results import Calibration

__all__ = [
    "Calibration",
    "information_matching",
    "information_matching_trace",
    "loss_likelihood_bootstrap",
    "sandwich",
]
