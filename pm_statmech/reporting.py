"""Verdicts in words, and one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

import numpy as np
from xarray import DataTree

from pm_statmech.datatree import (
    RUNG,
    ladder_group,
    r_hat,
    read_terms,
    tempering_group,
    transitions,
)
from pm_statmech.errors import EvidenceError, EvidenceWarning
from pm_statmech.plots import plot_exchange, plot_heat_capacity, plot_thermodynamics
from pm_statmech.stats import (
    heat_capacity_peaks,
    ladder_summary,
    log_evidence,
    thermodynamics,
)

Level = Literal["good", "doubtful", "bad", "note"]

# of NaN energies for every draw, below which rejecting them can have changed nothing
NEGLIGIBLE_SHARE = 1e-3
# of its height that a peak must stand above its valleys to be spoken of
PROMINENT = 0.2
MARKS = {"good": "ok", "doubtful": "doubtful", "bad": "NOT OK", "note": "note"}


@dataclass(frozen=True)
class Finding:
    """One question about a run: its answer in a sentence, the number behind it, a level."""

    question: str
    level: Level
    sentence: str
    value: float


@dataclass(frozen=True)
class Verdict:
    """The findings about a run; prints as sentences."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst level among the findings."""
        levels = {finding.level for finding in self.findings}
        return next((worst for worst in ("bad", "doubtful") if worst in levels), "good")

    def __str__(self) -> str:
        return "\n".join(f"[{MARKS[f.level]}] {f.sentence}" for f in self.findings)


def _graded(value: float, good: float, doubtful: float) -> Level:
    """Grade a number that should be small."""
    if not np.isfinite(value):
        return "bad"
    return "good" if value <= good else "doubtful" if value <= doubtful else "bad"


def _swaps(dt: DataTree) -> Finding:
    rungs = ladder_group(dt)
    rejection = rungs["swap_rejection"]
    worst = int(np.argmax(rejection.values))
    value = float(rejection[worst])
    low, high = float(rejection["hotter"][worst]), float(rejection["colder"][worst])
    level = _graded(value, 0.7, 0.9)
    advice = "" if level == "good" else " Add a rung between them with betas=, or tune longer."
    return Finding(
        "Did the rungs swap?",
        level,
        f"Neighbouring rungs swap: the largest rejection is {value:.2f}, between beta = "
        f"{low:.3g} and {high:.3g}, and the barrier is {float(rungs['barrier'][-1]):.1f} over "
        f"{rungs.sizes[RUNG]} rungs.{advice}",
        value,
    )


def _arrivals(dt: DataTree) -> Finding:
    restarts = ladder_group(dt)["restarts"].values
    fewest = int(np.min(restarts))
    start = "Independent prior draws" if dt["ladder"].attrs["prior_normalised"] else "States"
    level: Level = "good" if fewest >= 5 else "doubtful" if fewest >= 1 else "bad"
    advice = "" if level == "good" else " Draw more: fewer than five is too few to find modes."
    return Finding(
        "Did draws of the prior reach the target?",
        level,
        f"{start} of beta = 0 travelled to the target {int(np.sum(restarts))} times, at least "
        f"{fewest} in each of {len(restarts)} ladders.{advice}",
        float(fewest),
    )


def _evidence(dt: DataTree) -> Finding:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        found = log_evidence(dt)
    value, error = float(found["log_evidence"]), float(found["mcse"])
    level = _graded(error, 0.1, 0.5)
    relative = "" if found.attrs["reference"] == "prior" else " relative to Z(0)"
    advice = "" if level == "good" else " Draw more scans or chains."
    apart = [str(w.message) for w in caught if issubclass(w.category, EvidenceWarning)]
    if apart and level == "good":
        level = "doubtful"
    return Finding(
        "How sure is log Z?",
        level,
        f"log Z at the target is {value:.3f} +- {error:.1g} nats{relative}, by "
        f"{found.attrs['method']}.{advice}{''.join(' ' + sentence for sentence in apart)}",
        error,
    )


def _agreement(dt: DataTree) -> Finding:
    import arviz_stats

    group = tempering_group(dt)
    energy = group["energy"].sel({RUNG: group.attrs["target_beta"]})
    ess = float(arviz_stats.ess(dt["posterior"].dataset, method="bulk").to_array().min())
    if group.sizes["chain"] == 1:
        return Finding(
            "Do the ladders agree?", "doubtful",
            f"There is a single ladder, so nothing says whether another would agree (smallest "
            f"effective sample size {ess:.0f}). Use chains=4.", ess,
        )  # fmt: skip
    posterior = r_hat(dt["posterior"].dataset).to_array().max()
    value = float(np.fmax(posterior, r_hat(energy)))
    level = _graded(value, 1.01, 1.05)
    if ess < 100 * group.sizes["chain"] and level == "good":
        level = "doubtful"
    advice = "" if level == "good" else " Draw or tune longer before using the posterior."
    return Finding(
        "Do the ladders agree?",
        level,
        f"Independent ladders agree on the posterior: largest R-hat {value:.3f}, smallest "
        f"effective sample size {ess:.0f}.{advice}",
        value,
    )


