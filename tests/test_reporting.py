from html.parser import HTMLParser

import numpy as np

import pm_statmech as pms

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


def test_report_is_one_file_without_links(newcomb, tmp_path):
    path = pms.report(newcomb, tmp_path / "run.html")
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    assert page.tags.count("table") == 1
    assert len(page.alts) == 2
    assert "swap rejection of every pair" in page.alts[1]
    assert "mean energy falls" in page.alts[0]
    for sentence in ("Neighbouring rungs swap", "log Z at the target", "inverse_temperature = 1"):
        assert sentence in text
    assert text.count("<tr") == 2 + newcomb["tempering"].sizes["inverse_temperature"]


def test_report_escapes_names(tmp_path):
    import pymc as pm

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
    assert len(page.alts) == 3
    assert peak.sentence in page.alts[1]
