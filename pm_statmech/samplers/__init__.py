"""Samplers of a model at a ladder of inverse temperatures."""

from pm_statmech.samplers.annealed_sampling import sample_annealed
from pm_statmech.samplers.parallel_tempering import sample_tempered

__all__ = ["sample_annealed", "sample_tempered"]
