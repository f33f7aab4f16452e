"""Distributions whose normaliser is exact and part of the graph."""

from pm_statmech.distributions.counts import ConwayMaxwellPoisson, DiscreteGaussian, Zeta
from pm_statmech.distributions.exponential import ExponentialFamily

__all__ = ["ConwayMaxwellPoisson", "DiscreteGaussian", "ExponentialFamily", "Zeta"]
