r"""Beta by matching the information that data bring to that which the model expects of them.

.. math:: \Delta(x) = \int \pi_0(\theta)\, \|\nabla_\theta \log f(x; \theta)\|^2 \, d\theta, \qquad
          \beta = \left\{\frac{\int f(x; \hat\theta)\, \Delta(x)\, dx}
                              {\frac1n \sum_i \Delta(x_i)}\right\}^{1/2}

since :math:`\beta^2 \Delta(x)` is the Fisher divergence between the prior and its update by the
power beta of one observation.
"""

from __future__ import annotations

import warnings

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace

from pm_statmech.calibration.information import loss_of_term
from pm_statmech.calibration.loss_minimum import loss_minimiser
from pm_statmech.calibration.matching import label_of, prepared
from pm_statmech.calibration.results import Calibration
from pm_statmech.errors import CalibrationError, ConvergenceWarning
from pm_statmech.samplers.prior_draws import refuse_flat_priors
from pm_statmech.samplers.refits import compile_constrained
from pm_statmech.samplers.workers import seeds_of
from pm_statmech.stats.averages import pareto_tail
from pm_statmech.tempering import without_initial_values

FEWEST_DRAWS = 100
HEAVY_TAIL = 0.7


def _squared_slopes(split):
    """Function (theta flat constrained, data (n,)) -> squared norms of the slopes (n,)."""
    model = split.model
    rv = model[split.terms[0].name]
    data = model.rvs_to_values[rv].type("data")
    free = model.free_RVs
    sizes = [int(np.prod(v.shape.eval(), dtype=int)) for v in free]
    x = pt.vector("x", shape=(sum(sizes),), dtype="float64")
    pieces, start = {}, 0
    for v, size in zip(free, sizes, strict=True):
        pieces[v] = pt.cast(x[start : start + size].reshape(v.shape.eval()), v.type.dtype)
        start += size
    [graph] = clone_replace([pt.cast(split.terms[0].pointwise, "float64")], pieces)
    [graph] = clone_replace([graph], {model.rvs_to_values[rv]: data})
    [graph] = rewrite_pregrad([graph])
    direction = pt.vector("direction", shape=x.type.shape, dtype="float64")
    slope = pytensor.gradient.pushforward(graph, x, direction)
    with model:
        function = pymc_compile([x, direction, data], slope, mode="NUMBA", on_unused_input="ignore")
    units = np.eye(sum(sizes))
    return lambda theta, values: sum(function(theta, unit, values) ** 2 for unit in units)


