"""Engines of log partition functions: each gives A(eta), whose gradient is the mean statistics.

========================= ======================================================================
`table`                   any statistics on a finite support: a sum over all states
`fold`                    statistics of binary entries that are sums over entries and
                          pairs: exact to some 24 entries
`lattice`                 any statistics of an integer without end: a sum over a
                          window, with a bound on what is left out
`quadrature`              any statistics of a number in an interval: the double-exponential rule
`moments`                 the operations that put a model's statistics into the last two
`conway_maxwell_poisson`  its sum outwards from the largest term, and its expansion
`hurwitz_zeta`            powers of integers without end: Euler and Maclaurin's expansion
`fisher_bingham`          vectors on a sphere by a quadratic form: a contour integral
`networks`                nodes of a few states coupled along edges, and `network_engines`, which
                          chooses among the fold, a transfer matrix and closed forms
`transfer_matrix`         networks node by node, along the `frontier`; `transfer_in_logs`
`variable_elimination`    networks along a tree of small sets of nodes, by an `elimination` order
`variational`             approximations of networks: mean field, Bethe, tree-reweighted
`curves`                  log Z(beta) interpolated from a tempered run
`planar`                  spins on planar graphs without a field: a determinant
`kaufman`                 Kaufman's closed form for Ising spins on a periodic square lattice
`mean_fields`             spins that all see each other: Curie-Weiss, and a few Hopfield patterns
`restricted_boltzmann`    two layers, of which the smaller is summed over
`inversion`               the other way for a number: eta of given mean statistics
`matching`                the other way: eta of given mean statistics, on a table
`operations`              what engines share: operations of PyTensor around a compiled function
`jax_callbacks`           their forms in JAX
========================= ======================================================================
"""

from pm_statmech.log_partition import jax_callbacks as jax_callbacks
from pm_statmech.log_partition.curves import LogPartitionCurve, tabulated
from pm_statmech.log_partition.network_engines import (
    NetworkEngine,
    bethe,
    by_enumeration,
    by_kac_ward,
    by_kaufman,
    by_transfer_matrix,
    by_tree_decomposition,
    mean_field,
    tree_reweighted,
)

__all__ = [
    "LogPartitionCurve",
    "NetworkEngine",
    "bethe",
    "by_enumeration",
    "by_kac_ward",
    "by_kaufman",
    "by_transfer_matrix",
    "by_tree_decomposition",
    "mean_field",
    "tabulated",
    "tree_reweighted",
]
