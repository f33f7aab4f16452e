"""Exact engines for networks, what each costs, and which is taken where nobody says.

`by_enumeration`, `by_transfer_matrix`, `by_tree_decomposition`, `by_kac_ward` and `by_kaufman` go
into `log_partition=` of a distribution; without it the cheapest exact one within the budget is
taken, or an error says what each would cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.blockwise import Blockwise

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.elimination import Elimination, elimination_of
from pm_statmech.log_partition.fold import SpinFold
from pm_statmech.log_partition.frontier import Sweep, best_sweep
from pm_statmech.log_partition.kaufman import log_z_of_torus
from pm_statmech.log_partition.networks import Network
from pm_statmech.log_partition.planar import KacWard, PlanarEdges, planar_edges
from pm_statmech.log_partition.transfer_matrix import TransferMatrix
from pm_statmech.log_partition.variable_elimination import VariableElimination
from pm_statmech.log_partition.variational import (
    MeanField,
    Messages,
    spanning_tree_probabilities,
)

# what nobody has to ask for: multiplications of one gradient (about a tenth of a second), and bytes
OPERATIONS, BYTES = 2e8, 2**30
# what nobody can ask for
MOST_SPINS, MOST_BYTES = 28, 2**33


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, whether one coupling is common to all edges, and whether fields are absent."""

    network: Network
    uniform: bool
    without_field: bool

    @cached_property
    def sweep(self) -> Sweep:
        """For a transfer matrix."""
        return best_sweep(self.network)

    @cached_property
    def engine(self) -> NetworkEngine:
        """The cheapest exact one, or none, which is an error when log Z is needed.

        Draws by chains and tempered runs of a network need none.
        """
        try:
            return choose_engine(self)
        except NetworkError as error:
            why = str(error)

        def nothing(problem: Problem, theta, K):
            raise NetworkError(why)

        return NetworkEngine(
            "none", lambda problem: (np.inf, 0.0), lambda problem: None, nothing, exact=False,
            missing=why,
        )  # fmt: skip

    @cached_property
    def elimination(self) -> Elimination | None:
        """For a tree decomposition."""
        return elimination_of(self.network)

    @cached_property
    def planar(self) -> PlanarEdges | None:
        """Edges in layers of a graph that can be drawn without crossings."""
        return planar_edges(self.network)

    @cached_property
    def torus(self) -> tuple[int, int] | None:
        """Rows and columns where the network is a square lattice with periodic boundaries."""
        n = self.network.n
        own = {tuple(edge) for edge in self.network.edges.tolist()}
        for rows in range(3, n // 3 + 1):
            if n % rows == 0 and own == torus_edges(rows, n // rows):
                return rows, n // rows
        return None


_problems: WeakValueDictionary = WeakValueDictionary()


def problem_of(
    n: int, edges: np.ndarray, interaction: np.ndarray, *, uniform: bool, without_field: bool
) -> Problem:
    """The problem of n nodes, edges i < j (m, 2) and G (q, q); the same while somebody has it."""
    network = Network(n, edges, interaction)
    key = (network.key, uniform, without_field)
    found = _problems.get(key)
    if found is None:
        found = _problems[key] = Problem(network, uniform, without_field)
    return found


@cache
def torus_edges(rows: int, columns: int) -> frozenset[tuple[int, int]]:
    """Edges i < j of a periodic lattice whose nodes are numbered row by row."""
    nodes = np.arange(rows * columns).reshape(rows, columns)
    neighbours = (np.roll(nodes, -1, axis) for axis in (0, 1))
    pairs = np.concatenate([np.column_stack([nodes.ravel(), v.ravel()]) for v in neighbours])
    return frozenset(map(tuple, np.sort(pairs, axis=1).tolist()))


@dataclass(frozen=True, eq=False)
class NetworkEngine:
    """A way to compute log Z of a network.

    Parameters
    ----------
    said
        in words; cost : Problem -> multiplications and bytes; refusal : Problem -> why not, or
        None; compute : (Problem, theta (..., n, q), K (..., m) or (...)) -> log Z (...); exact : to
        rounding.
    at_beta, error, digest
        of a table along beta: (Problem, beta) -> log Z, beta -> its standard error, and
        `networks.natural_digest` of what it is a table of.
    missing
        why there is no engine at all: an error, as soon as log Z is needed.
    """

    said: str
    cost: Callable[[Problem], tuple[float, float]]
    refusal: Callable[[Problem], str | None]
    compute: Callable
    exact: bool = True
    at_beta: Callable | None = None
    error: Callable | None = None
    digest: str | None = None
    missing: str | None = None

    def __repr__(self) -> str:
        return f"NetworkEngine({self.said}{'' if self.exact else ', approximate'})"

    def needed(self) -> None:
        """Raise NetworkError where somebody needs log Z and there is no engine."""
        if self.missing is not None:
            raise NetworkError(self.missing)

    def check(self, problem: Problem) -> None:
        """Raise NetworkError where it cannot serve, or would need more memory than there is."""
        why = self.refusal(problem)
        if why is not None:
            raise NetworkError(f"{self.said}: {why}")
        operations, bytes_ = self.cost(problem)
        if bytes_ > MOST_BYTES:
            raise NetworkError(
                f"{self.said} of {problem.network.n} nodes takes {operations:.2g} multiplications "
                f"and {bytes_ / 2**30:.3g} GiB, more than {MOST_BYTES / 2**30:.0f} GiB."
            )


def _on_edges(problem: Problem, K):
    """Couplings (..., m) of the user's."""
    return K[..., None] * pt.ones((problem.network.m,)) if problem.uniform else K


def _cost_of_enumeration(problem: Problem) -> tuple[float, float]:
    # two to the power of a thousand is as good as more
    n = min(float(problem.network.n), 1000.0)
    return 4.0 * 2.0**n, 32.0 * 2.0 ** (n / 2)


def _no_enumeration(problem: Problem) -> str | None:
    n, q = problem.network.n, problem.network.q
    if q != 2:
        return f"it takes nodes of two states, not of {q}. Take by_transfer_matrix."
    if n > MOST_SPINS:
        return (
            f"{n} nodes have 2^{n} states, and more than 2^{MOST_SPINS} cannot be "
            "enumerated. On a sparse graph take by_transfer_matrix."
        )
    return None


def _enumerate(problem: Problem, theta, K):
    network = problem.network
    fields, couplings, constant = network.as_spins(theta, _on_edges(problem, K))
    i, j = network.edges.T
    n = network.n
    flat = pt.zeros((*couplings.shape[:-1], n * n))
    J = flat[..., i * n + j].set(couplings)
    J = pt.reshape(J, (*couplings.shape[:-1], n, n), ndim=couplings.type.ndim + 1)
    outputs: Any = Blockwise(SpinFold())(fields, J)
    return outputs[0] + constant


def _cost_of_transfer(problem: Problem) -> tuple[float, float]:
    q = problem.network.q
    return problem.sweep.operations(q), 8.0 * problem.sweep.entries(q)


def _transfer(problem: Problem, theta, K):
    network, sweep = problem.network, problem.sweep
    constants = (
        pt.constant(v) for v in (network.interaction, network.edges, sweep.steps, sweep.further,
                                 sweep.sizes)
    )  # fmt: skip
    outputs: Any = Blockwise(TransferMatrix())(theta, _on_edges(problem, K), *constants)
    return outputs[0]


def _cost_of_tree(problem: Problem) -> tuple[float, float]:
    if problem.elimination is None:
        return np.inf, np.inf
    entries = problem.elimination.entries(problem.network.q)
    # logarithms and exponentials, in units of the other engines' multiplications
    return 40.0 * entries, 24.0 * entries


def _no_tree(problem: Problem) -> str | None:
    if problem.elimination is None:
        return "some node has 40 neighbours or more when it is summed out."
    return None


def _tree(problem: Problem, theta, K):
    assert problem.elimination is not None
    constants = (pt.constant(v) for v in (problem.network.interaction, *problem.elimination.tables))
    outputs: Any = Blockwise(VariableElimination())(theta, _on_edges(problem, K), *constants)
    return outputs[0]


def _no_kaufman(problem: Problem) -> str | None:
    network = problem.network
    if not np.array_equal(network.interaction, [[1.0, -1.0], [-1.0, 1.0]]):
        return "it is for Ising spins."
    if problem.torus is None:
        return "the graph is not a torus of at least 3 by 3 whose nodes are numbered row by row."
    if not (problem.uniform and problem.without_field):
        return "it is for one coupling, a number, and no field."
    return None


def _kaufman(problem: Problem, theta, K):
    assert problem.torus is not None
    rows, columns = problem.torus
    log_z = log_z_of_torus(K, K, columns, rows)
    if rows % 2 == 0 and columns % 2 == 0:
        # turning every second spin turns the sign of the coupling
        return log_z
    # an odd ring of negative couplings is frustrated, and the form does not hold
    return pt.switch(pt.ge(K, 0.0), log_z, np.nan)


def _no_kac_ward(problem: Problem) -> str | None:
    G = problem.network.interaction
    if problem.network.q != 2 or G[0, 0] != G[1, 1]:
        return "it is for two states that change places without a change, as Ising spins do."
    if not problem.without_field:
        return "it is for spins without a field."
    if problem.planar is None:
        return "the graph cannot be drawn without crossings."
    return None


def _cost_of_kac_ward(problem: Problem) -> tuple[float, float]:
    sizes = np.zeros(1) if problem.planar is None else problem.planar.sizes.astype(float)
    # complex products and inverses of blocks, in units of the other engines' multiplications
    return 1e4 + 5.0 * float(np.sum(sizes**3)), 80.0 * float(np.sum(sizes**2))


def _kac_ward(problem: Problem, theta, K):
    network, planar = problem.network, problem.planar
    assert planar is not None
    _, couplings, constant = network.as_spins(theta, _on_edges(problem, K))
    tables = (planar.edge, planar.starts, planar.turns, planar.angles)
    outputs: Any = Blockwise(KacWard())(couplings, *(pt.constant(v) for v in tables))
    return outputs[0] + constant + network.n * np.log(2.0)


def _cost_of_messages(problem: Problem) -> tuple[float, float]:
    # some hundred rounds
    network = problem.network
    return 200.0 * network.m * network.q**2, 16.0 * network.m * network.q


def _mean_field(problem: Problem, theta, K):
    network = problem.network
    outputs: Any = Blockwise(MeanField())(
        theta, _on_edges(problem, K), pt.constant(network.interaction),
        *(pt.constant(v) for v in network.neighbours), pt.constant(network.edges),
    )  # fmt: skip
    return outputs[0]


def _by_messages(problem: Problem, theta, K, rho):
    network = problem.network
    outputs: Any = Blockwise(Messages())(
        theta, _on_edges(problem, K), pt.constant(network.interaction), pt.constant(network.edges),
        pt.constant(rho),
    )  # fmt: skip
    return outputs[0]


def _bethe(problem: Problem, theta, K):
    return _by_messages(problem, theta, K, np.ones(problem.network.m))


def _tree_reweighted(problem: Problem, theta, K):
    return _by_messages(problem, theta, K, spanning_tree_probabilities(problem.network))


by_enumeration = NetworkEngine(
    "enumeration", _cost_of_enumeration, _no_enumeration, _enumerate,
)  # fmt: skip
by_transfer_matrix = NetworkEngine(
    "transfer matrix", _cost_of_transfer, lambda problem: None, _transfer,
)  # fmt: skip
by_tree_decomposition = NetworkEngine(
    "tree decomposition", _cost_of_tree, _no_tree, _tree,
)  # fmt: skip
by_kaufman = NetworkEngine(
    "Kaufman's closed form", lambda problem: (100.0 * max(problem.torus or (0,)), 0.0), _no_kaufman,
    _kaufman,
)  # fmt: skip
by_kac_ward = NetworkEngine(
    "Kac and Ward's determinant", _cost_of_kac_ward, _no_kac_ward, _kac_ward,
)  # fmt: skip


mean_field = NetworkEngine(
    "mean field, a lower bound", _cost_of_messages, lambda problem: None, _mean_field, exact=False
)
bethe = NetworkEngine(
    "Bethe's approximation", _cost_of_messages, lambda problem: None, _bethe, exact=False
)
tree_reweighted = NetworkEngine(
    "tree-reweighted, an upper bound", _cost_of_messages, lambda problem: None, _tree_reweighted,
    exact=False,
)  # fmt: skip


def choose_engine(problem: Problem) -> NetworkEngine:
    """The cheapest exact engine.

    Raises
    ------
    NetworkError
        none within the budget, with what each would cost.
    """
    if _no_kaufman(problem) is None and _even_or_positive(problem):
        return by_kaufman
    said, found = [], []
    for engine in (by_enumeration, by_transfer_matrix, by_tree_decomposition, by_kac_ward):
        why = engine.refusal(problem)
        if why is not None:
            said.append(f"{engine.said}: {why}")
            continue
        operations, bytes_ = engine.cost(problem)
        said.append(
            f"{engine.said}: {operations:.2g} multiplications a gradient and "
            f"{bytes_ / 2**20:.3g} MiB."
        )
        if operations <= OPERATIONS and bytes_ <= BYTES:
            # of frustrated and cold spins a determinant loses digits, and a table does not
            found.append((operations * (4.0 if engine is by_kac_ward else 1.0), engine))
    if not found:
        raise NetworkError(
            f"no exact engine computes log Z of these {problem.network.n} nodes of "
            f"{problem.network.q} states and {problem.network.m} edges within {OPERATIONS:.2g} "
            f"multiplications a gradient and {BYTES / 2**20:.0f} MiB. {' '.join(said)} "
            "log_partition=pms.log_partition.by_transfer_matrix insists on one. Otherwise take "
            "fewer nodes or edges, or an approximation of pms.log_partition, whose error nobody "
            "knows: bethe, mean_field (a lower bound) or tree_reweighted (an upper bound), for "
            "which ExchangeStep corrects."
        )
    return min(found, key=lambda pair: pair[0])[1]


def _even_or_positive(problem: Problem) -> bool:
    """Whether Kaufman's form holds for couplings of either sign."""
    rows, columns = problem.torus or (1, 1)
    return rows % 2 == 0 and columns % 2 == 0
