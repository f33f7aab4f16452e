r"""Peaks of the heat capacity between the rungs: where a system changes phase, and how surely.

.. math:: C(\beta) = \beta^2 \kappa_2, \qquad C'(\beta) = 2 \beta \kappa_2 - \beta^2 \kappa_3,
          \qquad C''(\beta) = 2 \kappa_2 - 4 \beta \kappa_3 + \beta^2 \kappa_4

with the cumulants of the energy at beta. At a peak C' = 0, so that its place errs by
:math:`-\delta C' / C''`, and its height, to first order, by :math:`\beta^2 \delta \kappa_2` alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.mbar import START_GROUPS, VAST, Mbar, grouped
from pm_statmech.stats.pooled import KEPT_ATTRIBUTES, solve_ladder, thinning
from pm_statmech.stats.pooled_moments import central_moments, influences

# temperatures looked at from one rung to the next, and errors that a peak stands above its sides
PIECES, SURE = 6, 3.0
# of the largest heat capacity, below which a bump is not looked at
LEAST_PROMINENCE = 1e-3


class Cumulants(NamedTuple):
    """Cumulants 1 to 4 of the energy at a beta, and the influence (chain, draw) on the first 3."""

    values: np.ndarray
    influence: np.ndarray


def energy_cumulants(solution: Mbar, beta: float) -> Cumulants:
    """Cumulants of the energy at beta > 0, by MBAR; third ones move with the mean."""
    at = np.array([beta])
    found = central_moments(solution, at, order=4)
    influence = influences(solution, at, found).moments[..., 0, :]
    second, third, fourth = found.central[0]
    on_mean, on_second, on_third = influence[..., 0], influence[..., 1], influence[..., 2]
    return Cumulants(
        np.array([found.mean[0], second, third, fourth - 3 * second**2]),
        np.stack([on_mean, on_second, on_third - 3 * second * on_mean], axis=-1),
    )


def capacity_at(solution: Mbar, betas: np.ndarray) -> np.ndarray:
    """C at betas (B,) alone, without errors."""
    return betas**2 * central_moments(solution, betas).central[:, 0]


def rough_capacity(solution: Mbar, betas: np.ndarray) -> np.ndarray:
    """C at betas (B,) by groups of draws of like energy: to find peaks, not to tell them."""
    energy, counts = grouped(solution.energy, START_GROUPS)
    log_share = -np.outer(energy, solution.betas) - solution.log_z
    log_count = np.log(counts) - logsumexp(log_share, axis=1)
    usable = np.where(energy < VAST, energy, 0.0)
    found = np.empty(len(betas))
    for i, beta in enumerate(betas):
        log_weight = log_count - beta * energy
        weight = np.exp(log_weight - np.max(log_weight))
        mean = weight @ usable / np.sum(weight)
        found[i] = beta**2 * (weight @ (usable - mean) ** 2) / np.sum(weight)
    return found


def heat_capacity_peaks(dt: DataTree) -> xr.Dataset:
    r"""Peaks of the heat capacity along the ladder, with their errors.

    .. math:: C(\beta) = \beta^2\, \mathrm{Var}_\beta(E), \qquad C'(\beta_*) = 0

    A peak is where energy, and with it entropy, changes fastest on the scale of log beta: a phase
    transition of a finite system, or a posterior that finds its mode. In a regular model C grows to
    half the number of parameters and stays there, without a peak.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset over ``peak``, from hot to cold, which may be empty
        ``inverse_temperature`` and ``heat_capacity`` of the peak, and ``prominence``, its height
        above the higher of the valleys beside it, each with its Monte Carlo error ``*_mcse``. Only
        peaks that stand three errors above their valleys are listed.

    Raises
    ------
    EvidenceError
        two neighbouring rungs have less than one draw in common.

    Notes
    -----
    Between rungs by MBAR; errors are those of influence functions with ArviZ's effective sample
    size.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.two_level(5.0)
    >>> dt = pms.sample_tempered(
    ...     500, model=system.model(), target_beta=2.0, random_seed=1, quiet=True)
    >>> peaks = pms.heat_capacity_peaks(dt)
    >>> # Schottky's peak, where beta times the gap is 2.3994
    >>> abs(float(peaks["inverse_temperature"][0]) - 2.3994 / 5.0) < 0.05
    True
    """
    # what takes long to import waits until somebody looks for peaks
    from scipy.optimize import minimize_scalar
    from scipy.signal import find_peaks

    group = tempering_group(dt)
    rungs = group[RUNG].values
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    solution = solve_ladder(dt, thin=thinning(energy, PIECES * len(rungs)))
    steps = np.arange(PIECES) / PIECES
    grid = np.append((rungs[:-1, None] + np.diff(rungs)[:, None] * steps).ravel(), rungs[-1])

    heights = rough_capacity(solution, grid)
    places, found = find_peaks(heights, prominence=LEAST_PROMINENCE * np.max(heights))
    rows = []
    for place, left, right in zip(
        places, found["left_bases"], found["right_bases"], strict=True
    ):  # fmt: skip
        refined = minimize_scalar(
            lambda beta: -capacity_at(solution, np.array([beta]))[0],
            bounds=(grid[place - 1], grid[place + 1]),
            method="bounded", options={"xatol": 1e-6 * grid[place]},
        )  # fmt: skip
        beta = float(refined.x)
        here = energy_cumulants(solution, beta)
        _, second, third, fourth = here.values
        on_slope = 2 * beta * here.influence[..., 1] - beta**2 * here.influence[..., 2]
        curvature = 2 * second - 4 * beta * third + beta**2 * fourth
        valley = float(grid[left if heights[left] > heights[right] else right])
        on_height = beta**2 * here.influence[..., 1]
        on_valley, low = np.zeros_like(on_height), 0.0
        if valley > 0:
            below = energy_cumulants(solution, valley)
            on_valley, low = valley**2 * below.influence[..., 1], valley**2 * below.values[1]
        errors = mcse_of_mean(np.stack([on_slope, on_height, on_height - on_valley], axis=-1))
        height = beta**2 * second
        if height - low > SURE * errors[2] and curvature < 0:
            rows.append([beta, errors[0] / -curvature, height, errors[1], height - low, errors[2]])
    names = ["inverse_temperature", "heat_capacity", "prominence"]
    columns = np.array(rows).reshape(-1, 6).T
    return xr.Dataset(
        {
            f"{name}{kind}": ("peak", columns[2 * k + j])
            for k, name in enumerate(names)
            for j, kind in enumerate(("", "_mcse"))
        },
        coords={"peak": np.arange(len(rows))},
        attrs={key: group.attrs[key] for key in KEPT_ATTRIBUTES},
    )
