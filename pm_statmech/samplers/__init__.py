"""Samplers of a model at a ladder of inverse temperatures."""

from pm_statmech.samplers.annealed_sampling import sample_annealed
from pm_statmech.samplers.heat_bath_step import HeatBathStep
from pm_statmech.samplers.murray_exchange import ExchangeStep
from pm_statmech.samplers.network_sampling import sample_network
from pm_statmech.samplers.parallel_tempering import sample_tempered

__all__ = ["ExchangeStep", "HeatBathStep", "sample_annealed", "sample_network", "sample_tempered"]
