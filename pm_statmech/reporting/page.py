"""One self-contained HTML page about a run."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template

import numpy as np
from xarray import DataTree

from pm_statmech.datatree import RUNG, ladder_group, read_graph, read_terms, tempering_group
from pm_statmech.plots import (
    plot_energies,
    plot_evidence,
    plot_exchange,
    plot_heat_capacity,
    plot_thermodynamics,
)
from pm_statmech.reporting.findings import COLOURS, MARKS, Verdict
from pm_statmech.reporting.pictures import chosen, drawn, embedded, scripts
from pm_statmech.reporting.questions import verdict
from pm_statmech.stats import ladder_summary, thermodynamics

_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem;color:#1a1a1a}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}
ul.verdict{list-style:none;padding:0}ul.verdict li{margin:.4rem 0;padding:.5rem .75rem;
border-left:.4rem solid;background:#f6f6f6;break-inside:avoid}
$colours
.mark{font-weight:600}figure{margin:1rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;white-space:nowrap}
th,td{text-align:right;padding:.2rem .6rem;border-bottom:1px solid #ddd}
img{max-width:100%;height:auto}dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}
@media(max-width:40rem){img{max-width:none;max-height:26rem;width:auto}}
@media print{body{max-width:none;font-size:11pt}.scroll{overflow:visible}
img{break-inside:avoid;max-width:100%}table{font-size:6.5pt}th,td{padding:.1rem .25rem}}
</style>$head</head><body>
<h1>$title</h1>
<h2>Verdict</h2><ul class="verdict">$findings</ul>
$sections
<h2>Run</h2><dl>$facts</dl>
</body></html>
""")


def _unit(unit: str) -> str:
    words = {"1": "a pure number", "nats": "nats", "unspecified": "an unspecified unit"}
    return words.get(unit, f"units of {unit}")


def _thermodynamics(dt: DataTree, backend: str, said: Verdict) -> str:
    found = thermodynamics(dt)
    first, last = found.isel({RUNG: 1}), found.isel({RUNG: -1})
    alt = (
        "Four panels against inverse temperature: mean energy falls to "
        f"{float(last['mean_energy']):.4g}, heat capacity goes from "
        f"{float(first['heat_capacity']):.3g} to {float(last['heat_capacity']):.3g}, relative "
        f"entropy rises to {float(last['relative_entropy']):.4g} nats, log Z goes to "
        f"{float(last['log_partition']):.5g}."
    )
    figures = embedded(plot_thermodynamics, dt, alt, backend)
    peaks = [f.sentence for f in said.findings if f.question == "Does the heat capacity peak?"]
    if peaks:
        figures += embedded(plot_heat_capacity, dt, " ".join(peaks), backend)
    return f"<h2>Thermodynamics</h2>{figures}"


def _evidence(dt: DataTree, backend: str, said: Verdict) -> str:
    sure = next(f for f in said.findings if f.question == "How sure is log Z?")
    if not np.isfinite(sure.value):
        return ""
    alt = (
        "Three panels: the mean energy above that of the target against inverse temperature, whose "
        "area is what log Z lacks to minus beta U; the steps of log Z between neighbours from both "
        f"sides; and log Z by every method. {sure.sentence}"
    )
    return f"<h2>Evidence</h2>{embedded(plot_evidence, dt, alt, backend)}"


def _ladder(dt: DataTree, backend: str) -> str:
    rungs = ladder_group(dt)
    alt = (
        "Two panels against inverse temperature: the swap rejection of every pair of neighbours, "
        f"at most {float(rungs['swap_rejection'].max()):.2f}, and the barrier that they add up to, "
        f"{float(rungs['barrier'][-1]):.1f}."
    )
    table = ladder_summary(dt).to_html(float_format=lambda v: f"{v:.4g}", border=0, na_rep="")
    energies = embedded(plot_energies, dt, "Densities of the energy at every rung.", backend)
    return (
        f"<h2>Ladder</h2>{embedded(plot_exchange, dt, alt, backend)}{energies}"
        f'<div class="scroll">{table}</div>'
    )


def _facts(dt: DataTree) -> dict[str, str]:
    attrs = tempering_group(dt).attrs
    posterior = dt["posterior"].attrs if "posterior" in dt.children else {}
    sizes = tempering_group(dt).sizes
    every = {**posterior, **attrs}
    tuned = f", after {every['tuning_steps']} of tuning" if "tuning_steps" in every else ""
    what = "ladders" if "ladder" in dt.children else "chains"
    facts = {
        "Target": f"inverse_temperature = {attrs['target_beta']:.6g}",
        "Tempered terms": "; ".join(
            f"{t.name} ({t.kind}, loss in {_unit(t.unit)}, beta = "
            f"{t.ratio * attrs['target_beta']:.6g}, {t.n_observations} observations)"
            for t in read_terms(attrs)
        ),
        "Draws": f"{sizes['chain']} {what} of {sizes['draw']} draws{tuned}",
    }
    if "random_seed" in every:
        facts["Seed"] = str(every["random_seed"]) or "none given"
    if "sampling_time" in every:
        compiled = every.get("compilation_time")
        facts["Time"] = f"{every['sampling_time']:.1f} s of sampling" + (
            f", {compiled:.1f} s of compilation before it" if compiled is not None else ""
        )
    versions = [
        f"{name} {every[key]}"
        for name, key in (
            ("pm_statmech", "pm_statmech_version"),
            (str(every.get("inference_library", "")), "inference_library_version"),
            (str(every.get("creation_library", "")), "creation_library_version"),
        )
        if key in every
    ]
    facts["Versions"] = ", ".join(versions) or "not told"
    facts["Made"] = str(every.get("created_at", "not told"))
    return facts


def report(dt: DataTree, path: str | Path, *, backend: str | None = None) -> Path:
    """Write one HTML page, without links to anything: verdict, plots, tables, model, provenance.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, or any other that `verdict` reads; what it lacks is left out.
    path
        of the file to write; its folder must exist.
    backend
        ``"matplotlib"`` for pictures; ``"bokeh"`` or ``"plotly"`` for figures to zoom into, whose
        scripts go into the page and make it some megabytes. By default ArviZ's
        ``rcParams["plot.backend"]``.

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
    engine, said = chosen(backend), verdict(dt)
    sections = ""
    if tempering_group(dt).sizes[RUNG] > 1:
        sections += _thermodynamics(dt, engine, said)
        if attrs["target_beta"] > float(tempering_group(dt)[RUNG][0]):
            sections += _evidence(dt, engine, said)
    if "ladder" in dt.children:
        sections += _ladder(dt, engine)
    if "posterior" in dt.children and "model_graph" in dt["posterior"].attrs:
        nodes = read_graph(dt["posterior"].attrs["model_graph"])
        sections += f"<h2>Model</h2>{drawn(nodes)}"
    items = "".join(
        f'<li class="{f.level}"><span class="mark">{MARKS[f.level]}: {html.escape(f.question)}'
        f"</span> {html.escape(f.sentence)}</li>"
        for f in said.findings
    )
    names = ", ".join(term.name for term in read_terms(attrs))
    page = _PAGE.substitute(
        title=html.escape(f"Tempered run: {names}"),
        colours="".join(
            f"ul.verdict li.{level}{{border-left-color:{colour}}}"
            for level, colour in COLOURS.items()
        ),
        head=scripts(engine),
        findings=items,
        sections=sections,
        facts="".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in _facts(dt).items()
        ),
    )
    target = Path(path)
    target.write_text(page, encoding="utf-8")
    return target
