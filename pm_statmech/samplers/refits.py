r"""Posteriors of one model under other data, weights and temperatures, from one compiled function.

.. math:: \pi_{\beta, w}(\theta) \propto \pi_0(\theta)
          \exp\Bigl(-\beta \sum_i w_i\, \ell_i(\theta)\Bigr)

A bootstrap sample is a vector of counts w, a fold that is left out has w = 0, a new data set takes
the place of the old one in memory: nothing is compiled twice. Every fit starts from a posterior
like it, with its preconditioner and step, tunes both in two short rounds, and is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import NamedTuple, cast

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit, types
from pymc.pytensorf import compile as pymc_compile
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.tensor.variable import TensorVariable

from pm_statmech.energy_function import TARGET, EnergyFunction, Layout, evaluate_all, flat_point
from pm_statmech.errors import EnergyError, UnsupportedVariableError
from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.hmc import rescaled_steps
from pm_statmech.samplers.moves import long_move
from pm_statmech.samplers.nuts import ACCEPT, GENERATOR, N_STATISTICS
from pm_statmech.samplers.pilot import is_stepwise
from pm_statmech.samplers.whitening import preconditioner, scores_at
from pm_statmech.tempering import TemperedModel

COUNTS = "__counts__"
N_CHAINS, MAX_DEPTH, WANTED_ACCEPT = 4, 10, 0.8
# moves of each chain in the rounds that tune a first fit, and one that starts from another
FIRST_ROUNDS, LATER_ROUNDS = (20, 20, 40, 80, 160, 320), (30, 30)
# rounds of as many moves that look for a step of which some are accepted
MOST_SEARCHES, SEARCH, SOME_ACCEPTED = 30, 5, 0.3
# fits are drawn again, each time twice as long, until they pass, or so often
MOST_RHAT, FEWEST_EFFECTIVE, MOST_DOUBLINGS = 1.05, 100.0, 4


@njit(
    types.void(
        TARGET,
        types.float64[::1],
        types.float64[::1],
        types.float64,
        types.float64,
        types.float64[:, ::1],
        types.int64,
        GENERATOR,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def run_chain(target, x, value, beta, step_size, factor, max_depth, rng, draws, values, sums):
    """Draws of pi_beta by NUTS, slices and sweeps over integers, from (x, value), in place.

    draws, values : (n, d), (n, 2 + 2 d) filled; sums : (1,) += acceptance.
    """
    work = np.empty(4 + 5 * x.shape[0])
    statistics = np.empty(N_STATISTICS)
    call_by_address(target.address, x, value, target.words)
    for i in range(draws.shape[0]):
        long_move(target, x, value, beta, step_size, factor, max_depth, rng, work, statistics)
        draws[i] = x
        values[i] = value
        sums[0] += statistics[ACCEPT]


class Fit(NamedTuple):
    """Draws x (4, n, d) of one posterior with log pi_0 and E of each (4, n, 2), and their making.

    `beta`, `step_size` and `factor` of the chains; `ess` (d,) of the means; `converged` whether
    R-hat is at most 1.05 and the effective number at least 100 in every coordinate.
    """

    x: np.ndarray
    values: np.ndarray
    beta: float
    step_size: float
    factor: np.ndarray
    ess: np.ndarray
    converged: bool

    @property
    def energy(self) -> np.ndarray:
        """E of each draw (4, n), of the data and weights that were fitted."""
        return self.values[..., 1]

    def pooled(self) -> np.ndarray:
        """Draws (4 n, d)."""
        return self.x.reshape(-1, self.x.shape[-1])

    def log_weights(self, beta: float) -> tuple[np.ndarray, float]:
        """Normalised log weights (4 n,) of the draws at another beta, and their effective number.

        The effective number is that of the weights and of the chains together.
        """
        change = -(beta - self.beta) * self.energy.ravel()
        log_w = change - np.logaddexp.reduce(change)
        share = float(np.exp(-np.logaddexp.reduce(2 * log_w))) / len(log_w)
        return log_w, share * float(np.min(self.ess))


def counted_energy(split: TemperedModel, counts) -> TemperedModel:
    """The split with E = sum_i counts_i loss_i, for one term along one axis."""
    [term] = split.terms
    ratio = pt.constant(np.float64(term.beta / split.target_beta))
    # of what does not count, an infinite loss is 0 as well
    counted = pt.switch(pt.gt(counts, 0.0), counts * pt.cast(term.pointwise, "float64"), 0.0)
    total = ratio * pt.sum(counted)
    [energy] = split.model.replace_rvs_by_values([total])
    return replace(split, energy=energy)


def with_open_data(split: TemperedModel) -> TemperedModel:
    """The split with its observed constants as shared variables of their variables' names."""
    opened = {}
    for rv in split.model.observed_RVs:
        value = split.model.rvs_to_values[rv]
        if isinstance(value, Constant):
            opened[value] = pytensor.shared(
                np.array(value.data), name=rv.name, shape=value.type.shape
            )
    if not opened:
        return split
    graphs = clone_replace([split.log_prior, split.energy], list(opened.items()))
    log_prior, energy = (cast("TensorVariable", graph) for graph in graphs)
    return replace(split, log_prior=log_prior, energy=energy)


