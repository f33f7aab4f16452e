r"""The dual of an information projection, by Newton's steps within orthants.

.. math:: \min_\lambda\; \log \sum_i b_i e^{\lambda \cdot T_i}
          - \sum_{\lambda_k > 0} \lambda_k l_k - \sum_{\lambda_k < 0} \lambda_k u_k
          + \tfrac12 \sum_k v_k \lambda_k^2

A mean whose constraint binds from below has lambda > 0, from above lambda < 0, and one whose
constraint does not bind 0. Statistics may follow from each other: steps are then the shortest, and
of constraints that are tied those are let go that do not bind.

Source: Boyd and Vandenberghe (2004), Convex Optimization, sections 5.2 and 9.5; Andrew and Gao
(2007), ICML, for orthants.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lstsq

from pm_statmech.concentration.constraints import Constraints

MOST_STEPS = 300
# largest change of an exponent in the last step: on an edge it stays near 1
SETTLED = 1e-8
# largest distance of a mean from its constraint before that step, in ranges of the statistic
MET = 1e-8


def _moments(T, log_base, eta):
    exponents = log_base + T @ eta
    highest = np.max(exponents)
    p = np.exp(exponents - highest)
    total = np.sum(p)
    return highest + np.log(total), p / total


def _along_ties(centred, p, slope, v, eta, free, orthant):
    """Which entries stay free (K,), and eta (K,) with one more at 0 where constraints are tied.

    Along a combination of statistics that is the same everywhere the objective is a line: either
    it is level, or it falls until an entry comes to 0, whose constraint then does not bind. None
    where none does, and the objective falls without end.
    """
    free = free.copy()
    while np.any(free):
        at = np.flatnonzero(free)
        hessian = (centred[:, at].T * p) @ centred[:, at] + np.diag(v[at])
        sizes, vectors = np.linalg.eigh(hessian)
        flat = vectors[:, sizes <= 1e-13 * max(float(np.trace(hessian)), 1e-300)]
        fall = -flat @ (flat.T @ slope[at])
        if flat.shape[1] == 0 or np.max(np.abs(fall)) < MET:
            return free, eta
        may_stop = orthant[at] != 0
        wrong = may_stop & (eta[at] == 0) & (fall * orthant[at] < 0)
        if np.any(wrong):
            # it would leave its orthant at once
            free[at[np.argmax(wrong)]] = False
            continue
        down = may_stop & (eta[at] * fall < 0)
        if not np.any(down):
            return None
        reach = np.where(down, -eta[at] / np.where(down, fall, 1.0), np.inf)
        eta = eta.copy()
        eta[at] += np.min(reach) * fall
        eta[at[np.argmin(reach)]] = 0.0
        free[at[np.argmin(reach)]] = False
    return free, eta


def least_dual(T: np.ndarray, log_base: np.ndarray, constraints: Constraints) -> np.ndarray | None:
    """Natural parameters (K,) of statistics T (S, K) and log base (S,), None where they diverge."""
    low, high, variance = constraints
    both = low == high
    centre = np.where(
        both, low, np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0))
    )
    # relative to the means, so that no offset costs digits
    spread = np.ptp(T, axis=0)
    # on a face a statistic may be the same everywhere
    scale = np.where(spread > 0, spread, 1.0)
    X = (T - centre) / scale
    low, high, v = (low - centre) / scale, (high - centre) / scale, variance / scale**2

    def cost(eta, log_z):
        ends = np.where(eta > 0, low, np.where(eta < 0, high, 0.0))
        return log_z - np.sum(eta * ends) + 0.5 * np.sum(v * eta**2)

    eta = np.zeros(X.shape[1])
    log_z, p = _moments(X, log_base, eta)
    value = cost(eta, log_z)
    for _ in range(MOST_STEPS):
        mean = p @ X
        outside = (mean < low) * 1.0 - (mean > high) * 1.0
        # equalities bind on either side, and are never let go
        orthant = np.where(both, 0.0, np.where(eta != 0, np.sign(eta), outside))
        free = both | (orthant != 0)
        target = np.where(both | (orthant > 0), low, high)
        moved = _along_ties(X - mean, p, mean - target + v * eta, v, eta, free, orthant)
        if moved is None:
            return None
        free, eta = moved
        if not np.any(free):
            return eta / scale
        slope = (mean - target + v * eta)[free]
        centred = X[:, free] - mean[free]
        hessian = (centred.T * p) @ centred + np.diag(v[free])
        step = np.zeros_like(eta)
        step[free] = -lstsq(hessian, slope, cond=1e-14, lapack_driver="gelsy")[0]
        decrement = -float(step[free] @ slope)
        change = float(np.max(np.abs(centred @ step[free])))
        if not np.isfinite(change) or decrement < -1e-12:
            return None
        length = 1.0
        while True:
            trial = eta + length * step
            trial = np.where(~both & (trial * orthant < 0), 0.0, trial)
            log_z, p = _moments(X, log_base, trial)
            new = cost(trial, log_z)
            if new <= value - 1e-4 * length * decrement or (decrement < 1e-9 and length == 1.0):
                break
            length *= 0.5
            if length < 1e-12:
                return None
        eta, value = trial, new
        if change * length < SETTLED and decrement < 1e-20 and length == 1.0:
            # outside the hull all weight comes to lie on a few states, and nothing moves either
            return eta / scale if np.max(np.abs(slope)) < MET else None
    return None
