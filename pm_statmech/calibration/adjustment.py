r"""Draws of a loss's posterior, stretched to the spread that the data show.

With Q the curvature of minus the log posterior, H that of the loss, and V the covariance of the
losses' gradients, all at the posterior mean,

.. math:: \theta' = \bar\theta + \Omega\, (\theta - \bar\theta), \qquad
          \Omega = Q^{-1} M^{1/2} Q^{1/2}, \quad M = \beta^2 V + (Q - \beta H)

so that draws with covariance Q^-1 get that of the sandwich, Q^-1 M Q^-1. Where the loss is the true
likelihood, beta V = H, and nothing changes; what the prior says, Q - beta H, counts as it is.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace
from xarray import DataTree

from pm_statmech import datatree
from pm_statmech.calibration.information import chosen_bandwidth, own_loss, slopes_and_curvature
from pm_statmech.energy_function import Layout, layout_of
from pm_statmech.errors import CalibrationError
from pm_statmech.tempering import TemperedModel, tempered_model
from pm_statmech.trace_bridge import unconstrained_draws


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Symmetric root of a symmetric matrix (d, d) without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def stretch(Q: np.ndarray, H: np.ndarray, V: np.ndarray, beta: float) -> np.ndarray:
    """Omega (d, d) of curvatures Q, H and the covariance V of the summed gradients (d, d)."""
    M = beta**2 * V + (Q - beta * H)
    return np.linalg.solve(Q, square_root(M) @ square_root(Q))


def curvatures(split: TemperedModel, layout: Layout, bandwidth: float | None = None):
    """Function of a flat vector: curvatures of log prior and loss, and gradients (N, d).

    `bandwidth` is that of the kernel at a loss's kinks, None where it has none.
    """
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    pieces = list(zip(split.value_vars, layout.split(x), strict=True))
    [log_prior] = clone_replace([split.log_prior], pieces)
    [log_prior] = rewrite_pregrad([pt.cast(log_prior, "float64")])
    gradient = pytensor.grad(log_prior, x, return_disconnected="zero", disconnected_inputs="ignore")
    hessian = pytensor.gradient.jacobian(gradient, x, vectorize=True, disconnected_inputs="ignore")
    with split.model:
        of_prior = pymc_compile([x], -hessian, mode="NUMBA", on_unused_input="ignore")
    along, of_loss = slopes_and_curvature(split, layout, bandwidth)

    def at(point: np.ndarray):
        columns = np.column_stack([along(point, unit) for unit in np.eye(layout.size)])
        return of_prior(point), of_loss(point, np.ones(len(columns))), columns

    return at


def _check_definite(name: str, matrix: np.ndarray, coordinates: list[str], advice: str) -> None:
    values, vectors = np.linalg.eigh(matrix)
    if values[0] <= 1e-12 * values[-1]:
        worst = coordinates[int(np.argmax(np.abs(vectors[:, 0])))]
        raise CalibrationError(
            f"{name} is not positive definite at the posterior mean: its eigenvalue along "
            f"{worst} is {values[0]:.3g}, of at most {values[-1]:.3g}. {advice}"
        )


def sandwich(
    dt: DataTree,
    model: pm.Model | None = None,
    *,
    bandwidth: float | None = None,
    tempered=None,
) -> DataTree:
    r"""Adjust the draws of a loss's posterior to the spread of its estimates (open-faced sandwich).

    .. math:: \theta' = \bar\theta + Q^{-1} M^{1/2} Q^{1/2} (\theta - \bar\theta), \qquad
              M = \beta^2 V + (Q - \beta H)

    with the curvatures Q of minus the log posterior and H of the loss, and the covariance
    :math:`V = \sum_i g_i g_i^\top` of the gradients of N independent losses about their mean. A
    loss has no scale of its own, and one beta cannot give several parameters the right spread: the
    sandwich does, in as far as the posterior is nearly normal. Draws move on the unconstrained
    scale, so that they stay inside their supports, and deterministics follow.

    Parameters
    ----------
    dt
        posterior at the model's own beta, of `sample_tempered`, ``pm.sample`` or elsewhere.
    model
        by default the one in context; with one tempered term along one axis.
    bandwidth
        of the normal kernel at the kinks of a loss, by default Hall and Sheather's at the
        posterior mean for losses of a residual.
    tempered
        as in `tempered_model`.

    Returns
    -------
    DataTree
        ``posterior`` with the adjusted draws, the data, and the group ``adjustment``: over
        ``coordinate`` of the unconstrained vector the standard deviations ``sd`` that curvature
        gives, ``sandwich_sd``, and their ``ratio``.

    Raises
    ------
    CalibrationError
        draws at another beta, several terms, a loss without slopes (0-1), fewer observations than
        parameters, a curvature that is not positive definite, as along the parameters of a
        hierarchical prior.
    TreeError
        a posterior that lacks free variables.

    Notes
    -----
    Source: Shaby (2014), The open-faced sandwich adjustment for MCMC using estimating functions,
    JCGS 23, 853-876; Ribatet, Cooley, Davison (2012), Statistica Sinica 22, 813-845, for
    composite likelihoods. Here the prior's curvature is left out of what is adjusted.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared(), observed=y, beta=1.0)
    ...     dt = pm.sample(100, tune=100, chains=2, nuts_sampler="pymc", progressbar=False,
    ...                    random_seed=1, quiet=True, compute_convergence_checks=False)
    ...     wide = pms.calibration.sandwich(dt)
    >>> # a beta of 1 asserted a variance of one half: a mean of 400 has the error 2 / 20
    >>> bool(abs(wide["adjustment"]["sandwich_sd"][0] / (y.std(ddof=1) / 20) - 1) < 1e-3)
    True
    """
    model = pm.modelcontext(model)
    split = tempered_model(model, tempered=tempered)
    loss = own_loss(split)
    drawn_at = float(dt["posterior"].attrs.get("target_beta", split.target_beta))
    if drawn_at != split.target_beta:
        raise CalibrationError(
            f"these draws are at beta = {drawn_at:g}, and the model's own is "
            f"{split.target_beta:g}: take draws of the model as it is."
        )
    layout = layout_of(split)
    x = unconstrained_draws(dt, split)
    centre = np.mean(x, axis=(0, 1))
    kinked = loss is not None and not loss.smooth
    if loss is not None and kinked and bandwidth is None:
        bandwidth = chosen_bandwidth(split, layout, loss, centre)
    at = curvatures(split, layout, bandwidth if kinked else None)
    prior_curvature, H, gradients = at(centre)
    n, d = gradients.shape
    if n <= d:
        raise CalibrationError(
            f"{split.terms[0].name} has {n} observations for {d} parameters: their gradients do "
            "not span the parameters. Take fewer parameters, or more data."
        )
    beta, coordinates = split.target_beta, layout.coordinate_names()
    Q = prior_curvature + beta * H
    V = n * np.atleast_2d(np.cov(gradients.T))
    _check_definite(
        "the curvature of minus the log posterior", Q, coordinates,
        "The posterior is not nearly normal there; a stronger prior, or other coordinates, may "
        "help.",
    )  # fmt: skip
    _check_definite(
        "M", beta**2 * V + prior_curvature, coordinates,
        "The prior curves the wrong way where the data say little: its parameters cannot be "
        "adjusted together with those of the loss.",
    )  # fmt: skip
    omega = stretch(Q, H, V, beta)
    moved = centre + (x - centre) @ omega.T
    by_curvature = np.linalg.inv(Q)
    sd = np.sqrt(np.diag(by_curvature))
    adjusted = np.sqrt(np.diag(omega @ by_curvature @ omega.T))
    posterior = dt["posterior"].dataset
    values = datatree.unpacked(split, layout, moved, list(posterior.data_vars))
    renewed = posterior.assign(
        {name: (posterior[name].dims, value) for name, value in values.items()}
    )
    own = {"bandwidth": float(bandwidth)} if kinked and bandwidth is not None else {}
    table = xr.Dataset(
        {
            "sd": ("coordinate", sd),
            "sandwich_sd": ("coordinate", adjusted),
            "ratio": ("coordinate", adjusted / sd),
        },
        coords={"coordinate": coordinates},
        attrs={"target_beta": beta, "method": "open-faced sandwich", **own},
    )
    kept = {f"/{name}": dt[name].dataset for name in dt.children if name.endswith("_data")}
    return DataTree.from_dict({"/posterior": renewed, "/adjustment": table, **kept})
