r"""Sums over all integers on a side, in a window that follows the parameters, with a tail bound.

.. math:: A(\eta) = \log \sum_{k = a}^{b} f(k), \qquad f(k) = h(k)\, e^{\eta \cdot T(k)}

Where the terms are not negligible is found first, by grids that each look closer at what the last
one left; 1024 integers from there are summed one by one. Where more count, 1024 even points s apart
stand for them, weighted by s: smooth terms that fall off on both sides differ from their
trapezoidal sum exponentially little, and the square of what the sum over every second point differs
by is the estimate. Terms are smooth if 64 integers in a row, and the halves between them, have
second differences below .01; a statistic that tells integers apart, as x % 10 does, is not. Beyond
the last, K, where ratios of neighbours no longer grow,

.. math:: \sum_{k > K} f(k) \le f(K)\, \frac{r}{1 - r}, \qquad
          r = \max_{k \ge K} \frac{f(k + 1)}{f(k)}

with the largest ratio r among K and points ever further out; so too below the first. All of it is
PyTensor's own operations, and the window is a constant to the gradient.

Source: Shmueli, Minka, Kadane, Borle, Boatwright (2005), Appl. Statist. 54(1), for the bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from pm_statmech.log_partition.quadrature import (
    FIRST_GRID,
    N_CLOSER,
    NEXT_GRID,
    narrowed,
    spread,
)
from pm_statmech.log_partition.table import constant_op, finite_exponent, over_states, weighted

N_TERMS, N_FAR = 1024, 17
# how far out terms are looked for, as log(1 + |k|)
LOG_LARGEST = np.log(1e12)
ACCEPTED, ROUNDING = 1e-10, 1e-14
# 64 integers in a row and the halves between them, whose terms have second differences below this
HALVES, ROUGH = 0.5 * np.arange(129.0) - 32.0, 0.01


class Window(NamedTuple):
    """Terms of a sum.

    Parameters
    ----------
    states, log_terms
        (..., N) integers, or points `step` (...) apart where that is over 1, and the logs of what
        they add to the sum, -inf outside the support.
    log_total
        (...) log of the sum; error : (...) bound on what is left out, relative to it;
        diverges : (...) whether terms do not fall off.
    """

    states: TensorVariable
    step: TensorVariable
    log_terms: TensorVariable
    log_total: TensorVariable
    error: TensorVariable
    diverges: TensorVariable

    @property
    def trusted_total(self) -> TensorVariable:
        """log_total, +inf where it diverges, NaN where the bound is too large."""
        # no sum is better than the rounding of its largest exponent
        accepted = ACCEPTED + ROUNDING * pt.abs(self.log_total)
        bounded = pt.switch(pt.le(self.error, accepted), self.log_total, np.nan)
        return pt.switch(self.diverges, np.inf, bounded)


class Lattice(NamedTuple):
    """Statistics with the log base last, `joined` (K + 1,), of an integer `x` between two ends."""

    joined: TensorVariable
    x: TensorVariable
    low: float
    high: float

    def _at(self, weights, k):
        """Finite statistics at integers k (..., n), and 0 or +-inf to add to their sum."""
        inside = pt.ge(k, self.low) & pt.le(k, self.high)
        anchor = self.low if np.isfinite(self.low) else self.high if np.isfinite(self.high) else 0.0
        T = over_states(self.joined, self.x, pt.switch(inside, k, anchor))
        T, offset = finite_exponent(weights, T)
        return T, pt.switch(inside, offset, -np.inf)

    def _log_terms(self, weights, k):
        T, offset = self._at(weights, k)
        return weighted(weights, T) + offset

    def _integer(self, s):
        """Integer at s = +- log(1 + distance) from the finite end, or from 0."""
        if np.isfinite(self.low):
            return self.low + pt.round(pt.expm1(s))
        if np.isfinite(self.high):
            return self.high - pt.round(pt.expm1(s))
        return pt.sign(s) * pt.round(pt.expm1(pt.abs(s)))

    def window(self, weights) -> Window:
        """The terms that count, of weights (..., K + 1)."""
        states, step, T, offset = constant_op(self._place, weights)(weights)
        log_terms = weighted(weights, T) + offset
        given = (weights, states, step, log_terms)
        error, diverges = constant_op(self._judge, *given)(*given)
        return Window(states, step, log_terms, pt.logsumexp(log_terms, axis=-1), error, diverges)

    def _place(self, weights):
        """Points (..., N), their step (...), statistics there, and logs of their weights."""
        none = 0.0 * weights[..., 0]
        two_sided = np.isinf(self.low) and np.isinf(self.high)
        low, high = none - (LOG_LARGEST if two_sided else 0.0), none + LOG_LARGEST

        def look(n):
            def closer(weights, low, high):
                k = self._integer(spread(low, high, n))
                return narrowed(self._log_terms(weights, k), low, high)

            return constant_op(closer, weights, low, high)

        low, high = look(FIRST_GRID)(weights, low, high)
        closer = look(NEXT_GRID)
        for _ in range(N_CLOSER):
            low, high = closer(weights, low, high)
        ends = self._integer(low), self._integer(high)
        lowest, highest = pt.minimum(*ends), pt.maximum(*ends)
        # in the middle where all that counts fits in, and from its beginning on elsewhere
        middle = pt.round(0.5 * (lowest + highest)) - N_TERMS // 2
        fits = pt.lt(highest - lowest, N_TERMS)
        # even points would not do where terms begin in the midst of what counts
        one_by_one = fits | pt.le(lowest, self.low) | pt.ge(highest, self.high)
        first = pt.maximum(pt.switch(fits, middle, lowest), self.low)
        step = pt.switch(one_by_one, 1.0, (highest - lowest) / (N_TERMS - 1))
        if np.isfinite(self.high):
            last = self.high - (N_TERMS - 1)
            first = pt.switch(pt.ge(highest, self.high) | pt.gt(first, last), last, first)
        states = first[..., None] + step[..., None] * pt.arange(N_TERMS, dtype="float64")
        T, offset = self._at(weights, states)
        return states, step, T, offset + pt.log(step)[..., None]

    def _judge(self, weights, states, step, log_terms):
        """Bound (...) on what is left out relative to the sum, and whether terms do not fall."""
        total = pt.logsumexp(log_terms, axis=-1)
        coarse = pt.logsumexp(log_terms[..., ::2], axis=-1) + np.log(2.0)
        mode = pt.max(pt.switch(pt.eq(log_terms, pt.max(log_terms, axis=-1, keepdims=True)),
                                states, -np.inf), axis=-1)  # fmt: skip
        row = self._log_terms(weights, pt.round(mode)[..., None] + pt.constant(HALVES))
        rough = pt.gt(pt.max(pt.abs(pt.diff(row, n=2, axis=-1)), axis=-1), ROUGH)
        of_rule = pt.switch(rough, np.inf, pt.sqr(pt.expm1(coarse - total)))
        error, diverges = pt.switch(pt.gt(step, 1.0), of_rule, 0.0), pt.eq(total, np.inf)
        further = pt.constant(np.round(np.geomspace(1.0, 1e12, N_FAR)) - 1)
        for end, sign, bound in ((-1, 1.0, self.high), (0, -1.0, self.low)):
            last = states[..., end]
            far = last[..., None] + sign * further
            steps = self._log_terms(weights, far + sign) - self._log_terms(weights, far)
            largest = pt.max(pt.switch(pt.isnan(steps), -np.inf, steps), axis=-1)
            # r / (1 - r), of a term relative to the sum
            tail = pt.exp(log_terms[..., end] - total) / pt.expm1(pt.maximum(-largest, 1e-300))
            nothing = pt.isinf(log_terms[..., end]) | pt.isinf(largest)
            error = error + pt.switch(nothing, 0.0, tail)
            if np.isinf(bound):
                diverges = diverges | pt.ge(largest, 0.0)
        return error, diverges

    def log_partition(self, weights):
        """A (...) for weights (..., K + 1)."""
        return self.window(weights).trusted_total
