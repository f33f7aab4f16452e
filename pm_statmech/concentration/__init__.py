"""Concentration: frequencies, large deviations, projections and games, as things one computes.

====================== =========================================================================
`method_of_types`      how probable counts are, exactly, by Stirling, and within bounds
`divergences`          relative entropy and its kin, with chain rules
`projections`          the nearest distribution under constraints, `dual` and `constraints` of it
`contingency_tables`   proportional fitting and alternating projections
`laws`, `named_laws`   what large deviations see of a distribution: its cumulant
`cumulants`            cumulants, Legendre transforms and rate functions as expressions
`tilts`                the root of K'(t) = x inside a graph
`natural_forms`        PyMC's distributions as exponential families, two by two
`lattice_sums`         exact tails of sums, and the law of one draw given the mean of all
`refinements`          Bahadur and Rao, and saddlepoints
`rare_events`          importance sampling by the optimal tilt, `tilted_draws` of it
`hypothesis_tests`     exponents of errors
`markov_chains`        empirical means along a chain
`games`, `channels`    maximum entropy as minimax loss; capacity
`responses`, `work`    thermodynamics of exponential families; `lengths` and geodesics
`mean_field_bounds`    naive, Bethe and tree-reweighted bounds of log Z
====================== =========================================================================

Source: Balsubramani (2024), Entropy, concentration, and learning: a statistical mechanics primer,
arXiv:2409.18630.
"""

from pm_statmech.concentration.channels import Capacity, channel_capacity
from pm_statmech.concentration.contingency_tables import (
    Alternated,
    Fitted,
    alternating_projections,
    iterative_proportional_fitting,
)
from pm_statmech.concentration.cumulants import (
    Conjugate,
    RateFunction,
    cumulant,
    cumulant_of_statistics,
    legendre,
    rate_function,
    rate_function_of_statistics,
)
from pm_statmech.concentration.divergences import (
    ChainRule,
    Chernoff,
    LogLoss,
    bregman_divergence,
    chain_rule,
    chernoff_information,
    coarse_graining,
    entropy,
    jensen_shannon,
    log_affinity,
    log_loss,
    relative_entropy,
    renyi_divergence,
    reverse_relative_entropy,
)
from pm_statmech.concentration.games import (
    Game,
    brier_entropy,
    minimax_brier,
    minimax_log_loss,
    minimax_spherical,
    minimax_zero_one,
    spherical_entropy,
    zero_one_entropy,
)
from pm_statmech.concentration.hypothesis_tests import (
    DecisionErrors,
    ErrorExponents,
    hoeffding_exponents,
    likelihood_ratio_errors,
    stein_exponent,
)
from pm_statmech.concentration.lattice_sums import (
    GibbsConditioning,
    gibbs_conditioning,
    log_mean_probability,
    log_tail_probability,
    microcanonical_conditioning,
)
from pm_statmech.concentration.laws import Atoms, CompoundSum
from pm_statmech.concentration.lengths import Geodesic, geodesic, length_between
from pm_statmech.concentration.markov_chains import (
    MarkovCumulant,
    MarkovRate,
    largest_cycle_mean,
    markov_cumulant,
    markov_rate_function,
)
from pm_statmech.concentration.mean_field_bounds import SpinBounds, spin_bounds
from pm_statmech.concentration.method_of_types import (
    Bounds,
    TypicalSet,
    all_types,
    log_event_probability,
    log_type_probability,
    log_type_probability_stirling,
    number_of_types,
    type_probability_bounds,
    typical_set,
)
from pm_statmech.concentration.projections import (
    Projection,
    Pythagorean,
    i_projection,
    m_projection,
)
from pm_statmech.concentration.rare_events import (
    TailProbability,
    lower_tail_probability_tilted,
    tail_probability_tilted,
)
from pm_statmech.concentration.refinements import (
    bahadur_rao,
    saddlepoint_density,
    saddlepoint_tail,
)
from pm_statmech.concentration.responses import (
    MixedResponses,
    fisher_information,
    heat_capacity_of_family,
    mixed_responses,
    response,
)
from pm_statmech.concentration.work import (
    Change,
    Crooks,
    FreeEnergy,
    WorkDraws,
    change,
    crooks,
    jarzynski,
    simulate_work,
)

__all__ = [
    "Alternated",
    "Atoms",
    "Bounds",
    "Capacity",
    "ChainRule",
    "Change",
    "Chernoff",
    "CompoundSum",
    "Conjugate",
    "Crooks",
    "DecisionErrors",
    "ErrorExponents",
    "Fitted",
    "FreeEnergy",
    "Game",
    "Geodesic",
    "GibbsConditioning",
    "LogLoss",
    "MarkovCumulant",
    "MarkovRate",
    "MixedResponses",
    "Projection",
    "Pythagorean",
    "RateFunction",
    "SpinBounds",
    "TailProbability",
    "TypicalSet",
    "WorkDraws",
    "all_types",
    "alternating_projections",
    "bahadur_rao",
    "bregman_divergence",
    "brier_entropy",
    "chain_rule",
    "change",
    "channel_capacity",
    "chernoff_information",
    "coarse_graining",
    "crooks",
    "cumulant",
    "cumulant_of_statistics",
    "entropy",
    "fisher_information",
    "geodesic",
    "gibbs_conditioning",
    "heat_capacity_of_family",
    "hoeffding_exponents",
    "i_projection",
    "iterative_proportional_fitting",
    "jarzynski",
    "jensen_shannon",
    "largest_cycle_mean",
    "legendre",
    "length_between",
    "likelihood_ratio_errors",
    "log_affinity",
    "log_event_probability",
    "log_loss",
    "log_mean_probability",
    "log_tail_probability",
    "log_type_probability",
    "log_type_probability_stirling",
    "lower_tail_probability_tilted",
    "m_projection",
    "markov_cumulant",
    "markov_rate_function",
    "microcanonical_conditioning",
    "minimax_brier",
    "minimax_log_loss",
    "minimax_spherical",
    "minimax_zero_one",
    "mixed_responses",
    "number_of_types",
    "rate_function",
    "rate_function_of_statistics",
    "relative_entropy",
    "renyi_divergence",
    "response",
    "reverse_relative_entropy",
    "saddlepoint_density",
    "saddlepoint_tail",
    "simulate_work",
    "spherical_entropy",
    "spin_bounds",
    "stein_exponent",
    "tail_probability_tilted",
    "type_probability_bounds",
    "typical_set",
    "zero_one_entropy",
]
