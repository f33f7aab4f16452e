r"""Many observations of a network by their sums, which are all that its parameters need.

.. math:: \sum_{s=1}^{N} \log p(x^{(s)})
          = \beta \Big(\sum_{i, a} \theta_i(a)\, N_{ia} + \sum_e K_e S_e\Big)
          - N \log Z(\beta \theta, \beta K)

with the counts N_ia of node i in state a and the sums S_e of the interactions along edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import SymbolicRandomVariable, _support_point
from pymc.distributions.shape_utils import rv_size_is_none
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.errors import NetworkError
from pm_statmech.network_kernels.chains import statistics

_subclasses: WeakValueDictionary = WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """A table of observations of which a network keeps the sums only, once for all.

    ``pms.Ising("x", J, h, observed=pms.SufficientStatistics(table))`` has the same posterior as
    with ``observed=table``, and its log probability takes as long for a million rows as for one.
    The variable is then the vector of counts and sums, one observation: leave-one-out needs the
    table.

    Parameters
    ----------
    table
        (N, ...) states of all nodes, an observation a row.

    Examples
    --------
    >>> import networkx as nx, numpy as np, pymc as pm, pm_statmech as pms
    >>> table = np.array([[1, 1, -1], [1, 1, 1]])
    >>> with pm.Model() as model:
    ...     J = pm.Normal("J")
    ...     x = pms.Ising(
    ...         "x", J, graph=nx.path_graph(3), observed=pms.SufficientStatistics(table))
    >>> x.type.shape
    (8,)
    """

    table: np.ndarray

    def of(self, op) -> np.ndarray:
        """Counts and sums, one vector (n q + m,), of the rows as states of a network variable."""
        network = op.problem.network
        first, step = op.values[0], op.values[1] - op.values[0]
        rows = np.round((np.asarray(self.table) - first) / step).astype(np.int64)
        counts, sums = statistics(rows.reshape(-1, network.n), network.interaction, network.edges)
        return np.concatenate([counts.ravel(), sums])


class SumsRV(SymbolicRandomVariable):
    """Counts and sums of so many rows of a network variable."""

    name = "network_sums"
    _print_name = ("NetworkSums", "\\operatorname{NetworkSums}")
    rows: Any
    n_rows: int

    @classmethod
    def log_partition(cls, theta, K, beta):
        """Log Z (...) of one row."""
        return cls.rows.log_partition(theta, K, beta)

    @classmethod
    def relative_error(cls, theta, K, beta):
        """Of that."""
        return cls.rows.relative_error(theta, K, beta)

    @classmethod
    def engine_said(cls) -> str:
        """How log Z is computed."""
        return cls.rows.engine_said()

    @classmethod
    def engine_bytes(cls) -> float:
        """What that takes of memory."""
        return cls.rows.engine_bytes()

    @classmethod
    def rv_op(cls, theta, K, beta, *, size=None, rng=None):
        """Draw rows, and add them up."""
        network = cls.rows.problem.network
        params = [pt.cast(pt.as_tensor_variable(p), "float64") for p in (theta, K, beta)]
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        several = (cls.n_rows,) if rv_size_is_none(size) else pt.concatenate([size, [cls.n_rows]])
        drawn = cls.rows.rv_op(*params, size=several, rng=rng)
        next_rng, x = drawn.owner.outputs
        number, _ = cls.rows.numbers(cls.rows.flat(x))
        counts = pt.sum(pt.eq(number[..., None], np.arange(network.q)), axis=-3)
        i, j = network.edges.T
        pairs = pt.constant(network.interaction)[number[..., i], number[..., j]]
        flat = pt.reshape(
            pt.cast(counts, "float64"),
            (*[counts.shape[k] for k in range(counts.type.ndim - 2)], network.n * network.q),
            ndim=counts.type.ndim - 1,
        )  # fmt: skip
        sums = pt.concatenate([flat, pt.sum(pairs, axis=-2)], axis=-1)
        sums = pt.specify_shape(
            sums, (*[None] * (sums.type.ndim - 1), network.n * network.q + network.m)
        )
        return cls(inputs=[rng, size, *params], outputs=[next_rng, sums])(rng, size, *params)


def sums_of(rows: Any, n_rows: int) -> type[SumsRV]:
    """Class of the sums of so many rows of a network variable's class.

    Raises
    ------
    NetworkError
        rows of a variable that has no such sums.
    """
    if not hasattr(rows, "problem"):
        raise NetworkError("SufficientStatistics are those of networks with potentials and edges.")
    found = _subclasses.get((rows, n_rows))
    if found is None:
        signature = rows.extended_signature.partition("->")[0] + "->[rng],(s)"
        members = {"rows": rows, "n_rows": n_rows, "extended_signature": signature}
        found = _subclasses[rows, n_rows] = type("SumsRV", (SumsRV,), members)
    return found


@_logprob.register(SumsRV)
def _sums_logp(op, values, rng, size, theta, K, beta, **kwargs):
    [value] = values
    log_z = op.log_partition(theta, K, beta)
    theta, K = op.rows.natural(theta, K, beta)
    network = op.rows.problem.network
    counts, sums = value[..., : network.n * network.q], value[..., network.n * network.q :]
    flat = pt.reshape(
        theta, (*[theta.shape[k] for k in range(theta.type.ndim - 2)], network.n * network.q),
        ndim=theta.type.ndim - 1,
    )  # fmt: skip
    # a state that is never seen may be impossible
    of_nodes = pt.sum(pt.switch(pt.eq(counts, 0), 0.0, counts * flat), axis=-1)
    of_edges = K * pt.sum(sums, -1) if op.rows.problem.uniform else pt.sum(K * sums, axis=-1)
    return of_nodes + of_edges - op.n_rows * log_z


@_support_point.register(SumsRV)
def _sums_support_point(op, rv, rng, size, theta, K, beta):
    # of rows that are all the same, in the first state
    network = op.rows.problem.network
    one = np.concatenate(
        [np.eye(network.q)[np.zeros(network.n, int)].ravel(),
         np.full(network.m, network.interaction[0, 0])]
    )  # fmt: skip
    return pt.broadcast_to(pt.constant(op.n_rows * one), rv.shape)
