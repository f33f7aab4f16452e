r"""Bridges between two densities, and to normalised references, one a mode of the target.

With draws of the target in the region A_m and draws of a reference q_m,

.. math:: E_{q_m}\!\left[\sigma(\ell - r)\right] = E_{\pi | A_m}\!\left[\sigma(r - \ell)\right],
          \quad \ell = \log \pi_0 - \beta E - \log q_m, \quad r = \log Z_m

is Bennett's equation, and :math:`Z = \sum_m Z_m`.

Sources: Bennett (1976), J. Comp. Phys. 22; Meng and Wong (1996), Statistica Sinica 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp


def bennett_ratio(hot: np.ndarray, cold: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Root r of Bennett's equation from u = -Delta E at both rungs, and both influences."""
    finite = np.concatenate([hot[np.isfinite(hot)], cold.ravel()])

    def gap(r: float) -> float:
        return float(np.mean(expit(hot - r)) - np.mean(expit(r - cold)))

    low, high = float(np.min(finite)), float(np.max(finite))
    if high - low < 1e-300:
        share = np.mean(np.isfinite(hot))
        return low + np.log(share), np.isfinite(hot) / share - 1.0, np.zeros_like(cold)
    # where the hot rung has infinite energies the root may lie below every finite u
    low += np.log(np.mean(np.isfinite(hot))) - 1.0
    r = float(brentq(gap, low, high + 1.0, xtol=1e-12, rtol=1e-14))
    up, down = expit(hot - r), expit(r - cold)
    slope = np.mean(up * (1 - up)) + np.mean(down * (1 - down))
    return r, (up - np.mean(up)) / slope, -(down - np.mean(down)) / slope


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


def mode_weights(log_z: np.ndarray) -> np.ndarray:
    """Z_m / Z."""
    return np.exp(log_z - logsumexp(log_z))


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


def _clustered(influence: np.ndarray, labels: np.ndarray) -> np.ndarray:
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
    estimates, by_particle, by_family, references, families = [], [], [], [], []
    for side in (0, 1):
        rows = half == side
        bridges = bridge_modes(log_ratio[rows], mode[rows], reference_log_ratio[side])
        estimates.append(bridges.log_z)
        influence = np.mean(bridges.on_target, axis=-1)
        by_particle.append(influence / rows.sum())
        by_family.append(_clustered(influence, family[rows]) / rows.sum())
        references.append(bridges.reference_variance)
        sizes = _clustered(
            np.stack([np.mean(mode[rows] == m, axis=1) for m in range(n_modes)]), family[rows]
        )
        with np.errstate(invalid="ignore"):
            families.append(np.nan_to_num(np.sum(sizes, axis=1) ** 2 / np.sum(sizes**2, axis=1)))
    # the halves estimate each Z_m without bias, so their Z are averaged, not their logs
    log_modes = logsumexp(estimates, axis=0) - np.log(2)
    log_z = float(logsumexp(log_modes))
    weights = np.exp(log_modes - log_z)
    part = np.exp(np.array(estimates) - log_modes) / 2

    def variance(clusters: list[np.ndarray], direction: np.ndarray) -> float:
        own, of_references = 0.0, 0.0
        for side in (0, 1):
            slope = direction * part[side]
            own += float(np.sqrt(np.sum((slope @ clusters[side]) ** 2)))
            of_references += float(np.sum(slope**2 * references[side]))
        # each half errs by its draws times the other's misfit: one product, so errors add up
        return own**2 + of_references

    plain, clustered = variance(by_particle, weights), variance(by_family, weights)
    weights_mcse = [
        np.sqrt(
            max(variance(by_particle, w * (e - weights)), variance(by_family, w * (e - weights)))
        )
        for w, e in zip(weights, np.eye(n_modes), strict=True)
    ]
    return PilotEvidence(
        log_z,
        float(np.sqrt(max(plain, clustered))),
        weights,
        np.array(weights_mcse),
        np.min(families, axis=0),
        clustered / max(plain, 1e-300),
    )
