r"""The mean of any function of the parameters, at any beta inside the ladder.

.. math:: E_\beta[f] = \sum_n w_n f(\theta_n), \qquad
          w_n \propto \frac{e^{-\beta E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)}

over the draws n of all rungs.

Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import TreeError
from pm_statmech.stats.averages import mcse_of_mean, pareto_tail
from pm_statmech.stats.mbar import Reweighting, at_beta
from pm_statmech.stats.pooled import check_inside, means_at, solve_ladder
from pm_statmech.stats.reweighting import SCAN_DIMS, columns_of

Quantity = Callable[[xr.Dataset], xr.DataArray | xr.Dataset]


def _evaluated(fn: Quantity, draws: xr.Dataset) -> xr.Dataset:
    """What fn makes of the draws, checked: one value a draw, or an array of them."""
    if not callable(fn):
        raise TypeError(
            f"fn={fn!r} is not a function. Give one that takes the Dataset of draws, such as "
            'lambda draws: draws["mu"] ** 2.'
        )
    made = fn(draws)
    if isinstance(made, xr.DataArray):
        name = "value" if made.name is None else str(made.name)
        made = xr.Dataset({name: made.reset_coords(drop=True)})
    if not isinstance(made, xr.Dataset):
        raise TreeError(f"fn gave a {type(made).__name__}: it must return a DataArray or Dataset.")
    for key, variable in made.data_vars.items():
        lost = [d for d in SCAN_DIMS if variable.sizes.get(d) != draws.sizes[d]]
        if lost:
            raise TreeError(
                f"fn gave {key!r} over {dict(variable.sizes)}, without all of {lost}. It must "
                "keep one value a draw: the mean over draws is taken afterwards, with weights."
            )
    return made


def _check_finite(name, columns: np.ndarray, found: Reweighting) -> None:
    """Raise TreeError where a value (chain, draw, K, M) with weight is NaN or infinite."""
    bad = ~np.isfinite(columns) & (found.weights > 0)[..., None]
    if np.any(bad):
        kind = "NaN" if np.any(np.isnan(columns[bad])) else "infinite"
        raise TreeError(
            f"fn gave {name!r} as {kind} in {np.mean(bad):.1%} of its values with weight at "
            f"beta = {found.beta:g}. Look for log or sqrt of a negative number, or a division by "
            "0, at the hot rungs, where draws range widely."
        )


def expectation(dt: DataTree, fn: Quantity, *, betas: float | Sequence[float]) -> xr.Dataset:
    r"""Mean of any function of the parameters, at any betas inside the ladder.

    .. math:: E_\beta[f] = \sum_n w_n(\beta)\, f(\theta_n)

    over the draws of all rungs with MBAR weights.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
    fn
        takes the Dataset of draws (chain, draw, inverse_temperature, ...) and returns a
        DataArray or Dataset with one value, or one array of values, a draw.
    betas
        inverse temperatures from the smallest rung to the largest, in any order.

    Returns
    -------
    Dataset over ``inverse_temperature`` and fn's further dims: each variable (``value`` if fn
        named none) with its Monte Carlo standard error ``*_mcse``, in fn's units. Where the draws
        of the prior say that a mean has no value at beta = 0 it is NaN, and where it has no
        standard error that is; the attribute ``note`` names the variables.

    Raises
    ------
    InverseTemperatureError
        a beta is negative, not finite, or outside the ladder.
    EvidenceError
        two neighbouring rungs have less than one draw in common.
    TreeError
        the draws of the rungs were not kept, or fn gave a NaN or lost the draws.
    TypeError
        fn is not a function.

    Notes
    -----
    Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105. Errors are those of influence
    functions, with ArviZ's effective sample size.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(200, tune=200, model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.expectation(dt, lambda draws: draws["mu"], betas=[0.37, 1.0])
    >>> error = found.mu - [system.posterior(b)["mu"][0] for b in (0.37, 1.0)]
    >>> bool((abs(error) < 5 * found.mu_mcse).all())
    True
    """
    asked = check_inside(betas, tempering_group(dt)[RUNG].values)
    if "tempered_posterior" not in dt.children:
        raise TreeError(
            "the draws of the rungs were not kept, and the mean at another beta is taken over "
            "all of them. Sample with keep_tempered=True."
        )
    made = _evaluated(fn, dt["tempered_posterior"].dataset)
    solution = solve_ladder(dt)
    weighted = [at_beta(solution, beta) for beta in asked]
    variables, notes = {}, []
    for name, variable in made.data_vars.items():
        columns = columns_of(variable)
        means, errors = np.empty((2, len(asked), columns.shape[-1]))
        for i, found in enumerate(weighted):
            _check_finite(name, columns, found)
            means[i], influence = means_at(solution, found, columns)
            errors[i] = mcse_of_mean(influence)
        if 0.0 in asked:
            tails = np.array([_tail(column) for column in np.moveaxis(columns[:, :, 0], -1, 0)])
            means[asked == 0] = np.where(tails >= 1, np.nan, means[asked == 0])
            errors[asked == 0] = np.where(tails >= 0.5, np.nan, errors[asked == 0])
            if np.any(tails >= 0.5):
                notes.append(
                    f"{name}: under the prior its {'mean' if np.any(tails >= 1) else 'variance'} "
                    f"is infinite as far as draws tell (Pareto k = {np.nanmax(tails):.2f})."
                )
        dims = [d for d in variable.dims if d not in SCAN_DIMS]
        shape = (len(asked), *(variable.sizes[d] for d in dims))
        variables[name] = ((RUNG, *dims), means.reshape(shape))
        variables[f"{name}_mcse"] = ((RUNG, *dims), errors.reshape(shape))
    kept = {k: v for k, v in made.coords.items() if not set(v.dims) & set(SCAN_DIMS)}
    attrs = {"method": "MBAR over all rungs", "note": " ".join(notes)}
    return xr.Dataset(variables, coords={**kept, RUNG: asked}, attrs=attrs)


def _tail(values: np.ndarray) -> float:
    """Pareto k of the heavier tail of independent values (chain, draw); NaN where none is."""
    with np.errstate(invalid="ignore"):
        return float(np.fmax(pareto_tail(values), pareto_tail(-values)))
