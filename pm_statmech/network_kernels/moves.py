"""Moves as users name them: the heat bath, Swendsen and Wang's clusters, Wolff's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.networks import Network
from pm_statmech.network_kernels.chains import by_clusters, by_heat_bath, by_single_clusters
from pm_statmech.network_kernels.clusters import equality_gain


@dataclass(frozen=True, eq=False)
class NetworkMoves:
    """A way to move states of a network.

    Parameters
    ----------
    said
        in words; run : (network, seed, x (N, n), theta, K, number) -> x after that many sweeps, or
        moves; refusal : (network, K) -> why not, or None.
    """

    said: str
    run: Callable[..., np.ndarray]
    refusal: Callable[[Network, np.ndarray], str | None]

    def __repr__(self) -> str:
        return f"NetworkMoves({self.said})"

    def check(self, network: Network, K: np.ndarray) -> None:
        """Raise NetworkError where these moves do not leave the distribution alone."""
        why = self.refusal(network, K)
        if why is not None:
            raise NetworkError(f"{self.said}: {why} Take heat_bath.")


def _no_clusters(network: Network, K: np.ndarray) -> str | None:
    gain = equality_gain(network.interaction)
    if gain is None:
        return "the interaction is not one of equal states against all others."
    if np.any(gain * K < 0):
        return f"coupling {np.min(gain * K) / gain:.3g} makes neighbours differ."
    return None


def _gain(network: Network) -> float:
    gain = equality_gain(network.interaction)
    assert gain is not None
    return gain


def _heat_bath(network, seed, x, theta, K, number):
    return by_heat_bath(seed, x, theta, K, network.interaction, *network.neighbours, number)


def _swendsen_wang(network, seed, x, theta, K, number):
    return by_clusters(seed, x, theta, K, _gain(network), network.edges, number)


def _wolff(network, seed, x, theta, K, number):
    return by_single_clusters(seed, x, theta, K, _gain(network), *network.neighbours, number)


heat_bath = NetworkMoves("heat bath", _heat_bath, lambda network, K: None)
swendsen_wang = NetworkMoves("Swendsen-Wang", _swendsen_wang, _no_clusters)
wolff = NetworkMoves("Wolff", _wolff, _no_clusters)


def best_moves(network: Network, K: np.ndarray) -> NetworkMoves:
    """Clusters where they apply."""
    return heat_bath if _no_clusters(network, K) else swendsen_wang
