r"""PAC-Bayes bounds on the risk of a Gibbs posterior, from its mean energy and its log Z.

With n independent observations, a loss in [0, M], the risk R of a draw on new data and its
empirical risk r = E / (n M), posterior draws of pi_beta satisfy with probability 1 - delta over
the data

.. math:: \mathrm{kl}\bigl(\bar r, \bar R / M\bigr) \le
          \frac{\mathrm{KL}(\pi_\beta, \pi_0) + \log(2\sqrt n/\delta)}{n},
          \qquad
          \frac{\bar R}{M} \le \frac{-\log Z(\beta) + \log(1/\delta)}{n \beta M} + \frac{\beta M}{8}

the first for all betas at once, the second for one that was chosen before the data were seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.calibration.bounds import catoni, linear, maurer_seeger, mcallester
from pm_statmech.calibration.results import Calibration, inverse_unit
from pm_statmech.datatree import RUNG, read_terms, tempering_group
from pm_statmech.errors import CalibrationError, InverseTemperatureError
from pm_statmech.gibbs import GibbsLossRV
from pm_statmech.losses import Loss
from pm_statmech.samplers.refits import compile_losses_at
from pm_statmech.stats.free_energy import thermodynamics
from pm_statmech.tempering import TemperedModel, tempered_model

BOUNDS = ("maurer_seeger", "mcallester", "catoni", "linear")
# the grid without betas=: powers of the root of 2, as far to each side as this
FURTHEST = 24
# draws of the prior, and of the posterior, at which the range of a loss is looked at
N_TRIED = 200


def grid_of_betas(n: int, M: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Betas that depend on n alone, and the share of delta that each gets.

    .. math:: \beta_j = 2^{j/2} / (M \sqrt n), \qquad
              p_j = \frac{2}{3 (|j| + 1)(|j| + 2)}, \quad \sum_{j \in \mathbb Z} p_j = 1
    """
    j = np.arange(-FURTHEST, FURTHEST + 1)
    return 2.0 ** (j / 2) / (M * np.sqrt(n)), 2 / (3 * (np.abs(j) + 1.0) * (np.abs(j) + 2.0))


def _certificates(risk, relative, log_z, betas, shares, n: int, delta: float) -> dict:
    """Four bounds at every beta, of a loss in [0, 1]."""
    return {
        "maurer_seeger": maurer_seeger(risk, relative, n, delta),
        "mcallester": mcallester(risk, relative, n, delta),
        "catoni": catoni(log_z, betas, n, delta * shares),
        "linear": linear(log_z, betas, n, delta * shares),
    }


def _check_delta(delta: float, n: int) -> None:
    if not 0 < delta < 1:
        raise CalibrationError(f"delta = {delta:g}: a probability of failing between 0 and 1.")
    if n < 8:
        raise CalibrationError(f"{n} observations: Maurer's constant needs 8.")


def _checked_grid(betas, n: int, M: float) -> tuple[np.ndarray, np.ndarray]:
    if betas is None:
        return grid_of_betas(n, M)
    grid = np.unique(np.atleast_1d(np.asarray(betas, dtype=float)))
    if not np.all(np.isfinite(grid)) or not np.all(grid > 0):
        raise InverseTemperatureError(
            f"betas = {grid.tolist()}: certificates are of finite betas above 0."
        )
    return grid, np.full(len(grid), 1.0 / len(grid))


