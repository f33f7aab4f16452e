"""The DataTree of a tempered run: the only package that knows its groups, variables and dimensions.

================== ==========================================================================
``posterior``      draws at the target, as ``pm.sample`` would give them
``sample_stats``   of the target rung (never ``energy``: ArviZ reads that as the Hamiltonian)
``tempering``      chain, draw, inverse_temperature: energy, log_prior_unconstrained, replica
``tempered_posterior`` the same variables as ``posterior`` at every rung, when kept
``ladder``         a rung, pair or chain: acceptance_rate, step_size, swap_rejection, barrier, ...
``annealing``      a stage of the pilot: beta, log_ratio of each half, ess, acceptance_rate, ...
                   (of each chain, and with the work values, in a tree of `sample_annealed`)
``reference``      densities relative to the fitted references, for bridge sampling
``loss``           pointwise losses, free of beta (minus the log-likelihood for a likelihood)
``log_likelihood`` of normalised terms, at power one
================== ==========================================================================
"""

from pm_statmech.datatree.annealed import from_annealed
from pm_statmech.datatree.arrays import from_energies
from pm_statmech.datatree.drawing import Node, model_graph, read_graph
from pm_statmech.datatree.groups import (
    RUNG,
    TermInfo,
    annealing_group,
    azstats,
    ladder_group,
    r_hat,
    read_terms,
    reference_group,
    tempering_group,
)
from pm_statmech.datatree.pointwise import (
    add_densities,
    add_log_prior,
    add_pointwise,
    check_options,
    pointwise_values,
)
from pm_statmech.datatree.run import annealing_dataset, check_dims, from_run, round_trips, unpacked
from pm_statmech.datatree.signs import transitions

__all__ = [
    "RUNG",
    "Node",
    "TermInfo",
    "add_densities",
    "add_log_prior",
    "add_pointwise",
    "annealing_dataset",
    "annealing_group",
    "azstats",
    "check_dims",
    "check_options",
    "from_annealed",
    "from_energies",
    "from_run",
    "ladder_group",
    "model_graph",
    "pointwise_values",
    "r_hat",
    "read_graph",
    "read_terms",
    "reference_group",
    "round_trips",
    "tempering_group",
    "transitions",
    "unpacked",
]
