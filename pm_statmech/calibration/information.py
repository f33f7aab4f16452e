r"""Curvature and scores of a loss at its minimiser: the two sides of the sandwich.

.. math:: J = \frac1n \sum_i \nabla^2 \ell_i(\hat\theta), \qquad
          I = \frac1n \sum_i \nabla \ell_i(\hat\theta)\, \nabla \ell_i(\hat\theta)^\top

Where the loss has kinks its curvature is the density of what meets the kink, which no derivative
sees: there :math:`\ell` is convolved with a normal density of width h in the curvature, and left
as it is in the scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace
from scipy.stats import norm

from pm_statmech.energy_function import Layout
from pm_statmech.errors import CalibrationError
from pm_statmech.gibbs import GibbsLossRV
from pm_statmech.losses import Loss
from pm_statmech.tempering import TemperedModel

N_BLOCKS = 20


class LossInformation(NamedTuple):
    """J and I (d, d) of n observations at a point, and both without each of B blocks (B, d, d).

    `bandwidth` of the kernel at the kinks, NaN where there are none.
    """

    J: np.ndarray
    I: np.ndarray
    n: int
    J_without: np.ndarray
    I_without: np.ndarray
    bandwidth: float

    @property
    def covariance(self) -> np.ndarray:
        """Sandwich covariance of the minimiser, J^-1 I J^-1 / n."""
        inverse = np.linalg.inv(self.J)
        return inverse @ self.I @ inverse / self.n


def check_one_axis(split: TemperedModel) -> None:
    """Raise CalibrationError for several tempered terms, or losses along other than one axis."""
    if len(split.terms) != 1 or split.terms[0].pointwise.type.ndim != 1:
        seen = [f"{t.name} ({t.pointwise.type.ndim} axes)" for t in split.terms]
        raise CalibrationError(
            "this takes one tempered term whose losses lie along one axis, of independent "
            f"observations; the model has {seen}."
        )


def loss_of_term(split: TemperedModel) -> Loss | None:
    """Loss of the first tempered term, or None for a likelihood."""
    [term, *_] = split.terms
    observed = {rv.name: rv for rv in split.model.observed_RVs}
    op = observed[term.name].owner.op if term.name in observed else None
    return op.loss if isinstance(op, GibbsLossRV) else None


def own_loss(split: TemperedModel) -> Loss | None:
    """Loss of the only tempered term, or None for a likelihood.

    Raises
    ------
    CalibrationError
        several terms, losses that lie along other than one axis, a loss without slopes.
    """
    check_one_axis(split)
    loss = loss_of_term(split)
    if loss is not None and not loss.smooth and loss.convolved is None:
        raise CalibrationError(
            f"{split.terms[0].name}: {loss.label} has jumps, or kinks of a kind that nobody "
            "described, so that it has no slopes and no curvature to match. Take a relative that "
            "has them (logistic for zero_one, pseudo_huber), or wrap your own function in a "
            "Loss(smooth=True)."
        )
    return loss


def hall_sheather(residuals: np.ndarray, tau: float) -> float:
    r"""Bandwidth of a density estimate at the tau-quantile of residuals.

    .. math:: h = \left(\Phi^{-1}(\tau + h_0) - \Phi^{-1}(\tau - h_0)\right)
              \min\left(s, \frac{\mathrm{IQR}}{1.34}\right), \qquad
              h_0 = n^{-1/3} z^{2/3} \left(\frac{1.5\, \varphi(q)^2}{2 q^2 + 1}\right)^{1/3}

    with q the tau-quantile of the standard normal and z that of 0.975. Source: Hall and Sheather
    (1988), JRSS B 50, 381-391.
    """
    q, z = norm.ppf(tau), norm.ppf(0.975)
    h0 = (z**2 * 1.5 * norm.pdf(q) ** 2 / (len(residuals) * (2 * q**2 + 1))) ** (1 / 3)
    low, high = np.percentile(residuals, [25, 75])
    spread = min(np.std(residuals, ddof=1), (high - low) / 1.34)
    inside = min(tau - 1e-6, 1 - 1e-6 - tau)
    h0 = min(h0, inside)
    return float((norm.ppf(tau + h0) - norm.ppf(tau - h0)) * spread)


def _arguments(split: TemperedModel):
    """Graphs of observed data, weights and predictions of the only term."""
    rv = split.model[split.terms[0].name]
    _, weights, *prediction = rv.owner.op.dist_params(rv.owner)
    return split.model.rvs_to_values[rv], weights, prediction


def chosen_bandwidth(split: TemperedModel, layout: Layout, loss: Loss, point: np.ndarray) -> float:
    """Hall and Sheather's bandwidth of the residuals at a point, for losses of a residual."""
    if not loss.residual:
        raise CalibrationError(
            f"{loss.label} has kinks, and not in a residual: give the width of its kernel "
            "estimate, bandwidth=, in the unit of the score."
        )
    observed, _, prediction = _arguments(split)
    residual = observed - prediction[0]
    if len(prediction) == 2:
        residual = residual / prediction[1]
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    [graph] = split.model.replace_rvs_by_values([residual])
    [graph] = clone_replace([graph], list(zip(split.value_vars, layout.split(x), strict=True)))
    with split.model:
        residuals = pymc_compile([x], graph, mode="NUMBA", on_unused_input="ignore")(point)
    tau = dict(loss.parameters).get("tau", 0.5)
    found = hall_sheather(np.ravel(residuals), tau)
    if not found > 0:
        raise CalibrationError(
            f"half of the residuals of {split.terms[0].name} are equal: their density at the kink "
            "is not finite. Give bandwidth=."
        )
    return found