def _moves(dt: DataTree) -> Finding:
    if not np.any(dt["sample_stats"]["n_steps"]):
        sentence = "All coordinates are integers: no trajectory could diverge."
        return Finding("Did the moves follow the target?", "good", sentence, 0.0)
    diverging = int(dt["sample_stats"]["diverging"].sum())
    share = diverging / dt["sample_stats"]["diverging"].size
    level = _graded(share, 0.0, 0.01)
    advice = "" if level == "good" else " Raise target_accept, or reparametrise the sharp corner."
    return Finding(
        "Did the moves follow the target?",
        level,
        f"{diverging} of the target's NUTS moves diverged ({share:.1%}).{advice}",
        share,
    )


def _information(dt: DataTree) -> Finding:
    beta = tempering_group(dt).attrs["target_beta"]
    try:
        target = thermodynamics(dt, betas=beta).isel({RUNG: 0})
    except EvidenceError:  # rungs that do not overlap: from the target's own draws
        target = thermodynamics(dt).sel({RUNG: beta})
    nats, error = float(target["relative_entropy"]), float(target["relative_entropy_mcse"])
    C, C_error = float(target["heat_capacity"]), float(target["heat_capacity_mcse"])
    effective = ""
    if any(t.kind != "distribution" for t in read_terms(tempering_group(dt).attrs)):
        effective = f": the data determine {2 * C:.1f} parameters"
    return Finding(
        "How far is the posterior from the prior?",
        "note",
        f"The relative entropy of the target to the prior is {nats:.2f} +- {error:.1g} nats "
        f"({nats / np.log(2.0):.1f} bits), and its heat capacity {C:.2f} +- {C_error:.1g}"
        f"{effective}.",
        nats,
    )


def _peaks(dt: DataTree) -> list[Finding]:
    try:
        peaks = heat_capacity_peaks(dt)
    except EvidenceError:  # rungs that do not overlap, of which the swaps have spoken
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


def _notes(dt: DataTree) -> list[Finding]:
    attrs = tempering_group(dt).attrs
    rungs = ladder_group(dt)
    notes = []
    if not attrs["prior_normalised"]:
        zero, error = attrs["log_partition_zero"], attrs["log_partition_zero_mcse"]
        sentence = (
            f"The prior may not be normalised ({attrs['prior_reason']}), so log Z is relative "
            f"to Z(0); forward draws put log Z(0) at {zero:.3f} +- {error:.3f}."
        )
        notes.append(Finding("Is the prior normalised?", "note", sentence, zero))
    for sign in transitions(dt):
        sentence = sign.sentence[0].upper() + sign.sentence[1:]
        notes.append(Finding("Is there a phase transition?", "doubtful", sentence, sign.beta))
    note = thermodynamics(dt).attrs["note"]
    if note:
        notes.append(Finding("Is U(0) finite?", "note", note[0].upper() + note[1:], np.nan))
    nan = int(rungs["nan_energies"].sum())
    if nan:
        worst = float(rungs[RUNG][int(np.argmax(rungs["nan_energies"].values))])
        share = nan / tempering_group(dt)["energy"].size
        sentence = (
            f"{nan} proposals ({share:.2g} for every draw of a rung) had a NaN energy and were "
            f"rejected, most at beta = {worst:.3g}. Look for log or sqrt of a negative number, or "
            "for scales that round to 0."
        )
        level: Level = "doubtful" if share > NEGLIGIBLE_SHARE else "note"
        notes.append(Finding("Were energies NaN?", level, sentence, float(nan)))
    if not attrs["complete"]:
        n_draws = dt["posterior"].sizes["draw"]
        sentence = f"The run was interrupted after {n_draws} draws."
        notes.append(Finding("Is the run complete?", "doubtful", sentence, float(n_draws)))
    return notes


def verdict(dt: DataTree) -> Verdict:
    """Say in sentences whether to believe a tempered run.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Verdict
        findings, each with its question, level (good, doubtful, bad, note), sentence and
        number; ``print(verdict(dt))`` shows the sentences.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pms.verdict(dt).level
    'good'
    """
    checks = (_swaps, _arrivals, _evidence, _agreement, _moves)
    return Verdict((*(check(dt) for check in checks), _information(dt), *_peaks(dt), *_notes(dt)))


