"""The heat bath on a square torus of spins with one coupling and one field, a colour at a time.

Probabilities are compared with 32 random bits, so that they are good to 2.3e-10.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.network_kernels.heat_bath import half_sweep

# random numbers are made for so many sweeps at a time
SWEEPS_AT_ONCE = 16


def colours(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Black and white sites (R, C / 2) of spins (R, C)."""
    black, white = np.empty((2, len(x), x.shape[1] // 2), dtype=np.int8)
    black[0::2], black[1::2] = x[0::2, 0::2], x[1::2, 1::2]
    white[0::2], white[1::2] = x[0::2, 1::2], x[1::2, 0::2]
    return black, white


def together(black: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Spins (R, C) of both colours."""
    x = np.empty((len(black), 2 * black.shape[1]), dtype=np.int8)
    x[0::2, 0::2], x[1::2, 1::2] = black[0::2], black[1::2]
    x[0::2, 1::2], x[1::2, 0::2] = white[0::2], white[1::2]
    return x


def thresholds(K: float, field: float) -> np.ndarray:
    """Of the probability of spin 1 given a sum -4, -2, 0, 2, 4 of neighbours, in units of 2^-32."""
    p = 1.0 / (1.0 + np.exp(-2.0 * (K * np.arange(-4.0, 5.0, 2.0) + field)))
    return np.minimum(np.round(p * 2.0**32), 2**32 - 1).astype(np.uint32)


@njit(cache=True, nogil=True)
def _sweeps(black, white, limits, u):
    for k in range(len(u)):
        half_sweep(black, white, True, limits, u[k, 0])
        half_sweep(white, black, False, limits, u[k, 1])


def square_sweeps(rng: np.random.Generator, x: np.ndarray, K: float, field: float, number: int):
    """Spins (R, C) after sweeps of the heat bath; both sizes are even."""
    black, white = colours(x)
    limits = thresholds(K, field)
    for first in range(0, number, SWEEPS_AT_ONCE):
        here = min(SWEEPS_AT_ONCE, number - first)
        bits = rng.bit_generator.random_raw(here * black.size)
        _sweeps(black, white, limits, bits.view(np.uint32).reshape(here, 2, *black.shape))
    return together(black, white)