def loss_information(
    split: TemperedModel, layout: Layout, point: np.ndarray, bandwidth: float | None = None
) -> LossInformation:
    """Curvature and scores of the only term's losses at a flat point (d,).

    Raises
    ------
    CalibrationError
        as `own_loss`; fewer observations than parameters; a curvature that is not positive
        definite.
    """
    loss = own_loss(split)
    kinked = loss is not None and not loss.smooth
    if loss is not None and kinked and bandwidth is None:
        bandwidth = chosen_bandwidth(split, layout, loss, point)
    if bandwidth is not None and not bandwidth > 0:
        raise CalibrationError(f"bandwidth = {bandwidth:g}: the width of a kernel is positive.")
    gradients, curvature = slopes_and_curvature(split, layout, bandwidth if kinked else None)
    columns = [gradients(point, unit) for unit in np.eye(layout.size)]
    scores = np.column_stack(columns)
    n, d = scores.shape
    if n <= d:
        raise CalibrationError(
            f"{split.terms[0].name} has {n} observations for {d} parameters: their slopes do not "
            "span the parameters."
        )
    block = np.arange(n) % min(N_BLOCKS, n)
    parts = np.array([curvature(point, (block == b).astype(float)) for b in np.unique(block)])
    products = np.array([scores[block == b].T @ scores[block == b] for b in np.unique(block)])
    left = n - np.bincount(block)[:, None, None]
    found = LossInformation(
        parts.sum(axis=0) / n,
        products.sum(axis=0) / n,
        n,
        (parts.sum(axis=0) - parts) / left,
        (products.sum(axis=0) - products) / left,
        float(bandwidth) if kinked and bandwidth is not None else np.nan,
    )
    for name, matrix in (("curvature", found.J), ("covariance of the slopes", found.I)):
        values, vectors = np.linalg.eigh(matrix)
        scale = np.sqrt(np.diag(matrix))
        if not np.all(scale > 0) or np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] < 1e-10:
            worst = layout.coordinate_names()[int(np.argmax(np.abs(vectors[:, 0])))]
            raise CalibrationError(
                f"the {name} of {split.terms[0].name} is not positive definite at its minimiser: "
                f"along {worst} it is {values[0]:.3g}. A parameter that the loss does not "
                "determine, as one of a hierarchical prior, has no beta to match."
            )
    return found


def slopes_and_curvature(split: TemperedModel, layout: Layout, bandwidth: float | None):
    """Functions (x, direction) -> slopes (n,), and (x, weights) -> Hessian (d, d)."""
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    ratio = split.terms[0].beta / split.target_beta
    exact = smooth = split.terms[0].pointwise
    if bandwidth is not None:
        observed, weights, prediction = _arguments(split)
        loss = split.model[split.terms[0].name].owner.op.loss
        law = loss.convolved(pt.constant(np.float64(bandwidth)))
        if loss.residual:
            residual = observed - prediction[0]
            residual = residual / prediction[1] if len(prediction) == 2 else residual
            smooth = weights * law(residual)
        else:
            smooth = weights * law(observed, *prediction)
    pieces = list(zip(split.value_vars, layout.split(x), strict=True))
    graphs = split.model.replace_rvs_by_values([ratio * exact, ratio * smooth])
    graphs = clone_replace(graphs, pieces)
    exact, smooth = rewrite_pregrad([pt.cast(graph, "float64") for graph in graphs])
    direction = pt.vector("direction", shape=(layout.size,), dtype="float64")
    counted = pt.vector("counted", dtype="float64")
    slope = pytensor.gradient.pushforward(exact, x, direction)
    gradient = pytensor.grad(
        pt.sum(counted * smooth), x, return_disconnected="zero", disconnected_inputs="ignore"
    )
    hessian = pytensor.gradient.jacobian(gradient, x, vectorize=True, disconnected_inputs="ignore")
    with split.model:
        return (
            pymc_compile([x, direction], slope, mode="NUMBA", on_unused_input="ignore"),
            pymc_compile([x, counted], hessian, mode="NUMBA", on_unused_input="ignore"),
        )
