r"""Two layers in turn: all hidden units given the visible ones, and all visible ones given those.

Source: Smolensky (1986), in Parallel Distributed Processing, vol. 1, 194-281.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def sweep(v, h, W, b, c, u):
    """Draw h (k,) given v (n,), and v given h, in place, by uniform numbers u (k + n,)."""
    n, k = W.shape
    for j in range(k):
        field = c[j]
        for i in range(n):
            field += v[i] * W[i, j]
        h[j] = 1.0 if u[j] < 1.0 / (1.0 + np.exp(-field)) else 0.0
    for i in range(n):
        field = b[i]
        for j in range(k):
            field += W[i, j] * h[j]
        v[i] = 1.0 if u[k + i] < 1.0 / (1.0 + np.exp(-field)) else 0.0
