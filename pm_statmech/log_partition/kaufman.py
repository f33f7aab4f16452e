r"""Ising spins on a square torus with one coupling along each direction: Kaufman's closed form.

.. math:: Z = \tfrac12 (2 \sinh 2 K')^{nm/2} \Big[
          \prod_r 2 \cosh \tfrac{m}{2} \gamma_{2r+1} + \prod_r 2 \sinh \tfrac{m}{2} \gamma_{2r+1}
          + \prod_r 2 \cosh \tfrac{m}{2} \gamma_{2r} + \prod_r 2 \sinh \tfrac{m}{2} \gamma_{2r}
          \Big]

for m rings of n spins, with the coupling K in a ring and K' between rings, r = 0, ..., n - 1, and

.. math:: \sinh^2 \tfrac{\gamma_l}{2} = \sinh^2 (K - K^*)
          + \frac{\sinh 2K}{\sinh 2K'} \sin^2 \frac{\pi l}{2n}, \qquad \tanh K^* = e^{-2 K'}

where gamma_0 = 2 (K - K*) is negative above the critical temperature, so that the last product
changes its sign there. The derivatives, the mean sums over bonds, are those of each factor.

Source: Kaufman (1949), Phys. Rev. 76, 1232-1243.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

# couplings below which the two lowest orders of the series at 0 are exact
SMALL = 1e-9
# couplings above which lines of spins never break: exp(-4 LARGE) is 0, and squares do not overflow
LARGE = 150.0
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


@njit(cache=True, error_model="numpy")
def torus(K, between, n, m):
    """Log Z, and the mean sums of products over the bonds in rings and between them.

    Parameters
    ----------
    K
        coupling in the rings; between : that of the rings; both not negative, or rings of even
        length and an even number of them.
    n
        spins in a ring, m : rings.
    """
    sign_K, sign_between = np.sign(K), np.sign(between)
    K, between = abs(K), abs(between)
    if K > LARGE or between > LARGE:
        # lines of spins that are all equal, coupled to the next by as many couplings
        strong, weak, length, lines = (K, between, n, m) if K > LARGE else (between, K, m, n)
        t = np.tanh(length * weak)
        log_2_cosh = length * weak + np.log1p(np.exp(-2.0 * length * weak))
        log_z = n * m * strong + lines * log_2_cosh + np.log1p(t**lines)
        of_weak = n * m * (t + t ** (lines - 1)) / (1.0 + t**lines)
        if K > LARGE:
            return log_z, sign_K * n * m, sign_between * of_weak
        return log_z, sign_K * of_weak, sign_between * n * m
    if K < SMALL or between < SMALL:
        # rings, or spins, by themselves: the other coupling is of no consequence
        rings, length, k = (m, n, K) if between < SMALL else (n, m, between)
        t = np.tanh(k) ** length
        log_z = rings * (length * np.log(2.0 * np.cosh(k)) + np.log1p(t))
        per_ring = length * (np.tanh(k) + np.tanh(k) ** (length - 1)) / (1.0 + t)
        nearly = rings * length * (between if between < SMALL else K)
        if between < SMALL:
            return log_z, sign_K * rings * per_ring, sign_between * nearly
        return log_z, sign_K * nearly, sign_between * rings * per_ring
    dual = -0.5 * np.log(np.tanh(between))
    sinh_between = np.sinh(2.0 * between)
    ratio, lean = np.sinh(2.0 * K) / sinh_between, np.sinh(K - dual)
    coth, coth_between = 1.0 / np.tanh(2.0 * K), np.sqrt(1.0 + 1.0 / sinh_between**2)
    # of lean^2 in either coupling: d dual / d between = -1 / sinh(2 between)
    d_lean = 2.0 * lean * np.cosh(K - dual)
    # of both sectors: log prod 2 cosh and its derivatives; prod of tanh, and its relative ones
    log_cosh, tanhs = np.zeros(2), np.ones(2)
    of_cosh, of_tanh = np.zeros((2, 2)), np.zeros((2, 2))
    for l in range(1, n + 1):
        # gamma_l = gamma_(2n - l)
        sector, copies = l % 2, 1.0 if l == n else 2.0
        sine = np.sin(0.5 * np.pi * l / n) ** 2
        square = lean * lean + ratio * sine
        sinh_half = np.sqrt(square)
        gamma = 2.0 * np.log(sinh_half + np.sqrt(1.0 + square))
        # d square / d gamma = sinh(gamma) / 2
        in_slope = copies * 0.5 * m / (sinh_half * np.sqrt(1.0 + square))
        of_K = in_slope * (d_lean + 2.0 * coth * ratio * sine)
        of_between = in_slope * (d_lean / sinh_between - 2.0 * coth_between * ratio * sine)
        small, t = np.exp(-m * gamma), 1.0
        log_cosh[sector] += copies * 0.5 * m * gamma
        if small > 1e-18:
            t = (1.0 - small) / (1.0 + small)
            log_cosh[sector] += copies * np.log1p(small)
            tanhs[sector] *= t if l == n else t * t
            of_tanh[sector, 0] += of_K * (1.0 / t - t)
            of_tanh[sector, 1] += of_between * (1.0 / t - t)
        of_cosh[sector, 0] += of_K * t
        of_cosh[sector, 1] += of_between * t
    # gamma_0 alone may vanish, or be negative
    gamma = 2.0 * (K - dual)
    t = np.tanh(0.5 * m * gamma)
    log_cosh[0] += 0.5 * m * abs(gamma) + np.log1p(np.exp(-m * abs(gamma)))
    top = max(log_cosh[0], log_cosh[1])
    even, odd = np.exp(log_cosh[0] - top), np.exp(log_cosh[1] - top)
    total = even * (1.0 + tanhs[0] * t) + odd * (1.0 + tanhs[1])
    slope = np.empty(2)
    for k in range(2):
        of_gamma = m if k == 0 else m / sinh_between
        of_cosh[0, k] += of_gamma * t
        of_even = of_cosh[0, k] * (1.0 + tanhs[0] * t) + tanhs[0] * (
            of_tanh[0, k] * t + of_gamma * (1.0 - t * t)
        )
        of_odd = of_cosh[1, k] * (1.0 + tanhs[1]) + tanhs[1] * of_tanh[1, k]
        slope[k] = (even * of_even + odd * of_odd) / total
    log_z = top + np.log(0.5 * total) + 0.5 * n * m * np.log(2.0 * sinh_between)
    return log_z, sign_K * slope[0], sign_between * (slope[1] + n * m * coth_between)


class Torus(CompiledFunction):
    """Log Z and mean sums over the bonds of both directions, see `torus`."""

    gufunc_signature = "(),(),(),()->(),(),()"
    kernel = staticmethod(torus)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Mean sums for the couplings; second derivatives are not offered."""
        _, in_rings, between = outputs
        if any(connected(cotangents)[1:]):
            return self.no_derivatives(inputs, "second derivatives of log Z on a torus")
        sizes = self.no_derivatives(inputs, "sizes are constants")[2:]
        return [cotangents[0] * in_rings, cotangents[0] * between, *sizes]


def log_z_of_torus(K, between, n: int, m: int):
    """Log Z (...) of couplings (...)."""
    sizes = (pt.constant(size, dtype="int64") for size in (n, m))
    return pt.vectorize(Torus(), signature=Torus.gufunc_signature)(K, between, *sizes)[0]
