r"""Safe Bayes: the beta whose posteriors would have foretold the data best, one after another.

.. math:: \hat\beta = \arg\min_\beta \sum_{i=1}^n
          E_{\theta \sim \pi_\beta(\cdot | y_1, \dots, y_{i-1})}\bigl[\ell_i(\theta)\bigr]

Not the log loss of the mixture, which the evidence sums and which a mixture of wrong models can
make small where each of them predicts badly: that of a draw, or that of one mean model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pymc as pm
import xarray as xr
from threadpoolctl import threadpool_limits

from pm_statmech.calibration.information import check_one_axis
from pm_statmech.calibration.matching import label_of
from pm_statmech.calibration.results import Calibration
from pm_statmech.datatree import RUNG
from pm_statmech.energy_function import layout_of
from pm_statmech.errors import CalibrationError, ConvergenceWarning, UnsupportedVariableError
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.annealed_sampling import BLOCKS
from pm_statmech.samplers.crew import assemble, stopping_on_interrupt
from pm_statmech.samplers.data_annealing import Forecasts, one_by_one
from pm_statmech.samplers.prior_draws import (
    checked_prior_sample,
    compile_prior_draws,
    refuse_flat_priors,
)
from pm_statmech.samplers.progress import LadderProgress
from pm_statmech.samplers.refits import (
    COUNTS,
    compile_constrained,
    compile_losses,
    compile_losses_at,
    compile_refits,
)
from pm_statmech.samplers.workers import seeds_of
from pm_statmech.tempering import TemperedModel, tempered_model

# halvings of beta that are tried below the model's own, and for a loss above it
N_HALVINGS = 6
ASSUMED = (
    "observations are independent and from one law",
    "the prior counts as it is: it is the first forecast",
)


def _grid(betas: Sequence[float] | None, split: TemperedModel) -> np.ndarray:
    if betas is None:
        above = 0 if split.terms[0].kind == "likelihood" else N_HALVINGS
        return split.target_beta * 2.0 ** np.arange(-N_HALVINGS, above + 1)
    grid = np.unique([check_beta(beta) for beta in betas])
    if len(grid) < 2 or grid[0] == 0:
        raise CalibrationError(f"betas = {list(betas)}: give at least two, above 0.")
    return grid


def discrete_names(split: TemperedModel) -> list[str]:
    """Names of the free variables that are integers."""
    return [rv.name for rv in split.model.free_RVs if np.dtype(rv.type.dtype).kind != "f"]


def _warn_of_noise(apart: np.ndarray, mcse: np.ndarray, best: int) -> None:
    """Warn where the best beta is told from no other but by Monte Carlo noise."""
    others = np.arange(len(apart)) != best
    if np.all(apart[others] < 2 * mcse[others]):
        worst = int(np.argmax(apart))
        warnings.warn(
            f"the betas' summed losses differ by at most {apart[worst]:.3g}, with a Monte Carlo "
            f"error of {mcse[worst]:.2g}: the choice is one of noise. Draws of a very wide prior "
            "foretell the first observations badly, perhaps infinitely so: narrow it, or take more "
            "particles=.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _foretold(
    split: TemperedModel, grid: np.ndarray, particles: int, cores, random_seed, progressbar: bool
) -> list[Forecasts]:
    """Forecasts of all observations at every beta, in one random order."""
    from rich.progress import track

    refuse_flat_priors(split.model)
    layout = layout_of(split)
    refits = compile_refits(split, counted=True)
    prior = compile_prior_draws(split, refits.energy_function, None)
    if not prior.exact:
        raise CalibrationError(
            f"safe Bayes begins with draws of the prior, which forward draws are not: "
            f"{split.prior_reason or 'its support is cut'}."
        )
    losses_of, losses_at = compile_losses(split, layout), compile_losses_at(split)
    constrained = compile_constrained(split, layout)

    n = split.terms[0].n_observations

    def mean_losses_of(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        if discrete_names(split):
            # the mean of integers is none
            return np.full(n, np.nan)
        return losses_at({name: np.tensordot(w, v, 1) for name, v in constrained(x).items()})

    of_order, of_prior, *streams = seeds_of(random_seed).spawn(2 + len(grid))
    order = np.random.default_rng(of_order).permutation(n)
    # the same at every beta, so that what the prior alone foretells is the same
    sample = checked_prior_sample(
        split, refits.energy_function, prior, particles, np.random.default_rng(of_prior)
    )
    crew = assemble(
        refits.energy_function, [np.random.default_rng(0) for _ in range(BLOCKS)],
        cores or BLOCKS, LadderProgress(BLOCKS, 1, enabled=False),
    )  # fmt: skip
    found = []
    with threadpool_limits(1), crew.pool, stopping_on_interrupt(crew):
        steps = list(zip(grid, streams, strict=True))
        for beta, stream in track(steps, "Foretelling", disable=not progressbar, transient=True):
            rng, *crew.generators = (np.random.default_rng(s) for s in stream.spawn(BLOCKS + 1))
            found.append(
                one_by_one(
                    crew, refits.energy_function, COUNTS, sample.x, order, float(beta), losses_of,
                    mean_losses_of, rng,
                )
            )  # fmt: skip
    return found


def _safest(
    model, betas, particles, cores, random_seed, progressbar, tempered, name: str, kind: str
) -> Calibration:
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    check_one_axis(split)
    if particles < 64:
        raise CalibrationError(f"particles = {particles}: give at least 64.")
    grid = _grid(betas, split)
    if kind == "plugged_loss" and discrete_names(split):
        raise UnsupportedVariableError(
            f"{discrete_names(split)} are discrete, and their means are no parameters of the "
            "model: take safe_bayes, which foretells by draws."
        )
    forecasts = _foretold(split, grid, 2 * (particles // 2), cores, random_seed, progressbar)
    losses = {
        "mixed_loss": np.array([f.mixed for f in forecasts]),
        "plugged_loss": np.array([f.plugged for f in forecasts]),
    }
    own = losses[kind]
    best = int(np.argmin(own.sum(axis=1)))
    apart = own - own[best]
    mcse = np.array([f.mcse_beside(forecasts[best]) if k != best else 0.0
                     for k, f in enumerate(forecasts)])  # fmt: skip
    if kind == "mixed_loss":
        _warn_of_noise(apart.sum(axis=1), mcse, best)
    n = own.shape[1]
    path = xr.Dataset(
        {
            **{key: (RUNG, value.sum(axis=1)) for key, value in losses.items()},
            "loss": (RUNG, own.sum(axis=1)),
            "loss_difference": (RUNG, apart.sum(axis=1)),
            "loss_difference_se": (RUNG, np.sqrt(n) * np.std(apart, axis=1, ddof=1)),
            "mixed_loss_mcse": (RUNG, [f.mcse for f in forecasts]),
            "loss_difference_mcse": (
                RUNG,
                mcse if kind == "mixed_loss" else np.full(len(grid), np.nan),
            ),
            "moves": (RUNG, [f.n_moves for f in forecasts]),
        },
        coords={RUNG: grid},
        attrs={"x": RUNG, "criteria": "loss_difference", "n_observations": n},
    )
    label, unit = label_of(split)
    edge = (
        "; it is at the edge of the grid, give betas= further out"
        if best in (0, len(grid) - 1) and not (split.terms[0].kind == "likelihood" and best > 0)
        else ""
    )
    return Calibration(
        float(grid[best]), np.nan, label, unit, name + edge, ASSUMED,
        f"{len(grid)} betas of {particles} particles through {n} observations", path,
    )  # fmt: skip


def safe_bayes(
    model: pm.Model | None = None,
    *,
    betas: Sequence[float] | None = None,
    particles: int = 512,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Beta whose posterior draws would have foretold the data best (R-log-SafeBayes).

    .. math:: \hat\beta = \arg\min_\beta \sum_{i=1}^n
              E_{\theta \sim \pi_\beta(\cdot | y_1, \dots, y_{i-1})}\bigl[\ell_i(\theta)\bigr]

    Parameters
    ----------
    model
        by default the one in context, with one tempered term along one axis; its loss, or minus
        its log-likelihood at power one, is what is foretold.
    betas
        to choose among; by default the model's own and six halvings of it, for a loss (which has
        no right beta of its own) six doublings as well.
    particles
        of the annealing over observations.
    cores
        threads; results do not depend on their number.
    random_seed
        of the order of the observations and of the particles.
    progressbar
        over betas.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        whose ``path`` has over ``inverse_temperature`` the summed ``mixed_loss`` of draws
        with its Monte Carlo error, the
        ``plugged_loss`` at posterior means, and the ``loss_difference`` to the best beta with the
        standard error of that sum over observations, and its Monte Carlo error.

    Raises
    ------
    CalibrationError
        several terms, losses along several axes, a prior that cannot be drawn from.
    ImproperPriorError, StalledAnnealingError, EnergyError
        a flat prior; an observation that the particles cannot take in; an infinite loss.

    Warns
    -----
    ConvergenceWarning
        a Monte Carlo error as large as what tells the betas apart.

    Notes
    -----
    Observations are taken in a random order. The sum has a standard error that differences near
    the optimum seldom exceed: read it as "between", not as a digit. Sources: Grünwald (2012), The
    safe Bayesian, ALT; Grünwald and van Ommen (2017), Bayesian Analysis 12, 1069-1103.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> rng = np.random.default_rng(2)
    >>> x, y = rng.normal(size=(30, 3)), 2 * rng.normal(size=30)
    >>> with pm.Model():
    ...     b = pm.Normal("b", 0, 1, shape=3)
    ...     loss = pm.Normal("y", x @ b, 1.0, observed=y)
    ...     found = pms.calibration.safe_bayes(
    ...         particles=128, random_seed=1, progressbar=False)
    >>> found.beta in 2.0 ** np.arange(-6, 1)
    True
    """
    return _safest(
        model, betas, particles, cores, random_seed, progressbar, tempered,
        "safe Bayes, by draws (R-log)", "mixed_loss",
    )  # fmt: skip


