r"""Thermodynamics between the rungs of a ladder, from the draws of all of them (MBAR).

.. math:: U = \sum_n w_n E_n, \quad C = \beta^2 \sum_n w_n (E_n - U)^2, \quad
          \mathrm{KL} = -\beta U - \log Z

with the weights :math:`w_n(\beta)` of MBAR.

Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.stats.averages import mcse_of_mean, no_prior_note, prior_tail_note
from pm_statmech.stats.mbar import Mbar
from pm_statmech.stats.pooled import KEPT_ATTRIBUTES, check_inside, solve_ladder, thinning
from pm_statmech.stats.pooled_moments import MOST_BETAS, central_moments, influences


def at_betas(dt: DataTree, betas: float | Sequence[float]) -> xr.Dataset:
    r"""Thermodynamics at any beta inside the ladder, from the draws of all rungs (MBAR).

    .. math:: U = \sum_n w_n E_n, \quad C = \beta^2 \sum_n w_n (E_n - U)^2, \quad
              \mathrm{KL} = -\beta U - \log Z

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    betas
        inverse temperatures from the smallest rung to the largest, in any order.

    Returns
    -------
    Dataset over ``inverse_temperature`` with the variables of `thermodynamics`:
        ``mean_energy`` (unit of the loss), ``heat_capacity``, ``relative_entropy``,
        ``log_partition`` (nats, relative to Z(0)), each with its ``*_mcse``. Where the prior's
        mean energy is infinite, U(0) is NaN and the attribute ``note`` says so; ``thinning`` is
        how many scans were passed over for each that was read, see `thinning`.

    Raises
    ------
    InverseTemperatureError
        a beta is negative, not finite, or outside the ladder.
    EvidenceError
        two neighbouring rungs have less than one draw in common.

    Notes
    -----
    Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105.
    """
    group = tempering_group(dt)
    rungs = group[RUNG].values
    asked = check_inside(betas, rungs)
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    finite = bool(np.all(np.isfinite(energy[..., 0])))
    tail, note = prior_tail_note(energy[..., 0], finite) if 0.0 in asked else (0.0, "")
    thin = thinning(energy, len(asked))
    values, errors = pooled_thermodynamics(solve_ladder(dt, thin=thin), asked)
    if rungs[0] > 0:
        note = no_prior_note(rungs[0])
        values["relative_entropy"][:] = errors["relative_entropy"][:] = np.nan
    if tail >= 1:
        values["mean_energy"][asked == 0] = np.nan
    if tail >= 0.5:
        errors["mean_energy"][asked == 0] = np.nan
    variables = {}
    for name, value in values.items():
        variables[name] = (RUNG, value)
        variables[f"{name}_mcse"] = (RUNG, errors[name])
    attrs = {key: group.attrs[key] for key in KEPT_ATTRIBUTES}
    return xr.Dataset(
        variables, coords={RUNG: asked}, attrs={**attrs, "note": note, "thinning": thin}
    )


def pooled_thermodynamics(
    solution: Mbar, betas: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """U, C, relative entropy and log Z at betas (B,), and their errors, each {name: (B,)}.

    Examples
    --------
    >>> from pm_statmech.stats.mbar import solve_mbar
    >>> rungs = np.array([0.0, 0.2, 1.0])
    >>> energy = np.random.default_rng(1).gamma(3.0, 1 / (1 + rungs), size=(4, 500, 3))
    >>> found, error = pooled_thermodynamics(solve_mbar(energy, rungs), np.array([0.5]))
    >>> bool(np.all(abs(found["mean_energy"] - 3 / 1.5) < 5 * error["mean_energy"]))
    True
    """
    names = ("mean_energy", "heat_capacity", "relative_entropy", "log_partition")
    values, errors = ({name: np.empty(len(betas)) for name in names} for _ in range(2))
    for part in range(0, len(betas), MOST_BETAS):
        own = slice(part, part + MOST_BETAS)
        beta = betas[own]
        found = central_moments(solution, beta)
        on = influences(solution, beta, found)
        # what log Z is relative to
        first = beta == solution.betas[0]
        log_z, on_log_z = np.where(first, 0.0, found.log_z), np.where(first, 0.0, on.log_z)
        variance, on_mean = found.central[:, 0], on.moments[..., 0]
        pieces = (
            (found.mean, on_mean),
            (beta**2 * variance, beta**2 * on.moments[..., 1]),
            (-beta * found.mean - log_z, -beta * on_mean - on_log_z),
            (log_z, on_log_z),
        )
        for name, (value, influence) in zip(names, pieces, strict=True):
            values[name][own], errors[name][own] = value, mcse_of_mean(influence)
    return values, errors
