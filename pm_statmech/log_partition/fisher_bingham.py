r"""Normaliser of the Fisher-Bingham distributions on the sphere in any number of dimensions.

.. math:: Z(A, b) = \int_{|x| = 1} e^{x^\top A x + b \cdot x}\, dS
          = 2 \pi^{d/2}\, \frac{1}{2 \pi i} \int e^{\phi(t)}\, dt, \qquad
          \phi(t) = t - \frac12 \sum_j \log(t - \lambda_j) + \sum_j \frac{\theta_j^2}
          {4 (t - \lambda_j)}

with the eigenvalues lambda of A, theta the components of b along its eigenvectors, and a line to
the right of all lambda: an inverse Laplace transform at 1, because without |x| = 1 the integral is
Gaussian. The line is bent through the saddle point t_0, phi'(t_0) = 0, along

.. math:: t(s) = t_0 + i s + \frac{\phi'''(t_0)}{6 \phi''(t_0)} s^2

where the integrand hardly oscillates or cancels, and the trapezoidal rule converges exponentially.
Where b is large along an eigenvector of a small eigenvalue, that line comes too close to the pole
of phi there, and the integrand exceeds its value at the saddle; the line is then bent less. The
step is halved until that makes no difference. Given t, the coordinates are
Gaussian with means theta / 2 (t - lambda) and variances 1 / 2 (t - lambda), which gives E[x] and
E[x x'], the derivatives of log Z, from the same nodes.

Sources: Kume and Wood (2005), Biometrika 92(2), 465-476, for the saddle point; Kume and Sei
(2018), Stat. Comput. 28, 835-847, for the integral.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

# of the saddle's width; and what is left out of the integral, and how often the step is halved
FIRST_STEP, NEGLIGIBLE, AGREED, MOST_HALVINGS = 0.3, 1e-18, 1e-14, 6
MOST_NODES, MOST_BENDS, ROUNDING, ROUNDINGS = 20_000, 24, 1e-9, 4e-16
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 3


@njit(cache=True, error_model="numpy")
def saddle(lags, theta):
    """Distance of the saddle point from the largest eigenvalue, lags (d,) below which others lie.

    By Newton's steps between bounds; the slope falls from infinity to -1.
    """
    d = len(lags)
    size = np.sum(theta**2)
    low, high = 0.0, 0.25 * d + np.sqrt(0.0625 * d * d + 0.25 * size) + 1.0
    t = 0.5 + 0.5 * abs(theta[np.argmin(lags)])
    for _ in range(200):
        value, slope = -1.0, 0.0
        for j in range(d):
            gap = t + lags[j]
            value += 0.5 / gap + 0.25 * theta[j] ** 2 / gap**2
            slope -= 0.5 / gap**2 + 0.5 * theta[j] ** 2 / gap**3
        low, high = (t, high) if value > 0.0 else (low, t)
        new = t - value / slope
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - t) <= 1e-14 * t:
            return new
        t = new
    return t


@njit(cache=True, error_model="numpy")
def node(s, t_0, bend, lags, theta, means, variances):
    """The integrand's exponent and dt/ds at s; means and variances (d,) of the coordinates."""
    t = complex(t_0 + bend * s * s, s)
    exponent = t
    for j in range(len(lags)):
        gap = t + lags[j]
        exponent += -0.5 * np.log(gap) + 0.25 * theta[j] ** 2 / gap
        variances[j] = 0.5 / gap
        means[j] = theta[j] * variances[j]
    return exponent, complex(1.0, -2.0 * bend * s)


