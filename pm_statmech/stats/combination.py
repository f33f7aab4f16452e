r"""The recommended log evidence: bridges to fitted references and the ladder, by precision.

Four estimates are made, two from the particles of the pilot and two from the draws of the run:

- *pilot bridge*: the pilot's particles at the target, each half against references fitted on
  the other;
- *posterior bridge*: the draws of the run, half of each chain against references fitted on the
  others;
- *pilot ladder*: MBAR over the pilot's stages, from the prior to the target;
- *mbar*: the same over all rungs of the run.

Those that can be trusted are averaged with weights :math:`1/\mathrm{mcse}^2`; the ladders only
where they agree with the bridges, or where no bridge can be trusted. Nothing is combined silently:
`log_evidence` names what it used. The error s of the mean is that of independent estimates, but
not below what it would be if each pair, which shares its draws, were only its better half; and
is multiplied by the ratio of Birge where they scatter more than their errors say,

.. math:: \max\Big(1, \sqrt{\tfrac{1}{k - 1} \sum_e (z_e - \bar z)^2 / s_e^2}\Big)

Source: Birge (1932), Phys. Rev. 40, 207.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.bridges import (
    PilotEvidence,
    bridge_modes,
    in_half,
    join_halves,
    pilot_evidence,
    weight_slopes,
)
from pm_statmech.datatree import RUNG, annealing_group, reference_group, tempering_group
from pm_statmech.errors import EvidenceError, EvidenceWarning
from pm_statmech.stats.annealed import stage_evidence
from pm_statmech.stats.averages import mcse_of_mean, rounded_error
from pm_statmech.stats.evidence import check_ladder_of
from pm_statmech.stats.pooled import solve_ladder
from pm_statmech.stats.populations import annealed_evidence
from pm_statmech.stats.smc_traces import is_smc_trace, smc_evidence

# what an estimate must show to be believed
LARGEST_ERROR = 0.5
LEAST_FAMILIES = 10.0
LARGEST_CLUSTERING = 3.0
NEGLIGIBLE_WEIGHT = 1e-3
LEAST_IN_MODE = 20
AGREEING = 3.0
FAR_APART = 5.0
WORTH_SAYING = 0.05
DISAGREEMENTS = {
    "mbar": "the ladder does not carry states between modes as often as it should. Draw more, or "
    "look at ladder_summary.",
    "pilot ladder": "the pilot's particles missed a mode, or hold few of it, as modes shows.",
}


class PosteriorEvidence(NamedTuple):
    """log Z and mode weights by bridges from the draws of the run.

    `log_z`, `mcse`; `weights`, `weights_mcse` (M,); `draws` (M,) in each mode, of the half
    that has fewest there, and `visited` (M,) whether either has any.
    """

    log_z: float
    mcse: float
    weights: np.ndarray
    weights_mcse: np.ndarray
    draws: np.ndarray
    visited: np.ndarray


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
    """Bridge the run's draws of the group `reference`, mode by mode, half against half."""
    mode = group["mode"].transpose("chain", "draw").values
    log_ratio = group["log_ratio"].transpose("chain", "draw").values
    drawn = group["reference_log_ratio"].values
    halves = [
        bridge_modes(in_half(log_ratio, side), in_half(mode, side), drawn[side]) for side in (0, 1)
    ]
    joined = join_halves(*halves)

    def error(slope: np.ndarray) -> float:
        own, of_references = 0.0, 0.0
        for half, part in zip(halves, joined.part, strict=True):
            influence = np.tensordot(slope * part, half.on_target, axes=1)
            own += float(mcse_of_mean(influence[..., None])[0])
            of_references += float(np.sum((slope * part) ** 2 * half.reference_variance))
        # each half errs by its draws times the other's misfit: one product, so errors add up
        return float(np.sqrt(own**2 + of_references))

    return PosteriorEvidence(
        joined.log_z,
        error(joined.weights),
        joined.weights,
        np.array([error(slope) for slope in weight_slopes(joined.weights)]),
        np.min([np.round(half.share * half.on_target[0].size) for half in halves], axis=0),
        np.any([half.share > 0 for half in halves], axis=0),
    )


@dataclass(frozen=True)
class Estimate:
    """One estimate of log Z, relative to Z(0): its error, and why it is not believed, or "".

    `own` is the error without that of Z(0), which all bridges have in common.
    """

    name: str
    log_z: float
    mcse: float
    own: float
    doubt: str


def _doubts(log_z: float, mcse: float, others: list[str]) -> str:
    bad = not (np.isfinite(log_z) and mcse < LARGEST_ERROR)
    return "; ".join([f"its error is {mcse:.2g}"] * bad + others)


