"""The questions that a verdict asks of a tree, each answered as far as the tree goes."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import (
    RUNG,
    ladder_group,
    r_hat,
    read_terms,
    reference_group,
    tempering_group,
    transitions,
)
from pm_statmech.errors import (
    ConvergenceWarning,
    EvidenceError,
    EvidenceWarning,
    LadderError,
    TreeError,
)
from pm_statmech.reporting.caveats import prior_is_normalised, what_else, what_is_missing
from pm_statmech.reporting.findings import Finding, Level, Verdict, graded
from pm_statmech.stats import (
    exchange_statistics,
    heat_capacity_peaks,
    log_evidence,
    modes,
    thermodynamics,
)

# of its height that a peak must stand above its valleys to be spoken of
PROMINENT = 0.2
# of Z, below which a mode is not spoken of
NEGLIGIBLE_WEIGHT = 1e-3


def rungs_swapped(dt: DataTree) -> list[Finding]:
    """Whether neighbouring rungs swap, by the largest rejection."""
    group = tempering_group(dt)
    if group.sizes[RUNG] == 1:
        return []
    found = exchange_statistics(dt)
    own = "ladder" in dt.children
    rejection = ladder_group(dt)["swap_rejection"].values if own else found["swap_rejection"].values
    worst = int(np.argmax(rejection))
    value = float(rejection[worst])
    low, high = float(found["hotter"][worst]), float(found["colder"][worst])
    level = graded(value, 0.7, 0.9)
    advice = "" if level == "good" else " Add a rung between them with betas=, or tune longer."
    verb = "Neighbouring rungs swap" if own else "Neighbouring rungs would swap"
    if level == "bad":
        verb = "Neighbouring rungs hardly swap" if own else "Neighbouring rungs would hardly swap"
    return [
        Finding(
            "Did the rungs swap?",
            level,
            f"{verb}: the largest rejection is {value:.2f}, between beta = {low:.3g} and "
            f"{high:.3g}, and the barrier is {np.sum(rejection):.1f} over {len(rejection) + 1} "
            f"rungs.{advice}",
            value,
        )
    ]


def prior_arrived(dt: DataTree) -> list[Finding]:
    """Whether states of beta = 0 reached the target."""
    if "ladder" not in dt.children:
        return []
    restarts = ladder_group(dt)["restarts"].values
    fewest = int(np.min(restarts))
    start = "Independent prior draws" if dt["ladder"].attrs["prior_normalised"] else "States"
    level: Level = "good" if fewest >= 5 else "doubtful" if fewest >= 1 else "bad"
    advice = "" if level == "good" else " Draw more: fewer than five is too few to find modes."
    return [
        Finding(
            "Did draws of the prior reach the target?",
            level,
            f"{start} of beta = 0 travelled to the target {int(np.sum(restarts))} times, at least "
            f"{fewest} in each of {len(restarts)} ladders.{advice}",
            float(fewest),
        )
    ]


class KnownEvidence(NamedTuple):
    """What `log_evidence` found of a tree, and its warnings; or None, and why."""

    found: xr.Dataset | None
    warnings: tuple[str, ...]
    reason: str
    level: Level


def known_evidence(dt: DataTree) -> KnownEvidence:
    """Log evidence, asked for once: pooling the rungs of a long run takes a while."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        try:
            found = log_evidence(dt)
        except EvidenceError as reason:
            return KnownEvidence(None, (), str(reason), "bad")
        except (LadderError, TreeError) as reason:
            return KnownEvidence(None, (), str(reason), "note")
    told = tuple(str(w.message) for w in caught if issubclass(w.category, EvidenceWarning))
    return KnownEvidence(found, told, "", "good")


def evidence_is_sure(evidence: KnownEvidence) -> list[Finding]:
    """How sure log Z is, by its error and by what its estimates say of each other."""
    question = "How sure is log Z?"
    found = evidence.found
    if found is None:
        sentence = f"log Z is not known: {evidence.reason}"
        return [Finding(question, evidence.level, sentence, np.nan)]
    value, error = float(found["log_evidence"]), float(found["mcse"])
    level = graded(error, 0.1, 0.5)
    reference = found.attrs["reference"]
    relative = "" if reference == "prior" else f" relative to {reference}"
    advice = "" if level == "good" else " Draw more scans or chains."
    if evidence.warnings and level == "good":
        level = "doubtful"
    return [
        Finding(
            question,
            level,
            f"log Z at the target is {value:.3f} +- {error:.1g} nats{relative}, by "
            f"{found.attrs['method']}.{advice}{''.join(' ' + told for told in evidence.warnings)}",
            error,
        )
    ]


