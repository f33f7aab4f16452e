r"""Coarsened posteriors: the power that data deserve which only resemble the model.

.. math:: \pi(\theta | d_n(X, x) < R) \propto \pi_0(\theta)\, L(\theta; x)^{\zeta_n}
          \text{ approximately}, \qquad \zeta_n = \frac{\alpha}{\alpha + n}, \quad
          R \sim \mathrm{Exp}(\alpha)

where d is the relative entropy between the laws that data X of the model and the data x come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import xarray as xr
from xarray import DataTree

from pm_statmech.calibration.matching import label_of
from pm_statmech.calibration.results import Calibration
from pm_statmech.datatree import RUNG, read_terms, tempering_group
from pm_statmech.errors import CalibrationError, InverseTemperatureError
from pm_statmech.stats.free_energy import thermodynamics
from pm_statmech.tempering import TemperedModel, tempered_model

# alphas of a curve, from a hundredth of n to a hundred times n
N_ALPHAS = 25
NO_LIKELIHOODS = (
    "a coarsened posterior measures in nats how far the data are from the model. For a loss take "
    "information_matching, or another method."
)


def coarsened_power(alpha, n: int):
    """Power alpha / (alpha + n) of a likelihood of n observations."""
    return alpha / (alpha + n)


def _observations(split: TemperedModel, n_observations: int | None) -> int:
    n = split.n_observations if n_observations is None else n_observations
    if n < 1:
        raise CalibrationError(
            "the tempered terms have no observations to count: give n_observations=."
        )
    return int(n)


def coarsened(
    model: pm.Model | None = None,
    *,
    alpha: float,
    n_observations: int | None = None,
    tempered=None,
) -> Calibration:
    r"""Beta of a coarsened posterior: the data are near the model's, not from it.

    .. math:: \beta = \frac{\alpha}{\alpha + n}

    Parameters
    ----------
    model
        by default the one in context; its terms are likelihoods.
    alpha
        the data's law is expected within 1/alpha nats of the model's. As n grows the posterior
        stays as wide as that of alpha observations.
    n_observations
        n, by default the entries of the tempered data; counts in one entry (a Binomial) are
        to be said.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        whose ``path`` has ``beta`` over ``alpha``, from n/100 to 100 n. `coarsening_curve` reads
        what each alpha does off a tempered run.

    Raises
    ------
    CalibrationError
        a loss instead of a likelihood; alpha that is not above 0; no observations.

    Notes
    -----
    Source: Miller and Dunson (2019), Robust Bayesian inference via coarsening, JASA 114,
    1113-1125.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     theta = pm.Beta("theta", 1, 1)
    ...     y = pm.Binomial("y", 10_000, theta, observed=5100)
    ...     found = pms.calibration.coarsened(alpha=1250, n_observations=10_000)
    >>> round(found.beta, 4)
    0.1111
    """
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    losses = [t.name for t in split.terms if t.kind != "likelihood"]
    if losses:
        raise CalibrationError(f"{losses} are no likelihoods: {NO_LIKELIHOODS}")
    if not 0 < alpha < np.inf:
        raise CalibrationError(f"alpha = {alpha:g}: it is positive and finite.")
    n = _observations(split, n_observations)
    alphas = n * np.geomspace(0.01, 100.0, N_ALPHAS)
    path = xr.Dataset(
        {"beta": ("alpha", coarsened_power(alphas, n))},
        coords={"alpha": alphas},
        attrs={"x": "alpha", "criteria": "beta", "n_observations": n, "at": float(alpha)},
    )
    return Calibration(
        float(coarsened_power(alpha, n)), np.nan, label_of(split)[0], "1",
        f"coarsening with alpha = {alpha:g} of {n} observations",
        (
            f"the data's law is within {1 / alpha:.3g} nats of the model's, give or take as much",
            "n is large enough for the power to stand for the conditioning",
        ),
        "nothing", path,
    )  # fmt: skip


def coarsening_curve(
    dt: DataTree,
    *,
    alphas: Sequence[float] | None = None,
    n_observations: int | None = None,
) -> xr.Dataset:
    r"""How well and how richly the model fits at every alpha: the calibration curve.

    .. math:: \text{fit}(\alpha) = -\frac{U(\zeta_n)}{n}, \qquad
              \text{complexity}(\alpha) = \mathrm{KL}(\pi_{\zeta_n}, \pi_0), \qquad
              \zeta_n = \frac\alpha{\alpha + n}

    Past the bend, where the fit no longer grows with the complexity, an alpha buys what the data
    do not need: take the one at the bend.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, whose ladder ends at the power one.
    alphas
        by default 25 from n/100 to 100 n, those inside the ladder.
    n_observations
        as for `coarsened`.

    Returns
    -------
    Dataset
        over ``alpha``: ``beta``, ``fit`` (mean log-likelihood of an observation), ``complexity``
        (relative entropy to the prior, in nats) and ``n_parameters`` (twice the heat capacity),
        each with its ``_mcse``.

    Raises
    ------
    CalibrationError
        no observations to count, a tree of a loss.
    InverseTemperatureError
        alphas whose beta is outside the ladder.

    Notes
    -----
    Source: Miller and Dunson (2019), JASA 114, section 4, whose complexity is the number of
    components of a mixture; a relative entropy is one for every model. `expectation` at the betas
    of this table gives any other.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0, 2.5], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> curve = pms.calibration.coarsening_curve(dt, alphas=[1.0, 4.0, 40.0])
    >>> [round(float(beta), 2) for beta in curve["beta"]]
    [0.2, 0.5, 0.91]
    """
    group = tempering_group(dt)
    losses = [t.name for t in read_terms(group.attrs) if t.kind == "loss"]
    if losses:
        raise CalibrationError(f"the tree is of the losses {losses}: {NO_LIKELIHOODS}")
    n = int(group.attrs["n_observations"]) if n_observations is None else int(n_observations)
    if n < 1:
        raise CalibrationError("the tree's terms have no observations: give n_observations=.")
    rungs = group[RUNG].values
    wanted = n * np.geomspace(0.01, 100.0, N_ALPHAS) if alphas is None else np.unique(alphas)
    betas = coarsened_power(np.asarray(wanted, dtype=float), n)
    inside = (betas >= rungs[0]) & (betas <= rungs[-1])
    if (not np.all(inside) and alphas is not None) or not np.any(inside):
        raise InverseTemperatureError(
            f"alphas {np.asarray(wanted)[~inside].tolist()} have betas {betas[~inside].tolist()}, "
            f"outside the ladder from {rungs[0]:g} to {rungs[-1]:g}."
        )
    found = thermodynamics(dt, betas=betas[inside].tolist())
    over = "alpha"
    return xr.Dataset(
        {
            "beta": (over, betas[inside]),
            "fit": (over, -found["mean_energy"].values / n),
            "fit_mcse": (over, found["mean_energy_mcse"].values / n),
            "complexity": (over, found["relative_entropy"].values),
            "complexity_mcse": (over, found["relative_entropy_mcse"].values),
            "n_parameters": (over, 2 * found["heat_capacity"].values),
            "n_parameters_mcse": (over, 2 * found["heat_capacity_mcse"].values),
        },
        coords={over: np.asarray(wanted, dtype=float)[inside]},
        attrs={"n_observations": n},
    )
