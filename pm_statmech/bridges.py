r"""Bridges between two densities, and to normalised references, one a mode of the target.

With n_c draws of the target in the region A_m and n_h draws of a reference q_m,

.. math:: E_{q_m}\!\left[\sigma(\ell - r + \log\rho)\right]
          = \rho\, E_{\pi | A_m}\!\left[\sigma(r - \log\rho - \ell)\right], \quad
          \ell = \log \pi_0 - \beta E - \log q_m, \quad r = \log Z_m, \quad \rho = n_c / n_h

is Bennett's equation, and :math:`Z = \sum_m Z_m`. Draws come in two halves; each half is bridged
to references fitted on the other, and the two estimates of every Z_m are averaged.

Sources: Bennett (1976), J. Comp. Phys. 22; Meng and Wong (1996), Statistica Sinica 6; Overstall
and Forster (2010), Comput. Stat. Data Anal. 54, for fitting on one half.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from pm_statmech.errors import EvidenceError

NO_OVERLAP = 1e100


def bennett_ratio(hot: np.ndarray, cold: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    r"""Root r of Bennett's equation from log ratios u at both densities, and both influences.

    .. math:: \overline{\sigma(u_h - r + \log\rho)}
              = \rho\, \overline{\sigma(r - \log\rho - u_c)}, \qquad \rho = n_c / n_h

    For neighbouring rungs :math:`u = -\Delta\beta\, E`, and :math:`\rho = 1`.
    """
    if not np.any(np.isfinite(hot)):
        raise EvidenceError(
            "none of the draws of the hotter density has a finite energy, so that nothing says how "
            "much of it the colder one covers."
        )
    finite = np.concatenate([hot[np.isfinite(hot)], cold.ravel()])
    # n_c cold draws for n_h hot ones: the optimal bridge is 1 / (n_c pi / Z + n_h q)
    ratio = cold.size / hot.size
    offset = np.log(ratio)

    def gap(r: float) -> float:
        up, down = expit(hot - r + offset), expit(r - offset - cold)
        return float(np.mean(up) - ratio * np.mean(down))

    low, high = float(np.min(finite)), float(np.max(finite))
    if high - low < 1e-300:
        share = np.mean(np.isfinite(hot))
        return low + np.log(share), np.isfinite(hot) / share - 1.0, np.zeros_like(cold)
    # where the hot rung has infinite energies the root may lie below every finite u
    low += np.log(np.mean(np.isfinite(hot))) - 1.0
    r = float(brentq(gap, low - abs(offset), high + 1.0 + abs(offset), xtol=1e-12, rtol=1e-14))
    up, down = expit(hot - r + offset), expit(r - offset - cold)
    slope = np.mean(up * (1 - up)) + ratio * np.mean(down * (1 - down))
    if slope == 0.0:
        # no draw of either could be the other's: r is anything between, and so is its error
        return r, np.full(hot.shape, NO_OVERLAP), np.full(cold.shape, NO_OVERLAP)
    return r, (up - np.mean(up)) / slope, -ratio * (down - np.mean(down)) / slope


def in_half(values: np.ndarray, side: int) -> np.ndarray:
    """First or second half of every chain's draws, of values (chain, draw, ...).

    Not half of the chains: those may each sit in a mode of its own.
    """
    middle = values.shape[1] // 2
    return values[:, :middle] if side == 0 else values[:, middle:]


class ModeBridges(NamedTuple):
    """log Z_m of each mode, with the influence of each draw.

    `log_z` (M,); `on_target` (M, ...) of each draw of the target, zero off its mode, such that
    its mean over all draws is the error; `reference_variance` (M,) from the reference's
    independent draws; `share` (M,) of the target's draws in each mode.
    """

    log_z: np.ndarray
    on_target: np.ndarray
    reference_variance: np.ndarray
    share: np.ndarray


def bridge_modes(
    target_log_ratio: np.ndarray, target_mode: np.ndarray, reference_log_ratio: np.ndarray
) -> ModeBridges:
    """Bridge each mode: target draws (...) with their modes, reference draws (M, n).

    A mode without target draws has log Z_m = -inf.
    """
    n_modes = len(reference_log_ratio)
    log_z = np.full(n_modes, -np.inf)
    on_target = np.zeros((n_modes, *target_log_ratio.shape))
    variance, share = np.zeros(n_modes), np.zeros(n_modes)
    for m, hot in enumerate(reference_log_ratio):
        here = target_mode == m
        share[m] = np.mean(here)
        if share[m] == 0 or not np.any(np.isfinite(hot)):
            continue
        log_z[m], from_hot, from_cold = bennett_ratio(hot, target_log_ratio[here])
        on_target[m][here] = from_cold / share[m]
        variance[m] = np.mean(from_hot**2) / len(hot)
    return ModeBridges(log_z, on_target, variance, share)


class BothHalves(NamedTuple):
    """Bridges of both halves.

    `log_z`, `weights` (M,) of all; `halves` the bridges of each; `part` (2, M) of a half's
    estimate in the mean of both.
    """

    log_z: float
    weights: np.ndarray
    halves: tuple[ModeBridges, ModeBridges]
    part: np.ndarray


def join_halves(first: ModeBridges, second: ModeBridges) -> BothHalves:
    """Average the halves' estimates of each Z_m: of Z, not of log Z.

    A half without draws in a mode says nothing of its Z_m, which the other half then says alone.
    """
    estimates = np.stack([first.log_z, second.log_z])
    count = np.maximum(np.sum(np.isfinite(estimates), axis=0), 1)
    log_modes = logsumexp(estimates, axis=0) - np.log(count)
    log_z = float(logsumexp(log_modes))
    with np.errstate(invalid="ignore"):
        part = np.nan_to_num(np.exp(estimates - log_modes) / count)
    return BothHalves(log_z, np.exp(log_modes - log_z), (first, second), part)


def weight_slopes(weights: np.ndarray) -> np.ndarray:
    """Derivatives (M, M) of each weight Z_m / Z by every log Z_m."""
    return weights[:, None] * (np.eye(len(weights)) - weights)


class PilotEvidence(NamedTuple):
    """log Z and mode weights by the pilot's bridges.

    `log_z`, `mcse`; `weights`, `weights_mcse` (M,); `families` (M,) effective independent
    ancestors of the particles in each mode, fewest over the halves; `clustering`, the ratio
    of the error variance clustered by ancestors to that clustered by particles.
    """

    log_z: float
    mcse: float
    weights: np.ndarray
    weights_mcse: np.ndarray
    families: np.ndarray
    clustering: float


def clustered(influence: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sums of influence (M, n) over equal labels (n,): (M, labels)."""
    _, index = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(influence), index.max() + 1))
    for m, row in enumerate(influence):
        np.add.at(sums[m], index, row)
    return sums