@njit(cache=True, error_model="numpy")
def integral(t_0, width, bend, lags, theta, agreed):
    """Sums of the integrand times 1, x (d,) and x x' (d, d), relative to its value at the saddle.

    None of them, but the first NaN, where the integrand is larger anywhere on the way, or where
    halving the step goes on to make a relative difference of more than `agreed`.
    """
    d = len(lags)
    means, variances = np.empty(d, dtype=np.complex128), np.empty(d, dtype=np.complex128)
    at_saddle, _ = node(0.0, t_0, bend, lags, theta, means, variances)
    step = FIRST_STEP * width
    total, first, products = 0.0, np.zeros(d), np.zeros((d, d))
    # of every node once: those of a halved step lie between those before
    start = 0.0
    for halving in range(MOST_HALVINGS + 1):
        before = total * step * (2.0 if halving > 0 else 1.0)
        s, stride, died_out = start, step if halving == 0 else 2.0 * step, False
        for _ in range(MOST_NODES):
            exponent, slope = node(s, t_0, bend, lags, theta, means, variances)
            if exponent.real > at_saddle.real + ROUNDING:
                return np.nan, first, products
            weight = np.exp(exponent - at_saddle) * slope
            # both sides of the real axis at once
            weight *= 0.5 if s == 0.0 else 1.0
            total += weight.real
            for i in range(d):
                first[i] += (weight * means[i]).real
                for j in range(i):
                    products[i, j] += (weight * means[i] * means[j]).real
                products[i, i] += (weight * (means[i] ** 2 + variances[i])).real
            if abs(weight) < NEGLIGIBLE * abs(total):
                died_out = True
                break
            s += stride
        if not died_out:
            return np.nan, first, products
        if halving > 0 and abs(total * step - before) <= agreed * abs(total * step):
            return total * step, first * step, products * step
        step *= 0.5
        start = step
    return np.nan, first, products


@njit(cache=True, error_model="numpy")
def along_axes(eigenvalues, theta):
    """Log Z, and E[x] (d,) and E[x x'] (d, d) along the eigenvectors; NaN if not to 1e-9."""
    d = len(eigenvalues)
    largest = np.max(eigenvalues)
    lags = largest - eigenvalues
    t_0 = saddle(lags, theta)
    second, third, size = 0.0, 0.0, t_0
    for j in range(d):
        gap = t_0 + lags[j]
        size += 0.5 * abs(np.log(gap)) + 0.25 * theta[j] ** 2 / gap
        second += 0.5 / gap**2 + 0.5 * theta[j] ** 2 / gap**3
        third -= 1.0 / gap**3 + 1.5 * theta[j] ** 2 / gap**4
    means, variances = np.empty(d, dtype=np.complex128), np.empty(d, dtype=np.complex128)
    at_saddle, _ = node(0.0, t_0, 0.0, lags, theta, means, variances)
    # terms of this size cannot be added more precisely
    agreed = max(AGREED, ROUNDINGS * size)
    bend, total, first, products = third / (6.0 * second), np.nan, np.zeros(d), np.zeros((d, d))
    for _ in range(MOST_BENDS):
        total, first, products = integral(t_0, 1.0 / np.sqrt(second), bend, lags, theta, agreed)
        if total > 0.0:
            break
        # along a straight line the integrand is nowhere larger than at the saddle
        bend *= 0.5
    for i in range(d):
        for j in range(i):
            products[j, i] = products[i, j]
    if not (total > 0.0 and abs(np.trace(products) / total - 1.0) < 1e-9):
        return np.nan, np.full(d, np.nan), np.full((d, d), np.nan)
    log_z = largest + at_saddle.real + np.log(2.0 * total)
    log_z += np.log(2.0) + 0.5 * d * np.log(np.pi) - np.log(2.0 * np.pi)
    return log_z, first / total, products / total


@njit(cache=True, error_model="numpy")
def normaliser(A, b):
    """Log Z, E[x] (d,) and E[x x'] (d, d) of symmetric A (d, d) and b (d,); NaN unless finite."""
    d = len(b)
    if not (np.all(np.isfinite(A)) and np.all(np.isfinite(b))):
        return np.nan, np.full(d, np.nan), np.full((d, d), np.nan)
    eigenvalues, axes = np.linalg.eigh(0.5 * (A + A.T))
    axes = np.ascontiguousarray(axes)
    log_z, first, products = along_axes(eigenvalues, np.dot(axes.T, b))
    return log_z, np.dot(axes, first), np.dot(np.dot(axes, products), axes.T)


class FisherBingham(CompiledFunction):
    """Log Z, E[x] and E[x x'] of A and b; see `normaliser`."""

    gufunc_signature = "(d,d),(d)->(),(d),(d,d)"
    kernel = staticmethod(normaliser)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """E[x x'] and E[x] for log Z; second derivatives are not offered."""
        _, first, products = outputs
        if any(connected(cotangents)[1:]):
            why = "second derivatives of log Z of a Fisher-Bingham distribution"
            return self.no_derivatives(inputs, why)
        return [cotangents[0] * products, cotangents[0] * first]
