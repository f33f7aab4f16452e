"""Networks of two states: Ising spins, and Boltzmann machines without hidden units."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pm_statmech.distributions.graphs import couplings_on, field_on
from pm_statmech.distributions.network_variables import (
    NetworkDistribution,
    in_network,
    of_network,
)


class Ising(NetworkDistribution):
    r"""Spins -1 and 1 coupled in pairs.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\sum_{(i, j)} J_{ij} x_i x_j
              + \sum_i h_i x_i\Big)\Big), \qquad x \in \{-1, 1\}^n

    with every pair once. J > 0 is ferromagnetic.

    Parameters
    ----------
    coupling
        J: without a graph (..., n, n), symmetric with a diagonal of 0; with one a number, common to
        all edges, or (..., m), one an edge.
    field
        h: a number, or (..., n), or of the shape of the nodes.
    beta
        inverse temperature (...), which multiplies both.
    graph
        a `networkx.Graph`, or (m, 2) node numbers. Nodes 0 to n - 1 keep their numbers; nodes
        (row, column) of a lattice make a variable of two axes; others go in the graph's order.
        Couplings of edges go in the graph's order of edges.
    log_partition
        an engine of `pm_statmech.log_partition`, by default the cheapest exact one.

    Raises
    ------
    NetworkError
        a matrix that is not symmetric or has a diagonal, entries that are not finite, a graph in
        parts, data of other states; and, where log Z is needed, networks that no exact engine
        reaches, with what each would cost. Draws by chains, `sample_network` and a tempered run,
        ``sample_tempered(tempered=[name])``, need no log Z.

    Notes
    -----
    log Z with its gradient: by enumeration to some 25 spins, by a transfer matrix for chains
    and strips, along a tree decomposition for sparse graphs, by a determinant for planar graphs
    without a field, and in closed form on a torus with one coupling and no field. Draws are exact
    where the tables of the first two fit into memory, and otherwise the states after 200 sweeps of
    clusters, or 2000 of the heat bath; `sample_network` says whether such chains mix.

    Sources: Ising (1925), Z. Phys. 31, 253-258; Besag (1974), JRSS B 36, 192-236.

    Examples
    --------
    >>> import networkx as nx, pymc as pm, pm_statmech as pms
    >>> ring = nx.cycle_graph(3)
    >>> x = pms.Ising.dist(0.5, graph=ring)
    >>> float(pm.logp(x, [1, 1, 1]).eval(mode="FAST_COMPILE").round(6))
    -1.0339
    """

    rv_op = staticmethod(of_network)
    values = (-1.0, 1.0)

    @classmethod
    def dist(cls, coupling, field=0.0, *, beta=1.0, graph=None, log_partition=None, **kwargs):
        """Return the variable without a model."""
        couplings = couplings_on(graph, coupling)
        h = field_on(couplings.nodes, field)
        params, kind = in_network(
            cls.__name__, couplings, pt.stack([-h, h], axis=-1), cls.values,
            np.outer(cls.values, cls.values), beta=beta, field=field, log_partition=log_partition,
        )  # fmt: skip
        return super().dist(params, kind=kind, **kwargs)


class BoltzmannMachine(NetworkDistribution):
    r"""Units 0 and 1 coupled in pairs, all of them visible.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\sum_{(i, j)} W_{ij} x_i x_j
              + \sum_i b_i x_i\Big)\Big), \qquad x \in \{0, 1\}^n

    with every pair once. The same distributions as `Ising`'s with x = (1 + s) / 2, but W and b are
    not J and h: W_ij is the log odds ratio of two units given all others, and b_i the log odds of
    a unit where all others are 0.

    Parameters
    ----------
    coupling
        W: without a graph (..., n, n), symmetric with a diagonal of 0; with one a number, common to
        all edges, or (..., m), one an edge.
    field
        b: a number, or (..., n), or of the shape of the nodes.
    beta
        inverse temperature (...), which multiplies both.
    graph
        as for `Ising`; log_partition : as for `Ising`.

    Raises
    ------
    NetworkError
        as for `Ising`.

    Notes
    -----
    Source: Ackley, Hinton, Sejnowski (1985), Cognitive Science 9, 147-169.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> x = pms.BoltzmannMachine.dist(np.array([[0.0, 1.0], [1.0, 0.0]]), -1.0)
    >>> float(pm.logp(x, [1, 1]).exp().eval(mode="FAST_COMPILE").round(6))
    0.174878
    """

    rv_op = staticmethod(of_network)
    values = (0.0, 1.0)

    @classmethod
    def dist(cls, coupling, field=0.0, *, beta=1.0, graph=None, log_partition=None, **kwargs):
        """Return the variable without a model."""
        couplings = couplings_on(graph, coupling)
        b = field_on(couplings.nodes, field)
        params, kind = in_network(
            cls.__name__, couplings, pt.stack([pt.zeros_like(b), b], axis=-1), cls.values,
            np.outer(cls.values, cls.values), beta=beta, field=field, log_partition=log_partition,
        )  # fmt: skip
        return super().dist(params, kind=kind, **kwargs)