_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:0 auto;padding:1rem;color:#1a1a1a}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}
ul.verdict{list-style:none;padding:0}ul.verdict li{margin:.4rem 0;padding:.5rem .75rem;
border-left:.4rem solid;background:#f6f6f6}
ul.verdict li.good{border-left-color:#0072b2}
ul.verdict li.doubtful{border-left-color:#e69f00}
ul.verdict li.bad{border-left-color:#d55e00}
ul.verdict li.note{border-left-color:#888}.mark{font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;white-space:nowrap}
th,td{text-align:right;padding:.2rem .6rem;border-bottom:1px solid #ddd}
img{max-width:100%;height:auto}dt{font-weight:600}dd{margin:0 0 .5rem}
</style></head><body>
<h1>$title</h1>
<h2>Verdict</h2><ul class="verdict">$findings</ul>
<h2>Thermodynamics</h2>$thermodynamics
<h2>Ladder</h2>$exchange<div class="scroll">$table</div>
<h2>Run</h2><dl>$facts</dl>
</body></html>
""")


def _unit(unit: str) -> str:
    words = {"1": "a pure number", "nats": "nats", "unspecified": "an unspecified unit"}
    return words.get(unit, f"units of {unit}")


def _picture(plot: Callable, dt: DataTree, alt: str) -> str:
    """The <img> of a plot, inside the page itself."""
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure = plot(dt, backend="matplotlib").viz["figure"].item()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{picture}">'


def report(dt: DataTree, path: str | Path) -> Path:
    """Write one HTML page, without links to anything: verdict, picture, table, provenance.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    path
        of the file to write; its folder must exist.

    Returns
    -------
    Path
        of the page.

    Examples
    --------
    >>> import pm_statmech as pms, tempfile
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pms.report(dt, folder + "/run.html").name
    'run.html'
    """
    attrs = tempering_group(dt).attrs
    posterior = dt["posterior"].attrs
    found = thermodynamics(dt)
    terms = read_terms(attrs)
    said = verdict(dt)
    items = "".join(
        f'<li class="{f.level}"><span class="mark">{MARKS[f.level]}: {html.escape(f.question)}'
        f"</span> {html.escape(f.sentence)}</li>"
        for f in said.findings
    )
    facts = {
        "Target": f"inverse_temperature = {attrs['target_beta']:.6g}",
        "Tempered terms": "; ".join(
            f"{t.name} ({t.kind}, loss in {_unit(t.unit)}, beta = "
            f"{t.ratio * attrs['target_beta']:.6g}, {t.n_observations} observations)"
            for t in terms
        ),
        "Draws": f"{dt['posterior'].sizes['chain']} ladders of "
        f"{dt['posterior'].sizes['draw']} draws, after {attrs['tuning_steps']} of tuning",
        "Seed": str(attrs["random_seed"]) or "none given",
        "Time": f"{attrs['sampling_time']:.1f} s",
        "Versions": f"pm_statmech {attrs['pm_statmech_version']}, PyMC "
        f"{posterior.get('inference_library_version', '?')}",
        "Made": str(posterior.get("created_at", "?")),
    }
    first, last = found.isel({RUNG: 1}), found.isel({RUNG: -1})
    alt = (
        "Four panels against inverse temperature: mean energy falls to "
        f"{float(last['mean_energy']):.4g}, heat capacity goes from "
        f"{float(first['heat_capacity']):.3g} to {float(last['heat_capacity']):.3g}, relative "
        f"entropy rises to {float(last['relative_entropy']):.4g} nats, log Z falls to "
        f"{float(last['log_partition']):.5g}."
    )
    pictures = _picture(plot_thermodynamics, dt, alt)
    peaks = [f.sentence for f in said.findings if f.question == "Does the heat capacity peak?"]
    if peaks:
        pictures += _picture(plot_heat_capacity, dt, " ".join(peaks))
    names = ", ".join(term.name for term in terms)
    page = _PAGE.substitute(
        title=html.escape(f"Tempered run: {names}"),
        findings=items,
        thermodynamics=pictures,
        exchange=_picture(
            plot_exchange,
            dt,
            "Two panels against inverse temperature: the swap rejection of every pair of "
            f"neighbours, at most {float(ladder_group(dt)['swap_rejection'].max()):.2f}, and the "
            f"barrier that they add up to, {float(ladder_group(dt)['barrier'][-1]):.1f}.",
        ),
        table=ladder_summary(dt).to_html(float_format=lambda v: f"{v:.4g}", border=0, na_rep=""),
        facts="".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()
        ),
    )
    target = Path(path)
    target.write_text(page, encoding="utf-8")
    return target
