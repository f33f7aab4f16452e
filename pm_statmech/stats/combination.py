r"""The recommended log evidence: bridges to fitted references, checked against the ladder.

Three estimates are made, by draws that share little:

- *pilot bridge*: the pilot's particles at the target, each half against references fitted on
  the other;
- *posterior bridge*: the draws of the run against the same references, fitted before them;
- *MBAR* over all rungs, which goes through the prior and needs no reference.

Bridges that can be trusted are averaged with weights :math:`1/\mathrm{mcse}^2`; where none can,
MBAR is the answer. Nothing is combined silently: `log_evidence` names what it used.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.bridges import PilotEvidence, bridge_modes, mode_weights, pilot_evidence
from pm_statmech.datatree import RUNG, reference_group, tempering_group
from pm_statmech.errors import EvidenceWarning
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.mbar import solve_mbar

# what a bridge must show to be believed
LARGEST_ERROR = 0.5
LEAST_FAMILIES = 10.0
LARGEST_CLUSTERING = 3.0
NEGLIGIBLE_WEIGHT = 1e-3
FAR_APART = 5.0
WORTH_SAYING = 0.05


class PosteriorEvidence(NamedTuple):
    """log Z and mode weights by bridges from the draws of the run.

    `log_z`, `mcse`; `weights`, `weights_mcse` (M,); `share` (M,) of the draws in each mode.
    """

    log_z: float
    mcse: float
    weights: np.ndarray
    weights_mcse: np.ndarray
    share: np.ndarray


def pilot_bridge(group: xr.Dataset) -> PilotEvidence:
    """Bridge the pilot's draws of the group `reference`."""
    return pilot_evidence(
        group["pilot_log_ratio"].values,
        group["pilot_mode"].values,
        group["pilot_half"].values,
        group["pilot_family"].values,
        group["pilot_reference_log_ratio"].values,
    )


def posterior_bridge(group: xr.Dataset) -> PosteriorEvidence:
    """Bridge the run's draws of the group `reference`, mode by mode."""
    mode = group["mode"].transpose("chain", "draw").values
    found = bridge_modes(
        group["log_ratio"].transpose("chain", "draw").values,
        mode,
        group["reference_log_ratio"].values,
    )
    weights = mode_weights(found.log_z)

    def error(slope: np.ndarray) -> float:
        influence = np.tensordot(slope, found.on_target, axes=1)
        own = float(np.sum(slope**2 * found.reference_variance))
        return float(np.sqrt(mcse_of_mean(influence[..., None])[0] ** 2 + own))

    slopes = weights[:, None] * (np.eye(len(weights)) - weights)
    return PosteriorEvidence(
        float(logsumexp(found.log_z)),
        error(weights),
        weights,
        np.array([error(slope) for slope in slopes]),
        found.share,
    )


def _trusted(pilot: PilotEvidence, posterior: PosteriorEvidence) -> tuple[list[bool], list[str]]:
    """Whether each bridge is believed, with the reasons against."""
    heavy = pilot.weights > NEGLIGIBLE_WEIGHT
    doubts: list[list[str]] = [[], []]
    if not np.isfinite(pilot.log_z) or not pilot.mcse < LARGEST_ERROR:
        doubts[0].append(f"its error is {pilot.mcse:.2g}")
    if pilot.clustering > LARGEST_CLUSTERING:
        doubts[0].append(f"its draws descend from few particles (x{pilot.clustering:.1f})")
    fewest = float(np.min(pilot.families[heavy], initial=np.inf))
    if fewest < LEAST_FAMILIES:
        doubts[0].append(f"a mode rests on {fewest:.1f} independent ancestors")
    if not np.isfinite(posterior.log_z) or not posterior.mcse < LARGEST_ERROR:
        doubts[1].append(f"its error is {posterior.mcse:.2g}")
    if np.any(heavy & (posterior.share == 0)):
        doubts[1].append("the run never visited a mode that the pilot found")
    names = ("pilot bridge", "posterior bridge")
    reasons = [f"{n}: {'; '.join(d)}" for n, d in zip(names, doubts, strict=True) if d]
    return [not d for d in doubts], reasons


