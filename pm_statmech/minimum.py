r"""The minimiser of a model's loss and log prior, by a method that suits the loss.

.. math:: \hat\theta = \arg\min_\theta \; \beta_* E(\theta) - \log \pi_0(\theta)

in constrained coordinates, so without Jacobians: the MAP, and the plain minimiser of the loss
under flat priors. Each method is one function; `minimise` picks by what the terms are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions.continuous import FlatRV
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace
from scipy import optimize

from pm_statmech.energy_function import Layout, flat_point, layout_of
from pm_statmech.errors import EnergyError, UnsupportedVariableError
from pm_statmech.gibbs import GibbsLossRV
from pm_statmech.losses import Loss
from pm_statmech.regression import (
    LinearLoss,
    linear_programme,
    reweighted_least_squares,
    slope_of,
)
from pm_statmech.tempering import TemperedModel, kept_in_prior, tempered_model

NEWTON_LIMIT = 200
PIECEWISE_LINEAR = ("pinball", "absolute")


class Minimum(NamedTuple):
    """Where beta E - log pi_0 is smallest.

    `point` {variable: value}, constrained; `energy` E there (without beta); `objective` what was
    minimised; `method`; `converged` and the optimiser's `message`.
    """

    point: dict[str, np.ndarray]
    energy: float
    objective: float
    method: str
    converged: bool
    message: str


def _flat_vector(split: TemperedModel, layout: Layout):
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    return x, dict(zip(split.value_vars, layout.split(x), strict=True))


def _compile(split: TemperedModel, inputs, outputs):
    with split.model:
        return pymc_compile(inputs, outputs, mode="NUMBA", on_unused_input="ignore")


class Objective(NamedTuple):
    """beta E - log pi_0 as functions (x, width); the width smooths the kinks, where there are."""

    value_and_gradient: Callable
    hessian: Callable | None


def _compile_objective(
    split: TemperedModel, layout: Layout, *, smooth: bool, with_hessian: bool
) -> Objective:
    x, pieces = _flat_vector(split, layout)
    width = pt.scalar("width", dtype="float64")
    energy = _smoothed_energy(split, width) if smooth else split.energy
    graphs = clone_replace([_log_prior(split), energy], pieces)
    log_prior, energy = rewrite_pregrad([pt.cast(g, "float64") for g in graphs])
    objective = pt.constant(np.float64(split.target_beta)) * energy - log_prior
    gradient = pytensor.grad(objective, x, disconnected_inputs="ignore", return_disconnected="zero")
    both = _compile(split, [x, width], [objective, gradient])
    hessian = None
    if with_hessian:
        graph = pytensor.gradient.jacobian(
            gradient, x, disconnected_inputs="ignore", vectorize=True
        )
        hessian = _compile(split, [x, width], graph)
    return Objective(both, hessian)


def _log_prior(split: TemperedModel):
    """Log pi_0 in constrained coordinates: no Jacobians."""
    kept = kept_in_prior(split.model, split.terms)
    return split.model.logp(vars=kept, jacobian=False, sum=True)


def _smoothed_energy(split: TemperedModel, width):
    """The energy with the law of every kinked loss replaced by its smooth relative."""
    total = 0.0
    for term in split.terms:
        pointwise = term.pointwise
        loss = loss_of(split.model, term.name)
        if loss is not None and loss.smoothed is not None:
            rv = split.model[term.name]
            _, weights, *prediction = rv.owner.op.dist_params(rv.owner)
            smooth = replace(loss, law=loss.smoothed(width))
            pointwise = weights * smooth(split.model.rvs_to_values[rv], *prediction)
        ratio = pt.constant(np.float64(term.beta / split.target_beta))
        total = total + ratio * pt.sum(pt.cast(pointwise, "float64"))
    [energy] = split.model.replace_rvs_by_values([total])
    return energy


def loss_of(model: pm.Model, name: str) -> Loss | None:
    """Loss of an observed variable, or None where it is no loss."""
    observed = {rv.name: rv for rv in model.observed_RVs}
    if name in observed and isinstance(observed[name].owner.op, GibbsLossRV):
        return observed[name].owner.op.loss
    return None


def linear_loss(split: TemperedModel, layout: Layout) -> LinearLoss | None:
    """Read the model as one residual loss of an affine prediction, if it is; its priors apart."""
    model = split.model
    if len(split.terms) != 1 or model.potentials or len(model.observed_RVs) != 1:
        return None
    loss = loss_of(model, split.terms[0].name)
    if loss is None or not loss.residual:
        return None
    rv = model.observed_RVs[0]
    observed = model.rvs_to_values[rv]
    _, weights, *prediction = rv.owner.op.dist_params(rv.owner)
    scale = prediction[1] if len(prediction) == 2 else pt.constant(np.float64(1.0))
    arrays = [pt.flatten(pt.broadcast_to(a, observed.shape)) for a in (prediction[0], scale)]
    weights = pt.flatten(pt.broadcast_to(weights, observed.shape))
    x, pieces = _flat_vector(split, layout)
    graphs = model.replace_rvs_by_values([*arrays, weights, pt.flatten(observed)])
    function = _compile(split, [x], clone_replace(graphs, pieces))
    origin, scale_0, weight, data = function(np.zeros(layout.size))
    design = np.stack([function(row)[0] - origin for row in np.eye(layout.size)], axis=1)
    rng = np.random.default_rng(0)
    for _ in range(2):
        probe = 10 * rng.standard_normal(layout.size)
        there, scale_there, *_ = function(probe)
        if not np.allclose(there, origin + design @ probe, rtol=1e-9, atol=1e-9):
            return None
        if not np.array_equal(scale_there, scale_0):
            return None
    return LinearLoss(loss, design, data - origin, weight, scale_0)


def newton(objective: Objective, start: np.ndarray, width: float) -> optimize.OptimizeResult:
    """Trust-region Newton with the exact Hessian, More and Sorensen (1983), through SciPy."""
    return optimize.minimize(
        objective.value_and_gradient, start, args=(width,), jac=True, hess=objective.hessian,
        method="trust-exact", options={"gtol": 1e-8, "maxiter": 1000},
    )  # fmt: skip


def limited_memory(
    objective: Objective, start: np.ndarray, width: float
) -> optimize.OptimizeResult:
    """L-BFGS, Liu and Nocedal (1989), through SciPy, for many parameters."""
    return optimize.minimize(
        objective.value_and_gradient, start, args=(width,), jac=True, method="L-BFGS-B",
        options={"maxiter": 10_000, "maxfun": 50_000, "ftol": 1e-14, "gtol": 1e-9},
    )  # fmt: skip


def smoothing_widths(split: TemperedModel) -> list[float]:
    """Smoothing widths from the spread of the data down to a millionth of it."""
    spreads = [
        float(np.std(np.asarray(split.model.rvs_to_values[rv].eval(), dtype=float)))
        for rv in split.model.observed_RVs
    ]
    spread = max([s for s in spreads if s > 0], default=1.0)
    return [spread * 10.0**-k for k in range(1, 6)]


def minimise(model: pm.Model | None = None, *, tempered=None, start: dict | None = None) -> Minimum:
    r"""Minimise a model's loss (plus minus log prior): the MAP, by a method that suits the loss.

    .. math:: \hat\theta = \arg\min_\theta \; \beta_* E(\theta) - \log \pi_0(\theta)

    Pinball and absolute loss of an affine prediction with flat priors: a linear programme, exact.
    Other residual losses of one: iteratively reweighted least squares. Everything else:
    trust-region Newton with exact derivatives (L-BFGS beyond 200 parameters), with kinks
    approached through smooth relatives of shrinking width. ``pm.find_MAP`` stops at kinks.

    Parameters
    ----------
    model
        by default the one in context; flat priors are welcome.
    tempered
        as in `tempered_model`.
    start
        {variable: value} to start from, constrained; by default the model's initial point.

    Returns
    -------
    Minimum
        point, energy, objective, method, converged, message.

    Raises
    ------
    UnsupportedVariableError
        a free variable is discrete.
    EnergyError
        the objective is not finite at the start.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     m = pm.Flat("m")
    ...     y = pms.GibbsLoss("y", m, loss=pms.losses.pinball(0.5), observed=np.arange(7.0))
    ...     found = pms.minimise()
    >>> found.method, float(found.point["m"])
    ('linear programme', 3.0)
    """
    model = pm.modelcontext(model)
    split = tempered_model(model, tempered=tempered)
    discrete = [v.name for v in split.value_vars if v.type.dtype not in ("float64", "float32")]
    if discrete:
        raise UnsupportedVariableError(
            f"the free variable(s) {discrete} are discrete: fix or marginalise them to minimise."
        )
    layout = layout_of(split)
    flat = all(isinstance(rv.owner.op, FlatRV) for rv in model.free_RVs)
    linear = linear_loss(split, layout) if flat else None
    if (
        linear is not None
        and linear.loss.name in ("pinball", "absolute")
        and not linear.loss.smooth
    ):
        found, method = linear_programme(linear), "linear programme"
    elif linear is not None and linear.loss.smooth:
        found = reweighted_least_squares(linear, slope_of(linear.loss))
        method = "iteratively reweighted least squares"
    else:
        found, method = _general(split, layout, start)
    if found.x is None:
        raise EnergyError(f"no minimum was found: {found.message}. Is the loss bounded below?")
    return _as_minimum(split, layout, found, method)


def _general(split: TemperedModel, layout: Layout, start: dict | None):
    """Newton or L-BFGS, through smoothed losses where the model has kinks."""
    x = flat_point(split, layout, start or {})
    losses = [loss_of(split.model, term.name) for term in split.terms]
    kinked = [loss for loss in losses if loss is not None and not loss.smooth]
    second_order = layout.size <= NEWTON_LIMIT
    method = "Newton" if second_order else "L-BFGS"
    can_smooth = bool(kinked) and all(loss.smoothed is not None for loss in kinked)
    if kinked and not can_smooth:
        # a kink without a smooth relative has no Hessian to trust
        second_order, method = False, "L-BFGS"
    objective = _compile_objective(split, layout, smooth=can_smooth, with_hessian=second_order)
    previous = np.full_like(x, np.inf)
    for width in smoothing_widths(split) if can_smooth else [1.0]:
        value, slope = objective.value_and_gradient(x, width)
        if not np.isfinite(value) or not np.all(np.isfinite(slope)):
            raise EnergyError(
                f"beta E - log pi_0 is {value} at the start {x} (unconstrained scale): give "
                "a better start=."
            )
        found = (newton if second_order else limited_memory)(objective, x, width)
        previous, x = x, found.x
    if can_smooth:
        # the last widths are at the edge of rounding: what counts is that the answer stands still
        found.success = bool(np.allclose(x, previous, rtol=1e-3, atol=1e-6))
        return found, f"{method}, smoothed kinks"
    return found, method


def _as_minimum(split: TemperedModel, layout: Layout, found, method: str) -> Minimum:
    model = split.model
    x, pieces = _flat_vector(split, layout)
    names = [rv.name for rv in model.free_RVs]
    constrained = [v for v in model.unobserved_value_vars if v.name in names]
    outputs = [pieces.get(v, v) for v in constrained]
    function = _compile(
        split, [x], clone_replace([split.energy, _log_prior(split), *outputs], pieces)
    )
    energy, prior, *values = function(np.asarray(found.x, dtype=float))
    return Minimum(
        point={v.name: np.asarray(a) for v, a in zip(constrained, values, strict=True)},
        energy=float(energy),
        objective=float(split.target_beta * energy - prior),
        method=method,
        converged=bool(found.success),
        message=str(found.message),
    )
