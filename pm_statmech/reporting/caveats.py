"""What else must be said of a tree: its prior, its infinities, and what it cannot tell."""

from __future__ import annotations

import numpy as np
from xarray import DataTree

from pm_statmech.datatree import RUNG, ladder_group, r_hat, tempering_group, transitions
from pm_statmech.reporting.findings import Finding, Level
from pm_statmech.stats import thermodynamics

# of NaN energies for every draw, below which rejecting them can have changed nothing
NEGLIGIBLE_SHARE = 1e-3
# R-hat of the hottest rung, from which on it has not settled
UNSETTLED = 1.1


def prior_is_normalised(dt: DataTree) -> list[Finding]:
    """Whether log Z is relative to a prior without a known integral, or one without any."""
    group = tempering_group(dt)
    attrs = group.attrs
    if attrs["prior_normalised"] or group.sizes[RUNG] == 1:
        return []
    question = "Is the prior normalised?"
    hottest = group["energy"].isel({RUNG: 0})
    if group.sizes["chain"] > 1 and float(group[RUNG][0]) == 0 and np.all(np.isfinite(hottest)):
        settled = float(r_hat(hottest))
        if settled > UNSETTLED and np.ptp(hottest.values) > 0:
            sentence = (
                f"The states of beta = 0 have not settled (R-hat {settled:.3g}, energies up to "
                f"{float(hottest.max()):.3g}): the prior ({attrs['prior_reason']}) may have no "
                "integral at all, and then neither log Z nor its error means anything. Give it a "
                "proper prior; if it has one, tune longer."
            )
            return [Finding(question, "bad", sentence, settled)]
    zero, error = attrs["log_partition_zero"], attrs["log_partition_zero_mcse"]
    sentence = (
        f"The prior may not be normalised ({attrs['prior_reason']}), so log Z is relative to "
        f"{attrs['reference']}"
        + (
            f"; forward draws put log Z(0) at {zero:.3f} +- {error:.3f}."
            if np.isfinite(zero)
            else "."
        )
    )
    return [Finding(question, "note", sentence, zero)]


def what_else(dt: DataTree) -> list[Finding]:
    """Transitions, infinite energies, NaN energies, interruptions."""
    group = tempering_group(dt)
    findings = []
    if "ladder" in dt.children:
        for sign in transitions(dt):
            sentence = sign.sentence[0].upper() + sign.sentence[1:]
            question = "Is there a phase transition?"
            findings.append(Finding(question, "doubtful", sentence, sign.beta))
    note = thermodynamics(dt).attrs["note"]
    if note and group.sizes[RUNG] > 1:
        findings.append(Finding("Is U(0) finite?", "note", note[0].upper() + note[1:], np.nan))
    if "ladder" in dt.children:
        rungs = ladder_group(dt)
        nan = int(rungs["nan_energies"].sum())
        if nan:
            worst = float(rungs[RUNG][int(np.argmax(rungs["nan_energies"].values))])
            share = nan / group["energy"].size
            sentence = (
                f"{nan} proposals ({share:.2g} for every draw of a rung) had a NaN energy and were "
                f"rejected, most at beta = {worst:.3g}. Look for log or sqrt of a negative number, "
                "or for scales that round to 0."
            )
            level: Level = "doubtful" if share > NEGLIGIBLE_SHARE else "note"
            findings.append(Finding("Were energies NaN?", level, sentence, float(nan)))
    if not group.attrs.get("complete", 1):
        n_draws = group.sizes["draw"]
        sentence = f"The run was interrupted after {n_draws} draws."
        findings.append(Finding("Is the run complete?", "doubtful", sentence, float(n_draws)))
    return findings


def what_is_missing(dt: DataTree) -> list[Finding]:
    """What a tree other than that of a tempered run cannot say."""
    if "ladder" in dt.children:
        return []
    if tempering_group(dt).sizes[RUNG] > 1:
        sentence = (
            "These energies came without a run: whether its rungs really swapped, and whether "
            "states travelled from one end to the other, they do not say."
        )
    else:
        sentence = (
            "These draws are at one temperature: without a ladder nothing says what other "
            "temperatures, or modes that no chain has seen, would look like. sample_tempered does."
        )
    return [Finding("What does this tree not say?", "note", sentence, np.nan)]