def pilot_evidence(
    log_ratio: np.ndarray,
    mode: np.ndarray,
    half: np.ndarray,
    family: np.ndarray,
    reference_log_ratio: np.ndarray,
) -> PilotEvidence:
    """Bridge evidence of the pilot's draws at the target.

    Parameters
    ----------
    log_ratio, mode
        (particle, sweep); half, family : (particle,); reference_log_ratio : (2, M, n).
    """
    n_modes = reference_log_ratio.shape[1]
    halves = []
    by_particle, by_family, families = [], [], []
    for side in (0, 1):
        rows = half == side
        bridges = bridge_modes(log_ratio[rows], mode[rows], reference_log_ratio[side])
        halves.append(bridges)
        influence = np.mean(bridges.on_target, axis=-1)
        by_particle.append(influence / rows.sum())
        by_family.append(clustered(influence, family[rows]) / rows.sum())
        sizes = clustered(
            np.stack([np.mean(mode[rows] == m, axis=1) for m in range(n_modes)]), family[rows]
        )
        with np.errstate(invalid="ignore"):
            families.append(np.nan_to_num(np.sum(sizes, axis=1) ** 2 / np.sum(sizes**2, axis=1)))
    joined = join_halves(*halves)

    def of_draws(clusters: list[np.ndarray], direction: np.ndarray) -> float:
        # each half errs by its draws times the other's misfit: one product, so errors add up
        own = [
            np.sum((direction * part @ c) ** 2)
            for part, c in zip(joined.part, clusters, strict=True)
        ]
        return float(np.sum(np.sqrt(own)) ** 2)

    def variance(direction: np.ndarray) -> float:
        of_references = sum(
            float(np.sum((direction * part) ** 2 * half_bridges.reference_variance))
            for part, half_bridges in zip(joined.part, halves, strict=True)
        )
        own = max(of_draws(by_particle, direction), of_draws(by_family, direction))
        return own + of_references

    weights = joined.weights
    plain = of_draws(by_particle, weights)
    weights_mcse = [np.sqrt(variance(slope)) for slope in weight_slopes(weights)]
    return PilotEvidence(
        joined.log_z,
        float(np.sqrt(variance(weights))),
        weights,
        np.array(weights_mcse),
        np.min(families, axis=0),
        of_draws(by_family, weights) / max(plain, 1e-300),
    )
