r"""Statistics of binary entries written as sums over entries and pairs, for the fold.

Every function of n spins is a polynomial with one coefficient for each subset of them. Where no
statistic needs a subset of more than two,

.. math:: \eta \cdot T(s) + \log h(s)
          = c(\eta) + \sum_i h_i(\eta)\, s_i + \sum_{i<j} J_{ij}(\eta)\, s_i s_j

with c, h and J affine in eta. The coefficients come from the states with at most two spins up, and
the identity is checked at every state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.blockwise import Blockwise
from scipy.sparse import csr_array

from pm_statmech.log_partition.fold import SpinFold
from pm_statmech.log_partition.table import chunks
from pm_statmech.supports import Binary, Spins, Support

MOST_CHECKED = 20
TOLERANCE = 1e-9


class Pairwise(NamedTuple):
    """Coefficients of the statistics and, in the last row, of the log base.

    `constant` (K + 1,), `fields` (K + 1, n), `couplings` (K + 1, n, n), above the diagonal.
    """

    constant: np.ndarray
    fields: np.ndarray
    couplings: np.ndarray

    def log_partition(self, weights):
        """A (...) for weights (..., K + 1): eta, and the power of the base, which is 1."""
        n = self.fields.shape[1]
        h = pt.dot(weights, pt.constant(self.fields))
        flat = pt.dot(weights, pt.constant(self.couplings.reshape(len(self.constant), n * n)))
        J = pt.reshape(flat, (*flat.shape[:-1], n, n), ndim=flat.type.ndim + 1)
        log_z = Blockwise(SpinFold())(h, J)[0]
        return log_z + pt.dot(weights, pt.constant(self.constant))


def _features(spins: np.ndarray) -> np.ndarray:
    """1, spins and products of pairs (S, 1 + n + n (n - 1) / 2)."""
    rows, columns = np.triu_indices(spins.shape[1], 1)
    return np.column_stack([np.ones(len(spins)), spins, spins[:, rows] * spins[:, columns]])


def find_pairwise(evaluate: Callable, support: Support) -> Pairwise | None:
    """Coefficients of statistics on Spins or Binary, or None where they are not pairwise."""
    if not isinstance(support, Spins | Binary) or support.n > MOST_CHECKED:
        return None
    n = support.n
    rows, columns = np.triu_indices(n, 1)
    spins = -np.ones((1 + n + len(rows), n))
    spins[1 + np.arange(n), np.arange(n)] = 1.0
    for axis in (rows, columns):
        spins[1 + n + np.arange(len(rows)), axis] = 1.0
    few = spins if isinstance(support, Spins) else (spins + 1) / 2
    values = np.column_stack(evaluate(few))
    if not np.all(np.isfinite(values)):
        return None
    none, one, two = values[0], values[1 : 1 + n], values[1 + n :]
    pairs = (two - one[rows] - one[columns] + none) / 4
    couplings = np.zeros((values.shape[1], n, n))
    couplings[:, rows, columns] = pairs.T
    # with all others down, turning spin i up adds 2 h_i - 2 sum_j J_ij
    singles = (one - none) / 2 + np.sum(couplings + couplings.transpose(0, 2, 1), axis=2).T
    constant = none + np.sum(singles, axis=0) - np.sum(pairs, axis=0)
    # most statistics need few of the coefficients
    coefficients = csr_array(np.concatenate([constant[None], singles, pairs]))
    allowed = TOLERANCE * np.max(np.abs(values), axis=0)
    for states, T, log_h in chunks(evaluate, support):
        s = states if isinstance(support, Spins) else 2 * states - 1
        gap = np.abs(_features(s) @ coefficients - np.column_stack([T, log_h]))
        if not np.all(gap <= allowed):
            return None
    return Pairwise(constant, np.ascontiguousarray(singles.T), couplings)
