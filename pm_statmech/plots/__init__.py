"""Plots of tempered runs and calibrations, in the style of arviz-plots; they compute nothing."""

from pm_statmech.plots.calibrations import plot_calibration, plot_comparison
from pm_statmech.plots.energies import plot_energies
from pm_statmech.plots.evidence import plot_evidence
from pm_statmech.plots.exchange import plot_exchange
from pm_statmech.plots.heat_capacity import plot_heat_capacity
from pm_statmech.plots.ladder_trace import plot_ladder_trace
from pm_statmech.plots.replica_paths import plot_replica_paths
from pm_statmech.plots.sensitivity import plot_beta_sensitivity
from pm_statmech.plots.thermodynamics import plot_thermodynamics

__all__ = [
    "plot_beta_sensitivity",
    "plot_calibration",
    "plot_comparison",
    "plot_energies",
    "plot_evidence",
    "plot_exchange",
    "plot_heat_capacity",
    "plot_ladder_trace",
    "plot_replica_paths",
    "plot_thermodynamics",
]
