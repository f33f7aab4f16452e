r"""Random variables on networks: densities with their normaliser, exact draws, means.

.. math:: \log p(x) = \beta \Big(\sum_i \theta_i(x_i) + \sum_{e = (i, j)} K_e\, G(x_i, x_j)\Big)
          - \log Z(\beta \theta, \beta K)

Where one coupling is common to all edges, K is a number, and the sum over edges is taken once.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.distributions.distribution import (
    Distribution,
    SymbolicRandomVariable,
    _support_point,
)
from pymc.distributions.moments.means import _mean
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.constants import known
from pm_statmech.distributions.graphs import Couplings, check_finite, check_states
from pm_statmech.distributions.network_sums import SufficientStatistics, sums_of
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.network_engines import (
    BYTES,
    NetworkEngine,
    Problem,
    by_transfer_matrix,
    by_tree_decomposition,
    problem_of,
)
from pm_statmech.log_partition.networks import natural_digest
from pm_statmech.log_partition.operations import CompiledFunction, dimensions
from pm_statmech.log_partition.transfer_matrix import TransferDraws
from pm_statmech.log_partition.variable_elimination import EliminationDraws
from pm_statmech.network_kernels.chains import ApproximateDraws
from pm_statmech.network_kernels.clusters import equality_gain

# what a model, and not a distribution, is told
OF_THE_MODEL = {
    "rng", "dims", "initval", "total_size", "transform", "default_transform", "model",
}  # fmt: skip

_subclasses: WeakValueDictionary = WeakValueDictionary()


def drawn_rows(draws: CompiledFunction, inputs: list, n_uniform: int, size, rng):
    """Next generator and rows (*size, n) of an operation (*inputs, u (N, n_uniform)) -> (N, n).

    Where inputs have no batch, all rows come from one call, which builds its tables once.
    """
    inputs = [pt.as_tensor_variable(v) for v in inputs]
    n_core = [len(names) for names in dimensions(draws.gufunc_signature)[0][:-1]]
    batch = implicit_size_from_params(*inputs, ndims_params=n_core)
    given = batch if rv_size_is_none(size) else size
    n_outer = given.type.shape[0]
    outer = [given[k] for k in range(n_outer)]
    if all(v.type.ndim == k for v, k in zip(inputs, n_core, strict=True)):
        many = pt.prod(given) if n_outer else 1
        next_rng, u = pt.random.uniform(size=(many, n_uniform), rng=rng, return_next_rng=True)
        found: Any = draws(*inputs, u)
    else:
        next_rng, u = pt.random.uniform(size=(*outer, 1, n_uniform), rng=rng, return_next_rng=True)
        found = Blockwise(draws)(*inputs, u)
    return next_rng, pt.reshape(found, (*outer, found.shape[-1]), ndim=n_outer + 1)


def _along_last(values, weights):
    """Sum of products (...) over the last axis, by BLAS where the weights are the same for all."""
    if weights.type.ndim == 1:
        return pt.dot(values, weights)
    return pt.sum(values * weights, axis=-1)


class NetworkRV(SymbolicRandomVariable):
    """States of all nodes: potentials theta (..., n, q), couplings K, inverse temperature (...)."""

    name = "network"
    _print_name = ("Network", "\\operatorname{Network}")
    problem: Problem
    engine: NetworkEngine
    # of a node's states, and shape of all nodes together
    values: np.ndarray
    node_shape: tuple[int, ...]

    @classmethod
    def flat(cls, x):
        """States of all nodes along one axis (..., n); another shape is an error."""
        x = pt.specify_shape(x, (*[None] * (x.type.ndim - len(cls.node_shape)), *cls.node_shape))
        if len(cls.node_shape) == 1:
            return x
        return pt.reshape(
            x, (*x.shape[: x.ndim - len(cls.node_shape)], cls.problem.network.n),
            ndim=x.ndim - len(cls.node_shape) + 1,
        )  # fmt: skip

    @classmethod
    def natural(cls, theta, K, beta):
        """Potentials and couplings times the inverse temperature."""
        theta, K, beta = (pt.cast(pt.as_tensor_variable(p), "float64") for p in (theta, K, beta))
        of_edges = beta if cls.problem.uniform else beta[..., None]
        return beta[..., None, None] * theta, of_edges * K

    @classmethod
    def log_partition(cls, theta, K, beta):
        """Log Z (...)."""
        if cls.engine.at_beta is not None:
            return cls.engine.at_beta(cls.problem, beta)
        return cls.engine.compute(cls.problem, *cls.natural(theta, K, beta))

    @classmethod
    def relative_error(cls, theta, K, beta):
        """None but rounding of an exact engine, a table's own, and of others nobody knows."""
        if cls.engine.error is not None:
            return cls.engine.error(beta)
        _, K = cls.natural(theta, K, beta)
        none = pt.zeros_like(K if cls.problem.uniform else K[..., 0])
        return none if cls.engine.exact else none + np.nan

    @classmethod
    def engine_said(cls) -> str:
        """How log Z is computed."""
        return f"{cls.engine.said} of {cls.problem.network.n} nodes"

    @classmethod
    def engine_bytes(cls) -> float:
        """What that takes of memory."""
        return cls.engine.cost(cls.problem)[1]

    @classmethod
    def drawn_by(cls) -> NetworkEngine | None:
        """The cheaper engine whose tables give exact draws, or None where none fits into memory."""
        costs = {e: e.cost(cls.problem) for e in (by_transfer_matrix, by_tree_decomposition)}
        fit = [engine for engine, (_, bytes_) in costs.items() if bytes_ <= BYTES]
        return min(fit, key=lambda engine: costs[engine], default=None)

    @classmethod
    def numbers(cls, x):
        """Numbers (..., n) of all nodes' states, and whether all are states of a node (...)."""
        # values are evenly spaced
        first, step = cls.values[0], cls.values[1] - cls.values[0]
        most = cls.problem.network.q - 1
        number = pt.clip(pt.cast(pt.round((x - first) / step), "int64"), 0, most)
        return number, pt.all(pt.eq(first + step * number, x), axis=-1)

    @classmethod
    def log_weight(cls, x, theta, K):
        """Minus the energy of states (..., n), and whether all are states of a node (...)."""
        network = cls.problem.network
        number, known_states = cls.numbers(x)
        i, j = network.edges.T
        pairs = pt.constant(network.interaction)[number[..., i], number[..., j]]
        of_edges = K * pt.sum(pairs, axis=-1) if cls.problem.uniform else _along_last(pairs, K)
        if network.q == 2:
            # theta(0) at all, and the difference where a node is in state 1
            difference = theta[..., 1] - theta[..., 0]
            of_nodes = pt.sum(theta[..., 0], axis=-1) + _along_last(
                pt.cast(number, "float64"), difference
            )
        else:
            chosen = pt.eq(number[..., None], np.arange(network.q))
            of_nodes = pt.sum(pt.switch(chosen, theta, 0.0), axis=(-2, -1))
        return of_nodes + of_edges, known_states

    @classmethod
    def rv_op(cls, theta, K, beta, *, size=None, rng=None):
        """Draw back through a transfer matrix, or by many sweeps where that is too large."""
        params = [pt.cast(pt.as_tensor_variable(p), "float64") for p in (theta, K, beta)]
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        next_rng, drawn = cls._draw(*cls.natural(*params), size, rng)
        return cls(inputs=[rng, size, *params], outputs=[next_rng, drawn])(rng, size, *params)

    @classmethod
    def _draw(cls, theta, K, size, rng):
        network = cls.problem.network
        on_edges = K[..., None] * pt.ones((network.m,)) if cls.problem.uniform else K
        engine = cls.drawn_by()
        if engine is by_tree_decomposition:
            assert cls.problem.elimination is not None
            next_rng, found = drawn_rows(
                EliminationDraws(),
                [theta, on_edges, network.interaction, *cls.problem.elimination.tables],
                network.n, size, rng,
            )  # fmt: skip
        elif engine is by_transfer_matrix:
            sweep = cls.problem.sweep
            tables = (
                network.interaction, network.edges, sweep.steps, sweep.further, sweep.sizes,
            )  # fmt: skip
            next_rng, found = drawn_rows(
                TransferDraws(), [theta, on_edges, *tables], len(sweep.steps), size, rng
            )
        else:
            gain = equality_gain(network.interaction)
            tables = (
                network.interaction, np.nan if gain is None else gain, network.edges,
                *network.neighbours,
            )  # fmt: skip
            next_rng, found = drawn_rows(
                ApproximateDraws(), [theta, on_edges, *tables], network.n + 1, size, rng
            )
        drawn = pt.constant(cls.values.astype("int64"))[pt.cast(found, "int64")]
        outer = [drawn.shape[k] for k in range(drawn.type.ndim - 1)]
        n_axes = len(outer) + len(cls.node_shape)
        return next_rng, pt.reshape(drawn, (*outer, *cls.node_shape), ndim=n_axes)


