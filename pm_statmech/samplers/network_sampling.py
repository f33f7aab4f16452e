"""States of a network by moves, many chains of them, with what says whether they mix."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor
import xarray as xr

from pm_statmech.datatree import azstats
from pm_statmech.distributions.graphs import check_states
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.errors import MixingWarning, NetworkError
from pm_statmech.log_partition.networks import Network
from pm_statmech.network_kernels.chains import statistics
from pm_statmech.network_kernels.lattices import square_sweeps
from pm_statmech.network_kernels.moves import NetworkMoves, best_moves, heat_bath

# above which chains have not forgotten where they began, and effective draws below which nothing
# can be said
LARGEST_RHAT, LEAST_DRAWS = 1.05, 50


class Known(NamedTuple):
    """A network variable whose parameters are numbers."""

    op: NetworkRV
    network: Network
    theta: np.ndarray
    K: np.ndarray

    @property
    def lattice(self) -> tuple[int, int] | None:
        """Rows and columns of an even square torus of spins with one coupling and one field."""
        torus = self.op.problem.torus
        spins = np.array_equal(self.network.interaction, [[1.0, -1.0], [-1.0, 1.0]])
        if torus is None or not spins or torus[0] % 2 or torus[1] % 2:
            return None
        one = np.all(self.K[0] == self.K) and np.all(self.theta == self.theta[0])
        return torus if one else None


def known_network(x) -> Known:
    """Parameters of a variable made by `.dist` of constants.

    Raises
    ------
    NetworkError
        a variable that is none on a network, with random parameters, or with a batch of them.
    """
    op = None if x.owner is None else x.owner.op
    if not isinstance(op, NetworkRV):
        raise NetworkError("x is not a variable on a network, such as pms.Ising.dist(...).")
    try:
        theta, K = pytensor.function(
            [], list(op.natural(*x.owner.inputs[2:])), mode="FAST_COMPILE"
        )()
    except pytensor.graph.utils.MissingInputError as error:
        raise NetworkError("x has random parameters: give numbers.") from error
    network = op.problem.network
    if theta.ndim != 2 or K.ndim != (0 if op.problem.uniform else 1):
        raise NetworkError("x has a batch of parameters: give those of one network.")
    K = np.full(network.m, float(K)) if op.problem.uniform else K
    return Known(op, network, np.ascontiguousarray(theta), np.ascontiguousarray(K))


def small_enough(q: int) -> type:
    """Type of integers that hold the numbers and the values of q states."""
    return np.int8 if q <= 100 else np.int64


def _first(known: Known, start) -> np.ndarray:
    """Numbers (1, n) of the states that chains begin at."""
    check_states("the network", start, known.op.values, known.op.node_shape)
    step = known.op.values[1] - known.op.values[0]
    number = np.round((np.asarray(start, dtype=float) - known.op.values[0]) / step)
    return number.astype(np.int64).reshape(1, -1)


def _chain(known: Known, moves: NetworkMoves, rng, draws: int, tune: int, thin: int, first):
    """State numbers (draws, n) after every thin sweeps."""
    network, lattice = known.network, known.lattice
    x = rng.integers(network.q, size=(1, network.n)) if first is None else first
    found: np.ndarray = np.empty((draws, network.n), dtype=small_enough(network.q))
    for k in range(-1, draws):
        number = tune if k < 0 else thin
        if moves is heat_bath and lattice is not None:
            field = 0.5 * (known.theta[0, 1] - known.theta[0, 0])
            spins = (2 * x - 1).reshape(lattice)
            x = (square_sweeps(rng, spins, known.K[0], field, number).reshape(1, -1) + 1) // 2
        else:
            seed = rng.integers(2**32)
            x = moves.run(network, seed, x.astype(np.int64), known.theta, known.K, number)
        if k >= 0:
            found[k] = x[0]
    return found


def sample_network(
    x, draws: int = 1000, *, tune: int = 200, thin: int = 1, chains: int = 4,
    moves: NetworkMoves | None = None, start=None, cores: int | None = None, random_seed=None,
    name: str = "x",
) -> xr.DataTree:  # fmt: skip
    r"""States of a network at given parameters, by moves that leave their distribution alone.

    Parameters
    ----------
    x
        a variable such as ``pms.Ising.dist(0.44, graph=graph)``, of constants.
    draws
        states kept of each chain, after every `thin` sweeps; tune : sweeps before the first.
    chains
        from random states.
    moves
        ``heat_bath``, ``swendsen_wang`` or ``wolff``, whose unit is one cluster; by default
        clusters where all couplings make neighbours equal, else the heat bath.
    start
        states of all nodes that every chain begins at, by default random ones.
    cores
        threads, by default one a chain; random_seed : a seed; name : of the variable.

    Returns
    -------
    DataTree
        ``posterior``: states (chain, draw, ...); ``sample_stats``: ``log_weight``, minus beta times
        the energy.

    Raises
    ------
    NetworkError
        see `known_network`; clusters where a coupling makes neighbours differ.

    Warns
    -----
    MixingWarning
        the chains' log weights have an R-hat above 1.05, or fewer than 50 effective draws, unless
        they begin where you say.

    Notes
    -----
    Where an engine reaches, ``pm.draw`` is exact and needs no chain. Sources: see
    `network_kernels`.

    Examples
    --------
    >>> import networkx as nx, pm_statmech as pms
    >>> torus = nx.grid_2d_graph(8, 8, periodic=True)
    >>> dt = pms.sample_network(pms.Ising.dist(0.3, graph=torus), 200, random_seed=1)
    >>> dt.posterior["x"].shape
    (4, 200, 8, 8)
    """
    known = known_network(x)
    moves = best_moves(known.network, known.K) if moves is None else moves
    moves.check(known.network, known.K)
    first = None if start is None else _first(known, start)
    rngs = np.random.default_rng(random_seed).spawn(chains)
    with ThreadPoolExecutor(cores or chains) as pool:
        chain = partial(_chain, known, moves, draws=draws, tune=tune, thin=thin, first=first)
        found = list(pool.map(chain, rngs))
    numbers = np.stack(found)
    log_weight = np.empty((chains, draws))
    for c in range(chains):
        for d in range(draws):
            row = numbers[c, d][None].astype(np.int64)
            counts, sums = statistics(row, known.network.interaction, known.network.edges)
            log_weight[c, d] = np.sum(counts * known.theta) + sums @ known.K
    op = known.op
    states = op.values.astype(numbers.dtype)[numbers].reshape(chains, draws, *op.node_shape)
    attrs = {"moves": moves.said, "thin": thin, "tune": tune}
    dims = ["chain", "draw", *(f"{name}_dim_{k}" for k in range(len(op.node_shape)))]
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({name: (dims, states)}, attrs=attrs),
            "sample_stats": xr.Dataset(
                {"log_weight": (["chain", "draw"], log_weight)}, attrs=attrs
            ),
        }
    )
    if start is None:
        _warn_of_mixing(log_weight, moves)
    return tree


def _warn_of_mixing(log_weight: np.ndarray, moves: NetworkMoves) -> None:
    """Warn where chains are too short, by their log weights (chain, draw)."""
    if np.ptp(log_weight) == 0.0 or log_weight.shape[1] < 4:
        return
    chains = azstats(xr.DataArray(log_weight, dims=("chain", "draw")))
    rhat, ess = float(chains.rhat()), float(chains.ess())
    if (len(log_weight) > 1 and rhat > LARGEST_RHAT) or ess < LEAST_DRAWS:
        warnings.warn(
            f"{moves.said}: R-hat of the log weight is {rhat:.2f} and its effective draws are "
            f"{ess:.0f} of {log_weight.size}. Take more sweeps (tune=, thin=), or clusters where "
            "the couplings allow them.",
            MixingWarning, stacklevel=3,
        )  # fmt: skip
