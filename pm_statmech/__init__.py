"""pm_statmech: minimising a loss is sampling at an inverse temperature.

In reading order: put a loss or an energy in a model, split the model, sample it at a ladder of
temperatures, read the statistics, look at the plots, ask whether to believe it.
"""

# first, while few modules are loaded: it inspects the stack, which takes longer the more there are
import arviz_base  # noqa: F401

from pm_statmech import calibration, errors, log_partition, losses, solvable, statistics
from pm_statmech.datatree import from_energies
from pm_statmech.distributions import (
    Bingham,
    BlumeCapel,
    BoltzmannMachine,
    ConwayMaxwellPoisson,
    CurieWeiss,
    DiscreteGaussian,
    ExponentialFamily,
    FisherBingham,
    GeneralizedInverseGaussian,
    Hopfield,
    Ising,
    Kent,
    MaxEnt,
    OrdinalMRF,
    Potts,
    Powered,
    PseudoIsing,
    Quartic,
    RestrictedBoltzmannMachine,
    SufficientStatistics,
    TruncatedExponential,
    VonMisesFisher,
    Watson,
    Zeta,
)
from pm_statmech.explanation import explain
from pm_statmech.exponential_family import Family
from pm_statmech.gibbs import GibbsLoss, GibbsPotential
from pm_statmech.learning import maximum_likelihood_layers, persistent_chains_layers
from pm_statmech.minimum import Minimum, minimise
from pm_statmech.network_kernels.moves import heat_bath, swendsen_wang, wolff
from pm_statmech.plots import (
    plot_beta_sensitivity,
    plot_exchange,
    plot_heat_capacity,
    plot_thermodynamics,
)
from pm_statmech.pointwise import compute_loss
from pm_statmech.reporting import Finding, Verdict, report, verdict
from pm_statmech.samplers import (
    ExchangeStep,
    HeatBathStep,
    sample_annealed,
    sample_network,
    sample_tempered,
)
from pm_statmech.statistics import quantile_constraints
from pm_statmech.stats import (
    Estimate,
    ExpectedLoss,
    beta_sensitivity,
    evidence_compare,
    expectation,
    heat_capacity_peaks,
    ladder_summary,
    learning_coefficient,
    log_evidence,
    log_partition_curve,
    loo,
    mbar,
    modes,
    posterior_entropy,
    reweight,
    singular_fluctuation,
    stepping_stone,
    thermodynamic_integration,
    thermodynamics,
    wbic,
)
from pm_statmech.supports import Binary, Finite, Integers, Interval, Product, Spins
from pm_statmech.tempering import TemperedModel, TemperedTerm, temper, tempered_model
from pm_statmech.trace_bridge import bridge

__version__ = "0.1.0"

__all__ = [
    "Binary",
    "Bingham",
    "BlumeCapel",
    "BoltzmannMachine",
    "ConwayMaxwellPoisson",
    "CurieWeiss",
    "DiscreteGaussian",
    "Estimate",
    "ExchangeStep",
    "ExpectedLoss",
    "ExponentialFamily",
    "Family",
    "Finding",
    "Finite",
    "FisherBingham",
    "GeneralizedInverseGaussian",
    "GibbsLoss",
    "GibbsPotential",
    "HeatBathStep",
    "Hopfield",
    "Integers",
    "Interval",
    "Ising",
    "Kent",
    "MaxEnt",
    "Minimum",
    "OrdinalMRF",
    "Potts",
    "Powered",
    "Product",
    "PseudoIsing",
    "Quartic",
    "RestrictedBoltzmannMachine",
    "Spins",
    "SufficientStatistics",
    "TemperedModel",
    "TemperedTerm",
    "TruncatedExponential",
    "Verdict",
    "VonMisesFisher",
    "Watson",
    "Zeta",
    "beta_sensitivity",
    "bridge",
    "calibration",
    "compute_loss",
    "errors",
    "evidence_compare",
    "expectation",
    "explain",
    "from_energies",
    "heat_bath",
    "heat_capacity_peaks",
    "ladder_summary",
    "learning_coefficient",
    "log_evidence",
    "log_partition",
    "log_partition_curve",
    "loo",
    "losses",
    "maximum_likelihood_layers",
    "mbar",
    "minimise",
    "modes",
    "persistent_chains_layers",
    "plot_beta_sensitivity",
    "plot_exchange",
    "plot_heat_capacity",
    "plot_thermodynamics",
    "posterior_entropy",
    "quantile_constraints",
    "report",
    "reweight",
    "sample_annealed",
    "sample_network",
    "sample_tempered",
    "singular_fluctuation",
    "solvable",
    "statistics",
    "stepping_stone",
    "swendsen_wang",
    "temper",
    "tempered_model",
    "thermodynamic_integration",
    "thermodynamics",
    "verdict",
    "wbic",
    "wolff",
]
