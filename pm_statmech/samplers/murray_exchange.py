r"""The exchange algorithm: parameters of a network whose normaliser nobody computes.

A proposal phi' comes with a state w of the network at phi', and is accepted with probability

.. math:: \min\Big(1,\; \frac{\pi(\phi')}{\pi(\phi)}\,
          \frac{e^{\eta' \cdot T(y)}}{e^{\eta \cdot T(y)}}\,
          \frac{e^{\eta \cdot T(w)}}{e^{\eta' \cdot T(w)}}\Big)

with eta the potentials and couplings at phi, T(y) the counts of states and sums of interactions of
the data, and pi all else of the model. Z(eta) and Z(eta') cancel. If w is an exact draw the
posterior is exact; w from a chain that is too short biases it, mostly towards too wide a posterior,
and does not show in the parameters' own trace. So some of the draws come with a second chain from
random states, and the two must agree on the average.

Source: Murray, Ghahramani, MacKay (2006), MCMC for doubly-intractable distributions, UAI, 359-366.
"""

from __future__ import annotations

import warnings
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
import pymc as pm
import pytensor
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars
from pytensor.graph.traversal import ancestors

from pm_statmech.distributions.network_sums import SumsRV
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.errors import MixingWarning, NetworkError
from pm_statmech.log_partition.network_engines import NetworkEngine
from pm_statmech.network_kernels.chains import statistics
from pm_statmech.network_kernels.moves import NetworkMoves, best_moves

# the usual optimum of random walks, and how the covariance is learnt
WANTED_ACCEPTANCE, ADAPT_POWER = 0.3, 0.6
# share of proposals with a second chain, and the z beyond which the two disagree
SECOND_CHAINS, LARGEST_Z, LEAST_PAIRS = 0.2, 4.0, 20


@dataclass_state
class ExchangeState(StepMethodState):
    """What a checkpoint of PyMC keeps of the step."""

    tune: bool
    log_scale: float
    mean: np.ndarray
    covariance: np.ndarray
    n_seen: int
    differences: list = field(default_factory=list)


