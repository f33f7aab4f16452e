r"""Bounds of log Z of coupled spins: naive mean field, Bethe, tree-reweighted, and their errors.

.. math:: Z = \sum_{s \in \{-1, 1\}^n} \exp\Bigl(\beta \sum_{i < j} J_{ij} s_i s_j
              + \beta \sum_i h_i s_i\Bigr)

A product of independent spins gives a lower bound, by the inequality of Gibbs and Bogoliubov; a
mixture of spanning trees an upper one; Bethe's approximation is exact on trees and bounds nothing
in general.

Sources: Wainwright and Jordan (2008), Found. Trends Mach. Learn. 1(1-2), chapters 4, 5 and 7;
Yedidia, Freeman, Weiss (2005), IEEE Trans. Inf. Theory 51, 2282-2312.
"""

from __future__ import annotations

from typing import NamedTuple

import networkx as nx
import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.network_engines import choose_engine, problem_of
from pm_statmech.log_partition.networks import Network
from pm_statmech.log_partition.variational import messages, naive, spanning_tree_probabilities

SPINS = np.array([[1.0, -1.0], [-1.0, 1.0]])


class SpinBounds(NamedTuple):
    """Log Z in nats: a lower bound, Bethe's approximation, an upper bound, and what is exact.

    Errors are those of each, exact less approximate; NaN where no exact engine reaches. `width`
    is the upper bound less the lower: what is certain without one. Messages that do not settle
    leave NaN.
    """

    mean_field: float
    bethe: float
    tree_reweighted: float
    exact: float
    mean_field_error: float
    bethe_error: float
    tree_reweighted_error: float
    width: float


def spin_bounds(coupling, field=0.0, *, beta: float = 1.0) -> SpinBounds:
    r"""Bounds of log Z of spins, and the exact value where an engine reaches it.

    Parameters
    ----------
    coupling
        (n, n) J, symmetric with a diagonal of 0; field : (n,) h or a number; beta : >= 0.

    Raises
    ------
    NetworkError
        a coupling that is not symmetric, or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]])
    >>> found = spin_bounds(J, 0.1)
    >>> abs(found.bethe_error) < 1e-9, found.mean_field_error > 0
    (True, True)
    """
    J = np.asarray(coupling, dtype=np.float64)
    if J.ndim != 2 or not np.array_equal(J, J.T) or np.any(np.diag(J) != 0):
        raise NetworkError("coupling is not symmetric (n, n) with a diagonal of 0.")
    h = np.broadcast_to(np.asarray(field, dtype=np.float64), (len(J),))
    if not (np.all(np.isfinite(J)) and np.all(np.isfinite(h)) and 0 <= beta < np.inf):
        raise NetworkError("a coupling, a field or beta is not finite, or beta is negative.")
    graph = nx.from_numpy_array(J != 0)
    parts = [_of_part(J, h, beta, sorted(part)) for part in nx.connected_components(graph)]
    lower, bethe, upper, exact = (float(v) for v in np.sum(parts, axis=0))
    return SpinBounds(
        lower, bethe, upper, exact, exact - lower, exact - bethe, exact - upper, upper - lower
    )  # fmt: skip


def _of_part(J, h, beta: float, nodes: list[int]) -> tuple[float, float, float, float]:
    """The four of a connected part, whose log Z add up."""
    if len(nodes) == 1:
        alone = float(np.logaddexp(beta * h[nodes[0]], -beta * h[nodes[0]]))
        return alone, alone, alone, alone
    block, n = J[np.ix_(nodes, nodes)], len(nodes)
    edges = np.argwhere(np.triu(block) != 0).astype(np.int64)
    K = beta * block[edges[:, 0], edges[:, 1]]
    theta = beta * np.outer(h[nodes], [-1.0, 1.0])
    network = Network(n, edges, SPINS)
    lower, _, _ = naive(theta, K, SPINS, *network.neighbours, edges)
    bethe, _, _ = messages(theta, K, SPINS, edges, np.ones(len(edges)))
    upper, _, _ = messages(theta, K, SPINS, edges, spanning_tree_probabilities(network))
    problem = problem_of(n, edges, SPINS, uniform=False, without_field=not np.any(theta))
    engine = choose_engine(problem)
    exact = np.nan
    if engine.exact and engine.missing is None:
        exact = float(
            engine.compute(problem, pt.constant(theta), pt.constant(K)).eval(mode="FAST_COMPILE")
        )
    return float(lower), float(bethe), float(upper), exact
