import warnings
from html.parser import HTMLParser

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.__main__ import main
from pm_statmech.datatree import Node
from pm_statmech.errors import PhaseTransitionWarning
from pm_statmech.reporting.pictures import drawn, in_layers, to_edge, told

from .conftest import POINTWISE_OFF


class Page(HTMLParser):
    """Collects tags and what they link to."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.alts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href"):
                self.links.append(value)
            if key == "alt":
                self.alts.append(value)


def test_a_good_run_is_good(newcomb):
    found = pms.verdict(newcomb)
    assert found.level == "good"
    assert len(found.findings) == 6
    [information] = [f for f in found.findings if "from the prior" in f.question]
    assert abs(information.value - 3.34212) < 0.1
    assert "the data determine 1." in information.sentence
    assert "+-" in str(found)
    assert "log Z at the target is -25" in str(found)


def test_too_few_rungs_are_noticed(newcomb):
    """Thin the ladder of a good run: neighbours then hardly overlap."""
    dt = newcomb.copy()
    worse = dt["ladder"].to_dataset()
    worse["swap_rejection"] = worse["swap_rejection"] * 0 + 0.97
    worse["restarts"] = worse["restarts"] * 0
    dt["ladder"] = worse
    found = {f.question: f for f in pms.verdict(dt).findings}
    assert found["Did the rungs swap?"].level == "bad"
    assert "Add a rung" in found["Did the rungs swap?"].sentence
    assert found["Did draws of the prior reach the target?"].level == "bad"
    assert pms.verdict(dt).level == "bad"


def test_ladders_that_disagree_are_noticed(newcomb):
    dt = newcomb.copy()
    posterior = dt["posterior"].to_dataset()
    posterior["mu"] = posterior["mu"] + 5.0 * posterior["chain"]
    dt["posterior"] = posterior
    found = {f.question: f for f in pms.verdict(dt).findings}
    assert found["Do the ladders agree?"].level == "bad"


def test_energies_that_were_nan_are_told_by_their_share(newcomb):
    """One of thousands is a note, one in ten is not."""
    rungs = newcomb["ladder"].to_dataset()
    n_energies = newcomb["tempering"]["energy"].size
    for count, level in ((1, "note"), (n_energies // 10, "doubtful")):
        dt = newcomb.copy()
        dt["ladder"] = rungs.assign(nan_energies=rungs["nan_energies"] * 0 + 0)
        dt["ladder"]["nan_energies"].values[1] = count
        found = {f.question: f for f in pms.verdict(dt).findings}["Were energies NaN?"]
        assert found.level == level
        assert found.value == count
        assert f"beta = {float(rungs['inverse_temperature'][1]):.3g}" in found.sentence


@pytest.fixture(scope="module")
def two_modes():
    system = pms.solvable.gaussian_mixture(dimension=2, separation=10.0, prior_sd=5.0)
    return pms.sample_tempered(400, tune=200, model=system.model(), random_seed=1, quiet=True,
                               progressbar=False)  # fmt: skip


def test_a_lost_mode_is_noticed(two_modes):
    question = "Are the weights of the modes known?"
    found = {f.question: f for f in pms.verdict(two_modes).findings}[question]
    assert found.level == "good"
    assert "2 separate modes, of weights 0.700" in found.sentence
    # as if every draw of the run had stayed in the heavier mode
    lost = two_modes.copy()
    reference = lost["reference"].to_dataset()
    heavier = reference["mode"].values == 0
    filled = np.where(
        heavier, reference["log_ratio"], reference["log_ratio"].values[heavier].mean()
    )
    lost["reference"] = reference.assign(
        mode=reference["mode"] * 0, log_ratio=(("chain", "draw"), filled)
    )
    found = {f.question: f for f in pms.verdict(lost).findings}[question]
    assert found.level == "bad"
    assert "no draw in 1 of them" in found.sentence
    assert pms.verdict(lost).level == "bad"


def test_a_prior_without_an_integral_is_noticed():
    """A Potential that cancels the prior: beta = 0 is a flat line, on which states drift."""
    y = np.random.default_rng(1).normal(1.0, 1.0, size=30)
    for strength, level in ((0.5, "bad"), (0.4, "note")):
        with pm.Model() as model:
            mu = pm.Normal("mu", 0.0, 10.0)
            pm.Potential("p", strength * (mu / 10.0) ** 2)
            pm.Normal("y", mu, 1.0, observed=y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PhaseTransitionWarning)
            dt = pms.sample_tempered(300, tune=200, model=model, random_seed=1, quiet=True,
                                     progressbar=False)  # fmt: skip
        found = {f.question: f for f in pms.verdict(dt).findings}["Is the prior normalised?"]
        assert found.level == level
        assert ("may have no integral" in found.sentence) == (level == "bad")


def test_report_is_one_file_without_links(newcomb, tmp_path):
    path = pms.report(newcomb, tmp_path / "run.html")
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == 6
    assert page.tags.count("table") == 1
    assert page.tags.count("img") == len(page.alts) == 5
    thermodynamics, evidence, exchange, energies, graph = page.alts
    assert "mean energy falls" in thermodynamics
    assert "log Z at the target is -25" in evidence
    assert "swap rejection of every pair" in exchange
    assert "energy" in energies
    assert "y (Normal, observed, of mu)" in graph
    for sentence in ("Neighbouring rungs swap", "log Z at the target", "inverse_temperature = 1"):
        assert sentence in text
    assert text.count("<tr") == 2 + newcomb["tempering"].sizes["inverse_temperature"]


def test_report_escapes_names(tmp_path):
    with pm.Model() as model:
        m = pm.Normal("m")
        pms.GibbsLoss("<b>y", m, loss=pms.losses.squared, observed=np.arange(3.0))
    dt = pms.sample_tempered(50, tune=50, chains=2, model=model, random_seed=1, quiet=True,
                             idata_kwargs=POINTWISE_OFF)  # fmt: skip
    assert "<b>" not in pms.report(dt, tmp_path / "run.html").read_text(encoding="utf-8")


def test_peaks_are_told_and_shown(tmp_path):
    dt = pms.sample_tempered(
        400, tune=100, model=pms.solvable.two_level(5.0).model(), target_beta=2.0, random_seed=1,
        quiet=True,
    )  # fmt: skip
    found = {f.question: f for f in pms.verdict(dt).findings}
    peak = found["Does the heat capacity peak?"]
    assert peak.level == "note"
    assert abs(peak.value - 2.39936 / 5.0) < 0.05
    page = Page()
    page.feed(pms.report(dt, tmp_path / "run.html").read_text(encoding="utf-8"))
    assert peak.sentence in page.alts[1]


@pytest.mark.parametrize("backend", ["bokeh", "plotly"])
def test_live_figures_bring_their_scripts(newcomb, tmp_path, backend):
    pytest.importorskip(backend)
    path = pms.report(newcomb, tmp_path / "run.html", backend=backend)
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    # the only links are pictures inside the page: scripts and styles are in it too
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert page.tags.count("script") >= 5
    assert page.tags.count("figure") == 4
    assert page.tags.count("img") == 1


def test_verdicts_show_in_notebooks(newcomb):
    found = pms.verdict(newcomb)
    assert repr(found) == str(found)
    shown = found._repr_html_()
    assert shown.count("<li") == len(found.findings)
    assert "+-" in shown


def test_a_graph_is_drawn_below_its_parents():
    nodes = [
        Node("a", "free", "Normal", "", ()), Node("b", "data", "", "3", ()),
        Node("c", "deterministic", "", "3", ("a", "b")),
        Node("y", "observed", "Normal", "3", ("c", "a")),
    ]  # fmt: skip
    places = in_layers(nodes)
    for node in nodes:
        for parent in node.parents:
            assert places[parent][1] < places[node.name][1]
    assert len(set(places.values())) == len(nodes)
    assert "<img" in drawn(nodes)
    assert "y (Normal, observed, of c, a)" in told(nodes)
    many = [Node(f"x{i}", "free", "Normal", "", ()) for i in range(50)]
    assert "<img" not in drawn(many)
    assert "x49 (Normal, free)" in drawn(many)
    np.testing.assert_allclose(to_edge(np.array([2.0, 1.0]), np.array([0.5, 1.0])), [0.5, 0.25])
    np.testing.assert_allclose(to_edge(np.array([0.0, -3.0]), np.array([0.5, 1.0])), [0.0, -1.0])


@pytest.fixture(scope="module")
def saved(newcomb, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run.nc"
    newcomb.to_netcdf(path, engine="h5netcdf")
    return path


class TestCommandLine:
    def test_report(self, saved, tmp_path, capsys):
        assert main(["report", str(saved), "-o", str(tmp_path / "page.html")]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
        assert "log Z at the target" in (tmp_path / "page.html").read_text(encoding="utf-8")
        assert main(["report", str(saved)]) == 0
        assert saved.with_suffix(".html").exists()

    def test_verdict(self, saved, newcomb, capsys):
        assert main(["verdict", str(saved)]) == 0
        assert capsys.readouterr().out.strip() == str(pms.verdict(newcomb))

    def test_a_bad_verdict_is_a_failure(self, newcomb, tmp_path, capsys):
        worse = newcomb.copy()
        ladder = worse["ladder"].to_dataset()
        worse["ladder"] = ladder.assign(restarts=ladder["restarts"] * 0)
        worse.to_zarr(tmp_path / "run.zarr", consolidated=False)
        assert main(["verdict", str(tmp_path / "run.zarr")]) == 1
        assert "NOT OK" in capsys.readouterr().out

    def test_mistakes_are_told(self, saved, tmp_path, capsys):
        text = tmp_path / "text.nc"
        text.write_text("no data")
        for arguments, message in (
            (["verdict", str(tmp_path / "nowhere.nc")], "there is no file"),
            (["verdict", str(text)], "is no DataTree"),
            (["report", str(saved), "-o", str(tmp_path / "none" / "a.html")], "there is no folder"),
        ):
            assert main(arguments) == 2
            captured = capsys.readouterr()
            assert message in captured.err
            assert not captured.out
        with pytest.raises(SystemExit):
            main(["report"])
