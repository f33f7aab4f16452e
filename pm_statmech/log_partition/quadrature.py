r"""One-dimensional integrals by the double-exponential rule, where the integrand is not negligible.

.. math:: A(\eta) = \log \int_a^b h(x)\, e^{\eta \cdot T(x)}\, dx
          = \log \int g(t)\, dt, \qquad g(t) = h(x)\, e^{\eta \cdot T(x)}\, x'(t)

======================= ===================================================
a, b finite             x = a + (b - a) / (1 + e^{-\pi \sinh t})
a finite, b infinite    x = a + e^{(\pi/2) \sinh t}
both infinite           x = \sinh((\pi/2) \sinh t)
======================= ===================================================

In t an integrand falls off double-exponentially at both ends, singular ones too, and the
trapezoidal rule converges exponentially in the number of nodes. Where the integrand is not
negligible is found first, by grids that each look closer at what the last one left; the rule's
nodes fill that window. The sums over every second and fourth node differ from it by d_2 and d_4;
the estimated error is 4 d_2^2 / d_4, or d_2 if that is less, too large for smooth integrands and
enough for kinks, and what lies beyond the window.

All of it is PyTensor's own operations, and the nodes are constants to the gradient, which is then
the same rule for E[T].

Source: Takahasi and Mori (1974), Publ. RIMS 9, 721-741.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import TensorConstant, TensorVariable

from pm_statmech.log_partition.table import constant_op, finite_exponent, over_states, weighted

# points of the grids that look for the window, and of the rule in it
FIRST_GRID, NEXT_GRID, N_CLOSER, N_NODES = 65, 17, 6, 321
NEGLIGIBLE = 45.0
# between these, powers of x up to the fourth and logarithms of x stay finite
LOG_LARGEST, LOG_SMALLEST = 172.0, -690.0
ACCEPTED = 1e-6


class Rule(NamedTuple):
    """Trapezoidal rule in a window.

    Parameters
    ----------
    t, x
        (..., N) nodes; log_terms : (..., N) log of what each adds to Z.
    step
        (...) their distance in t.
    log_total
        (...) log of the sum; error : (...) its estimated error; diverges : (...) whether
        the integrand is largest at an end.
    """

    t: TensorVariable
    x: TensorVariable
    log_terms: TensorVariable
    step: TensorVariable
    log_total: TensorVariable
    error: TensorVariable
    diverges: TensorVariable

    @property
    def trusted_total(self) -> TensorVariable:
        """log_total, +inf where it diverges, NaN where the rule has not converged."""
        converged = pt.switch(pt.le(self.error, ACCEPTED), self.log_total, np.nan)
        return pt.switch(self.diverges, np.inf, converged)


class Ends(NamedTuple):
    """Ends (...) of an interval, and which of them are finite."""

    low: TensorVariable
    high: TensorVariable
    finite_low: bool
    finite_high: bool

    @classmethod
    def of(cls, low, high) -> Ends:
        """Ends of numbers or tensors; only numbers may be infinite."""

        def finite(end) -> bool:
            return not (isinstance(end, int | float) and np.isinf(end))

        first, last = (
            pt.constant(end, dtype="float64") if isinstance(end, int | float) else end
            for end in (low, high)
        )
        return cls(first, last, finite(low), finite(high))

    def among(self, symbols) -> Ends:
        """The same with its symbolic ends replaced by others, in order."""
        rest = list(symbols)
        low, high = (end if isinstance(end, TensorConstant) else rest.pop(0) for end in self[:2])
        return self._replace(low=low, high=high)

    @property
    def inner(self):
        """The y = c sinh(t) that the exponentials are of: c."""
        return np.pi if self.finite_low and self.finite_high else 0.5 * np.pi

    def limits(self):
        """First and last t (...) at which floating point tells x from the ends."""

        def nearest(end):
            """Log of the least distance from an end that shows."""
            return pt.maximum(LOG_SMALLEST, pt.log(4e-16 * pt.abs(end)))

        low, high = self.low, self.high
        if self.finite_low and self.finite_high:
            log_width = pt.log(high - low)
            first, last = nearest(low) - log_width, log_width - nearest(high)
        elif self.finite_low:
            first, last = nearest(low), pt.constant(LOG_LARGEST)
        elif self.finite_high:
            first, last = pt.constant(-LOG_LARGEST), -nearest(high)
        else:
            last = pt.constant(LOG_LARGEST)
            first = -last
        return pt.arcsinh(first / self.inner), pt.arcsinh(last / self.inner)

    def point(self, t):
        """x(t) of t (..., n), as far from either end as t says."""
        low, high = self.low[..., None], self.high[..., None]
        y = self.inner * pt.sinh(t)
        if self.finite_low and self.finite_high:
            from_low = low + (high - low) * pt.sigmoid(y)
            return pt.switch(pt.lt(y, 0), from_low, high - (high - low) * pt.sigmoid(-y))
        if self.finite_low:
            return low + pt.exp(y)
        return high - pt.exp(-y) if self.finite_high else pt.sinh(y)

    def log_slope(self, t):
        """Log x'(t)."""
        y = self.inner * pt.sinh(t)
        slope = pt.log(self.inner * pt.cosh(t))
        if self.finite_low and self.finite_high:
            return (
                slope + pt.log(self.high - self.low)[..., None] - pt.softplus(y) - pt.softplus(-y)
            )
        if self.finite_low:
            return slope + y
        if self.finite_high:
            return slope - y
        return slope + pt.abs(y) + pt.log1p(pt.exp(-2.0 * pt.abs(y))) - np.log(2.0)


