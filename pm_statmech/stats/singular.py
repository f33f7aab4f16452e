r"""Singular learning theory: what the energy at hot temperatures says of a model's dimension.

With E = n L_n the loss of n observations and beta = 1 / log n,

.. math:: \mathrm{WBIC} = E_\beta[E], \qquad
          E_\beta[E] = n L_n(w_0) + \frac{\lambda}{\beta} + o(1/\beta), \qquad
          \beta^2\, \mathrm{Var}_\beta(E) \to \lambda

where lambda is the learning coefficient (real log canonical threshold): half the number of
parameters of a regular model, and less of a singular one.

Sources: Watanabe (2013), A widely applicable Bayesian information criterion, JMLR 14, 867-897;
Watanabe (2009), Algebraic geometry and statistical learning theory, Cambridge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, azstats, read_terms, tempering_group
from pm_statmech.errors import TreeError
from pm_statmech.stats.averages import SAMPLE_DIMS, mcse_of_mean
from pm_statmech.stats.peaks import energy_cumulants
from pm_statmech.stats.pooled import check_inside, solve_ladder

# temperatures of the two-temperature form, relative to 1 / log n: Watanabe (2013), section 5
SPREAD = 1.5


class Estimate(NamedTuple):
    """A number with its Monte Carlo standard error, and what it was estimated from."""

    value: float
    mcse: float
    method: str

    def __str__(self) -> str:
        # as many digits as the error has
        known = np.isfinite(self.mcse) and self.mcse > 0
        decimals = max(0, 1 - int(np.floor(np.log10(self.mcse)))) if known else 4
        return f"{self.value:.{decimals}f} +- {self.mcse:.2g} ({self.method})"

    def __repr__(self) -> str:
        return str(self)


def _observations(dt: DataTree, n: int | None) -> int:
    found = int(tempering_group(dt).attrs["n_observations"]) if n is None else int(n)
    if found < 3:
        raise TreeError(
            f"this run says that it has {found} observations, and 1 / log n needs three or more: "
            "give n=."
        )
    return found


def wbic(dt: DataTree, *, n: int | None = None) -> Estimate:
    r"""Widely applicable Bayesian information criterion: the mean energy at beta = 1 / log n.

    .. math:: \mathrm{WBIC} = E_\beta[E], \qquad \beta = 1 / \log n

    It estimates minus the log evidence of a likelihood to within a few nats, also of singular
    models. A tempered run has the evidence itself, see `log_evidence`; WBIC is for comparing with
    what others report.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, at a target of 1 or above.
    n
        number of observations, by default as many as the tempered terms have.

    Raises
    ------
    InverseTemperatureError
        1 / log n lies outside the ladder.
    TreeError
        fewer than three observations.

    Notes
    -----
    Source: Watanabe (2013), JMLR 14, 867-897, definition 1. It differs from minus log Z by O(1).

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(size=100)
    >>> system = pms.solvable.conjugate_normal(y, sigma=1.0, prior_sd=10.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.wbic(dt)
    >>> abs(found.value - system.mean_energy(1 / np.log(100))) < 5 * found.mcse
    True
    """
    beta = 1.0 / np.log(_observations(dt, n))
    check_inside(beta, tempering_group(dt)[RUNG].values)
    found = energy_cumulants(solve_ladder(dt), beta)
    error = float(mcse_of_mean(found.influence[..., 0]))
    return Estimate(float(found.values[0]), error, f"mean energy at beta = {beta:.4g}")


def learning_coefficient(
    dt: DataTree, *, n: int | None = None, beta: float | None = None
) -> xr.Dataset:
    r"""Learning coefficient lambda, from energies at two temperatures and from the heat capacity.

    .. math:: \hat\lambda_2 = \frac{E_{\beta_1}[E] - E_{\beta_2}[E]}{1/\beta_1 - 1/\beta_2},
              \qquad \hat\lambda_C = \beta^2\, \mathrm{Var}_\beta(E)

    with beta_1 = beta / 1.5 and beta_2 = 1.5 beta about beta = 1 / log n.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, of a likelihood or a loss of n independent observations.
    n
        number of observations, by default as many as the tempered terms have; beta : where, by
        default at 1 / log n.

    Returns
    -------
    Dataset over ``method``
        ``learning_coefficient`` and ``mcse`` by ``two temperatures`` and by ``heat capacity``;
        ``inverse_temperature`` in attrs. They agree where n is so large, and the prior so wide,
        that the energy is n L(w_0) + lambda / beta: their difference says how far that holds.

    Raises
    ------
    InverseTemperatureError
        a temperature outside the ladder.
    TreeError
        fewer than three observations.

    Notes
    -----
    A regular model of d parameters has lambda = d / 2. Where several terms of the energy have the
    same exponent (multiplicity m) both estimates are lower by about (m - 1) / log n. Source:
    Watanabe (2013), JMLR 14, section 5; Imai (2019), arXiv:1906.01341, for the variance.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> rng = np.random.default_rng(1)
    >>> X = rng.normal(size=(500, 3))
    >>> system = pms.solvable.gaussian_linear_model(
    ...     X, X @ [1.0, 2.0, 3.0] + rng.normal(size=500), noise_sd=1.0, prior_sd=100.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.learning_coefficient(dt)["learning_coefficient"]
    >>> bool(np.all(abs(found - 1.5) < 0.3))
    True
    """
    centre = 1.0 / np.log(_observations(dt, n)) if beta is None else float(beta)
    low, high = check_inside(
        [centre / SPREAD, centre * SPREAD], tempering_group(dt)[RUNG].values
    )  # fmt: skip
    solution = solve_ladder(dt)
    hot, middle, cold = (energy_cumulants(solution, b) for b in (low, centre, high))
    width = 1.0 / low - 1.0 / high
    values = [(hot.values[0] - cold.values[0]) / width, centre**2 * middle.values[1]]
    influence = np.stack(
        [
            (hot.influence[..., 0] - cold.influence[..., 0]) / width,
            centre**2 * middle.influence[..., 1],
        ],
        axis=-1,
    )
    return xr.Dataset(
        {
            "learning_coefficient": ("method", values),
            "mcse": ("method", mcse_of_mean(influence)),
        },
        coords={"method": ["two temperatures", "heat capacity"]},
        attrs={
            "inverse_temperature": centre,
            "target_beta": tempering_group(dt).attrs["target_beta"],
        },
    )


def singular_fluctuation(dt: DataTree, *, var_name: str | None = None) -> Estimate:
    r"""Singular fluctuation nu: how much the pointwise losses move under the posterior.

    .. math:: \nu = \frac{\beta}{2} \sum_i \mathrm{Var}_\beta(\ell_i)

    at the target. At beta = 1, 2 nu is the effective number of parameters of WAIC; a regular model
    that holds the truth has nu = d / 2, as lambda.

    Parameters
    ----------
    dt
        a tree with the group ``loss``, which `compute_loss` adds.
    var_name
        of the term, where there are several.

    Raises
    ------
    TreeError
        no pointwise losses, or several terms without a name.

    Notes
    -----
    Source: Watanabe (2010), JMLR 11, 3571-3594, definition 4 and theorem 1.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(size=200)
    >>> system = pms.solvable.conjugate_normal(y, sigma=1.0, prior_sd=10.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> 0.3 < pms.singular_fluctuation(dt).value < 0.7
    True
    """
    if not isinstance(dt, DataTree) or "loss" not in dt.children:
        raise TreeError(
            "the singular fluctuation needs the group 'loss', the pointwise losses free of beta. "
            "Add it with dt = pm_statmech.compute_loss(dt, model)."
        )
    attrs = dt["loss"].attrs
    known = {t.name: t for t in read_terms(attrs) if t.n_observations > 0}
    terms = list(known)
    if var_name is None and len(terms) != 1:
        raise TreeError(f"there are several terms, {terms}: name one by var_name=.")
    name = terms[0] if var_name is None else var_name
    if name not in terms:
        raise TreeError(f"var_name={name!r} is not a tempered term; there are {terms}.")
    # each term has a beta of its own
    losses, beta = dt["loss"][name], float(attrs["target_beta"]) * known[name].ratio
    centred = losses - losses.mean(SAMPLE_DIMS)
    others = [dim for dim in losses.dims if dim not in SAMPLE_DIMS]
    spread = 0.5 * beta * (centred**2).sum(others)
    count = losses.sizes["chain"] * losses.sizes["draw"]
    error = azstats(spread).mcse(method="mean", sample_dims=SAMPLE_DIMS)
    return Estimate(
        float(spread.mean()) * count / (count - 1.0), float(error),
        f"variances of {name} at beta = {beta:.4g}",
    )  # fmt: skip
