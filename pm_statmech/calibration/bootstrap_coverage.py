r"""Beta at which intervals would have covered the estimate, had the data been drawn from the data.

.. math:: \hat c(\beta) = \frac1B \sum_b 1\bigl\{\hat\theta \in C_\beta(y^{(b)})\bigr\}, \qquad
          \hat c(\beta) = 1 - \alpha

with :math:`y^{(b)}` resampled from the data and :math:`\hat\theta` the minimiser of the loss of
the data themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pymc as pm
import xarray as xr
from scipy.stats import chi2

from pm_statmech.calibration.loss_minimum import loss_minimiser
from pm_statmech.calibration.matching import PLUG_IN, label_of, prepared
from pm_statmech.calibration.repetitions import check_level
from pm_statmech.calibration.resamples import LEAST_SHARE_OF_CURVE, Covered, Resamples
from pm_statmech.calibration.results import Calibration
from pm_statmech.datatree import RUNG
from pm_statmech.energy_function import Layout
from pm_statmech.errors import CalibrationError
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.refits import Fit, Refits, compile_refits
from pm_statmech.samplers.workers import seeds_of, threads
from pm_statmech.tempering import TemperedModel

MOST_STEPS, GAIN_POWER = 40, 0.51
# resamples by which the coverage may miss the level, and curvature that determines a coordinate
MOST_APART, LEAST_CURVATURE = 3.0, 1e-3
# betas of the curve in the path, and how far it reaches to each side
N_CURVE, REACH = 21, 2.0


def slope_of_coverage(level: float, d: int) -> float:
    r"""Minus d coverage / d log beta of normal posteriors at the right beta, :math:`q f_d(q)`.

    q is the quantile of chi-square with d degrees of freedom, f its density.
    """
    q = chi2.ppf(level, d)
    return float(q * chi2.pdf(q, d))


class Search(NamedTuple):
    """Betas tried and the coverages found there; the last beta is the answer."""

    betas: list[float]
    coverages: list[float]


def _search(
    coverage: Callable[[float], float], level: float, slope: float, start: float, resolution: float
) -> Search:
    r"""Robbins and Monro's steps in log beta with a gain :math:`(t + 1)^{-.51}` over the slope.

    t counts how often they turned back (Kesten (1958), Ann. Math. Statist. 29), so that a start
    that is far away does not use the gain up. They end at a coverage within half of its
    `resolution`, or half a percent of beta, of the level.
    """
    log_beta, betas, coverages, t, previous = np.log(start), [], [], 0, 0.0
    for _ in range(MOST_STEPS):
        betas.append(float(np.exp(log_beta)))
        coverages.append(coverage(betas[-1]))
        excess = coverages[-1] - level
        if abs(excess) <= max(0.005 * slope, 0.5 * resolution):
            break
        t += excess * previous < 0
        previous = excess
        # far from the root the law of normal posteriors is only a direction
        log_beta += np.clip(excess / slope * (t + 1.0) ** -GAIN_POWER, -1.0, 1.0)
    return Search(betas, coverages)


def _chosen(layout: Layout, var_names: Sequence[str] | None, split: TemperedModel) -> np.ndarray:
    """Positions of the coordinates whose intervals count."""
    if var_names is None:
        return np.arange(layout.size)
    var_names = [var_names] if isinstance(var_names, str) else list(var_names)
    own = [rv.name for rv in split.model.free_RVs]
    unknown = sorted(set(var_names) - set(own))
    if unknown or not var_names:
        raise CalibrationError(f"var_names: {unknown} are not among the free variables {own}.")
    sizes = [int(np.prod(shape, dtype=int)) for shape in layout.shapes]
    return np.concatenate(
        [
            start + np.arange(size)
            for name, start, size in zip(own, layout.positions, sizes, strict=True)
            if name in var_names
        ]
    )


def _calibrated(
    model, level, var_names, replications, draws, start, cores, random_seed, progressbar, tempered,
    joint: bool,
) -> Calibration:  # fmt: skip
    from rich.progress import Progress

    split, layout = prepared(model, tempered)
    check_level(level)
    if replications < 20 or draws < 100:
        raise CalibrationError(
            f"replications = {replications}, draws = {draws}: a coverage takes at least 20 data "
            "sets and 100 draws of each posterior."
        )
    chosen = _chosen(layout, var_names, split)
    n = split.terms[0].n_observations
    estimate = loss_minimiser(split, layout)(np.ones(n))
    refits = compile_refits(split, counted=True)
    own, *seeds = seeds_of(random_seed).spawn(1 + replications)
    beta = split.target_beta if start is None else check_beta(start, "start")
    if beta == 0:
        raise CalibrationError("start = 0 is the prior: give a beta above 0.")
    first = refits.first(beta, {}, draws, np.random.default_rng(own))
    _check_determined(refits, first, layout, estimate, chosen)
    with Progress(disable=not progressbar, transient=True) as bar, threads(cores) as pool:
        task = bar.add_task("Refitting", total=None)
        resamples = Resamples(refits, first, estimate, n, draws, seeds, lambda: bar.advance(task))

        def covers(found: Covered) -> np.ndarray:
            if joint:
                return found.joint(level).astype(float)
            return np.mean(found.marginal(level)[:, chosen], axis=1)

        search = _search(
            lambda at: float(np.mean(covers(resamples.covered(at, pool)))),
            level, slope_of_coverage(level, layout.size if joint else 1), beta,
            1.0 / (replications * (1 if joint else len(chosen))),
        )  # fmt: skip
        beta = search.betas[-1]
        at_answer = covers(resamples.covered(beta, pool))
        curve_betas = beta * np.geomspace(1 / REACH, REACH, N_CURVE)
        # from the hot end on, because weights carry draws to colder betas only
        curve = [resamples.covered(at, pool, LEAST_SHARE_OF_CURVE) for at in curve_betas]
    error = float(np.std(at_answer, ddof=1) / np.sqrt(replications))
    _check_answer(search, at_answer, level, error, resamples)
    slope = _slope_of_curve(curve_betas, np.array([np.mean(covers(c)) for c in curve]))
    label, unit = label_of(split)
    marginal = np.array([np.mean(c.marginal(level), axis=0) for c in curve])
    path = xr.Dataset(
        {
            "coverage": (RUNG, [float(np.mean(covers(c))) for c in curve]),
            "coverage_mcse": (
                RUNG,
                [float(np.std(covers(c), ddof=1) / np.sqrt(replications)) for c in curve],
            ),
            "marginal_coverage": ((RUNG, "coordinate"), marginal),
            "joint_coverage": (RUNG, [float(np.mean(c.joint(level))) for c in curve]),
            "step_beta": ("step", search.betas),
            "step_coverage": ("step", search.coverages),
            "minimiser": ("coordinate", estimate),
        },
        coords={RUNG: curve_betas, "coordinate": layout.coordinate_names()},
        attrs={
            "x": RUNG, "criteria": "coverage", "wanted": level, "n_observations": n,
            "n_failed": resamples.n_failed,
        },
    )  # fmt: skip
    kind = "the joint region" if joint else "marginal intervals"
    failed = (
        f", {resamples.n_failed} of them with R-hat above 1.05 or few effective draws"
        if resamples.n_failed
        else ""
    )
    return Calibration(
        beta, beta * error / slope, label, unit,
        f"general posterior calibration of {kind} at {level:g}",
        (PLUG_IN[0], PLUG_IN[2], "resampled data are to the data as the data to the world"),
        f"{resamples.n_drawn} posteriors of {replications} resampled data sets{failed}", path,
    )  # fmt: skip


def _check_determined(
    refits: Refits, first: Fit, layout: Layout, estimate: np.ndarray, chosen: np.ndarray
) -> None:
    """Raise CalibrationError where the loss does not curve along some of the chosen coordinates.

    The curvature is that of secants over some posterior standard deviations, so that kinks count.
    """
    sd, d = first.pooled().std(axis=0), layout.size
    is_loose = np.ones(d, dtype=bool)
    # a first beta that is far too cold makes steps that meet no kink
    for scale in (1.0, 5.0, 25.0):
        steps = scale * np.diag(sd)
        there, back = (refits.values(estimate + sign * steps, {})[:, 2 + d :] for sign in (1, -1))
        curvature = first.beta * np.nan_to_num(there - back) * sd / (2 * scale)
        values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
        free = vectors[:, ~(values > LEAST_CURVATURE)]
        is_loose &= np.sum(free**2, axis=1) > 1e-6
    if np.any(is_loose[chosen]):
        names = layout.coordinate_names()
        loose = [names[j] for j in chosen[is_loose[chosen]]]
        raise CalibrationError(
            f"the loss does not determine {loose}, so that its minimiser, which intervals should "
            "cover, has no value there: such are the parameters of a hierarchical prior, and "
            "missing data. Name the others by var_names= (of general_posterior_calibration)."
        )


def _slope_of_curve(betas: np.ndarray, coverage: np.ndarray) -> float:
    """Minus the slope of coverage against log beta, by least squares around the answer."""
    middle = slice(N_CURVE // 2 - 4, N_CURVE // 2 + 5)
    slope = -np.polyfit(np.log(betas[middle]), coverage[middle], 1)[0]
    return max(float(slope), 1e-3)


def _check_answer(search, at_answer, level, error, resamples: Resamples) -> None:
    reached = float(np.mean(at_answer))
    if abs(reached - level) > MOST_APART / len(at_answer):
        raise CalibrationError(
            f"no beta was found at which {level:.0%} of the resampled data sets cover the "
            f"minimiser: after {len(search.coverages)} steps beta is {search.betas[-1]:.3g} and "
            f"the coverage {reached:.1%}. A prior that disagrees with the data, a loss without a "
            "minimum, or fewer observations than a few for each parameter, can be why."
        )
    if resamples.n_failed > 0.1 * len(resamples.fits):
        raise CalibrationError(
            f"{resamples.n_failed} of {len(resamples.fits)} posteriors did not pass R-hat <= 1.05 "
            "with 100 effective draws: take more draws=, or a better parametrisation."
        )


def general_posterior_calibration(
    model: pm.Model | None = None,
    *,
    level: float = 0.95,
    var_names: Sequence[str] | None = None,
    replications: int = 200,
    draws: int = 1000,
    start: float | None = None,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Beta at which marginal intervals have their nominal coverage, by the bootstrap.

    .. math:: \hat c(\beta) = \frac{1}{B d} \sum_{b, j}
              1\bigl\{F_{\beta,j}^{(b)}(\hat\theta_j) \in
              [\tfrac\alpha2, 1 - \tfrac\alpha2]\bigr\} = 1 - \alpha

    with :math:`F_{\beta,j}^{(b)}` the posterior distribution function of coordinate j for the b-th
    resampled data set. The root is found by stochastic approximation,

    .. math:: \log\beta_{t+1} = \log\beta_t + \frac{\hat c(\beta_t) - (1 - \alpha)}
              {(t+1)^{0.51}\, q f(q)}

    where q f(q) is the slope of the coverage of normal posteriors, and t counts turns. The same
    resampled data serve all steps; their posteriors are reweighted from one beta to the next, and
    drawn again (from where they are) once fewer than half of their effective draws are left, or
    beta is hotter than three quarters of theirs, whence weights have no variance to trust.

    Parameters
    ----------
    model
        by default the one in context, with one tempered term of losses along one axis, of
        independent observations.
    level
        the wanted coverage, 1 - alpha.
    var_names
        free variables whose intervals count, by default all, each coordinate as much.
    replications, draws
        resampled data sets B, and draws of each posterior.
    start
        the first beta, by default the model's own.
    cores
        threads; results do not depend on their number.
    random_seed
        of the resampling and the draws.
    progressbar
        over the posteriors that are drawn.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        whose ``path`` holds over ``inverse_temperature`` the ``coverage`` with its error,
        ``marginal_coverage`` of each coordinate and ``joint_coverage``, and over ``step`` the
        search. The standard error is that of B resamples; of other data it says nothing.

    Raises
    ------
    CalibrationError
        as `information_matching`; no beta that has the coverage; posteriors that do not mix.
    UnsupportedVariableError
        discrete variables.

    Notes
    -----
    Source: Syring and Martin (2019), Calibrating general posterior credible regions, Biometrika
    106, 479-486, whose steps are in beta, with gain one; these are in log beta.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=100)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    ...     found = pms.calibration.general_posterior_calibration(
    ...         replications=50, draws=200, random_seed=1, progressbar=False)
    >>> bool(abs(found.beta - 1 / y.var()) < 4 * found.standard_error)
    True
    """
    return _calibrated(
        model, level, var_names, replications, draws, start, cores, random_seed, progressbar,
        tempered, joint=False,
    )  # fmt: skip


