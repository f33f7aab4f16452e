"""Methods side by side, and the plots of what they found."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import CalibrationError, InverseTemperatureError

cal = pms.calibration
Y = np.random.default_rng(1).normal(3.0, 2.0, size=30)
QUIET = {"random_seed": 1, "progressbar": False}
FAST = {"replications": 20, "draws": 200, **QUIET}


@pytest.fixture(scope="module")
def model():
    with pm.Model() as made:
        mu = pm.Normal("mu", 0.0, 10.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=Y)
    return made


@pytest.fixture(scope="module")
def found(model):
    return cal.compare(
        {
            "matching": cal.information_matching,
            "bootstrap": lambda m: cal.loss_likelihood_bootstrap(m, draws=20, **QUIET),
            "coverage": lambda m: cal.general_posterior_calibration(m, **FAST),
            "safe": lambda m: cal.safe_bayes(m, particles=64, betas=[0.1, 0.3, 1.0], **QUIET),
            "folds": lambda m: cal.predictive_kfold(m, folds=3, draws=200, **QUIET),
            "as written": 1.0,
        },
        model, **QUIET,
    )  # fmt: skip


def test_table(found):
    table = found.table
    assert list(table.index) == list(found.calibrations)
    assert table.loc["matching", "beta"] == pytest.approx(1 / Y.var())
    assert table.loc["matching", "unit"] == "per y^2"
    # four times as cold, half as wide
    ratio = table.loc["matching", "width"] / table.loc["as written", "width"]
    assert ratio == pytest.approx(np.sqrt(Y.var()), rel=0.1)
    assert "coverage" not in table.columns
    assert found.studies == {}
    text = str(found)
    assert "matching" in text
    assert "independent" not in text
    assert "observations are independent" in found._repr_html_()


def test_coverage_of_a_mechanism(model):
    found = cal.compare(
        {"matching": cal.information_matching, "as written": 1.0}, model,
        generate=lambda rng: {"y": rng.normal(3.0, 2.0, size=30)}, truth={"mu": 3.0},
        repetitions=8, **QUIET,
    )  # fmt: skip
    assert found.table.loc["matching", "coverage"] > found.table.loc["as written", "coverage"]
    assert found.studies["matching"].sizes["repetition"] == 8
    # each data set has a beta of its own
    assert np.std(found.studies["matching"]["beta"]) > 0
    assert np.all(found.studies["as written"]["beta"] == 1.0)


@pytest.mark.parametrize("backend", ["matplotlib", "bokeh", "plotly"])
def test_plots_of_every_path(found, model, backend):
    for name, calibration in found.calibrations.items():
        if name == "as written":
            with pytest.raises(ValueError, match="no path"):
                pms.plot_calibration(calibration, backend=backend)
            continue
        pc = pms.plot_calibration(calibration, backend=backend)
        [criterion] = calibration.path.attrs["criteria"].split(",")
        assert criterion in pc.viz["points"].data_vars
        assert ("chosen" in pc.viz.children) == (calibration.path.attrs["x"] != "coordinate")
    pc = pms.plot_comparison(found, backend=backend)
    assert list(pc.viz["points"].data_vars) == ["mu"]


def test_seeds_reach_methods_that_take_them(model):
    method = cal.loss_likelihood_bootstrap
    betas = [
        cal.compare({"b": method}, model, random_seed=seed, progressbar=False).table.loc[
            "b", "beta"
        ]
        for seed in (1, 1, 2)
    ]
    assert betas[0] == betas[1] != betas[2]


def test_what_is_drawn(found):
    calibration = found.calibrations["coverage"]
    pc = pms.plot_calibration(calibration, backend="matplotlib")
    line = pc.viz["line"]["coverage"].item()
    np.testing.assert_allclose(line.get_ydata(), calibration.path["coverage"])
    np.testing.assert_allclose(line.get_xdata(), np.log(calibration.path["inverse_temperature"]))
    assert pc.viz["chosen"]["coverage"].item().get_xdata()[0] == pytest.approx(
        np.log(calibration.beta)
    )
    assert pc.viz["wanted"]["coverage"].item().get_ydata()[0] == 0.95
    labels = [t.get_text() for t in line.axes.get_xticklabels()]
    assert 2 <= len(labels) <= 8
    pc = pms.plot_calibration(
        calibration, backend="none", visuals={"band": False, "wanted": False, "title": False}
    )
    assert not {"band", "wanted", "title"} & set(pc.viz.children)
    pc = pms.plot_comparison(found, backend="matplotlib")
    axes = pc.viz["points"]["mu"].item().axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        f"{name} ({c.beta:.3g})" for name, c in found.calibrations.items()
    ]


def test_what_is_refused(model):
    with pytest.raises(CalibrationError, match="methods is a mapping"):
        cal.compare({}, model)
    with pytest.raises(CalibrationError, match="belong together"):
        cal.compare({"a": 1.0}, model, truth={"mu": 3.0})
    with pytest.raises(CalibrationError, match="it returned str"):
        cal.compare({"a": lambda m: "warm"}, model)
    for beta in (-1.0, np.nan):
        with pytest.raises(InverseTemperatureError, match="beta of a"):
            cal.compare({"a": lambda m, b=beta: b}, model)
    with pytest.raises(CalibrationError, match=r"0\.95 for 95%"):
        cal.compare({"a": 1.0}, model, level=95)
    with pytest.raises(CalibrationError, match="not among"):
        cal.compare({"a": 1.0}, model, generate=lambda rng: {}, truth={"nu": 1.0})
    with pytest.raises(CalibrationError, match="has shape"):
        cal.compare({"a": 1.0}, model, generate=lambda rng: {}, truth={"mu": [1.0, 2.0]})
    with pytest.raises(CalibrationError) as caught:
        cal.compare({"theirs": lambda m: cal.coarsened(m, alpha=3.0)}, model)
    assert "'theirs'" in caught.value.__notes__[0]
