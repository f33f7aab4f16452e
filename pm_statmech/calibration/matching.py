r"""Beta by matching information: as much from the loss as its estimates really have.

A posterior at beta has, for many observations, the covariance :math:`(n \beta J)^{-1}`; estimates
have :math:`J^{-1} I J^{-1} / n`. One beta cannot make these matrices equal, unless I is a multiple
of J; it can make a number of them equal.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import xarray as xr

from pm_statmech.calibration.information import (
    LossInformation,
    loss_information,
    loss_of_term,
    own_loss,
)
from pm_statmech.calibration.loss_minimum import loss_minimiser
from pm_statmech.calibration.results import Calibration, inverse_unit
from pm_statmech.energy_function import Layout, flat_point, layout_of
from pm_statmech.errors import CalibrationError, UnsupportedVariableError
from pm_statmech.tempering import TemperedModel, tempered_model

PLUG_IN = (
    "observations are independent",
    "there are so many that estimates and posterior are nearly normal",
    "the prior says little beside the data",
)


def determinant_form(J: np.ndarray, I: np.ndarray) -> float:
    """(det J / det I)^(1/d)."""
    return float(np.exp((np.linalg.slogdet(J)[1] - np.linalg.slogdet(I)[1]) / len(J)))


def trace_form(J: np.ndarray, I: np.ndarray) -> float:
    """tr(J I^-1 J) / tr(J)."""
    return float(np.trace(J @ np.linalg.solve(I, J)) / np.trace(J))


def _without_blocks(found: LossInformation, form) -> float:
    """Standard error of a form by leaving out blocks of observations: the grouped jackknife."""
    values = [form(J, I) for J, I in zip(found.J_without, found.I_without, strict=True)]
    return float(np.sqrt((len(values) - 1) * np.var(values)))


def prepared(model, tempered) -> tuple[TemperedModel, Layout]:
    """Split and layout of a model with one term of slopes along one axis, or the error."""
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    discrete = [v.name for v in split.value_vars if np.dtype(v.type.dtype).kind != "f"]
    if discrete:
        raise UnsupportedVariableError(
            f"{discrete} are discrete: a loss has no slope along them. Fix them first."
        )
    own_loss(split)
    return split, layout_of(split)


def label_of(split: TemperedModel) -> tuple[str, str]:
    """What the first term's loss is called, and the unit of its beta."""
    loss = loss_of_term(split)
    term = split.terms[0]
    name = (
        f"{term.name}, minus its log-likelihood" if loss is None else f"{term.name}, {loss.label}"
    )
    return name, inverse_unit(term.unit)


def _matched(model, point, bandwidth, tempered, form, name: str, further: tuple) -> Calibration:
    split, layout = prepared(model, tempered)
    n = split.terms[0].n_observations
    at = (
        loss_minimiser(split, layout)(np.ones(n))
        if point is None
        else flat_point(split, layout, point)
    )
    found = loss_information(split, layout, at, bandwidth)
    # beta that each direction asks for, where one has to serve all
    root = np.linalg.inv(np.linalg.cholesky(found.I))
    wanted = np.linalg.eigvalsh(root @ found.J @ root.T)
    beta = form(found.J, found.I)
    label, unit = label_of(split)
    coordinates = layout.coordinate_names()
    matrices = ("coordinate", "other")
    path = xr.Dataset(
        {
            "curvature": (matrices, found.J),
            "score_covariance": (matrices, found.I),
            "minimiser": ("coordinate", at),
            "sandwich_sd": ("coordinate", np.sqrt(np.diag(found.covariance))),
            "posterior_sd": (
                "coordinate",
                np.sqrt(np.diag(np.linalg.inv(found.J)) / (beta * found.n)),
            ),
            "direction_beta": ("direction", wanted),
            "bandwidth": found.bandwidth,
        },
        coords={"coordinate": coordinates, "other": coordinates},
        attrs={"x": "coordinate", "criteria": "sd_ratio", "wanted": 1.0, "n_observations": found.n},
    )
    path["sd_ratio"] = path["posterior_sd"] / path["sandwich_sd"]
    kernel = "" if np.isnan(found.bandwidth) else (
        f", a normal kernel of width {found.bandwidth:.4g} at the kinks"
    )  # fmt: skip
    return Calibration(
        beta, _without_blocks(found, form), label, unit, name, (*PLUG_IN, *further),
        f"one minimum and its curvature{kernel}", path,
    )  # fmt: skip


def information_matching(
    model: pm.Model | None = None,
    *,
    point: dict | None = None,
    bandwidth: float | None = None,
    tempered=None,
) -> Calibration:
    r"""Beta that gives the posterior the volume that estimates have: the determinant form.

    .. math:: \beta = \left(\frac{\det J}{\det I}\right)^{1/d}, \qquad
              J = \frac1n \sum_i \nabla^2 \ell_i, \quad
              I = \frac1n \sum_i \nabla\ell_i \nabla\ell_i^\top

    at the minimiser of the loss. The determinants of :math:`(n \beta J)^{-1}` and of the sandwich
    :math:`J^{-1} I J^{-1} / n` are then equal, whatever the coordinates: this is why it is the
    form to begin with. For half the square of residuals of variance sigma^2 it is 1 / sigma^2.

    Parameters
    ----------
    model
        by default the one in context, with one tempered term of losses along one axis; a
        likelihood is one too, of which beta is 1 where it is true.
    point
        {variable: value} of the minimiser, by default found, without the prior.
    bandwidth
        of the normal kernel at kinks, by default Hall and Sheather's for losses of a residual.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        whose ``path`` holds J, I, ``sandwich_sd`` and ``posterior_sd`` over ``coordinate`` (of
        unconstrained space) with their ``sd_ratio``, and ``direction_beta``, what each direction
        alone would ask for: one beta serves them all only where these are alike; else see
        `sandwich`. The standard error is that of J and I, by the jackknife over twenty blocks of
        observations.

    Raises
    ------
    CalibrationError
        a loss without slopes (0-1), several terms, a parameter that the loss does not determine.
    UnsupportedVariableError
        discrete variables.

    Notes
    -----
    After Lyddon, Holmes, Walker (2019), General Bayesian updating and the loss-likelihood
    bootstrap, Biometrika 106, 465-478, whose own form is `information_matching_trace`.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=500)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    ...     found = pms.calibration.information_matching()
    >>> bool(abs(found.beta * y.var() - 1) < 1e-6)
    True
    """
    return _matched(
        model, point, bandwidth, tempered, determinant_form,
        "information matching, determinant form", (),
    )  # fmt: skip


