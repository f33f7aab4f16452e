"""Statistics of a tempered run; each reads a DataTree and never a model."""

from pm_statmech.stats.combination import log_evidence
from pm_statmech.stats.comparison import evidence_compare
from pm_statmech.stats.curve import log_partition_curve
from pm_statmech.stats.densities import energy_densities, ladder_densities
from pm_statmech.stats.entropies import posterior_entropy
from pm_statmech.stats.evidence import stepping_stone
from pm_statmech.stats.exchange import exchange_statistics, ladder_summary, replica_paths
from pm_statmech.stats.expectations import expectation
from pm_statmech.stats.free_energy import thermodynamics
from pm_statmech.stats.information import discrete_entropy, mutual_information
from pm_statmech.stats.integration import thermodynamic_integration
from pm_statmech.stats.length import thermodynamic_length
from pm_statmech.stats.multimodality import modes
from pm_statmech.stats.peaks import heat_capacity_peaks
from pm_statmech.stats.pooled import mbar
from pm_statmech.stats.predictive import ExpectedLoss, loo
from pm_statmech.stats.reweighting import reweight
from pm_statmech.stats.sensitivity import beta_sensitivity
from pm_statmech.stats.singular import (
    Estimate,
    learning_coefficient,
    singular_fluctuation,
    wbic,
)

__all__ = [
    "Estimate",
    "ExpectedLoss",
    "beta_sensitivity",
    "discrete_entropy",
    "energy_densities",
    "evidence_compare",
    "exchange_statistics",
    "expectation",
    "heat_capacity_peaks",
    "ladder_densities",
    "ladder_summary",
    "learning_coefficient",
    "log_evidence",
    "log_partition_curve",
    "loo",
    "mbar",
    "modes",
    "mutual_information",
    "posterior_entropy",
    "replica_paths",
    "reweight",
    "singular_fluctuation",
    "stepping_stone",
    "thermodynamic_integration",
    "thermodynamic_length",
    "thermodynamics",
    "wbic",
]
