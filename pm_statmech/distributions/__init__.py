"""Distributions whose normaliser is exact and part of the graph."""

from pm_statmech.distributions import means  # noqa: F401
from pm_statmech.distributions.bingham import Bingham, FisherBingham, Kent
from pm_statmech.distributions.counts import ConwayMaxwellPoisson, DiscreteGaussian, Zeta
from pm_statmech.distributions.exponential import ExponentialFamily
from pm_statmech.distributions.labels import BlumeCapel, OrdinalMRF, Potts
from pm_statmech.distributions.layers import RestrictedBoltzmannMachine
from pm_statmech.distributions.lines import (
    GeneralizedInverseGaussian,
    Quartic,
    TruncatedExponential,
)
from pm_statmech.distributions.maximum_entropy import MaxEnt
from pm_statmech.distributions.mean_field_spins import CurieWeiss, Hopfield
from pm_statmech.distributions.network_sums import SufficientStatistics
from pm_statmech.distributions.powered import Powered
from pm_statmech.distributions.pseudo_likelihood import PseudoIsing
from pm_statmech.distributions.spheres import VonMisesFisher, Watson
from pm_statmech.distributions.spins import BoltzmannMachine, Ising

__all__ = [
    "Bingham",
    "BlumeCapel",
    "BoltzmannMachine",
    "ConwayMaxwellPoisson",
    "CurieWeiss",
    "DiscreteGaussian",
    "ExponentialFamily",
    "FisherBingham",
    "GeneralizedInverseGaussian",
    "Hopfield",
    "Ising",
    "Kent",
    "MaxEnt",
    "OrdinalMRF",
    "Potts",
    "Powered",
    "PseudoIsing",
    "Quartic",
    "RestrictedBoltzmannMachine",
    "SufficientStatistics",
    "TruncatedExponential",
    "VonMisesFisher",
    "Watson",
    "Zeta",
]
