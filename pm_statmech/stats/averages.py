"""Means over draws with Monte Carlo errors that know of autocorrelation."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pm_statmech.datatree import azstats

SAMPLE_DIMS = ["chain", "draw"]
ROUNDING = 1e-8
# different values that a tail needs to be fitted
LEAST_VALUES = 5


def mcse_of_mean(influence: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the mean of (chain, draw, ...) values, by ArviZ's ESS.

    A quantity that does not vary has error 0.
    """
    extra = [f"axis_{i}" for i in range(influence.ndim - 2)]
    array = xr.DataArray(influence, dims=[*SAMPLE_DIMS, *extra])
    spread = np.ptp(influence.reshape(-1, *influence.shape[2:]), axis=0)
    constant = spread <= 1e-13 * np.max(np.abs(influence), axis=(0, 1))
    error = azstats(array).mcse(method="mean", sample_dims=SAMPLE_DIMS).values
    return np.where(constant, 0.0, error)


def rounded_error(log_z: float, mcse: float) -> float:
    """Error of a log Z, not below the rounding of the energies.

    PyMC takes logs of small integer constants in single precision.
    """
    return max(float(mcse), ROUNDING * (1 + abs(log_z)))


def pareto_tail(values: np.ndarray) -> float:
    """Shape k of the right tail of independent (chain, draw) values, by ArviZ.

    The mean is infinite for k >= 1, the variance for k >= 1/2. NaN where it cannot be fitted.
    """
    # fewer than 25 draws, or a tail of ties, is no tail to fit; ArviZ's tail has so many draws
    n_tail = int(np.ceil(min(0.2 * values.size, 3.0 * np.sqrt(values.size))))
    top = np.sort(values, axis=None)[-max(5, n_tail) :]
    if values.size < 25 or len(np.unique(top)) < LEAST_VALUES:
        return np.nan
    array = xr.DataArray(values, dims=SAMPLE_DIMS)
    return float(azstats(array).pareto_khat(sample_dims=SAMPLE_DIMS, tail="right", r_eff=1.0))


def prior_tail_note(energy: np.ndarray, finite: bool) -> tuple[float, str]:
    """Tail index of the prior energies (chain, draw), and a sentence where moments are missing."""
    if not finite:
        share = np.mean(np.isinf(energy))
        return np.inf, (
            f"the mean energy of the prior is infinite: {share:.1%} of its draws have infinite "
            "energy. At every beta > 0 it is finite."
        )
    k = pareto_tail(energy)
    if k >= 1:
        return k, (
            "the mean energy of the prior is infinite as far as its draws tell (Pareto k = "
            f"{k:.2f} >= 1): U(0) has no value. At every beta > 0 it is finite."
        )
    if k >= 0.5:
        return k, (
            "the variance of the energy is infinite under the prior as far as its draws tell "
            f"(Pareto k = {k:.2f} >= 0.5): U(0) has no standard error."
        )
    return k, ""


def no_prior_note(lowest: float) -> str:
    """Sentence on a ladder that does not reach the prior."""
    return (
        f"no rung is at beta = 0: log Z is relative to its value at beta = {lowest:.3g}, and the "
        "relative entropy to the prior is not known."
    )
