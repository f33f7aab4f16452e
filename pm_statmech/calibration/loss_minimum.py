r"""The minimiser of a loss alone, without its prior, of observations that may be weighted.

.. math:: \hat\theta_w = \arg\min_\theta \sum_i w_i\, \ell_i(\theta)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace
from scipy import optimize

from pm_statmech.energy_function import Layout, flat_point
from pm_statmech.errors import CalibrationError
from pm_statmech.minimum import linear_loss, loss_of, smoothing_widths
from pm_statmech.regression import linear_programme, reweighted_least_squares, slope_of
from pm_statmech.tempering import TemperedModel

# of the largest slope, per observation, at which a minimum is one
GRADIENT = 1e-8


def loss_minimiser(split: TemperedModel, layout: Layout) -> Callable[[np.ndarray], np.ndarray]:
    """Function of weights (n,) of the observations to the flat minimiser (d,).

    An affine prediction by linear programme or reweighted least squares, as `minimise` does it;
    anything else by BFGS from the model's initial point, kinks through smooth relatives.
    """
    linear = linear_loss(split, layout)
    if (
        linear is not None
        and linear.loss.name in ("pinball", "absolute")
        and not linear.loss.smooth
    ):

        def by_programme(weights: np.ndarray) -> np.ndarray:
            problem = linear._replace(weights=linear.weights * weights)
            return _converged(linear_programme(problem))

        return by_programme
    if linear is not None and linear.loss.smooth and linear.loss.convex:
        slope = slope_of(linear.loss)

        def by_least_squares(weights: np.ndarray) -> np.ndarray:
            problem = linear._replace(weights=linear.weights * weights)
            return _converged(reweighted_least_squares(problem, slope))

        return by_least_squares
    return _general(split, layout)


def _converged(found: optimize.OptimizeResult) -> np.ndarray:
    if found.x is None or not found.success:
        raise CalibrationError(f"the loss has no minimum that was found: {found.message}")
    return np.asarray(found.x, dtype=float)


def _general(split: TemperedModel, layout: Layout) -> Callable[[np.ndarray], np.ndarray]:
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    width, counted = pt.scalar("width", dtype="float64"), pt.vector("counted", dtype="float64")
    pointwise = split.terms[0].pointwise
    loss = loss_of(split.model, split.terms[0].name)
    widths = [1.0]
    if loss is not None and not loss.smooth and loss.smoothed is not None:
        widths = smoothing_widths(split)
        rv = split.model[split.terms[0].name]
        _, weights, *prediction = rv.owner.op.dist_params(rv.owner)
        relative = replace(loss, law=loss.smoothed(width))
        pointwise = weights * relative(split.model.rvs_to_values[rv], *prediction)
    [graph] = split.model.replace_rvs_by_values([pt.sum(counted * pointwise)])
    [graph] = clone_replace([graph], list(zip(split.value_vars, layout.split(x), strict=True)))
    [total] = rewrite_pregrad([pt.cast(graph, "float64")])
    gradient = pytensor.grad(total, x, return_disconnected="zero", disconnected_inputs="ignore")
    with split.model:
        both = pymc_compile(
            [x, width, counted], [total, gradient], mode="NUMBA", on_unused_input="ignore"
        )
    start = flat_point(split, layout, {})

    def by_bfgs(weights: np.ndarray) -> np.ndarray:
        at = start
        for w in widths:
            found = optimize.minimize(both, at, args=(w, weights), jac=True, method="BFGS",
                                      options={"gtol": GRADIENT * len(weights)})  # fmt: skip
            at = found.x
        slope = np.max(np.abs(found.jac)) / len(weights)
        if not np.isfinite(found.fun) or slope > 1e-4 * (1 + abs(found.fun) / len(weights)):
            raise CalibrationError(
                f"the loss has no minimum that was found ({found.message}): is it bounded below, "
                "and does it determine every parameter?"
            )
        return at

    return by_bfgs
