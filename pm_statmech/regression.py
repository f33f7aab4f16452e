"""Minimisers of residual losses of an affine prediction: quantile and robust regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy import optimize

from pm_statmech.losses import Loss

# observations that a linear programme takes whole, and reweightings of a guess for more
WHOLE_PROGRAMME, N_GUESSES = 3000, 30


class LinearLoss(NamedTuple):
    """A residual loss of y - (offset + design b), with weights."""

    loss: Loss
    design: np.ndarray
    target: np.ndarray
    weights: np.ndarray
    scale: np.ndarray


def linear_programme(problem: LinearLoss) -> optimize.OptimizeResult:
    r"""Pinball or absolute loss of an affine prediction, exactly, by the dual of its programme.

    .. math:: \min_b \sum_i w_i\, \ell_\tau(y_i - x_i b)
              = \max_\lambda y^\top \lambda \quad \text{with} \quad X^\top \lambda = 0, \;
              -(1 - \tau)\, w \le \lambda \le \tau w

    b are the multipliers of its d constraints. Of many observations the programme takes those
    whose residuals from a first guess are smallest, and has the others at the bound that the sign
    of theirs says; it takes more until the signs are those of the answer.

    Sources: Koenker and Bassett (1978), Econometrica 46; Portnoy and Koenker (1997), Statistical
    Science 12, 279-300, for many observations; solved by HiGHS through SciPy.
    """
    tau = dict(problem.loss.parameters).get("tau", 0.5)
    weight = problem.weights / problem.scale
    low, high = -(1 - tau) * weight, tau * weight
    n = len(problem.target)
    if n <= WHOLE_PROGRAMME:
        return _dual(problem, np.arange(n), np.zeros(n), low, high)
    guess = _first_guess(problem, weight, tau)
    residual = problem.target - problem.design @ guess
    order, taken = np.argsort(np.abs(residual)), WHOLE_PROGRAMME
    while True:
        free = order[:taken]
        fixed = np.where(residual > 0, high, low)
        fixed[free] = 0.0
        found = _dual(problem, free, fixed, low, high)
        if taken == n:
            return found
        if found.x is not None and found.success:
            there = problem.target - problem.design @ found.x
            out = order[taken:]
            if np.all(there[out] * residual[out] > 0):
                return found
            residual = there
            order = np.argsort(np.abs(residual))
        taken = min(2 * taken, n)


def _dual(problem: LinearLoss, free, fixed, low, high) -> optimize.OptimizeResult:
    """Dual programme of some observations, the multipliers of all others fixed."""
    found = optimize.linprog(
        -problem.target[free], A_eq=problem.design[free].T, b_eq=-problem.design.T @ fixed,
        bounds=np.column_stack([low[free], high[free]]), method="highs",
    )  # fmt: skip
    if found.x is not None:
        found.x = -found.eqlin.marginals
    return found


def _first_guess(problem: LinearLoss, weight: np.ndarray, tau: float) -> np.ndarray:
    """Near the minimiser of a pinball loss, by least squares with weights 1 / abs(residual)."""
    design, target = problem.design, problem.target
    b = np.linalg.lstsq(design, target, rcond=None)[0]
    for _ in range(N_GUESSES):
        residual = target - design @ b
        least = 1e-3 * np.median(np.abs(residual)) + 1e-300
        own = weight * np.where(residual < 0, 1 - tau, tau) / np.maximum(np.abs(residual), least)
        root = np.sqrt(own)
        b = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
    return b


def slope_of(loss: Loss) -> Callable[[np.ndarray], np.ndarray]:
    """Compiled derivative of a residual loss's law at residuals (n,)."""
    r = pt.vector("r", dtype="float64")
    return pytensor.function([r], pytensor.grad(pt.sum(loss.law(r)), r))


def reweighted_least_squares(problem: LinearLoss, slope: Callable) -> optimize.OptimizeResult:
    r"""Smooth residual loss of an affine prediction by iteratively reweighted least squares.

    .. math:: b \leftarrow \arg\min_b \sum_i \frac{w_i}{s_i^2}
              \frac{\ell'(r_i)}{r_i} (y_i - x_i b)^2, \qquad r_i = (y_i - x_i b)/s_i

    with the slope of the law, see `slope_of`. A loss that is not convex starts from the least
    absolute deviations. Source: Holland and Welsch (1977), Commun. Stat. A6.
    """
    curvature = float(slope(np.array([1e-6]))[0] / 1e-6)
    design, target = problem.design, problem.target
    if problem.loss.convex:
        b = np.linalg.lstsq(design, target, rcond=None)[0]
    else:
        b = linear_programme(problem._replace(loss=Loss("absolute", problem.loss.law))).x
    for iteration in range(500):
        residual = (target - design @ b) / problem.scale
        small = np.abs(residual) < 1e-6
        safe = np.where(small, 1.0, residual)
        weight = np.where(small, curvature, slope(safe) / safe)
        root = np.sqrt(problem.weights * weight) / problem.scale
        new = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        change = np.max(np.abs(new - b)) / (1e-8 + np.max(np.abs(new)))
        b = new
        if change < 1e-12:
            return optimize.OptimizeResult(
                x=b, success=True, message=f"converged in {iteration + 1} iterations"
            )
    return optimize.OptimizeResult(
        x=b, success=False, message="the weights still change after 500 iterations"
    )
