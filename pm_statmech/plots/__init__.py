"""Plots of a tempered run, in the style of arviz-plots; they compute nothing themselves."""

from pm_statmech.plots.exchange import plot_exchange
from pm_statmech.plots.heat_capacity import plot_heat_capacity
from pm_statmech.plots.sensitivity import plot_beta_sensitivity
from pm_statmech.plots.thermodynamics import plot_thermodynamics

__all__ = ["plot_beta_sensitivity", "plot_exchange", "plot_heat_capacity", "plot_thermodynamics"]
