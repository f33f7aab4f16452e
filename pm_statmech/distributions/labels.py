"""Networks of more than two states: Potts labels, Blume-Capel spins, ordinal scores."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pm_statmech.distributions.graphs import couplings_on, field_on, potentials_on
from pm_statmech.distributions.network_variables import (
    NetworkDistribution,
    in_network,
    of_network,
)
from pm_statmech.errors import NetworkError


class Potts(NetworkDistribution):
    r"""Labels 0 to q - 1 that like, or dislike, to be equal along edges.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\sum_{(i, j)} J_{ij}\, \delta(x_i, x_j)
              + \sum_i h_i(x_i)\Big)\Big), \qquad x \in \{0, \dots, q - 1\}^n

    For q = 2 this is an Ising model of half the coupling.

    Parameters
    ----------
    coupling
        J: a number, or (..., m), one an edge; without a graph (..., n, n), symmetric with a
        diagonal of 0.
    field
        h: (q,), common to all nodes, or (..., n, q), or of the nodes' shape with q.
    q
        number of labels, >= 2; beta : inverse temperature (...), which multiplies both.
    graph
        as for `Ising`; log_partition : as for `Ising`.

    Raises
    ------
    NetworkError
        as for `Ising`; fewer than two labels.

    Notes
    -----
    Source: Potts (1952), Proc. Camb. Phil. Soc. 48, 106-109; Wu (1982), Rev. Mod. Phys. 54,
    235-268.

    Examples
    --------
    >>> import networkx as nx, pymc as pm, pm_statmech as pms
    >>> x = pms.Potts.dist(0.7, q=3, graph=nx.path_graph(2))
    >>> float(pm.logp(x, [2, 2]).exp().eval(mode="FAST_COMPILE").round(6))
    0.167238
    """

    rv_op = staticmethod(of_network)

    @classmethod
    def dist(cls, coupling, field=0.0, *, q, beta=1.0, graph=None, log_partition=None, **kwargs):
        """Return the variable without a model."""
        if not isinstance(q, int | np.integer):
            raise NetworkError(f"q = {q}: it is a number of labels, two or more.")
        couplings = couplings_on(graph, coupling)
        params, kind = in_network(
            cls.__name__, couplings, potentials_on(couplings.nodes, field, q), np.arange(q),
            np.eye(q), beta=beta, field=field, log_partition=log_partition,
        )  # fmt: skip
        return super().dist(params, kind=kind, **kwargs)


class BlumeCapel(NetworkDistribution):
    r"""Spins -1, 0 and 1, of which those that are not 0 cost something.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\sum_{(i, j)} J_{ij} x_i x_j
              + \sum_i h_i x_i - \sum_i D_i x_i^2\Big)\Big), \qquad x \in \{-1, 0, 1\}^n

    Parameters
    ----------
    coupling
        J, as for `Ising`; field : h, as for `Ising`.
    crystal_field
        D: a number, or (..., n), or of the shape of the nodes.
    beta
        inverse temperature (...), which multiplies all; graph, log_partition : as for `Ising`.

    Raises
    ------
    NetworkError
        as for `Ising`.

    Notes
    -----
    Sources: Blume (1966), Phys. Rev. 141, 517; Capel (1966), Physica 32, 966.

    Examples
    --------
    >>> import networkx as nx, pymc as pm, pm_statmech as pms
    >>> x = pms.BlumeCapel.dist(1.0, crystal_field=0.5, graph=nx.path_graph(2))
    >>> float(pm.logp(x, [0, 0]).exp().eval(mode="FAST_COMPILE").round(6))
    0.175537
    """

    rv_op = staticmethod(of_network)
    values = (-1.0, 0.0, 1.0)

    @classmethod
    def dist(
        cls, coupling, field=0.0, *, crystal_field=0.0, beta=1.0, graph=None, log_partition=None,
        **kwargs,
    ):  # fmt: skip
        """Return the variable without a model."""
        couplings = couplings_on(graph, coupling)
        h = field_on(couplings.nodes, field)
        D = field_on(couplings.nodes, crystal_field, "crystal_field")
        theta = pt.stack([-h - D, pt.zeros_like(h + D), h - D], axis=-1)
        params, kind = in_network(
            cls.__name__, couplings, theta, cls.values, np.outer(cls.values, cls.values),
            beta=beta, field=1.0, log_partition=log_partition,
        )  # fmt: skip
        return super().dist(params, kind=kind, **kwargs)


class OrdinalMRF(NetworkDistribution):
    r"""Scores 0 to m coupled in pairs: the ordinal Markov random field of item responses.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\sum_{(i, j)} \sigma_{ij} x_i x_j
              + \sum_i \mu_i(x_i)\Big)\Big), \qquad \mu_i(0) = 0

    For m = 1 this is a `BoltzmannMachine`.

    Parameters
    ----------
    coupling
        sigma, as the coupling of `Ising`.
    field
        mu: (..., n, m) thresholds of the scores 1 to m of every node, or (m,) common to all.
    beta
        inverse temperature (...), which multiplies both; graph, log_partition : as for `Ising`.

    Raises
    ------
    NetworkError
        as for `Ising`; thresholds of unknown number.

    Notes
    -----
    Source: Marsman, van den Bergh, Haslbeck (2025), Bayesian analysis of the ordinal Markov random
    field, Psychometrika 90, 146-182.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> x = pms.OrdinalMRF.dist(np.array([[0.0, 0.5], [0.5, 0.0]]), np.zeros((2, 2)))
    >>> float(pm.logp(x, [2, 2]).exp().eval(mode="FAST_COMPILE").round(6))
    0.379425
    """

    rv_op = staticmethod(of_network)

    @classmethod
    def dist(cls, coupling, field, *, beta=1.0, graph=None, log_partition=None, **kwargs):
        """Return the variable without a model."""
        couplings = couplings_on(graph, coupling)
        scores = np.arange(_most_of(field) + 1)
        mu = potentials_on(couplings.nodes, field, len(scores) - 1)
        theta = pt.concatenate([pt.zeros_like(mu[..., :1]), mu], axis=-1)
        params, kind = in_network(
            cls.__name__, couplings, theta, scores, np.outer(scores, scores), beta=beta, field=1.0,
            log_partition=log_partition,
        )  # fmt: skip
        return super().dist(params, kind=kind, **kwargs)


def _most_of(field) -> int:
    """The largest score, by the number of thresholds."""
    shape = pt.as_tensor_variable(field).type.shape
    if not shape or shape[-1] is None:
        raise NetworkError("field has an unknown number of thresholds: it is (n, m) or (m,).")
    return shape[-1]