def chains_agree(dt: DataTree) -> list[Finding]:
    """Whether independent chains agree on the posterior and on the energy."""
    import arviz_stats

    group = tempering_group(dt)
    kind = "ladders" if "ladder" in dt.children else "chains"
    question = f"Do the {kind} agree?"
    energy = group["energy"].sel({RUNG: group.attrs["target_beta"]})
    parameters = dt["posterior"].dataset if "posterior" in dt.children else None
    known = energy.to_dataset(name="energy") if parameters is None else parameters
    ess = float(arviz_stats.ess(known, method="bulk").to_array().min())
    if group.sizes["chain"] == 1:
        return [
            Finding(
                question, "doubtful",
                f"There is a single {kind[:-1]}, so nothing says whether another would agree "
                f"(smallest effective sample size {ess:.0f}). Use chains=4.", ess,
            )
        ]  # fmt: skip
    value = float(r_hat(energy))
    if parameters is not None:
        value = float(np.fmax(r_hat(parameters).to_array().max(), value))
    still = all(np.ptp(v.values.astype(float)) == 0 for v in (energy, *known.data_vars.values()))
    if still:
        return [Finding(question, "good", "Every draw at the target is the same.", 1.0)]
    if np.isnan(value):
        sentence = f"{group.sizes['draw']} draws a chain are too few to compare the {kind}."
        return [Finding(question, "bad", sentence, value)]
    level = graded(value, 1.01, 1.05)
    if ess < 100 * group.sizes["chain"] and level == "good":
        level = "doubtful"
    advice = "" if level == "good" else " Draw or tune longer before using the posterior."
    what = "the posterior" if parameters is not None else "the energy"
    agree = "agree" if level != "bad" else "disagree"
    return [
        Finding(
            question,
            level,
            f"Independent {kind} {agree} on {what}: largest R-hat {value:.3f}, smallest "
            f"effective sample size {ess:.0f}.{advice}",
            value,
        )
    ]


def moves_followed(dt: DataTree) -> list[Finding]:
    """Whether the target's NUTS moves diverged."""
    if "sample_stats" not in dt.children or "diverging" not in dt["sample_stats"]:
        return []
    question = "Did the moves follow the target?"
    stats = dt["sample_stats"]
    if "n_steps" in stats and not np.any(stats["n_steps"]):
        sentence = "All coordinates are integers: no trajectory could diverge."
        return [Finding(question, "good", sentence, 0.0)]
    diverging = int(stats["diverging"].sum())
    share = diverging / stats["diverging"].size
    level = graded(share, 0.0, 0.01)
    advice = "" if level == "good" else " Raise target_accept, or reparametrise the sharp corner."
    return [
        Finding(
            question,
            level,
            f"{diverging} of the target's NUTS moves diverged ({share:.1%}).{advice}",
            share,
        )
    ]


def modes_are_known(dt: DataTree) -> list[Finding]:
    """Whether the weights of separate modes can be believed, where there are several."""
    group = reference_group(dt)
    if group is None or group["reference_log_ratio"].shape[-2] < 2:
        return []
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always", (EvidenceWarning, ConvergenceWarning))
        try:
            found = modes(dt)
        except EvidenceError:  # of which log Z has spoken
            return []
    weight, share = found["weight"].values, found["share"].values
    by_bridges = found.attrs["method"] == "bridges"
    pilot = group["pilot_weight"].values
    lost = [m for m in range(len(share)) if share[m] == 0]
    heaviest_lost = float(np.max((weight if by_bridges else pilot)[lost], initial=0.0))
    fewest = float(np.nanmin(found["independent_entries"].values))
    told = ", ".join(
        f"{w:.3f} +- {e:.3f}" for w, e in zip(weight, found["weight_mcse"].values, strict=True)
    )
    if lost and heaviest_lost > NEGLIGIBLE_WEIGHT:
        level: Level = "bad"
        advice = (
            f" The run has no draw in {len(lost)} of them, of weight up to {heaviest_lost:.2g} "
            "when the ladder began: the posterior lacks them. Draw more, or use more chains."
        )
    elif not by_bridges and fewest < 10:
        level = "doubtful"
        advice = (
            f" These are counts, and rest on {fewest:.1f} independent entries into a mode: draw "
            "more."
        )
    else:
        level, advice = "good", ""
    return [
        Finding(
            "Are the weights of the modes known?",
            level,
            f"The target has {len(weight)} separate modes, of weights {told}.{advice}",
            float(len(weight)),
        )
    ]