class Quadrature(NamedTuple):
    """Statistics with the log base last, `joined` (K + 1,), of a number `x` between two ends."""

    joined: TensorVariable
    x: TensorVariable
    low: float
    high: float

    def rule(self, weights, ends: Ends | None = None) -> Rule:
        """Trapezoidal rule in the window of weights (..., K + 1)."""
        ends = Ends.of(self.low, self.high) if ends is None else ends
        given = [end for end in ends[:2] if not isinstance(end, TensorConstant)]

        def place(weights, *symbols):
            return self._place(weights, ends.among(symbols))

        t, x, step, T, log_weight = constant_op(place, weights, *given)(weights, *given)
        log_terms = weighted(weights, T) + log_weight
        error, diverges = constant_op(_judge, log_terms, step)(log_terms, step)
        return Rule(t, x, log_terms, step, pt.logsumexp(log_terms, axis=-1), error, diverges)

    def _place(self, weights, ends: Ends):
        """Nodes t, x (..., N), their step (...), finite statistics there, and log weights."""
        none = 0.0 * weights[..., 0]
        for end, finite in ((ends.low, ends.finite_low), (ends.high, ends.finite_high)):
            none = none + 0.0 * end if finite else none
        low, high = (end + none for end in ends.limits())
        given = [end for end in ends[:2] if not isinstance(end, TensorConstant)]

        def look(n):
            def closer(weights, low, high, *symbols):
                inner = ends.among(symbols)
                t = spread(low, high, n)
                T, offset = self._at(weights, inner.point(t))
                log_g = weighted(weights, T) + offset + inner.log_slope(t)
                return narrowed(log_g, low, high)

            return constant_op(closer, weights, low, high, *given)

        low, high = look(FIRST_GRID)(weights, low, high, *given)
        closer = look(NEXT_GRID)
        for _ in range(N_CLOSER):
            low, high = closer(weights, low, high, *given)
        t = spread(low, high, N_NODES)
        step = (high - low) / (N_NODES - 1)
        T, offset = self._at(weights, ends.point(t))
        return t, ends.point(t), step, T, offset + ends.log_slope(t) + pt.log(step)[..., None]

    def _at(self, weights, x):
        """Finite statistics at points x (..., n), and 0 or +-inf to add to their sum."""
        return finite_exponent(weights, over_states(self.joined, self.x, x))

    def log_partition(self, weights):
        """A (...) for weights (..., K + 1)."""
        return self.rule(weights).trusted_total

    def log_mass_below(self, weights, x):
        """Log of the integral (...) from the lower end to x (...)."""
        return self.rule(weights, Ends.of(self.low, x)).log_total


def spread(low, high, n: int):
    """Even points (..., n) from low to high (...)."""
    return low[..., None] + (high - low)[..., None] * pt.constant(np.linspace(0.0, 1.0, n))


def narrowed(log_terms, low, high):
    """Ends (...) of where log terms on n even points from low to high are not negligible."""
    n = log_terms.type.shape[-1]
    seen = pt.gt(log_terms, pt.max(log_terms, axis=-1, keepdims=True) - NEGLIGIBLE)
    left = pt.argmax(seen, axis=-1)
    right = n - 1 - pt.argmax(seen[..., ::-1], axis=-1)
    step = (high - low) / (n - 1)
    return (
        pt.maximum(low, low + step * (left - 1.0)),
        pt.minimum(high, low + step * (right + 1.0)),
    )


def _judge(log_terms, step):
    """Estimated relative error (...) of a sum, and whether it diverges."""
    total, *coarse = (
        pt.logsumexp(log_terms[..., ::every], axis=-1) + np.log(every) for every in (1, 2, 4)
    )
    d_2, d_4 = (pt.abs(pt.expm1(other - total)) for other in coarse)
    # beyond an end where the integrand has not died out it falls off within a unit of t
    beyond = [pt.exp(log_terms[..., end] - total) / step for end in (0, -1)]
    error = d_2 * pt.minimum(1.0, 4.0 * d_2 / (d_4 + 1e-300)) + beyond[0] + beyond[1]
    at_end = pt.ge(pt.maximum(log_terms[..., 0], log_terms[..., -1]), pt.max(log_terms, axis=-1))
    infinite = pt.eq(total, np.inf)
    return pt.switch(infinite, np.inf, error), infinite | (at_end & pt.gt(error, ACCEPTED))