def kind_of_network(
    problem: Problem, engine: NetworkEngine, values, shape: tuple[int, ...], name: str
) -> type[NetworkRV]:
    """Class of the variables of a network; one a network, so that equal graphs are merged."""
    key = (problem.network.key, problem.uniform, engine, tuple(values), shape, name)
    found = _subclasses.get(key)
    if found is None:
        core = ",".join(f"s{k}" for k in range(len(shape)))
        K = "" if problem.uniform else "m"
        found = type(
            f"{name}RV",
            (NetworkRV,),
            {
                "problem": problem, "engine": engine, "values": np.asarray(values, dtype=float),
                "node_shape": shape, "name": name.lower(),
                "_print_name": (name, f"\\operatorname{{{name}}}"),
                "extended_signature": f"[rng],[size],(n,q),({K}),()->[rng],({core})",
            },
        )  # fmt: skip
        _subclasses[key] = found
    return found


def _check_table(engine: NetworkEngine, problem: Problem, theta, K) -> None:
    """Raise NetworkError where a table of log Z is not one of these potentials and couplings."""
    of_nodes, of_edges = known(theta), known(K)
    if of_nodes is None or of_edges is None:
        raise NetworkError(
            f"{engine.said}: log Z is known as a function of beta alone, so that couplings and "
            "fields must be numbers. ExchangeStep infers them without log Z."
        )
    if natural_digest(problem.network, of_nodes, of_edges) != engine.digest:
        raise NetworkError(
            f"{engine.said}: that was another network, or had other couplings or fields."
        )