class ExchangeStep(BlockedStep):
    r"""A random walk of the parameters of a network, exact without its log Z.

    Parameters
    ----------
    vars
        of the model, continuous: what the network's couplings, fields and temperature depend on,
        and whatever else shall move with them; by default all.
    network
        name of the observed network variable, by default the only one.
    moves
        ``heat_bath``, ``swendsen_wang`` or ``wolff``, by default clusters where all couplings make
        neighbours equal; sweeps : how many for each proposal, from the data.
    tune
        learn the proposal's covariance and scale while tuning; blocked, model, rng,
        compile_kwargs, initial_point : as for PyMC's steps.

    Raises
    ------
    NetworkError
        no observed network, or several without a name; discrete variables; clusters where a
        coupling makes neighbours differ.

    Warns
    -----
    MixingWarning
        chains from the data and from random states do not agree after so many sweeps.

    Notes
    -----
    The network's log Z is never used, so that any engine will do in the model, ``bethe`` for
    instance, where the step has all parameters the network depends on. Statistics ``accept``,
    ``accepted`` and ``start_difference``: the log weight of the chain from the data less that of
    one from random states, NaN where there was no second chain.

    Source: Murray, Ghahramani, MacKay (2006), MCMC for doubly-intractable distributions, UAI,
    359-366.

    Examples
    --------
    >>> import networkx as nx, numpy as np, pymc as pm, pm_statmech as pms
    >>> torus = nx.grid_2d_graph(4, 4, periodic=True)
    >>> with pm.Model():
    ...     beta = pm.Uniform("beta", 0, 1)
    ...     pms.Ising("x", 1.0, beta=beta, graph=torus, observed=np.ones((4, 4)))
    ...     step = pms.ExchangeStep([beta], sweeps=20)
    x
    """

    name = "exchange"
    stats_dtypes_shapes: ClassVar[dict] = {
        "accept": (np.float64, []),
        "accepted": (np.bool_, []),
        "scaling": (np.float64, []),
        "start_difference": (np.float64, []),
    }
    _state_class = ExchangeState

    def __init__(
        self, vars=None, *, network: str | None = None, moves: NetworkMoves | None = None,
        sweeps: int = 50, tune: bool = True, model=None, rng=None, blocked: bool = True,
        compile_kwargs: dict[str, Any] | None = None, initial_point=None,
    ) -> None:  # fmt: skip
        model = pm.modelcontext(model)
        rv = _observed_network(model, network)
        self.vars = model.value_vars if vars is None else get_value_vars_from_user_vars(vars, model)
        for v in self.vars:
            if not v.type.dtype.startswith("float"):
                raise NetworkError(f"{v.name} is discrete: the exchange step walks at random.")
        self.rng = get_random_generator(rng)
        self.blocked, self.tune, self._may_tune = blocked, tune, tune
        self._left = 0
        self.moves, self.sweeps = moves, sweeps
        self.op: Any = rv.owner.op
        _check_approximations(model, rv, self.vars)
        data = model.rvs_to_values[rv]
        observed = np.asarray(data.eval() if not hasattr(data, "data") else data.data)
        network_of = self.op.problem.network
        step = self.op.values[1] - self.op.values[0]
        numbers = np.round((observed - self.op.values[0]) / step).astype(np.int64)
        self.rows = numbers.reshape(-1, network_of.n)
        self.of_data = statistics(self.rows, network_of.interaction, network_of.edges)
        # all of the model but this variable, and the network's parameters
        others = [v for v in model.basic_RVs if v is not rv] + list(model.potentials)
        rest = model.logp(vars=others)
        theta, K = model.replace_rvs_by_values(list(rv.owner.op.natural(*rv.owner.inputs[2:])))
        if theta.type.ndim != 2 or K.type.ndim != (0 if self.op.problem.uniform else 1):
            raise NetworkError(f"{rv.name} has a batch of parameters: the step takes one.")
        self._point_names = [v.name for v in model.value_vars]
        self._evaluate = pytensor.function(
            model.value_vars, [rest, theta, K], on_unused_input="ignore", **(compile_kwargs or {})
        )
        point = model.initial_point() if initial_point is None else initial_point
        self._sizes = [int(np.size(point[v.name])) for v in self.vars]
        self._shapes = [np.shape(point[v.name]) for v in self.vars]
        self._restart()

    def _restart(self) -> None:
        d = sum(self._sizes)
        self.log_scale, self.n_seen = np.log(2.4 / np.sqrt(d)), 0
        self.mean, self.covariance, self._root = np.zeros(d), np.eye(d), np.eye(d)
        # where the chain is, and the natural parameters there
        self._here: tuple[bytes, tuple] = (b"", ())
        self.differences: list[float] = []

    def setup_chain(self, rng, tune: int, draws: int) -> None:
        """Forget other chains."""
        super().setup_chain(rng, tune, draws)
        self._restart()
        self.tune = self._may_tune and tune > 0
        self._left = tune + draws

    def _natural(self, point) -> tuple[float, np.ndarray, np.ndarray]:
        rest, theta, K = self._evaluate(*(point[name] for name in self._point_names))
        network = self.op.problem.network
        K = np.full(network.m, float(K)) if self.op.problem.uniform else np.ascontiguousarray(K)
        return float(rest), np.ascontiguousarray(theta), K

    def _simulated(self, start: np.ndarray, theta, K) -> tuple[np.ndarray, np.ndarray]:
        network = self.op.problem.network
        moves = best_moves(network, K) if self.moves is None else self.moves
        moves.check(network, K)
        seed = self.rng.integers(2**32)
        w = moves.run(network, seed, start, theta, K, self.sweeps)
        return statistics(w, network.interaction, network.edges)

    def step(self, point):
        """Propose, simulate, accept or not."""
        network = self.op.problem.network
        q = np.concatenate([np.ravel(point[v.name]) for v in self.vars])
        jump = self._root @ self.rng.standard_normal(len(q))
        proposed = q + np.exp(self.log_scale) * jump
        parts = np.split(proposed, np.cumsum(self._sizes)[:-1])
        new = dict(point)
        for v, part, shape in zip(self.vars, parts, self._shapes, strict=True):
            new[v.name] = part.reshape(shape)
        # most proposals are refused; other steps may have moved what is not ours
        key = b"".join(np.ascontiguousarray(point[name]).tobytes() for name in self._point_names)
        if self._here[0] != key:
            self._here = key, self._natural(point)
        old_rest, theta, K = self._here[1]
        new_rest, new_theta, new_K = self._natural(new)
        accept, difference = 0.0, np.nan
        if np.isfinite(new_rest) and np.all(np.isfinite(new_theta)) and np.all(np.isfinite(new_K)):
            counts, sums = self._simulated(self.rows, new_theta, new_K)
            log_ratio = new_rest - old_rest
            log_ratio += np.sum((new_theta - theta) * (self.of_data[0] - counts))
            log_ratio += np.sum((new_K - K) * (self.of_data[1] - sums))
            accept = float(np.exp(min(0.0, log_ratio)))
            if self.rng.random() < SECOND_CHAINS:
                start = self.rng.integers(network.q, size=self.rows.shape)
                other_counts, other_sums = self._simulated(start, new_theta, new_K)
                difference = float(
                    np.sum(new_theta * (counts - other_counts)) + new_K @ (sums - other_sums)
                )
        accepted = bool(self.rng.random() < accept)
        if self.tune:
            self._adapt(proposed if accepted else q, accept)
        elif np.isfinite(difference):
            self.differences.append(difference)
        self._left -= 1
        if self._left == 0:
            self._warn()
        stats = {
            "accept": accept, "accepted": accepted, "scaling": float(np.exp(self.log_scale)),
            "start_difference": difference,
        }  # fmt: skip
        return (new if accepted else point), [stats]

    def _adapt(self, q: np.ndarray, accept: float) -> None:
        """Robbins and Monro's steps towards the draws' covariance and the wanted acceptance."""
        self.n_seen += 1
        rate = min(0.5, self.n_seen**-ADAPT_POWER)
        self.log_scale += rate * (accept - WANTED_ACCEPTANCE)
        if self.n_seen == 1:
            self.mean = q.copy()
        centred = q - self.mean
        self.mean = self.mean + rate * centred
        update = np.outer(centred, centred) + 1e-10 * np.eye(len(q))
        self.covariance = (1 - rate) * self.covariance + rate * update
        self._root = np.linalg.cholesky(self.covariance)

    def _warn(self) -> None:
        """Warn where chains from both ends of state space disagree."""
        differences = np.array(self.differences)
        if len(differences) < LEAST_PAIRS or np.std(differences) == 0.0:
            return
        z = np.mean(differences) / (np.std(differences, ddof=1) / np.sqrt(len(differences)))
        if abs(z) > LARGEST_Z:
            warnings.warn(
                f"the inner chain of {self.sweeps} sweeps is too short: from the data and from "
                f"random states it ends at log weights that differ by {np.mean(differences):.3g} "
                f"on the average (z = {z:.1f}), so that the posterior is not exact, and mostly too "
                "wide. Take more sweeps=, or moves=pms.swendsen_wang where couplings allow it.",
                MixingWarning, stacklevel=2,
            )  # fmt: skip

    @staticmethod
    def competence(var, has_grad):
        """Only where somebody asks for it."""
        return Competence.INCOMPATIBLE


