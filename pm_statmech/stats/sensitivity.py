r"""How the posterior's means and spreads move with beta.

.. math:: \frac{d\, E_\beta[\theta]}{d \log \beta} = -\beta\, \mathrm{Cov}_\beta(\theta, E)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import InverseTemperatureError, TreeError
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.mbar import at_beta
from pm_statmech.stats.pooled import KEPT_ATTRIBUTES, check_inside, means_at, solve_ladder
from pm_statmech.stats.reweighting import SCAN_DIMS, columns_of

# temperatures looked at by default, from a quarter of the target to four times it
# suffixes of the statistics of a variable
KINDS = ("", "_mcse", "_sd", "_sd_mcse", "_shift", "_shift_mcse")
N_BETAS, FACTOR = 17, 4.0


def beta_sensitivity(
    dt: DataTree,
    *,
    var_names: Sequence[str] | None = None,
    betas: float | Sequence[float] | None = None,
) -> xr.Dataset:
    r"""Posterior means and standard deviations at other betas, without sampling again.

    .. math:: \mu(\beta) = E_\beta[\theta], \quad \sigma(\beta) = \mathrm{sd}_\beta(\theta), \quad
              \mathrm{shift} = \frac{1}{\sigma} \frac{d \mu}{d \log \beta}
              = -\frac{\beta\, \mathrm{Cov}_\beta(\theta, E)}{\sigma}

    A loss leaves open how hot its posterior should be: this says what that choice changes. In a
    regular model means stay and standard deviations fall as 1 / sqrt(beta); a shift that is not
    small against 1 says that prior and data disagree about the parameter.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
    var_names
        variables of the posterior, by default all.
    betas
        inside the ladder; by default from a quarter of the target to four times it, as far as the
        ladder goes, in equal factors.

    Returns
    -------
    Dataset over ``inverse_temperature`` and the variables' own dims
        for each variable v: ``v`` its mean, ``v_sd``, and ``v_shift``, in standard deviations for
        a factor e of beta, each with its Monte Carlo error ``*_mcse``.

    Raises
    ------
    TreeError
        the draws of the rungs were not kept, or a name that is no variable.
    InverseTemperatureError
        a beta outside the ladder.

    Notes
    -----
    By MBAR over the draws of all rungs; errors are those of influence functions with ArviZ's
    effective sample size. ``az.psense`` scales prior and likelihood of one posterior by a few per
    cent instead. Source of power-scaling: Kallioinen, Paananen, Buerkner, Vehtari (2024),
    Statistics and Computing 34, 57.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.beta_sensitivity(dt, betas=[0.5, 1.0])
    >>> exact = [system.posterior(b)["mu"][1] for b in (0.5, 1.0)]
    >>> bool((abs(found["mu_sd"] - exact) < 5 * found["mu_sd_mcse"]).all())
    True
    """
    group = tempering_group(dt)
    rungs, target = group[RUNG].values, float(group.attrs["target_beta"])
    if betas is None:
        if target == 0:
            raise InverseTemperatureError("the target is beta = 0, the prior: give betas=.")
        low, high = max(rungs[0], target / FACTOR), min(rungs[-1], target * FACTOR)
        betas = np.clip(np.geomspace(low, high, N_BETAS), low, high).tolist()
    asked = check_inside(betas, rungs)
    if "tempered_posterior" not in dt.children:
        raise TreeError(
            "the draws of the rungs were not kept, and means at other betas are taken over all of "
            "them. Sample with keep_tempered=True."
        )
    draws = dt["tempered_posterior"].dataset
    names = [str(v) for v in draws.data_vars] if var_names is None else list(var_names)
    unknown = sorted(set(names) - set(map(str, draws.data_vars)))
    if unknown:
        raise TreeError(f"var_names: {unknown} are not among {sorted(map(str, draws.data_vars))}.")
    made = [f"{name}{kind}" for name in names for kind in KINDS]
    twice = sorted({name for name in made if made.count(name) > 1})
    if twice:
        raise TreeError(
            f"{twice} would stand for a variable of that name and for a statistic of another: "
            "choose some of them with var_names=."
        )
    solution = solve_ladder(dt)
    weighted = [at_beta(solution, beta) for beta in asked]
    energy = np.where(np.isfinite(solution.energy), solution.energy, 0.0)[..., None]
    variables = {}
    for name in names:
        columns = columns_of(draws[name]).astype(np.float64)
        found = np.empty((6, len(asked), columns.shape[-1]))
        for i, here in enumerate(weighted):
            found[:, i] = _moments(solution, here, columns, energy)
        dims = [d for d in draws[name].dims if d not in SCAN_DIMS]
        shape = (len(asked), *(draws[name].sizes[d] for d in dims))
        for kind, values in zip(KINDS, found, strict=True):
            variables[f"{name}{kind}"] = ((RUNG, *dims), values.reshape(shape))
    kept = {k: v for k, v in draws.coords.items() if not set(v.dims) & set(SCAN_DIMS)}
    attrs = {key: group.attrs[key] for key in KEPT_ATTRIBUTES}
    return xr.Dataset(variables, coords={**kept, RUNG: asked}, attrs=attrs)


def _moments(solution, here, columns: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Mean, sd and shift of columns (chain, draw, K, M) with their errors: (6, M)."""
    # draws without weight may be infinite; of any with weight no moment is known
    weightless = here.weights[..., None] == 0
    columns = np.where(weightless & ~np.isfinite(columns), 0.0, columns)
    known = np.all(np.isfinite(columns), axis=(0, 1, 2))
    columns = np.where(known, columns, 0.0)
    centre = np.tensordot(here.weights, columns, axes=3)
    U = float(np.sum(here.weights[..., None] * energy))
    away = columns - centre
    # moments about the means, which do not move with the means to first order
    values = np.concatenate([columns, away**2, away * (energy - U)], axis=-1)
    means, influence = means_at(solution, here, values)
    mean, variance, covariance = np.split(means, 3)
    on_mean, on_variance, on_covariance = np.split(influence, 3, axis=-1)
    sd = np.sqrt(variance)
    sd = np.where(sd > 1e-13 * np.abs(centre), sd, 0.0)
    # a variable that does not move has neither shift nor error
    safe = np.where(sd > 0, sd, 1.0)
    on_sd = on_variance / (2.0 * safe)
    shift = np.where(sd > 0, -here.beta * covariance / safe, 0.0)
    on_shift = -here.beta * (on_covariance / safe - covariance * on_sd / safe**2)
    errors = [mcse_of_mean(v) for v in (on_mean, on_sd, on_shift)]
    found = np.stack([mean, errors[0], sd, errors[1], shift, errors[2]])
    return np.where(known, found, np.nan)
