r"""Latent networks at one inverse temperature: a sweep of clusters where they apply, and of the
heat bath.

.. math:: \pi_\beta(x \mid \text{rest}) \propto \exp\Big(\sum_i (\theta^0_i + \beta \theta^1_i)(x_i)
          + \sum_{e = (i, j)} (K^0_e + \beta K^1_e)\, G(x_i, x_j)\Big)

Swendsen and Wang's clusters apply where no coupling makes neighbours differ at this beta.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.native_function import call_by_address
from pm_statmech.network_kernels.chains import bond_probabilities
from pm_statmech.network_kernels.clusters import swendsen_wang
from pm_statmech.network_kernels.heat_bath import sweep


@njit(cache=True)
def at_beta(of_prior, of_energy, beta):
    """Prior and beta times minus the energy; what the energy excludes counts for beta > 0 only."""
    if beta == 0.0:
        return of_prior.copy()
    return of_prior + beta * of_energy


@njit(cache=True)
def sweep_networks(target, x, value, beta, rng):
    """Sweep over the nodes of every network, in place; where there is a NaN, they stay.

    Parameters
    ----------
    target
        the energy function and its networks; x, value : (d,), (2 + 2 d,) the state.
    beta
        inverse temperature; rng : numpy's generator.
    """
    networks = target.networks
    for p in range(networks.addresses.shape[0]):
        position, n, q, m, at_G, at_graph, at_words = networks.sizes[p]
        first, step, gain = networks.numbers[p]
        G = networks.interactions[at_G : at_G + q * q].reshape(q, q)
        graph = networks.graphs[at_graph : at_graph + 6 * m + n + 1]
        edges = graph[: 2 * m].reshape(m, 2)
        begins = graph[2 * m : 2 * m + n + 1]
        nodes = graph[2 * m + n + 1 : 4 * m + n + 1]
        to_nodes = graph[4 * m + n + 1 :]
        half = n * q + m
        natural = np.empty(2 * half)
        call_by_address(networks.addresses[p], x, natural, networks.words[at_words:])
        here = at_beta(natural[:half], natural[half:], beta)
        if np.any(np.isnan(here)):
            continue
        theta, K = here[: n * q].reshape(n, q), here[n * q :]
        number = np.empty(n, dtype=np.int64)
        for i in range(n):
            number[i] = int(np.round((x[position + i] - first) / step))
        if not np.isnan(gain) and np.all(gain * K >= 0.0):
            bonds = bond_probabilities(K, gain)
            swendsen_wang(number, theta, bonds, edges, rng.random(m), rng.random(n))
        sweep(number, theta, K, G, begins, nodes, to_nodes, rng.random(n))
        for i in range(n):
            x[position + i] = first + step * number[i]
        call_by_address(target.address, x, value, target.words)