def _as_calibration(
    values: dict, betas, shares, n: int, M: float, delta: float, chosen: str, label: str, unit: str,
    cost: str, given: bool,
) -> Calibration:  # fmt: skip
    best = int(np.argmin(values["maurer_seeger"]))
    certificate = M * float(values["maurer_seeger"][best])
    variables = {name: (RUNG, M * values[name]) for name in BOUNDS}
    variables |= {
        "empirical_risk": (RUNG, M * values["risk"]),
        "relative_entropy": (RUNG, values["relative_entropy"]),
        "log_partition": (RUNG, values["log_partition"]),
        "share_of_delta": (RUNG, shares),
    }
    path = xr.Dataset(
        variables,
        coords={RUNG: betas},
        attrs={
            "x": RUNG, "criteria": ",".join(BOUNDS), "certificate": certificate, "delta": delta,
            "n_observations": n, "bound_of_loss": M,
        },
    )  # fmt: skip
    before = (
        "betas= were chosen before the data were seen (Catoni's and the linear bound)"
        if given
        else "Catoni's and the linear bound share delta among the betas of a grid fixed by n"
    )
    return Calibration(
        float(betas[best]), np.nan, label, unit,
        f"the PAC-Bayes bound of Maurer and Seeger: risk at most {certificate:.4g} with "
        f"probability {1 - delta:g}, empirical risk {M * float(values['risk'][best]):.4g}{chosen}",
        (
            "observations are independent and from one law",
            "the prior was chosen before the data were seen, standardisation included",
            before,
        ),
        cost, path,
    )  # fmt: skip


def _check_range(dt: DataTree, split: TemperedModel, loss: Loss) -> None:
    """Raise CalibrationError where a loss leaves [0, M] at draws of the prior or the posterior."""
    names = [rv.name for rv in split.model.free_RVs]
    prior = pm.draw([split.model[name] for name in names], N_TRIED, random_seed=0)
    at = compile_losses_at(split)
    points = [dict(zip(names, values, strict=True)) for values in zip(*prior, strict=True)]
    posterior = dt["posterior"].dataset if "posterior" in dt.children else xr.Dataset()
    if all(name in posterior for name in names):
        stacked = posterior[names].stack(all_draws=("chain", "draw"))
        chosen = np.linspace(0, stacked.sizes["all_draws"] - 1, N_TRIED).astype(int)
        points += [{name: stacked[name].isel(all_draws=s).values for name in names} for s in chosen]
    losses = np.array([at(point) for point in points])
    low, high = float(np.min(losses)), float(np.max(losses))
    if not (low >= -1e-12 and high <= loss.bound * (1 + 1e-12)):
        raise CalibrationError(
            f"{loss.label} says that it lies between 0 and {loss.bound:g}, and at draws of the "
            f"prior and the posterior it goes from {low:.3g} to {high:.3g}: no certificate holds. "
            "Is the prediction a probability where the loss takes one?"
        )


def _bounded_loss(dt: DataTree, model, tempered) -> tuple[float, int, str, str]:
    """Supremum, number of observations, label and unit of beta of a loss that can be certified."""
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    if len(split.terms) != 1:
        raise CalibrationError(
            f"a certificate is of one loss; the model tempers {[t.name for t in split.terms]}."
        )
    [term] = split.terms
    observed = {rv.name: rv for rv in split.model.observed_RVs}
    rv = observed.get(term.name)
    if rv is None or not isinstance(rv.owner.op, GibbsLossRV):
        raise CalibrationError(
            f"{term.name} is a {term.kind}, whose losses have no bound: a PAC-Bayes certificate "
            "needs a GibbsLoss with a bounded loss, such as zero_one or brier."
        )
    loss = rv.owner.op.loss
    if not loss.bounded:
        raise CalibrationError(
            f"{term.name}: {loss.label} is not bounded, and no certificate holds for it. Take a "
            "bounded loss (zero_one, brier), or say the supremum of your own by Loss(bound=...)."
        )
    _, weights, *_ = rv.owner.op.dist_params(rv.owner)
    if not np.all(np.asarray(weights.eval()) == 1.0):
        raise CalibrationError(
            f"{term.name} weighs its observations: certificates are of the plain mean of losses of "
            "observations from one law."
        )
    seen = {t.name: t.n_observations for t in read_terms(tempering_group(dt).attrs)}
    if seen != {term.name: term.n_observations}:
        raise CalibrationError(
            f"the tree is a run of {seen} observations, and the model has {term.n_observations} of "
            f"{term.name}: give the tree of this model."
        )
    if not split.prior_normalised:
        raise CalibrationError(
            f"the prior is not known to integrate to 1 ({split.prior_reason}): the relative "
            "entropy to it, and so the certificate, has no value."
        )
    lowest = float(tempering_group(dt)[RUNG].values[0])
    if lowest > 0:
        raise InverseTemperatureError(
            f"the ladder begins at beta = {lowest:g}: log Z relative to the prior, which a "
            "certificate is made of, needs a rung at 0."
        )
    _check_range(dt, split, loss)
    return loss.bound, term.n_observations, f"{term.name}, {loss.label}", inverse_unit(term.unit)


