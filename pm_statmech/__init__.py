"""pm_statmech: minimising a loss is sampling at an inverse temperature.

In reading order: put a loss or an energy in a model, split the model, sample it at a ladder of
temperatures, read the statistics, look at the plots, ask whether to believe it.
"""

from pm_statmech import errors, losses, solvable
from pm_statmech.gibbs import GibbsLoss, GibbsPotential
from pm_statmech.minimum import Minimum, minimise
from pm_statmech.plots import plot_thermodynamics
from pm_statmech.pointwise import compute_loss
from pm_statmech.reporting import Finding, Verdict, report, verdict
from pm_statmech.samplers import sample_tempered
from pm_statmech.stats import (
    ExpectedLoss,
    ladder_summary,
    log_evidence,
    loo,
    stepping_stone,
    thermodynamics,
)
from pm_statmech.tempering import TemperedModel, TemperedTerm, temper, tempered_model

__version__ = "0.1.0"

__all__ = [
    "ExpectedLoss",
    "Finding",
    "GibbsLoss",
    "GibbsPotential",
    "Minimum",
    "TemperedModel",
    "TemperedTerm",
    "Verdict",
    "compute_loss",
    "errors",
    "ladder_summary",
    "log_evidence",
    "loo",
    "losses",
    "minimise",
    "plot_thermodynamics",
    "report",
    "sample_tempered",
    "solvable",
    "stepping_stone",
    "temper",
    "tempered_model",
    "thermodynamics",
    "verdict",
]