def _check_approximations(model: pm.Model, rv, moved) -> None:
    """Raise NetworkError where an approximate log Z would still count.

    In other networks; and in this one for parameters that other steps move.
    """
    for other in model.basic_RVs:
        op = other.owner.op
        # of sums the engine is that of their rows
        op = op.rows if isinstance(op, SumsRV) else op
        engine = getattr(op, "engine", None)
        if other is not rv and isinstance(engine, NetworkEngine) and not engine.exact:
            raise NetworkError(
                f"log Z of {other.name} is an approximation, which this step would take as it is: "
                "it is exact for one network a model. Give the other an exact engine."
            )
    if rv.owner.op.engine.exact:
        return
    graphs = model.replace_rvs_by_values(list(rv.owner.op.natural(*rv.owner.inputs[2:])))
    theirs = {v for v in ancestors(graphs) if v in set(model.value_vars)} - set(moved)
    if theirs:
        names = ", ".join(sorted(str(v.name) for v in theirs))
        raise NetworkError(
            f"{rv.name} depends on {names} too, which other steps would move by its approximate "
            "log Z. Give this step all of them."
        )


def _observed_network(model: pm.Model, name: str | None):
    """The network variable of a model.

    Raises
    ------
    NetworkError
        none, several, or not that one.
    """
    found = {v.name: v for v in model.observed_RVs if isinstance(v.owner.op, NetworkRV)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    raise NetworkError(
        f"the model's observed networks are {sorted(found) or 'none'}: name one, network=."
    )
