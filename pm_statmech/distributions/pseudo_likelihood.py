r"""Spins by the product of their conditional probabilities, which needs no normaliser.

.. math:: -\log \mathrm{PL}(x) = \sum_i \log\big(1 + e^{-2 \beta x_i f_i}\big), \qquad
          f_i = h_i + \sum_{j \sim i} J_{ij} x_j
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pm_statmech.distributions.graphs import (
    Nodes,
    check_finite,
    check_states,
    couplings_on,
    field_on,
)
from pm_statmech.errors import NetworkError
from pm_statmech.gibbs import GibbsLoss
from pm_statmech.log_partition.networks import Network
from pm_statmech.losses import Loss
from pm_statmech.network_kernels.chains import approximate_draws

SPINS = np.array([[1.0, -1.0], [-1.0, 1.0]])


def _without_batch(value, n_core: int):
    """Value without leading axes of length 1, which random variables give their parameters."""
    while value.type.ndim > n_core and value.type.shape[0] == 1:
        value = value[0]
    return value


def _local_fields(network: Network, x, K, h):
    """What the neighbours and the field do to every spin (..., n)."""
    n = network.n
    if K.type.ndim == 1 and 8 * network.m > n * n:
        i, j = network.edges.T
        half = pt.zeros((n, n))[i, j].set(K)
        return h + pt.dot(x, half + half.T)
    # neighbours in columns, with an empty edge where a node has fewer than others
    begins, nodes, edges = network.neighbours
    degree = np.diff(begins)
    column = np.arange(len(nodes)) - np.repeat(begins[:-1], degree)
    row = np.repeat(np.arange(n), degree)
    neighbour, edge = np.zeros((2, n, int(degree.max())), dtype=np.int64)
    edge[:] = network.m
    neighbour[row, column], edge[row, column] = nodes, edges
    padded = pt.concatenate([K, pt.zeros_like(K[..., :1])], axis=-1)
    return h + sum(
        padded[..., edge[:, k]] * x[..., neighbour[:, k]] for k in range(int(degree.max()))
    )


def of_conditionals(nodes: Nodes) -> Loss:
    r"""Loss of rows of spins (..., n) under couplings of edges (m,) and fields of the nodes' shape.

    .. math:: \ell(x, K, h) = \sum_i \log\big(1 + e^{-2 x_i (h_i + \sum_j K_{ij} x_j)}\big)

    with the spins' inverse temperature in K and h.
    """
    network = Network(nodes.n, np.sort(nodes.edges, axis=1), SPINS)
    core = ",".join(f"s{k}" for k in range(len(nodes.shape)))

    def law(x, K, h):
        x = pt.cast(x, "float64")
        batch = [x.shape[k] for k in range(x.type.ndim - len(nodes.shape))]
        x = pt.reshape(x, (*batch, network.n), ndim=len(batch) + 1)
        K, h = _without_batch(K, 1), _without_batch(h, len(nodes.shape))
        outer = [h.shape[k] for k in range(h.type.ndim - len(nodes.shape))]
        h = pt.reshape(h, (*outer, network.n), ndim=len(outer) + 1)
        return pt.sum(pt.softplus(-2.0 * x * _local_fields(network, x, K, h)), axis=-1)

    return Loss(
        "pseudo_likelihood", law, (("nodes", nodes.n), ("edges", len(nodes.edges))), unit="1",
        convex=True, signature=f"({core}),(m),({core})->()",
    )  # fmt: skip


def _draws(nodes: Nodes):
    """Rows of spins by sweeps of the heat bath, for predictions."""
    network = Network(nodes.n, np.sort(nodes.edges, axis=1), SPINS)

    def random(K, h, rng, size):
        outer = tuple(size or ())
        K = np.broadcast_to(K, (*outer, network.m)).reshape(-1, network.m)
        h = np.broadcast_to(h, (*outer, *nodes.shape)).reshape(-1, network.n)
        u = rng.random((len(K), network.n + 1))
        found = np.empty((len(K), network.n), dtype=np.int64)
        # rows of equal couplings by one call
        same = np.all(K[0] == K) and np.all(h == h[0])
        for rows in [slice(None)] if same else [slice(k, k + 1) for k in range(len(K))]:
            theta = np.stack([-h[rows][0], h[rows][0]], axis=-1)
            found[rows] = approximate_draws(
                theta, np.array(K[rows][0], dtype=float), SPINS, 2.0, network.edges,
                *network.neighbours, u[rows],
            )  # fmt: skip
        return (2 * found - 1).reshape(*outer, *nodes.shape)

    return random


def PseudoIsing(
    name: str, coupling, field=0.0, *, observed, beta=1.0, graph=None, dims=None
):  # fmt: skip
    r"""Observed spins by their pseudo-likelihood: a loss, and not the likelihood of `Ising`.

    .. math:: E(J, h) = -\sum_{s=1}^{N} \sum_i \log p(x_i^{(s)} \mid x_{-i}^{(s)}), \qquad
              p(x_i \mid x_{-i}) = \frac{1}{1 + e^{-2 \beta x_i f_i}}, \quad
              f_i = h_i + \sum_{j \sim i} J_{ij} x_j

    Its minimum tends to the couplings that the data come from, at any size of network. Neighbours
    are counted as if they were given and unknown at once, so that its posterior is too narrow, or
    too wide, and gives no evidence of a model: `calibration.sandwich` corrects the spread of the
    draws where rows are independent.

    Parameters
    ----------
    name
        of the variable.
    coupling, field, beta, graph
        as for `Ising`, of one network. beta is the spins' inverse temperature, and may be random;
        that of the loss is 1, or what `temper` and ``sample_tempered(target_beta=)`` say.
    observed
        (N, n) spins -1 and 1, an observation a row, or one of the nodes' own shape.
    dims
        of the observations.

    Returns
    -------
    The observed variable, a `GibbsLoss`: ``compute_loss`` and ``loo`` read it as a loss. Draws of
    it are the spins after 2000 sweeps of the heat bath, or 200 of clusters.

    Raises
    ------
    NetworkError
        as for `Ising`; a batch of couplings.

    Notes
    -----
    Sources: Besag (1975), The Statistician 24, 179-195; Hyvarinen (2006), Neural Computation 18,
    2283-2292, for its consistency.

    Examples
    --------
    >>> import networkx as nx, numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     J = pm.Normal("J")
    ...     x = pms.PseudoIsing("x", J, graph=nx.path_graph(2), observed=[[1, 1], [1, -1]])
    >>> # four conditional probabilities of one half
    >>> float(model.compile_logp(vars=[x], mode="FAST_COMPILE")({"J": 0.0}).round(6))
    -2.772589
    """
    couplings = couplings_on(graph, coupling)
    nodes, beta = couplings.nodes, check_finite("beta", beta)
    K, h = couplings.K, field_on(couplings.nodes, field)
    K = K * pt.ones(len(nodes.edges)) if couplings.uniform else K
    if K.type.ndim != 1 or h.type.ndim != 1 or beta.type.ndim != 0:
        raise NetworkError(
            f"{name}: couplings, field and beta are those of one network, not a batch of them."
        )
    K, h = beta * K, beta * h
    check_states("Ising", observed, (-1.0, 1.0), nodes.shape)
    return GibbsLoss(
        name, (K, pt.reshape(h, nodes.shape)), loss=of_conditionals(nodes), observed=observed,
        random=_draws(nodes), dims=dims,
    )  # fmt: skip