def information_matching_trace(
    model: pm.Model | None = None,
    *,
    point: dict | None = None,
    bandwidth: float | None = None,
    tempered=None,
) -> Calibration:
    r"""Beta that matches the Fisher information numbers of posterior and estimates: traces.

    .. math:: \beta = \frac{\mathrm{tr}(J I^{-1} J)}{\mathrm{tr}(J)}

    The form of the paper. It changes with the unit of each parameter, since a trace adds numbers
    of different units: of Engel's median it makes .0130 per franc with income in francs, and .0148
    with income in thousands. With one parameter, and wherever I is a multiple of J, it is
    `information_matching`.

    Parameters
    ----------
    model, point, bandwidth, tempered
        as for `information_matching`.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError, UnsupportedVariableError
        as `information_matching`.

    Notes
    -----
    Source: Lyddon, Holmes, Walker (2019), Biometrika 106, 465-478, equation 12.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=500)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    ...     found = pms.calibration.information_matching_trace()
    >>> bool(abs(found.beta * y.var() - 1) < 1e-6)
    True
    """
    return _matched(
        model, point, bandwidth, tempered, trace_form, "information matching, trace form",
        ("the parameters' units make their variances comparable",),
    )  # fmt: skip


def loss_likelihood_bootstrap(
    model: pm.Model | None = None,
    *,
    draws: int = 500,
    bandwidth: float | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Beta that gives the posterior the volume of minimisers under random weights.

    .. math:: \theta^{(b)} = \arg\min_\theta \sum_i w_i\, \ell_i(\theta), \quad
              w \sim n\,\mathrm{Dirichlet}(1, \dots, 1), \qquad
              \beta = \left(\frac{\det \mathrm{Cov}(\theta^{(b)})^{-1}}{\det nJ}\right)^{1/d}

    Where `information_matching` takes the spread of estimates from slopes, this takes it from
    refits, which see what is not nearly normal; both take the curvature J at the minimiser.

    Parameters
    ----------
    model, bandwidth, tempered
        as for `information_matching`.
    draws
        weights, and refits.
    random_seed
        of the weights.
    progressbar
        over the refits.

    Returns
    -------
    Calibration
        whose ``path`` has the refits, ``minimiser`` over ``draw`` and ``coordinate``. The standard
        error is that of the determinant of a covariance from so many normal draws,
        :math:`\beta \sqrt{2 / (d (B - 1))}`; of the data it says nothing.

    Raises
    ------
    CalibrationError
        as `information_matching`, and too few draws for the covariance.

    Notes
    -----
    Source: Lyddon, Holmes, Walker (2019), Biometrika 106, 465-478, section 3; matched here by
    determinants, as in `information_matching`.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=500)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    ...     found = pms.calibration.loss_likelihood_bootstrap(random_seed=1, progressbar=False)
    >>> bool(abs(found.beta - 1 / y.var()) < 4 * found.standard_error)
    True
    """
    from rich.progress import track

    split, layout = prepared(model, tempered)
    n, d = split.terms[0].n_observations, layout.size
    if draws < 10 * d:
        raise CalibrationError(f"draws = {draws}: a covariance of {d} parameters takes {10 * d}.")
    refit = loss_minimiser(split, layout)
    centre = refit(np.ones(n))
    found = loss_information(split, layout, centre, bandwidth)
    rng = np.random.default_rng(random_seed)
    rows = np.array([
        refit(n * rng.dirichlet(np.ones(n)))
        for _ in track(range(draws), "Refitting", disable=not progressbar, transient=True)
    ])  # fmt: skip
    covariance = np.atleast_2d(np.cov(rows.T))
    beta = determinant_form(np.linalg.inv(covariance), found.n * found.J)
    label, unit = label_of(split)
    coordinates = layout.coordinate_names()
    path = xr.Dataset(
        {
            "minimiser": (("draw", "coordinate"), rows),
            "curvature": (("coordinate", "other"), found.J),
            "bootstrap_sd": ("coordinate", np.sqrt(np.diag(covariance))),
            "sandwich_sd": ("coordinate", np.sqrt(np.diag(found.covariance))),
            "posterior_sd": (
                "coordinate",
                np.sqrt(np.diag(np.linalg.inv(found.J)) / (beta * found.n)),
            ),
        },
        coords={"coordinate": coordinates, "other": coordinates, "draw": np.arange(draws)},
        attrs={"x": "coordinate", "criteria": "sd_ratio", "wanted": 1.0, "n_observations": found.n},
    )
    path["sd_ratio"] = path["posterior_sd"] / path["bootstrap_sd"]
    return Calibration(
        beta, beta * float(np.sqrt(2.0 / (d * (draws - 1)))), label, unit,
        "the loss-likelihood bootstrap", (PLUG_IN[0], PLUG_IN[2]), f"{draws + 1} minima", path,
    )  # fmt: skip
