r"""Thermodynamics along the ladder: energy, heat capacity, relative entropy, log partition.

.. math:: U(\beta) = E_\beta[E] = -\frac{d \log Z}{d\beta}, \qquad
          C(\beta) = \beta^2 \mathrm{Var}_\beta(E), \qquad
          \mathrm{KL}(\pi_\beta, \pi_0) = -\beta U - \log Z
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.stats.averages import mcse_of_mean, no_prior_note, prior_tail_note
from pm_statmech.stats.evidence import pair_ratios
from pm_statmech.stats.interpolation import at_betas


def energy_moments(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and variance of energies (chain, draw, K), and the influence of each draw on them."""
    mean = np.mean(energy, axis=(0, 1))
    on_mean = energy - mean
    variance = np.mean(on_mean**2, axis=(0, 1))
    return mean, variance, on_mean, on_mean**2 - variance


def gap_note(energy: np.ndarray, betas: np.ndarray) -> str:
    """Sentence on neighbouring rungs that not one swap of all scans would join, or ""."""
    for k in range(len(betas) - 1):
        exponent = (betas[k + 1] - betas[k]) * (energy[..., k + 1] - energy[..., k])
        if np.sum(np.exp(np.minimum(exponent, 0.0))) < 1.0:
            return (
                f"the rungs beta = {betas[k]:.3g} and {betas[k + 1]:.3g} hardly overlap: log Z "
                "across them, and the relative entropy, are accidents, whatever their errors."
            )
    return ""


def thermodynamics(dt: DataTree, *, betas: float | Sequence[float] | None = None) -> xr.Dataset:
    r"""Energy, heat capacity, relative entropy and log partition function, at rungs or between.

    .. math:: U = E_\beta[E], \quad C = \beta^2 \mathrm{Var}_\beta(E), \quad
              \mathrm{KL} = -\beta U - \log Z

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    betas
        inverse temperatures inside the ladder, by MBAR over all rungs; by default the rungs,
        each from its own draws.

    Returns
    -------
    Dataset over ``inverse_temperature``: ``mean_energy`` (unit of the loss), ``heat_capacity``,
        ``relative_entropy`` and ``log_partition`` (nats, relative to Z(0)), each with its
        Monte Carlo standard error ``*_mcse``. Where the prior's mean energy is infinite, U(0) is
        NaN, and where no rung is at beta = 0 the relative entropy to the prior; the attribute
        ``note`` says so.

    Notes
    -----
    Errors are those of the mean of each estimator's influence function over the scans, with
    ArviZ's effective sample size. log Z is by stepping stones, see `stepping_stone`.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> at_one = pms.thermodynamics(dt).sel(inverse_temperature=1.0)
    >>> bool(abs(at_one.mean_energy - system.mean_energy(1.0)) < 5 * at_one.mean_energy_mcse)
    True
    """
    if betas is not None:
        return at_betas(dt, betas)
    group = tempering_group(dt)
    rungs = group[RUNG].values
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    pairs = pair_ratios(energy, rungs)
    zero = np.zeros((*energy.shape[:2], 1))
    log_z = np.concatenate([[0.0], np.cumsum(pairs.log_ratio)])
    on_log_z = np.concatenate([zero, np.cumsum(pairs.influence, axis=-1)], axis=-1)

    finite = bool(np.all(np.isfinite(energy[..., 0])))
    tail, note = prior_tail_note(energy[..., 0], finite) if rungs[0] == 0 else (0.0, "")
    # the prior rung alone may lack moments; a stand-in keeps its infinities out of the sums
    usable = energy if finite else np.where(np.isfinite(energy), energy, 0.0)
    mean, variance, on_mean, on_variance = energy_moments(usable)
    heat = rungs**2 * variance
    relative = -rungs * mean - log_z
    relative[0] = 0.0
    if rungs[0] > 0:
        relative[:], note = np.nan, no_prior_note(rungs[0])
    errors = {
        "mean_energy": mcse_of_mean(on_mean),
        "heat_capacity": mcse_of_mean(rungs**2 * on_variance),
        "relative_entropy": mcse_of_mean(-rungs * on_mean - on_log_z) + 0.0 * relative,
        "log_partition": mcse_of_mean(on_log_z),
    }
    gap = gap_note(energy, rungs)
    note = f"{note} {gap}".strip() if gap else note
    if tail >= 1:
        mean[0] = np.nan
    if tail >= 0.5:
        errors["mean_energy"][0] = np.nan
    values = {
        "mean_energy": mean,
        "heat_capacity": heat,
        "relative_entropy": relative,
        "log_partition": log_z,
    }
    variables = {}
    for name, value in values.items():
        variables[name] = (RUNG, value)
        variables[f"{name}_mcse"] = (RUNG, errors[name])
    keep = ("target_beta", "tempered_terms", "n_observations", "reference", "prior_reason",
            "log_partition_zero", "log_partition_zero_mcse")  # fmt: skip
    attrs = {key: group.attrs[key] for key in keep}
    return xr.Dataset(variables, coords={RUNG: rungs}, attrs={**attrs, "note": note})