def pac_bayes(
    dt: DataTree,
    model: pm.Model | None = None,
    *,
    delta: float = 0.05,
    betas: Sequence[float] | None = None,
    mcse_factor: float = 3.0,
    tempered=None,
) -> Calibration:
    r"""Certificates of a Gibbs posterior's risk on new data, and the beta that minimises them.

    .. math:: P\Bigl(E_{\pi_\beta}[R] \le M\, \mathrm{kl}^{-1}\Bigl(\tfrac{U(\beta)}{nM},
              \tfrac{-\beta U - \log Z + \log(2\sqrt n / \delta)}{n}\Bigr)
              \text{ for all } \beta\Bigr) \ge 1 - \delta

    Parameters
    ----------
    dt
        the tree of `sample_tempered` of the model, with a rung at beta = 0.
    model
        by default the one in context: one `GibbsLoss` with a loss in [0, M], M its ``bound``,
        without weights, and a proper prior that knows nothing of the data.
    delta
        the probability with which certificates may fail.
    betas
        at which to certify, fixed before the data were seen: Catoni's and the linear bound divide
        delta among them. By default a grid that depends on n alone,
        :math:`2^{j/2}/(M\sqrt n)`, with unequal shares, cut where the ladder ends.
    mcse_factor
        by how many Monte Carlo errors U, the relative entropy and log Z are moved to the unsafe
        side before they enter a bound.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        with the beta at which the bound of Maurer and Seeger, which holds for all betas at once,
        is smallest. Its ``path`` has over ``inverse_temperature`` ``maurer_seeger``,
        ``mcallester``, ``catoni`` and ``linear`` in units of the loss, ``empirical_risk``,
        ``relative_entropy``, ``log_partition`` and ``share_of_delta``; the attribute
        ``certificate`` is the bound at that beta.

    Raises
    ------
    CalibrationError
        an unbounded loss, or one that leaves [0, M] at draws; a likelihood, weights, a prior that
        may have no integral, fewer than 8 observations, a tree of other data.
    InverseTemperatureError
        betas outside the ladder, or a ladder that does not begin at 0.

    Notes
    -----
    The risk is that of a posterior draw (the Gibbs classifier), not of a posterior mean. Sources:
    those of `maurer_seeger`, `mcallester`, `catoni` and `linear`; Alquier (2024), Foundations and
    Trends in Machine Learning 17, for all of them.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=300)
    >>> y = (x + 0.3 * rng.normal(size=300) > 0).astype(int)
    >>> with pm.Model():
    ...     a = pm.Normal("a", 0, 1, shape=2)
    ...     loss = pms.GibbsLoss("y", a[0] + a[1] * x, loss=pms.losses.zero_one, observed=y)
    ...     dt = pms.sample_tempered(500, target_beta=2.0, random_seed=1, quiet=True)
    ...     found = pms.calibration.pac_bayes(dt)
    >>> bool(found.path["empirical_risk"].min() < found.path.attrs["certificate"] < 0.3)
    True
    """
    M, n, label, unit = _bounded_loss(dt, model, tempered)
    _check_delta(delta, n)
    rungs = tempering_group(dt)[RUNG].values
    grid, shares = _checked_grid(betas, n, M)
    inside = (grid >= rungs[0]) & (grid <= rungs[-1])
    if betas is not None and not np.all(inside):
        raise InverseTemperatureError(
            f"betas {grid[~inside].tolist()} are outside the ladder, which goes from "
            f"{rungs[0]:g} to {rungs[-1]:g}: give sample_tempered a target_beta= that reaches them."
        )
    if not np.any(inside):
        raise InverseTemperatureError(
            f"the ladder ends at beta = {rungs[-1]:g}, below the grid, which begins at "
            f"{grid[0]:.3g}: give betas=, or sample_tempered a larger target_beta=."
        )
    grid, shares = grid[inside], shares[inside]
    found = thermodynamics(dt, betas=grid.tolist())
    worse = {
        name: found[name].values + sign * mcse_factor * np.nan_to_num(found[f"{name}_mcse"].values)
        for name, sign in (("mean_energy", 1), ("relative_entropy", 1), ("log_partition", -1))
    }
    risk = np.clip(worse["mean_energy"] / (n * M), 0.0, 1.0)
    relative = np.maximum(worse["relative_entropy"], 0.0)
    values = _certificates(risk, relative, worse["log_partition"], grid * M, shares, n, delta)
    values |= {
        "risk": found["mean_energy"].values / (n * M),
        "relative_entropy": found["relative_entropy"].values,
        "log_partition": found["log_partition"].values,
    }
    edge = bool(np.argmin(values["maurer_seeger"]) == len(grid) - 1)
    further = (
        "; the bound still falls at the end of the ladder, sample_tempered with a larger "
        "target_beta= may find a better one"
        if edge and betas is None
        else ""
    )
    return _as_calibration(
        values, grid, shares, n, M, delta, further, label, unit,
        f"one tempered run, {mcse_factor:g} Monte Carlo errors added", betas is not None,
    )  # fmt: skip