def number_of_parameters(dt: DataTree) -> int:
    """How many continuous numbers the free variables have together; 0 where a tree does not say."""
    if "log_prior" not in dt.children or "posterior" not in dt.children:
        return 0
    posterior = dt["posterior"].dataset
    free = [posterior[name] for name in dt["log_prior"].data_vars if name in posterior]
    count = sum(v[0, 0].size for v in free if v.dtype.kind == "f")
    return int(count) if all(v.dtype.kind == "f" for v in free) else 0


def information_gained(dt: DataTree, known: KnownEvidence) -> list[Finding]:
    """How far the target is from the prior, and how many parameters the data determine."""
    group = tempering_group(dt)
    beta = float(group.attrs["target_beta"])
    found = thermodynamics(dt).sel({RUNG: beta})
    C, C_error = float(found["heat_capacity"]), float(found["heat_capacity_mcse"])
    effective = ""
    # two phases differ in energy, which says nothing of parameters
    split = "ladder" in dt.children and bool(transitions(dt))
    parameters = number_of_parameters(dt)
    if parameters and not split and all(t.kind != "distribution" for t in read_terms(group.attrs)):
        effective = f": the data determine {2 * C:.1f} parameters"
        if 2 * (C - 2 * C_error) > parameters:
            effective = (
                f", more than the {parameters / 2:g} of a normal posterior in {parameters} "
                f"dimension{'s' * (parameters > 1)}: prior and data disagree, or the posterior is "
                "far from normal"
            )
    question = "How far is the posterior from the prior?"
    evidence = known.found
    # SMC of PyMC tempers every Potential too, which the energy of a tree then lacks
    other = "ladder" not in dt.children and not group.attrs["prior_normalised"]
    if evidence is None or other or evidence.attrs["reference"] not in ("prior", "Z(0)"):
        sentence = f"The heat capacity of the target is {C:.2f} +- {C_error:.1g}{effective}."
        return [Finding(question, "note", sentence, C)]
    # KL = -beta U - log Z; of U and log Z each has an error of its own
    nats = -beta * float(found["mean_energy"]) - float(evidence["log_evidence"])
    error = float(np.hypot(beta * found["mean_energy_mcse"], evidence["mcse"]))
    return [
        Finding(
            question,
            "note",
            f"The relative entropy of the target to the prior is {nats:.2f} +- {error:.1g} nats "
            f"({nats / np.log(2.0):.1f} bits), and its heat capacity {C:.2f} +- {C_error:.1g}"
            f"{effective}.",
            nats,
        )
    ]


def capacity_peaks(dt: DataTree) -> list[Finding]:
    """Where the heat capacity peaks."""
    try:
        peaks = heat_capacity_peaks(dt)
    except (EvidenceError, LadderError):  # of which others have spoken
        return []
    rows = [{name: float(v) for name, v in peaks.isel(peak=k).data_vars.items()}
            for k in range(peaks.sizes["peak"])]  # fmt: skip
    # on the way to its plateau C may overshoot
    rows = [row for row in rows if row["prominence"] > PROMINENT * row["heat_capacity"]]
    return [
        Finding(
            "Does the heat capacity peak?",
            "note",
            f"The heat capacity has a peak of {row['heat_capacity']:.3g} +- "
            f"{row['heat_capacity_mcse']:.1g} at beta = {row['inverse_temperature']:.4g} +- "
            f"{row['inverse_temperature_mcse']:.1g}, where energy and entropy change fastest.",
            row["inverse_temperature"],
        )
        for row in rows
    ]


def verdict(dt: DataTree) -> Verdict:
    """Say in sentences whether to believe a run.

    Parameters
    ----------
    dt
        the tree of `sample_tempered` or `sample_annealed`, of `from_energies`, or of ``pm.sample``
        or ``pm.sample_smc`` after `compute_loss`. Questions that a tree has no answer to are left
        out, and the last finding says what that is.

    Returns
    -------
    Verdict
        findings, each with its question, level (good, doubtful, bad, note), sentence and
        number; ``print(verdict(dt))`` shows the sentences.

    Raises
    ------
    TreeError
        a tree without energies; says how to add them.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pms.verdict(dt).level
    'good'
    """
    tempering_group(dt)
    evidence = known_evidence(dt)
    return Verdict(
        (
            *rungs_swapped(dt),
            *prior_arrived(dt),
            *evidence_is_sure(evidence),
            *chains_agree(dt),
            *moves_followed(dt),
            *modes_are_known(dt),
            *information_gained(dt, evidence),
            *capacity_peaks(dt),
            *prior_is_normalised(dt),
            *what_else(dt),
            *what_is_missing(dt),
        )
    )
