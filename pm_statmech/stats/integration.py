r"""Thermodynamic integration, whose answer depends on where the rungs are.

.. math:: \log\frac{Z(\beta_*)}{Z(0)} = -\int_0^{\beta_*} U(\beta)\, d\beta

by the trapezoid rule between rungs, corrected by its end slopes :math:`dU/d\beta = -V`,

.. math:: -\int_{\beta_k}^{\beta_{k+1}} U\, d\beta \approx
          -\frac{\Delta_k}{2} (U_k + U_{k+1}) - \frac{\Delta_k^2}{12} (V_{k+1} - V_k),
          \qquad V = \mathrm{Var}_\beta(E)

Source: Friel, Hurn, Wyse (2014), Stat. Comput. 24, 709-723.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.stats.averages import mcse_of_mean, prior_tail_note
from pm_statmech.stats.evidence import check_ladder_of, pair_ratios
from pm_statmech.stats.free_energy import energy_moments

# the correction's error is a fourth moment of the energy, which is finite for k < 1/4
HEAVIEST_TAIL = 0.25


class Steps(NamedTuple):
    """Pieces of -integral U between neighbouring rungs (..., K - 1): their sum is log Z."""

    trapezoid: np.ndarray
    correction: np.ndarray


def corrected_trapezoid(betas: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> Steps:
    r"""Trapezoids and their corrections from U and V (..., K) at the rungs.

    .. math:: -\tfrac{\Delta_k}{2} (U_k + U_{k+1}), \qquad -\tfrac{\Delta_k^2}{12} (V_{k+1} - V_k)

    Linear in U and V, so that the influences of each draw on U and V give those on the steps.
    """
    step = np.diff(betas)
    return Steps(
        -step / 2 * (mean[..., :-1] + mean[..., 1:]),
        -(step**2) / 12 * (variance[..., 1:] - variance[..., :-1]),
    )


def thermodynamic_integration(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target by thermodynamic integration. Biased by its ladder.

    .. math:: \log Z = -\sum_k \left[ \frac{\Delta_k}{2} (U_k + U_{k+1})
              + \frac{\Delta_k^2}{12} (V_{k+1} - V_k) \right]

    This is not the answer, `log_evidence` is: between rungs U is taken for a cubic, and the error
    of that is in no error bar and does not shrink with more draws. It is here because papers
    report it, and because the curve of U shows where the evidence comes from.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats, relative to Z(0); ``correction``, the part that
        is second order in the steps: where it is not small, neither is the bias; over
        ``inverse_temperature`` the ``integrand`` -U with its ``integrand_mcse``, and
        ``log_partition`` with ``log_partition_mcse``. Where the energy of the prior has no
        fourth moment (infinite energies, Pareto k >= 1/4) the first pair of rungs is bridged by
        its stepping stone instead, which needs no moment; the attribute ``note`` says so.

    Raises
    ------
    TreeError
        no tempered run.

    Notes
    -----
    Source: Friel, Hurn, Wyse (2014), Improving power posterior estimation of statistical
    evidence, Stat. Comput. 24, 709-723.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(200, tune=200, model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.thermodynamic_integration(dt)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 0.5)
    True
    """
    group = tempering_group(dt)
    check_ladder_of(group)
    betas = group[RUNG].values
    target = int(np.flatnonzero(betas == group.attrs["target_beta"])[0])
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    finite = bool(np.all(np.isfinite(energy[..., 0])))
    tail, _ = prior_tail_note(energy[..., 0], finite) if betas[0] == 0 else (0.0, "")
    usable = energy if finite else np.where(np.isfinite(energy), energy, 0.0)
    mean, variance, on_mean, on_variance = energy_moments(usable)
    steps = corrected_trapezoid(betas, mean, variance)
    on_steps = np.sum(corrected_trapezoid(betas, on_mean, on_variance), axis=0)
    note = ""
    if tail >= HEAVIEST_TAIL:
        first = pair_ratios(energy[..., :2], betas[:2])
        steps.trapezoid[0], steps.correction[0] = first.log_ratio[0], 0.0
        on_steps[..., 0] = first.influence[..., 0]
        seen = "infinite energies" if not finite else f"a heavy tail (Pareto k = {tail:.2f})"
        note = (
            f"the energy of the prior has {seen}, so that U(0) or its error has no value: from "
            f"beta = 0 to {betas[1]:.3g} log Z is by stepping stone, which needs neither."
        )
    log_z = np.concatenate([[0.0], np.cumsum(steps.trapezoid + steps.correction)])
    zero = np.zeros((*energy.shape[:2], 1))
    errors = mcse_of_mean(np.concatenate([zero, np.cumsum(on_steps, axis=-1)], axis=-1))
    integrand, integrand_error = -mean, mcse_of_mean(on_mean)
    if tail >= 1:
        integrand[0] = np.nan
    if tail >= 0.5:
        integrand_error[0] = np.nan
    keep = ("target_beta", "reference", "log_partition_zero", "log_partition_zero_mcse")
    return xr.Dataset(
        {
            "log_evidence": log_z[target],
            "mcse": errors[target],
            "correction": np.sum(steps.correction[:target]),
            "integrand": (RUNG, integrand),
            "integrand_mcse": (RUNG, integrand_error),
            "log_partition": (RUNG, log_z),
            "log_partition_mcse": (RUNG, errors),
        },
        coords={RUNG: betas},
        attrs={
            "method": "thermodynamic integration by the corrected trapezoid rule",
            "note": note,
            **{key: group.attrs[key] for key in keep},
        },
    )