@dataclass(frozen=True)
class Refits:
    """Fits of one model to other data; compiled once, called from any thread.

    Parameters
    ----------
    split
        the model.
    energy_function
        of it, with the data that fits may change as shared variables.
    """

    split: TemperedModel
    energy_function: EnergyFunction

    def values(self, x: np.ndarray, data: Mapping[str, np.ndarray]) -> np.ndarray:
        """Energy function at flat points (n, d) under other data -> (n, 2 + 2 d)."""
        target, keep = self.energy_function.bind(data)
        found = evaluate_all(target, np.ascontiguousarray(x, dtype=np.float64))
        del keep
        return found

    def first(
        self, beta: float, data: Mapping[str, np.ndarray], draws: int, rng: np.random.Generator
    ) -> Fit:
        """Fit from the model's initial point, tuned in rounds of growing length."""
        size = self.energy_function.size
        start = np.tile(flat_point(self.split, self.energy_function.layout, {}), (N_CHAINS, 1))
        if not np.all(np.isfinite(self.values(start[:1], data)[:, :2])):
            raise EnergyError(
                "log pi_0 or E is not finite at the model's initial point: give initval= to its "
                "variables, and data that its likelihood allows."
            )
        factor, step_size = np.ones((size, 1)), 0.1
        target, keep = self.energy_function.bind(data)
        target = target._replace(stepwise=self._stepwise(target, start, rng))
        for _ in range(MOST_SEARCHES):
            x, _, accepted = self._chains(target, start, beta, step_size, factor, SEARCH, rng)
            start = np.ascontiguousarray(x[:, -1])
            if accepted[0] > SOME_ACCEPTED:
                break
            step_size = float(rescaled_steps(np.array([step_size]), accepted, WANTED_ACCEPT)[0])
        del keep
        return self._fit(beta, data, draws, rng, start, step_size, factor, FIRST_ROUNDS)

    def again(
        self,
        near: Fit,
        beta: float,
        data: Mapping[str, np.ndarray],
        draws: int,
        rng: np.random.Generator,
    ) -> Fit:
        """Fit that starts from some draws of another, with its preconditioner and step."""
        pooled = near.pooled()
        start = pooled[rng.integers(len(pooled), size=N_CHAINS)]
        possible = np.all(np.isfinite(self.values(start, data)[:, :2]), axis=1)
        if not np.any(possible):
            raise EnergyError(
                "log pi_0 or E is not finite at any of the draws that a fit to these data starts "
                "from: are they data that the likelihood allows, and near the model's own?"
            )
        start = start[np.flatnonzero(possible)[np.arange(N_CHAINS) % possible.sum()]]
        return self._fit(
            beta, data, draws, rng, start, near.step_size, near.factor, LATER_ROUNDS
        )  # fmt: skip

    def _fit(self, beta, data, draws, rng, start, step_size, factor, rounds) -> Fit:
        target, keep = self.energy_function.bind(data)
        target = target._replace(stepwise=self._stepwise(target, start, rng))
        state = np.ascontiguousarray(start)
        for n in rounds:
            x, values, accepted = self._chains(target, state, beta, step_size, factor, n, rng)
            state = np.ascontiguousarray(x[:, -1])
            step_size = float(rescaled_steps(np.array([step_size]), accepted, WANTED_ACCEPT)[0])
            if np.all(np.ptp(x[:, n // 2 :], axis=(0, 1)) > 0):
                factor = _factor(target, x, values, beta)
        n = -(-draws // N_CHAINS)
        for doubling in range(MOST_DOUBLINGS + 1):
            x, values, accepted = self._chains(target, state, beta, step_size, factor, n, rng)
            ess, converged = _checked(x)
            if converged or doubling == MOST_DOUBLINGS:
                break
            state = np.ascontiguousarray(x[:, -1])
            factor = _factor(target, x, values, beta)
            step_size = float(rescaled_steps(np.array([step_size]), accepted, WANTED_ACCEPT)[0])
            n *= 2
        del keep
        return Fit(x, values[..., :2].copy(), beta, step_size, factor, ess, converged)

    def _stepwise(self, target, start, rng) -> int:
        """Whether E has no slope near where the chains start, as that of a 0-1 loss."""
        near = start[0] + 0.1 * rng.standard_normal((32, start.shape[1]))
        near[:, target.discrete] = start[0, target.discrete]
        return int(is_stepwise(evaluate_all(target, near)))

    def _chains(self, target, state, beta, step_size, factor, n, rng):
        chains, d = state.shape
        x, values = np.empty((chains, n, d)), np.empty((chains, n, 2 + 2 * d))
        sums, value = np.zeros(1), np.empty(2 + 2 * d)
        for c in range(chains):
            run_chain(
                target, state[c], value, beta, step_size, factor, MAX_DEPTH, rng, x[c], values[c],
                sums,
            )  # fmt: skip
        return x, values, sums / (chains * n)


def _factor(target, x: np.ndarray, values: np.ndarray, beta: float) -> np.ndarray:
    half = x.shape[1] // 2
    d = x.shape[-1]
    later = values[:, half:].reshape(-1, values.shape[-1])
    return preconditioner(x[:, half:].reshape(-1, d), scores_at(later, beta), target.discrete)


def _checked(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Effective numbers (d,) of draws (chains, n, d), by ArviZ, and whether they are enough."""
    from arviz_stats.base import array_stats

    ess = np.empty(x.shape[-1])
    rhat = np.ones(x.shape[-1])
    for j in range(x.shape[-1]):
        one = np.ascontiguousarray(x[..., j])
        if np.ptp(one) == 0:
            ess[j] = one.size
            continue
        ess[j] = array_stats.ess(one, chain_axis=0, draw_axis=1, method="mean")
        rhat[j] = array_stats.rhat(one, chain_axis=0, draw_axis=1, method="split")
    ess = np.minimum(ess, x.shape[0] * x.shape[1])
    enough = min(FEWEST_EFFECTIVE, 0.5 * x.shape[0] * x.shape[1])
    return ess, bool(np.all(rhat <= MOST_RHAT) and np.all(ess >= enough))


def compile_refits(split: TemperedModel, *, counted: bool) -> Refits:
    """Compile a model whose data change from fit to fit; with `counted`, weights as well.

    Raises
    ------
    UnsupportedVariableError
        free variables on networks, whose sweeps have data of their own.
    """
    opened = with_open_data(split)
    if counted:
        counts = pytensor.shared(np.ones(split.terms[0].n_observations), name=COUNTS)
        opened = replace(opened, energy=with_open_data(counted_energy(split, counts)).energy)
    energy_function = opened.compile()
    if energy_function.networks:
        raise UnsupportedVariableError(
            "free variables on networks are not refitted here: sample_tempered each data set."
        )
    return Refits(split, energy_function)


def compile_losses(split: TemperedModel, layout: Layout) -> Callable[[np.ndarray], np.ndarray]:
    """Function of flat points (S, d) to the losses of the only term there (S, n), free of beta."""
    flat = pt.vector("flat", shape=(layout.size,), dtype="float64")
    pieces = {
        v: pt.cast(piece, v.type.dtype)
        for v, piece in zip(split.value_vars, layout.split(flat), strict=True)
    }
    [graph] = split.model.replace_rvs_by_values([split.terms[0].pointwise])
    return _over_rows(clone_replace([pt.cast(graph, "float64")], list(pieces.items())), flat)


def compile_losses_at(split: TemperedModel) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """Function of {free variable: value} to the losses of the only term there (n,)."""
    free = split.model.free_RVs
    inputs = [pt.tensor(rv.name, dtype="float64", shape=rv.type.shape) for rv in free]
    pieces = {rv: pt.cast(v, rv.type.dtype) for rv, v in zip(free, inputs, strict=True)}
    [graph] = clone_replace([pt.cast(split.terms[0].pointwise, "float64")], pieces)
    # an observed variable in the graph stands for its data
    [graph] = split.model.replace_rvs_by_values([graph])
    function = pymc_compile(inputs, graph, mode="NUMBA", on_unused_input="ignore")
    return lambda point: function(*(np.asarray(point[rv.name], dtype=float) for rv in free))


def compile_constrained(
    split: TemperedModel, layout: Layout, var_names: Sequence[str] | None = None
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Function of flat points (S, d) to {variable: (S, ...)}, by default of the free variables."""
    model = split.model
    flat = pt.vector("flat", shape=(layout.size,), dtype="float64")
    pieces = {
        v: pt.cast(piece, v.type.dtype)
        for v, piece in zip(split.value_vars, layout.split(flat), strict=True)
    }
    names = {rv.name for rv in model.free_RVs} if var_names is None else set(var_names)
    wanted = [v for v in model.unobserved_value_vars if v.name in names]
    function = _over_rows(
        clone_replace([pieces.get(v, v) for v in wanted], list(pieces.items())), flat
    )
    own = [str(v.name) for v in wanted]
    if len(own) == 1:
        return lambda x: {own[0]: function(x)}
    return lambda x: dict(zip(own, function(x), strict=True))


def _over_rows(graphs: list, flat) -> Callable:
    rows = pt.matrix("rows", shape=(None, flat.type.shape[0]), dtype="float64")
    batched = vectorize_graph(graphs, {flat: rows})
    function = pymc_compile(
        [rows], batched if len(batched) > 1 else batched[0], mode="NUMBA", on_unused_input="ignore"
    )
    lock = Lock()

    def one_at_a_time(x: np.ndarray):
        # PyTensor's functions keep their arguments in one place for all threads
        with lock:
            return function(x)

    return one_at_a_time
