"""Distributions whose normaliser is exact and part of the graph."""

from pm_statmech.distributions import means  # noqa: F401
from pm_statmech.distributions.bingham import Bingham, FisherBingham, Kent
from pm_statmech.distributions.counts import ConwayMaxwellPoisson, DiscreteGaussian, Zeta
from pm_statmech.distributions.exponential import ExponentialFamily
from pm_statmech.distributions.lines import (
    GeneralizedInverseGaussian,
    Quartic,
    TruncatedExponential,
)
from pm_statmech.distributions.maximum_entropy import MaxEnt
from pm_statmech.distributions.powered import Powered
from pm_statmech.distributions.spheres import VonMisesFisher, Watson

__all__ = [
    "Bingham",
    "ConwayMaxwellPoisson",
    "DiscreteGaussian",
    "ExponentialFamily",
    "FisherBingham",
    "GeneralizedInverseGaussian",
    "Kent",
    "MaxEnt",
    "Powered",
    "Quartic",
    "TruncatedExponential",
    "VonMisesFisher",
    "Watson",
    "Zeta",
]
