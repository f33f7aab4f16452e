"""Distributions whose normaliser is exact and part of the graph."""

from pm_statmech.distributions.exponential import ExponentialFamily

__all__ = ["ExponentialFamily"]