def _matters(found: PilotEvidence | PosteriorEvidence, thin: np.ndarray) -> bool:
    """Whether modes that rest on little hold more of Z than its error allows for."""
    return float(np.sum(found.weights[thin])) > max(found.mcse, NEGLIGIBLE_WEIGHT)


def _bridges(
    pilot: PilotEvidence, posterior: PosteriorEvidence, zero: float, zero_error: float
) -> list[Estimate]:
    """Both bridges, relative to Z(0): references are absolute, and Z(0) may not be 1."""
    of_pilot, of_run = [], []
    if pilot.clustering > LARGEST_CLUSTERING:
        of_pilot.append(f"its draws descend from few particles (x{pilot.clustering:.1f})")
    thin = pilot.families < LEAST_FAMILIES
    if len(thin) > 1 and _matters(pilot, thin):
        fewest = float(np.min(pilot.families[thin]))
        of_pilot.append(f"a mode rests on {fewest:.1f} independent ancestors")
    unseen = float(np.sum(pilot.weights[~posterior.visited]))
    if unseen > min(NEGLIGIBLE_WEIGHT, posterior.mcse):
        of_run.append(f"the run never visited modes of weight {unseen:.1g} that the pilot found")
    thin = posterior.draws < LEAST_IN_MODE
    if _matters(posterior, thin):
        fewest = float(np.min(posterior.draws[posterior.visited]))
        of_run.append(f"half of the run has {fewest:.0f} draws in one of the modes")
    return [
        Estimate(
            name,
            found.log_z - zero,
            float(np.hypot(rounded_error(found.log_z, found.mcse), zero_error)),
            rounded_error(found.log_z, found.mcse),
            _doubts(found.log_z, found.mcse, others),
        )
        for name, found, others in (
            ("pilot bridge", pilot, of_pilot),
            ("posterior bridge", posterior, of_run),
        )
    ]


def _ladders(dt: DataTree) -> list[Estimate]:
    """MBAR over the rungs of the run, and over the pilot's stages."""
    tempering = tempering_group(dt)
    betas = tempering[RUNG].values
    target_beta = tempering.attrs["target_beta"]
    target = int(np.flatnonzero(betas == target_beta)[0])
    try:
        solved = solve_ladder(dt)
    except EvidenceError as error:
        # a ladder with a gap says nothing of log Z; the bridges may
        found = [Estimate("mbar", np.nan, np.inf, np.inf, str(error))]
    else:
        mcse = float(mcse_of_mean(solved.influence)[target])
        found = [Estimate("mbar", float(solved.log_z[target]), mcse, mcse, "")]
    annealing = annealing_group(dt)
    if annealing is not None:
        stages = annealing["beta"].values
        last = int(np.flatnonzero(stages == target_beta)[0]) + 1
        pilot = stage_evidence(
            annealing["energy"].values[:last], stages[:last], annealing["family"].values[:last]
        )
        few = [f"its particles descend from {pilot.families:.1f} independent ancestors"]
        doubt = _doubts(pilot.log_z, pilot.mcse, few if pilot.families < LEAST_FAMILIES else [])
        found.append(Estimate("pilot ladder", pilot.log_z, pilot.mcse, pilot.mcse, doubt))
    return found


def _mean(values: np.ndarray, errors: np.ndarray, pairs: np.ndarray) -> tuple[float, float]:
    """Mean by precision of k estimates, and its error; those of a pair share their draws."""
    precision = 1.0 / np.maximum(errors, 1e-12) ** 2
    mean = float(precision @ values / np.sum(precision))
    best = sum(np.max(precision[pairs == pair]) for pair in np.unique(pairs))
    scatter = float(precision @ (values - mean) ** 2) / max(len(values) - 1, 1)
    return mean, float(max(1.0, np.sqrt(scatter)) / np.sqrt(best))


def _combined(chosen: list[Estimate], zero_error: float) -> tuple[float, float]:
    """Mean of the chosen estimates, and its error.

    The bridges are averaged first, since all err by the same Z(0).
    """
    rows = [
        (e.log_z, e.mcse, e.own, e.name.startswith("pilot"), e.name.endswith("bridge"))
        for e in chosen
    ]
    values, errors, own, pairs, are_bridges = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    if zero_error == 0 or not np.any(are_bridges):
        return _mean(values, errors, pairs)
    value, error = _mean(values[are_bridges], own[are_bridges], pairs[are_bridges])
    ladders = ~are_bridges
    return _mean(
        np.append(values[ladders], value),
        np.append(errors[ladders], np.hypot(error, zero_error)),
        np.append(pairs[ladders], 2),
    )


def _chosen(bridges: list[Estimate], ladders: list[Estimate], zero_error: float) -> list[Estimate]:
    """The estimates to average: believed bridges and the ladders that agree, else ladders."""
    believed = [e for e in bridges if not e.doubt]
    if not believed:
        return [e for e in ladders if not e.doubt]
    value, error = _combined(believed, zero_error)
    agreeing = [
        e for e in ladders
        if not e.doubt and abs(e.log_z - value) < AGREEING * np.hypot(e.mcse, error)
    ]  # fmt: skip
    return believed + agreeing