def in_network(
    name: str, couplings: Couplings, theta, values, interaction, *, beta, field,
    log_partition: NetworkEngine | None,
):  # fmt: skip
    """Parameters of a variable, potentials, couplings and beta, and its class.

    Parameters
    ----------
    field
        the user's, of which a constant 0 or None is no field.
    """
    beta = check_finite("beta", beta)
    constant = known(0.0 if field is None else field)
    problem = problem_of(
        couplings.nodes.n, np.sort(couplings.nodes.edges, axis=1),
        np.asarray(interaction, dtype=np.float64), uniform=couplings.uniform,
        without_field=constant is not None and not np.any(constant),
    )  # fmt: skip
    engine = problem.engine if log_partition is None else log_partition
    engine.check(problem)
    if engine.digest is not None:
        _check_table(engine, problem, theta, couplings.K)
    kind = kind_of_network(problem, engine, values, couplings.nodes.shape, name)
    return [theta, couplings.K, beta], kind


def of_network(*params, kind, n_rows: int | None = None, size=None, rng=None):
    """A variable of a class that is an argument, or with n_rows the sums of so many."""
    kind = kind if n_rows is None else sums_of(kind, n_rows)
    return kind.rv_op(*params, size=size, rng=rng)


class NetworkDistribution(Distribution):
    """A distribution on a network, whose data are looked at before the model has them."""

    def __new__(cls, name, *args, observed=None, **kwargs):
        """Return the variable, registered in the model."""
        if observed is not None:
            own = {key: value for key, value in kwargs.items() if key not in OF_THE_MODEL}
            op = cls.dist(*args, **own).owner.op
            if isinstance(op, NetworkRV):
                op.engine.needed()
            table = observed.table if isinstance(observed, SufficientStatistics) else observed
            check_states(cls.__name__, table, op.values, op.node_shape)
            if isinstance(observed, SufficientStatistics):
                kwargs["n_rows"] = np.size(table) // int(np.prod(op.node_shape))
                sums_of(type(op), kwargs["n_rows"])
                observed = observed.of(op)
        return super().__new__(cls, name, *args, observed=observed, **kwargs)


@_logprob.register(NetworkRV)
def _network_logp(op, values, rng, size, theta, K, beta, **kwargs):
    [value] = values
    log_weight, possible = op.log_weight(op.flat(value), *op.natural(theta, K, beta))
    log_p = log_weight - op.log_partition(theta, K, beta)
    return pt.switch(possible, log_p, -np.inf)


@_support_point.register(NetworkRV)
def _network_support_point(op, rv, rng, size, theta, K, beta):
    # every node's own most probable state, as if it were alone
    number = pt.argmax(theta, axis=-1)
    point = pt.constant(op.values.astype("int64"))[number]
    point = pt.reshape(
        point, (*[theta.shape[k] for k in range(theta.type.ndim - 2)], *op.node_shape),
        ndim=theta.type.ndim - 2 + len(op.node_shape),
    )  # fmt: skip
    return pt.broadcast_to(point, rv.shape)


@_mean.register(NetworkRV)
def _network_mean(op, rv, rng, size, theta, K, beta):
    if op.engine.at_beta is not None:
        raise NotImplementedError("a table of log Z(beta) has no means of single nodes.")
    theta, K = op.natural(theta, K, beta)
    # the probability of a state is the derivative of log Z by its potential, one for each of a
    # batch of couplings; on a torus without a field nothing depends on it, and spins are 0
    theta = theta + pt.zeros_like(op.engine.compute(op.problem, theta, K))[..., None, None]
    log_z = op.engine.compute(op.problem, theta, K)
    probabilities = pytensor.grad(pt.sum(log_z), theta, disconnected_inputs="ignore")
    mean = pt.dot(probabilities, pt.constant(op.values))
    mean = pt.reshape(
        mean, (*[theta.shape[k] for k in range(theta.type.ndim - 2)], *op.node_shape),
        ndim=theta.type.ndim - 2 + len(op.node_shape),
    )  # fmt: skip
    return pt.broadcast_to(mean, rv.shape)