def general_posterior_calibration_joint(
    model: pm.Model | None = None,
    *,
    level: float = 0.95,
    replications: int = 200,
    draws: int = 1000,
    start: float | None = None,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Beta at which the joint region of highest density has its nominal coverage.

    .. math:: C_\beta = \{\theta : \pi_\beta(\theta) \ge k\}, \quad \pi_\beta(C_\beta) = 1 - \alpha,
              \qquad \frac1B \sum_b 1\bigl\{\hat\theta \in C_\beta^{(b)}\bigr\} = 1 - \alpha

    in unconstrained coordinates. One beta cannot right every interval; the joint region weighs
    them as the posterior does, and is the one of the paper.

    Parameters
    ----------
    model, level, replications, draws, start, cores, random_seed, progressbar, tempered
        as for `general_posterior_calibration`.

    Returns
    -------
    Calibration
        as `general_posterior_calibration`'s.

    Raises
    ------
    CalibrationError, UnsupportedVariableError
        as `general_posterior_calibration`.

    Notes
    -----
    Source: Syring and Martin (2019), Biometrika 106, 479-486.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = np.random.default_rng(1).normal(3.0, 2.0, size=100)
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    ...     found = pms.calibration.general_posterior_calibration_joint(
    ...         replications=50, draws=200, random_seed=1, progressbar=False)
    >>> bool(abs(found.beta - 1 / y.var()) < 4 * found.standard_error)
    True
    """
    return _calibrated(
        model, level, None, replications, draws, start, cores, random_seed, progressbar, tempered,
        joint=True,
    )  # fmt: skip
