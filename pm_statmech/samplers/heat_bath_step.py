r"""Latent networks inside a model: nodes drawn given all else, in compiled sweeps.

.. math:: P(x_i = s \mid \text{all else}) \propto \exp\Big(\theta_i(s)
          + \sum_{e = (i, j)} K_e\, G(x_j, s) + \ell_i(s)\Big)

where l_i(s) is what the rest of the model adds for node i in state s. Where the rest is a sum over
nodes, as for an image of noisy labels, its terms with all nodes in one state give all l_i at once,
and the sweep is that of a network in other fields; clusters may move too. Whether it is such a sum
is read off the graph: nothing but elementwise operations, and looking values up by state, may lie
between the network and a term. Elsewhere every node is drawn by the model's log probability with
that node in each of its states.

Source: Geman and Geman (1984), IEEE PAMI 6, 721-741; clusters in fields as in Higdon (1998), JASA
93, 585-595.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile as pymc_compile
from pymc.step_methods import STEP_METHODS
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars
from pytensor.graph.traversal import ancestors

from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.errors import NetworkError
from pm_statmech.latent_networks import node_by_node
from pm_statmech.network_kernels.moves import heat_bath, swendsen_wang

# random states on which a sum over nodes is tried out as well, and how well it must agree
TRIALS, AGREED = 4, 1e-8


@dataclass_state
class HeatBathState(StepMethodState):
    """Nothing is learnt."""


class HeatBathStep(BlockedStep):
    """Draw a latent network's nodes given all else; `pm.sample` takes it by itself.

    Parameters
    ----------
    vars
        one variable, such as a latent ``pms.Potts``.
    sweeps
        of the heat bath a step, each after a sweep of clusters where all couplings make neighbours
        equal; blocked, model, rng, compile_kwargs, initial_point : as for PyMC's steps.

    Raises
    ------
    NetworkError
        a variable that is none on a network, has a batch of networks, or more than one of them.

    Notes
    -----
    The statistic ``moved`` is the share of nodes that changed.

    Examples
    --------
    >>> import networkx as nx, numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     x = pms.Ising("x", 0.5, graph=nx.path_graph(4))
    ...     y = pm.Normal("y", x, 1.0, observed=np.array([1.2, 0.7, -0.3, -1.1]))
    ...     step = pms.HeatBathStep([x], compile_kwargs={"mode": "FAST_COMPILE"})
    >>> step.by_node
    True
    """

    name = "heat_bath"
    default_blocked = False
    stats_dtypes_shapes: ClassVar[dict] = {"moved": (np.float64, [])}
    _state_class = HeatBathState

    def __init__(
        self, vars, *, sweeps: int = 1, model=None, rng=None, blocked: bool = False,
        compile_kwargs: dict[str, Any] | None = None, initial_point=None,
    ) -> None:  # fmt: skip
        model = pm.modelcontext(model)
        self.vars = get_value_vars_from_user_vars(vars, model)
        if len(self.vars) != 1:
            raise NetworkError("the heat bath takes one network a step.")
        [value] = self.vars
        rv = model.values_to_rvs[value]
        self.op: Any = rv.owner.op
        if not isinstance(self.op, NetworkRV):
            raise NetworkError(f"{value.name} is not a variable on a network.")
        theta, K = model.replace_rvs_by_values(list(rv.owner.op.natural(*rv.owner.inputs[2:])))
        with_batch = theta.type.ndim != 2 or K.type.ndim != (0 if self.op.problem.uniform else 1)
        if with_batch or value.type.ndim != len(self.op.node_shape):
            raise NetworkError(f"{value.name} is a batch of networks: name each by itself.")
        self.blocked, self.sweeps, self.rng = blocked, sweeps, get_random_generator(rng)
        others = [v for v in model.basic_RVs if v is not rv] + list(model.potentials)
        terms = [t for t in model.logp(vars=others, sum=False) if value in set(ancestors([t]))]
        at_nodes = [node_by_node(t, value) for t in terms]
        options = compile_kwargs or {}
        self._names = [v.name for v in model.value_vars]
        self._natural = pytensor.function(
            model.value_vars, [theta, K], on_unused_input="ignore", **options
        )
        total = pt.sum(pt.stack([pt.sum(t) for t in terms])) if terms else pt.constant(0.0)
        # PyMC's own compiler makes states with impossible parameters improbable, and no error
        self._rest = pymc_compile(model.value_vars, total, on_unused_input="ignore", **options)
        point = model.initial_point() if initial_point is None else initial_point
        self.by_node = False
        if all(t is not None for t in at_nodes):
            self._by_terms = pymc_compile(
                model.value_vars, at_nodes, on_unused_input="ignore", **options
            )
            self.by_node = self._is_sum_over_nodes(point)

    def _called(self, function, point, x):
        """Value of a function at a point with states x of the network."""
        name = self.vars[0].name
        return function(*(x if v == name else point[v] for v in self._names))

    def _local(self, point) -> np.ndarray:
        """What the rest adds for every node in each state (n, q)."""
        n, dtype = self.op.problem.network.n, self.vars[0].type.dtype
        local = np.zeros((n, len(self.op.values)))
        for s, value in enumerate(self.op.values):
            for term in self._called(
                self._by_terms, point, np.full(self.op.node_shape, value, dtype=dtype)
            ):
                local[:, s] += np.ravel(term)
        return local

    def _is_sum_over_nodes(self, point) -> bool:
        name, dtype = self.vars[0].name, self.vars[0].type.dtype
        shapes = {np.shape(t) for t in self._called(self._by_terms, point, point[name])}
        if not shapes <= {self.op.node_shape}:
            return False
        local, rng = self._local(point), np.random.default_rng(0)
        for _ in range(TRIALS):
            number = rng.integers(local.shape[1], size=len(local))
            x = self.op.values[number].reshape(self.op.node_shape).astype(dtype)
            here = local[np.arange(len(local)), number]
            found = sum(np.ravel(t) for t in self._called(self._by_terms, point, x))
            found, possible = np.broadcast_to(found, here.shape), np.isfinite(here)
            if not np.array_equal(possible, np.isfinite(found)):
                return False
            gap = np.abs(found[possible] - here[possible])
            if not np.all(gap <= AGREED * (1.0 + np.abs(here[possible]))):
                return False
        return True

    def step(self, point):
        """Sweeps over all nodes."""
        network, name = self.op.problem.network, self.vars[0].name
        old = point[name]
        first, width = self.op.values[0], self.op.values[1] - self.op.values[0]
        number = np.round((np.ravel(old) - first) / width).astype(np.int64)
        theta, K = self._natural(*(point[v] for v in self._names))
        K = np.full(network.m, float(K)) if self.op.problem.uniform else np.ascontiguousarray(K)
        if self.by_node:
            theta = np.ascontiguousarray(theta + self._local(point))
            x = number[None]
            for _ in range(self.sweeps):
                if swendsen_wang.refusal(network, K) is None:
                    x = swendsen_wang.run(network, self.rng.integers(2**32), x, theta, K, 1)
                x = heat_bath.run(network, self.rng.integers(2**32), x, theta, K, 1)
            new = x[0]
        else:
            new = number.copy()
            for _ in range(self.sweeps):
                self._one_by_one(point, new, theta, K)
        found = dict(point)
        found[name] = self.op.values[new].reshape(old.shape).astype(old.dtype)
        return found, [{"moved": float(np.mean(new != number))}]

    def _one_by_one(self, point, number: np.ndarray, theta, K) -> None:
        """One sweep in place, by the model's log probability in each state of each node."""
        network = self.op.problem.network
        begins, nodes, edges = network.neighbours
        shape, dtype = self.op.node_shape, self.vars[0].type.dtype
        x = self.op.values[number].astype(dtype)
        for i in self.rng.permutation(network.n):
            here = slice(begins[i], begins[i + 1])
            weights = theta[i] + K[edges[here]] @ network.interaction[number[nodes[here]]]
            for s, value in enumerate(self.op.values):
                x[i] = value
                weights[s] += float(self._called(self._rest, point, x.reshape(shape)))
            p = np.exp(weights - np.max(weights))
            number[i] = self.rng.choice(network.q, p=p / np.sum(p))
            x[i] = self.op.values[number[i]]

    @staticmethod
    def competence(var, has_grad):
        """Latent networks are this step's."""
        owner = var.owner
        known = owner is not None and isinstance(owner.op, NetworkRV)
        return Competence.IDEAL if known else Competence.INCOMPATIBLE


# where pm.sample looks for steps
if HeatBathStep not in STEP_METHODS:
    STEP_METHODS.append(HeatBathStep)