def pac_bayes_finite(
    losses,
    prior=None,
    *,
    bound: float = 1.0,
    delta: float = 0.05,
    betas: Sequence[float] | None = None,
) -> Calibration:
    r"""Certificates of the Gibbs posterior over a finite class of predictors, by enumeration.

    .. math:: \pi_\beta(k) = \frac{\pi_0(k)\, e^{-\beta E_k}}{Z(\beta)}, \quad
              E_k = \sum_i \ell_{ik}, \qquad Z(\beta) = \sum_k \pi_0(k)\, e^{-\beta E_k}

    Parameters
    ----------
    losses
        (n, K) of n observations and K predictors, in [0, bound].
    prior
        (K,) probabilities, by default equal, chosen before the data were seen.
    bound
        M, the supremum of the loss.
    delta, betas
        as for `pac_bayes`.

    Returns
    -------
    Calibration
        as `pac_bayes`'s, without Monte Carlo error.

    Raises
    ------
    CalibrationError
        losses outside [0, bound], a prior that does not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> losses = (np.random.default_rng(1).random((500, 20)) < np.linspace(0.1, 0.9, 20)) * 1.0
    >>> found = pac_bayes_finite(losses)
    >>> bool(0.1 < found.path.attrs["certificate"] < 0.3)
    True
    """
    table = np.asarray(losses, dtype=float)
    if table.ndim != 2 or not np.all((table >= 0) & (table <= bound)):
        raise CalibrationError(
            f"losses have shape {table.shape}, and values from {np.min(table):g} to "
            f"{np.max(table):g}: give (observations, predictors) in [0, {bound:g}]."
        )
    n, K = table.shape
    _check_delta(delta, n)
    weight = np.full(K, 1.0 / K) if prior is None else np.asarray(prior, dtype=float)
    if weight.shape != (K,) or np.any(weight < 0) or abs(np.sum(weight) - 1) > 1e-9:
        raise CalibrationError(
            f"prior of shape {weight.shape} with sum {np.sum(weight):g}: give {K} probabilities."
        )
    grid, shares = _checked_grid(betas, n, bound)
    energy = table.sum(axis=0)
    with np.errstate(divide="ignore"):
        log_w = np.log(weight) - grid[:, None] * energy
    log_z = logsumexp(log_w, axis=1)
    posterior = np.exp(log_w - log_z[:, None])
    mean_energy = posterior @ energy
    relative = np.maximum(-grid * mean_energy - log_z, 0.0)
    risk = np.clip(mean_energy / (n * bound), 0.0, 1.0)
    values = _certificates(risk, relative, log_z, grid * bound, shares, n, delta)
    values |= {"risk": risk, "relative_entropy": relative, "log_partition": log_z}
    return _as_calibration(
        values, grid, shares, n, bound, delta, "", f"a loss of {K} predictors", "per unit of loss",
        "an enumeration", betas is not None,
    )  # fmt: skip
