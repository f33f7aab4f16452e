"""Distributions whose normaliser is exact and part of the graph."""

from pm_statmech.distributions.counts import ConwayMaxwellPoisson, DiscreteGaussian, Zeta
from pm_statmech.distributions.exponential import ExponentialFamily
from pm_statmech.distributions.lines import (
    GeneralizedInverseGaussian,
    Quartic,
    TruncatedExponential,
)
from pm_statmech.distributions.maximum_entropy import MaxEnt

__all__ = [
    "ConwayMaxwellPoisson",
    "DiscreteGaussian",
    "ExponentialFamily",
    "GeneralizedInverseGaussian",
    "MaxEnt",
    "Quartic",
    "TruncatedExponential",
    "Zeta",
]
