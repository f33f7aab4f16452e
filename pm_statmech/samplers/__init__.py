"""Samplers of a model at a ladder of inverse temperatures."""

from pm_statmech.samplers.parallel_tempering import sample_tempered

__all__ = ["sample_tempered"]