def log_evidence(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target, by what can be trusted of this run.

    .. math:: \log Z = \sum_e \frac{\log Z_e}{s_e^2} \Big/ \sum_e \frac{1}{s_e^2}

    over the bridges e that pass their checks and the ladders that agree with them, or over the
    ladders where no bridge can be trusted; its error is widened where they scatter.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`; or of `sample_annealed`, whose populations then answer
        alone, see `annealed_evidence`; or of ``pm.sample_smc``, see `smc_evidence`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats; ``estimate``, ``estimate_mcse`` and ``used`` over
        ``method``; ``mode_weight`` and ``mode_weight_mcse`` over ``mode`` where references were
        fitted. Attributes: ``method`` in words, ``doubts``, and ``reference``, what log Z is
        relative to.

    Raises
    ------
    TreeError
        a tree without energies.
    LadderError
        draws at a single temperature.
    EvidenceError
        no estimate can be believed; each is named with the reason.

    Warns
    -----
    EvidenceWarning
        an estimate lies more than five errors of the difference from the answer. Where it is
        part of the answer, the reported error covers the gap.

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
    if isinstance(dt, DataTree) and "work" in (annealing_group(dt) or ()):
        return annealed_evidence(dt)
    if isinstance(dt, DataTree) and is_smc_trace(dt):
        return smc_evidence(dt)
    tempering = tempering_group(dt)
    check_ladder_of(tempering)
    attrs = tempering.attrs
    ladders = _ladders(dt)
    bridges: list[Estimate] = []
    modes: dict = {}
    group = reference_group(dt)
    if group is not None:
        pilot, posterior = pilot_bridge(group), posterior_bridge(group)
        bridges = _bridges(
            pilot, posterior, attrs["log_partition_zero"], attrs["log_partition_zero_mcse"]
        )
        if not all(e.doubt for e in bridges):
            first: PilotEvidence | PosteriorEvidence = posterior if bridges[0].doubt else pilot
            modes = {
                "mode_weight": ("mode", first.weights),
                "mode_weight_mcse": ("mode", first.weights_mcse),
            }
    estimates = [*bridges, *ladders]
    zero_error = float(attrs["log_partition_zero_mcse"])
    chosen = _chosen(bridges, ladders, zero_error)
    if not chosen:
        reasons = " ".join(f"{e.name}: {e.doubt}." for e in estimates)
        raise EvidenceError(f"no estimate of log Z can be believed. {reasons}")
    value, error = _combined(chosen, zero_error)
    error = max(error, _disagreement(estimates, chosen, value, error))
    return xr.Dataset(
        {
            "log_evidence": value,
            "mcse": error,
            "estimate": ("method", [e.log_z for e in estimates]),
            "estimate_mcse": ("method", [e.mcse for e in estimates]),
            "used": ("method", [e in chosen for e in estimates]),
            **modes,
        },
        coords={"method": [e.name for e in estimates]},
        attrs={
            "method": " and ".join(e.name for e in chosen),
            "doubts": " ".join(f"{e.name}: {e.doubt}." for e in estimates if e.doubt),
            "target_beta": attrs["target_beta"],
            "reference": attrs["reference"],
            "log_partition_zero": attrs["log_partition_zero"],
            "log_partition_zero_mcse": attrs["log_partition_zero_mcse"],
        },
    )


def _disagreement(
    estimates: list[Estimate], chosen: list[Estimate], value: float, error: float
) -> float:
    """Warn of estimates far from the answer; the error that covers the ones used."""
    covering = 0.0
    precision = sum(1.0 / max(e.mcse, 1e-12) ** 2 for e in chosen)
    for e in estimates:
        gap = abs(e.log_z - value)
        # an estimate is nearer to a mean that it is part of
        joint = (
            np.sqrt(max(e.mcse**2 - 1.0 / precision, 0.0))
            if e in chosen
            else np.hypot(e.mcse, error)
        )
        if not gap > FAR_APART * joint or gap == 0:
            continue
        if e in chosen:
            covering = max(covering, gap)
        if gap > WORTH_SAYING and e.mcse < LARGEST_ERROR:
            warnings.warn(
                f"log Z by {e.name} is {gap:.2f} nats from the answer {value:.3f}, where their "
                f"errors are {e.mcse:.2g} and {error:.2g}: "
                + (
                    DISAGREEMENTS.get(
                        e.name,
                        "its draws do not cover the target alike. Draw more, from more chains.",
                    )
                ),
                EvidenceWarning,
                stacklevel=3,
            )
    return covering