def fisher_matching(
    model: pm.Model | None = None,
    *,
    draws: int = 500,
    replications: int = 20,
    random_seed=None,
    tempered=None,
) -> Calibration:
    r"""Beta at which data bring as much Fisher information as data of the fitted model would.

    .. math:: \beta = \left\{\frac{E_{x \sim f(\cdot; \hat\theta)}[\Delta(x)]}
                                  {\frac1n \sum_i \Delta(x_i)}\right\}^{1/2}, \qquad
              \Delta(x) = E_{\theta \sim \pi_0} \|\nabla_\theta \log f(x; \theta)\|^2

    with the maximum-likelihood estimate for :math:`\hat\theta`. Data that are more spread than the
    model's make it less than one. Slopes are averaged over the prior, so that a wide prior, under
    which any data are surprising, brings beta to one.

    Parameters
    ----------
    model
        by default the one in context, with one likelihood along one axis and a proper prior.
    draws
        of the prior.
    replications
        data sets of the fitted model.
    random_seed
        of both.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        whose ``path`` has ``expected`` and ``seen``, the mean of Delta over data of the model and
        over the data, for each ``draw`` of the prior, and ``running_beta`` of the draws so far. The
        standard error is that of the draws and of the data sets of the model; of other data it
        says nothing.

    Raises
    ------
    CalibrationError
        a loss, which has no law of data; several terms; a prior with a Potential.
    ImproperPriorError, UnsupportedVariableError
        a flat prior; discrete variables.

    Warns
    -----
    ConvergenceWarning
        slopes that a few draws of the prior dominate.

    Notes
    -----
    The norm is taken in the model's own coordinates, and changes with them. Source: Holmes and
    Walker (2017), Assigning a value to a power likelihood in a general Bayesian model, Biometrika
    104, 497-503.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(0.0, 3.0, size=200)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 0.1)
    ...     data = pm.Normal("y", mu, 1.0, observed=y)
    ...     found = pms.calibration.fisher_matching(random_seed=1)
    >>> bool(abs(found.beta - np.sqrt((1 + 0.01) / (y.var() + 0.01))) < 0.05)
    True
    """
    split, layout = prepared(model, tempered)
    if loss_of_term(split) is not None or split.terms[0].kind != "likelihood":
        raise CalibrationError(
            f"{split.terms[0].name} is a {split.terms[0].kind}, which says nothing of how data are "
            "distributed: what information to expect is not defined. Take information_matching."
        )
    if draws < FEWEST_DRAWS or replications < 2:
        raise CalibrationError(
            f"draws = {draws}, replications = {replications}: give at least {FEWEST_DRAWS} and 2."
        )
    refuse_flat_priors(split.model)
    if not split.prior_normalised:
        raise CalibrationError(
            f"slopes are averaged over draws of the prior, which forward draws are not: "
            f"{split.prior_reason}."
        )
    of_prior, of_data = seeds_of(random_seed).spawn(2)
    n = split.terms[0].n_observations
    at = loss_minimiser(split, layout)(np.ones(n))
    point = {k: v[0] for k, v in compile_constrained(split, layout)(at[None]).items()}
    squared = _squared_slopes(split)
    rv = split.model[split.terms[0].name]
    data = np.asarray(split.model.rvs_to_values[rv].eval())
    with without_initial_values(split.model):
        fitted = pm.do(split.model, point)
    new = pm.draw(fitted[rv.name], replications, random_seed=int(of_data.generate_state(1)[0]))
    names = [v.name for v in split.model.free_RVs]
    prior = pm.draw(
        [split.model[name] for name in names], draws,
        random_seed=int(of_prior.generate_state(1)[0]),
    )  # fmt: skip
    flat = np.concatenate([np.reshape(values, (draws, -1)) for values in prior], axis=1)
    flat = np.ascontiguousarray(flat, dtype=float)
    seen = np.array([np.mean(squared(theta, data)) for theta in flat])
    by_set = np.array(
        [[np.mean(squared(theta, np.asarray(y, dtype=data.dtype))) for y in new] for theta in flat]
    )
    expected = by_set.mean(axis=1)
    if not np.all(np.isfinite(seen)) or not np.all(np.isfinite(expected)):
        raise CalibrationError(
            "log f has no finite slope at some draws of the prior: narrow it, or reparametrise."
        )
    k = pareto_tail(seen[None])
    if k > HEAVY_TAIL:
        warnings.warn(
            f"a few draws of the prior dominate the slopes (Pareto k = {k:.2f}): what is matched "
            "is what the prior's tails would learn, and another seed gives another beta.",
            ConvergenceWarning,
            stacklevel=2,
        )
    beta = float(np.sqrt(expected.mean() / seen.mean()))
    influence = expected / expected.mean() - seen / seen.mean()
    between = np.var(by_set.mean(axis=0), ddof=1) / (replications * expected.mean() ** 2)
    error = 0.5 * beta * float(np.sqrt(np.var(influence, ddof=1) / draws + between))
    path = xr.Dataset(
        {
            "expected": ("draw", expected),
            "seen": ("draw", seen),
            "running_beta": ("draw", np.sqrt(np.cumsum(expected) / np.cumsum(seen))),
        },
        coords={"draw": np.arange(1, draws + 1)},
        attrs={"x": "draw", "criteria": "running_beta", "n_observations": n, "at": float(draws)},
    )
    label, unit = label_of(split)
    return Calibration(
        beta, error, label, unit, "matching expected Fisher information",
        ("observations are independent", "the prior's spread is meant: slopes are its average",
         "the parameters' units make their slopes comparable"),
        f"{draws} draws of the prior against {replications} data sets of the model", path,
    )  # fmt: skip