def safe_bayes_in_model(
    model: pm.Model | None = None,
    *,
    betas: Sequence[float] | None = None,
    particles: int = 512,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Beta whose posterior means would have foretold the data best (I-log-SafeBayes).

    .. math:: \hat\beta = \arg\min_\beta \sum_{i=1}^n
              \ell_i\bigl(E_{\pi_\beta(\cdot | y_1, \dots, y_{i-1})}[\theta]\bigr)

    with the mean of the parameters in their constrained coordinates: it stays inside the model,
    and does not pay for the spread of the draws. It asks for smaller betas than `safe_bayes`.

    Parameters
    ----------
    model, betas, particles, cores, random_seed, progressbar, tempered
        as for `safe_bayes`.

    Returns
    -------
    Calibration
        as `safe_bayes`'s.

    Raises
    ------
    CalibrationError, ImproperPriorError, StalledAnnealingError, EnergyError
        as `safe_bayes`.
    UnsupportedVariableError
        discrete variables, whose means are no parameters.

    Notes
    -----
    Source: Grünwald and van Ommen (2017), Bayesian Analysis 12, 1069-1103, section 4.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> rng = np.random.default_rng(2)
    >>> x, y = rng.normal(size=(30, 3)), 2 * rng.normal(size=30)
    >>> with pm.Model():
    ...     b = pm.Normal("b", 0, 1, shape=3)
    ...     loss = pm.Normal("y", x @ b, 1.0, observed=y)
    ...     found = pms.calibration.safe_bayes_in_model(
    ...         particles=128, random_seed=1, progressbar=False)
    >>> found.beta in 2.0 ** np.arange(-6, 1)
    True
    """
    return _safest(
        model, betas, particles, cores, random_seed, progressbar, tempered,
        "safe Bayes, by posterior means (I-log)", "plugged_loss",
    )  # fmt: skip
