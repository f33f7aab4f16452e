r"""Restricted Boltzmann machines: a sum over all states of the smaller layer.

.. math:: Z = \sum_{v, h} e^{b \cdot v + c \cdot h + v^\top W h}
          = \sum_h e^{c \cdot h} \prod_i \big(1 + e^{b_i + (W h)_i}\big), \qquad v, h \in \{0, 1\}

The units of the larger layer are independent given the smaller one, so that its 2^k states cost
k + n operations each; the fields W h change by one column from a state to the next. The means of
all units and products follow from the same states.

Source: Smolensky (1986), in Parallel Distributed Processing, vol. 1, 194-281; the sum over one
layer as in Salakhutdinov and Murray (2008), ICML, 872-879.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 1


@njit(cache=True)
def _lowest_bit(k):
    bit = 0
    while not (k >> bit) & 1:
        bit += 1
    return bit


@njit(cache=True)
def _softplus(x):
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@njit(cache=True)
def _states_of_second(W, b, c):
    """Log Z, and means (n,), (k,) and (n, k), by the 2^k states of the second layer."""
    n, k = W.shape
    state, fields, energy = np.zeros(k), b.copy(), 0.0
    p = np.empty(n)
    top, total = -np.inf, 0.0
    means, seconds, products = np.zeros(n), np.zeros(k), np.zeros((n, k))
    for number in range(1 << k):
        if number > 0:
            # by a Gray code one unit changes at a time
            bit = _lowest_bit(number)
            state[bit] = 1.0 - state[bit]
            sign = 2.0 * state[bit] - 1.0
            energy += sign * c[bit]
            for i in range(n):
                fields[i] += sign * W[i, bit]
            if number % 1024 == 0:
                # rounding does not add up over more than that
                fields[:] = b + np.dot(W, state)
                energy = np.dot(c, state)
        log_weight = energy
        for i in range(n):
            log_weight += _softplus(fields[i])
        if log_weight > top:
            shrink = np.exp(top - log_weight)
            total *= shrink
            means *= shrink
            seconds *= shrink
            products *= shrink
            top = log_weight
        weight = np.exp(log_weight - top)
        total += weight
        # a state of less than 1e-20 of the sum adds nothing
        if weight < 1e-20 * total:
            continue
        for i in range(n):
            p[i] = weight / (1.0 + np.exp(-fields[i]))
            means[i] += p[i]
        for j in range(k):
            if state[j] > 0.0:
                seconds[j] += weight
                for i in range(n):
                    products[i, j] += p[i]
    return top + np.log(total), means / total, seconds / total, products / total


@njit(cache=True)
def layers(W, b, c):
    """Log Z, and the means of both layers (n,), (k,) and of all products (n, k).

    Parameters
    ----------
    W
        (n, k) weights; b, c : biases (n,) and (k,).
    """
    if W.shape[0] >= W.shape[1]:
        return _states_of_second(W, b, c)
    log_z, seconds, means, products = _states_of_second(np.ascontiguousarray(W.T), c, b)
    return log_z, means, seconds, np.ascontiguousarray(products.T)


class Layers(CompiledFunction):
    """Log Z and means of both layers, see `layers`."""

    gufunc_signature = "(n,k),(n),(k)->(),(n),(k),(n,k)"
    kernel = staticmethod(layers)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Means for log Z; second derivatives are not offered."""
        _, means, seconds, products = outputs
        if any(connected(cotangents)[1:]):
            return self.no_derivatives(inputs, "second derivatives of log Z of two layers")
        return [cotangents[0] * v for v in (products, means, seconds)]


def log_weight(v, W, b, c):
    """Minus the free energy of visible units (..., n), with the hidden ones summed over."""
    of_hidden = pt.softplus(c + pt.dot(v, W)) if W.type.ndim == 2 else None
    if of_hidden is None:
        of_hidden = pt.softplus(c + pt.sum(v[..., None] * W, axis=-2))
    return pt.sum(b * v, axis=-1) + pt.sum(of_hidden, axis=-1)


@njit(cache=True)
def draws(W, b, c, u):
    """States (N, n) of the first layer by uniform numbers (N, 1 + n), exactly."""
    n, k = W.shape
    by_second = n >= k
    # the enumerated layer, and the other one
    own, other, weights = (c, b, W) if by_second else (b, c, np.ascontiguousarray(W.T))
    log_p = np.empty(1 << len(own))
    state = np.zeros(len(own))
    for number in range(len(log_p)):
        for j in range(len(own)):
            state[j] = (number >> j) & 1
        log_p[number] = np.dot(own, state)
        fields = other + np.dot(weights, state)
        for i in range(len(other)):
            log_p[number] += _softplus(fields[i])
    cumulative = np.cumsum(np.exp(log_p - np.max(log_p)))
    drawn = np.empty((len(u), n))
    for i in range(len(u)):
        number = np.searchsorted(cumulative, u[i, 0] * cumulative[-1], side="right")
        number = min(number, len(log_p) - 1)
        for j in range(len(own)):
            state[j] = (number >> j) & 1
        if not by_second:
            drawn[i] = state
            continue
        fields = other + np.dot(weights, state)
        for j in range(n):
            drawn[i, j] = 1.0 if u[i, 1 + j] < 1.0 / (1.0 + np.exp(-fields[j])) else 0.0
    return drawn


class LayerDraws(CompiledFunction):
    """States of the first layer by uniform numbers, see `draws`."""

    gufunc_signature = "(n,k),(n),(k),(s,u)->(s,n)"
    kernel = staticmethod(draws)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