def log_evidence(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target, by what can be trusted of this run.

    .. math:: \log Z = \sum_e \frac{\log Z_e}{s_e^2} \Big/ \sum_e \frac{1}{s_e^2}

    over the bridges e that pass their checks, or else MBAR over the ladder.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats; ``estimate``, ``estimate_mcse`` and ``used`` over
        ``method``; ``mode_weight`` and ``mode_weight_mcse`` over ``mode`` where references were
        fitted. Attributes: ``method`` in words, ``doubts``, and ``reference``, what log Z is
        relative to.

    Warns
    -----
    EvidenceWarning
        the answer and MBAR, or the two bridges, are more than five errors apart. The reported
        error then covers the gap between the bridges.

    Notes
    -----
    Sources: Meng and Wong (1996), Statistica Sinica 6, for bridges; Shirts and Chodera (2008)
    for MBAR.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.log_evidence(dt)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 5 * found.mcse)
    True
    """
    tempering = tempering_group(dt)
    betas = tempering[RUNG].values
    target = int(np.flatnonzero(betas == tempering.attrs["target_beta"])[0])
    energy = tempering["energy"].transpose("chain", "draw", RUNG).values
    solved = solve_mbar(energy, betas)
    names, values = ["mbar"], [float(solved.log_z[target])]
    errors, used = [float(mcse_of_mean(solved.influence)[target])], [True]
    doubts: list[str] = []
    modes = {}
    group = reference_group(dt)
    if group is not None:
        pilot, posterior = pilot_bridge(group), posterior_bridge(group)
        trusted, doubts = _trusted(pilot, posterior)
        # bridges are absolute; the ladder is relative to Z(0), which is 1 for a normalised prior
        zero = tempering.attrs["log_partition_zero"]
        zero_error = tempering.attrs["log_partition_zero_mcse"]
        names += ["pilot bridge", "posterior bridge"]
        values += [pilot.log_z - zero, posterior.log_z - zero]
        errors += [float(np.hypot(e, zero_error)) for e in (pilot.mcse, posterior.mcse)]
        used = [not any(trusted), *trusted]
        if any(trusted):
            first = pilot if trusted[0] else posterior
            modes = {
                "mode_weight": ("mode", first.weights),
                "mode_weight_mcse": ("mode", first.weights_mcse),
            }
    estimates, spread, chosen = np.array(values), np.array(errors), np.array(used)
    precision = np.where(chosen, 1.0 / np.maximum(spread, 1e-12) ** 2, 0.0)
    value = float(np.sum(np.where(chosen, precision * estimates, 0.0)) / np.sum(precision))
    error = float(1.0 / np.sqrt(np.sum(precision)))
    error = max(error, _disagreement(names, estimates, spread, chosen, value, error))
    method = " and ".join(n for n, u in zip(names, used, strict=True) if u)
    return xr.Dataset(
        {
            "log_evidence": value,
            "mcse": error,
            "estimate": ("method", estimates),
            "estimate_mcse": ("method", spread),
            "used": ("method", chosen),
            **modes,
        },
        coords={"method": names},
        attrs={
            "method": method,
            "doubts": " ".join(doubts),
            "target_beta": tempering.attrs["target_beta"],
            "reference": tempering.attrs["reference"],
            "log_partition_zero": tempering.attrs["log_partition_zero"],
            "log_partition_zero_mcse": tempering.attrs["log_partition_zero_mcse"],
        },
    )


def _disagreement(names, estimates, spread, chosen, value: float, error: float) -> float:
    """Warn of estimates far from the answer; the error that covers the ones used."""
    gaps = np.abs(estimates - value)
    far = gaps > FAR_APART * np.hypot(spread, error)
    covering = 0.0
    for name, gap, own, out, used in zip(names, gaps, spread, far, chosen, strict=True):
        if used and out:
            covering = max(covering, float(gap))
        if out and gap > WORTH_SAYING and own < LARGEST_ERROR:
            warnings.warn(
                f"log Z by {name} is {gap:.2f} nats ({gap / np.hypot(own, error):.0f} errors) from "
                f"the answer {value:.3f}: "
                + (
                    "the ladder does not carry states between modes as often as it should. Draw "
                    "more, or look at ladder_summary."
                    if name == "mbar"
                    else "its draws do not cover the target alike. Draw more or from more chains."
                ),
                EvidenceWarning,
                stacklevel=3,
            )
    return covering
