import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech.plots.axis import beta_axis


@pytest.mark.parametrize("backend", ["matplotlib", "bokeh", "plotly", "none"])
def test_every_backend(newcomb, backend):
    pytest.importorskip({"none": "numpy"}.get(backend, backend))
    pc = pms.plot_thermodynamics(newcomb, backend=backend)
    for visual in ("line", "points", "band", "title"):
        assert set(pc.viz[visual].data_vars) == {
            "mean_energy", "heat_capacity", "relative_entropy", "log_partition"
        }  # fmt: skip


def test_what_is_drawn(newcomb):
    pc = pms.plot_thermodynamics(newcomb, var_names=["heat_capacity"], backend="matplotlib")
    found = pms.thermodynamics(newcomb)
    line = pc.viz["line"]["heat_capacity"].item()
    np.testing.assert_allclose(line.get_ydata(), found.heat_capacity)
    axes = line.axes
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert labels[0] == "0"
    assert labels[-1] == "1"
    assert axes.get_xlabel() == "inverse temperature"
    assert axes.get_title() == "heat capacity C"


def test_visuals_may_be_left_out(newcomb):
    pc = pms.plot_thermodynamics(
        newcomb, backend="matplotlib", visuals={"band": False, "line": {"color": "C3"}}
    )
    assert "band" not in pc.viz.children
    with pytest.raises(ValueError, match="nonsense"):
        pms.plot_thermodynamics(newcomb, backend="none", visuals={"nonsense": {}})
    with pytest.raises(ValueError, match="temperature"):
        pms.plot_thermodynamics(newcomb, var_names=["temperature"])


def test_axis_shows_zero_and_spaces_the_rest_logarithmically():
    betas = np.array([0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
    axis = beta_axis(betas, 1.0)
    steps = np.diff(axis.position)
    assert np.all(steps > 0)
    np.testing.assert_allclose(steps[2:], np.log(10), rtol=0.01)
    assert axis.labels[0] == "0"
    assert axis.labels[-1] == "1"
    gaps = np.diff(axis.ticks) / axis.position[-1]
    assert gaps.min() > 0.09


def test_missing_backend_says_what_to_install(newcomb, monkeypatch):
    import arviz_plots

    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'bokeh'", name="bokeh")

    monkeypatch.setattr(arviz_plots.PlotCollection, "wrap", missing)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pm_statmech\[bokeh\]'"):
        pms.plot_thermodynamics(newcomb, backend="bokeh")


@pytest.fixture(scope="module")
def switches():
    return pms.sample_tempered(
        600, tune=100, model=pms.solvable.two_level(5.0).model(), target_beta=2.0, random_seed=1,
        progressbar=False, quiet=True,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["matplotlib", "bokeh", "plotly", "none"])
def test_heat_capacity_and_exchange_on_every_backend(switches, newcomb, backend):
    pytest.importorskip({"none": "numpy"}.get(backend, backend))
    for dt, n_peaks in ((switches, 1), (newcomb, 0)):
        pc = pms.plot_heat_capacity(dt, backend=backend)
        assert set(pc.viz["line"].data_vars) == {"heat_capacity"}
        assert ("peak" in pc.viz.children) == (n_peaks == 1)
        pc = pms.plot_exchange(dt, backend=backend)
        assert set(pc.viz["points"].data_vars) == {"swap_rejection", "barrier"}


def test_peaks_are_where_they_are_said_to_be(switches):
    pc = pms.plot_heat_capacity(switches, backend="matplotlib")
    peak = pms.heat_capacity_peaks(switches)
    axis = beta_axis(switches["tempering"]["inverse_temperature"].values, 2.0)
    drawn = pc.viz["peak"]["heat_capacity"].item()
    place = float(peak["inverse_temperature"][0])
    assert drawn.get_xdata()[0] == pytest.approx(float(axis.place(place)))
    assert axis.beta(axis.place(place)) == pytest.approx(place)
    title = drawn.axes.get_title()
    assert title.startswith("heat capacity C: peak at 0.4")
    points = pc.viz["points"]["heat_capacity"].item().get_offsets()
    np.testing.assert_allclose(points[:, 1], pms.thermodynamics(switches)["heat_capacity"])
    pc = pms.plot_heat_capacity(switches, backend="matplotlib", visuals={"peak": False})
    assert "peak" not in pc.viz.children
    with pytest.raises(ValueError, match="nonsense"):
        pms.plot_heat_capacity(switches, backend="none", visuals={"nonsense": {}})


def test_rejections_and_barrier_are_those_of_the_ladder(newcomb):
    pc = pms.plot_exchange(newcomb, backend="matplotlib")
    ladder = newcomb["ladder"]
    line = pc.viz["line"]["swap_rejection"].item()
    np.testing.assert_allclose(line.get_ydata(), ladder["swap_rejection"])
    assert line.axes.get_ylim() == (0.0, 1.0)
    np.testing.assert_allclose(pc.viz["line"]["barrier"].item().get_ydata(), ladder["barrier"])
    assert line.axes.get_title() == "swap rejection of neighbours"
    without = pms.plot_exchange(newcomb, backend="matplotlib", visuals={"chains": False})
    assert "chains" not in without.viz.children


def test_axis_without_zero_begins_at_the_hottest():
    axis = beta_axis(np.array([0.25, 0.5, 1.0]), 1.0)
    assert axis.labels[0] == "0.25"
    assert axis.ticks[0] == axis.position[0]


@pytest.mark.parametrize("backend", ["matplotlib", "bokeh", "plotly", "none"])
def test_sensitivity_on_every_backend(newcomb, backend):
    pytest.importorskip({"none": "numpy"}.get(backend, backend))
    pc = pms.plot_beta_sensitivity(newcomb, backend=backend)
    assert set(pc.viz["line"].data_vars) == {"mu"}
    if backend == "matplotlib":
        found = pms.beta_sensitivity(newcomb)
        np.testing.assert_allclose(pc.viz["line"]["mu"].item().get_ydata(), found["mu"])
