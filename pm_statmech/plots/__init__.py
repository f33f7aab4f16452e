"""Plots of a tempered run, in the style of arviz-plots; they compute nothing themselves."""

from pm_statmech.plots.thermodynamics import plot_thermodynamics

__all__ = ["plot_thermodynamics"]
