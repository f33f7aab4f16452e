import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech.errors import TreeError
from pm_statmech.plots.axis import beta_axis, energy_axis
from pm_statmech.stats.densities import density
from pm_statmech.stats.exchange import replica_paths


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


NEW = {
    "plot_energies": {"energy"},
    "plot_evidence": {"integrand"},
    "plot_replica_paths": {"rung"},
    "plot_ladder_trace": {"mu"},
}


@pytest.mark.parametrize("backend", ["matplotlib", "bokeh", "plotly", "none"])
@pytest.mark.parametrize("name", list(NEW))
def test_plots_of_the_ladder_on_every_backend(newcomb, backend, name):
    pytest.importorskip({"none": "numpy"}.get(backend, backend))
    plot = getattr(pms, name)
    pc = plot(newcomb, backend=backend)
    assert set(pc.viz["line"].data_vars) == NEW[name]
    assert "line" not in plot(newcomb, backend=backend, visuals={"line": False}).viz.children
    with pytest.raises(ValueError, match="nonsense"):
        plot(newcomb, backend=backend, visuals={"nonsense": {}})


def test_energies_are_drawn_as_they_are(newcomb):
    pc = pms.plot_energies(newcomb, backend="matplotlib")
    lines = pc.viz["line"]["energy"]
    coldest = lines.sel(inverse_temperature=1.0).item()
    axis = energy_axis(newcomb["tempering"]["energy"].values)
    # where the density is largest lies near the median of the draws
    energy = newcomb["tempering"]["energy"].sel(inverse_temperature=1.0).values
    peak = coldest.get_xdata()[np.argmax(coldest.get_ydata())]
    assert axis.place(np.quantile(energy, 0.02)) < peak < axis.place(np.quantile(energy, 0.98))
    labels = [t.get_text() for t in coldest.axes.get_xticklabels()]
    assert len(labels) >= 3
    np.testing.assert_allclose(axis.place([float(t) for t in labels]), axis.ticks, rtol=1e-3)


def test_area_of_the_evidence_is_the_relative_entropy(newcomb):
    """The trapezoids of the integrand against the axis, where energies are smooth enough."""
    pc = pms.plot_evidence(newcomb, backend="matplotlib")
    line = pc.viz["line"]["integrand"].item()
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    relative = float(pms.thermodynamics(newcomb)["relative_entropy"][-1])
    assert area == pytest.approx(relative, rel=0.15)
    steps = pc.viz["points_of_steps"]["steps"].item().get_offsets()[:, 1]
    assert -np.sum(steps) == pytest.approx(relative, abs=1e-6)


def test_paths_begin_and_end_where_replicas_were(newcomb):
    pc = pms.plot_replica_paths(newcomb, chains=[1], replicas=[2], backend="matplotlib")
    line = pc.viz["line"]["rung"].item()
    paths = replica_paths(newcomb).sel(chain=1, replica=2)
    np.testing.assert_array_equal(line.get_ydata(), paths[: len(line.get_ydata())])
    assert line.axes.get_title() == "chain 1"
    labels = [t.get_text() for t in line.axes.get_yticklabels()]
    assert labels[0] == "0"
    assert labels[-1] == "1"


def test_ridges_stand_on_their_rungs(newcomb):
    pc = pms.plot_ladder_trace(newcomb, backend="matplotlib")
    lines = pc.viz["line"]["mu"]
    for k, beta in enumerate(newcomb["tempering"]["inverse_temperature"].values):
        heights = lines.sel(inverse_temperature=beta).item().get_ydata() - k
        assert heights.min() >= 0
        assert heights.max() == pytest.approx(1.8)
    assert heights.min() < 0.1
    without = newcomb.copy()
    del without["tempered_posterior"]
    with pytest.raises(TreeError, match="keep_tempered=True"):
        pms.plot_ladder_trace(without, backend="none")
    with pytest.raises(TreeError, match="nu"):
        pms.plot_ladder_trace(newcomb, var_names=["nu"], backend="none")


def test_densities_of_few_values_are_spikes():
    values = np.repeat([0.0, 1.0], [300, 100])
    x, y = density(values)
    assert len(x) == len(y) == 256
    assert np.trapezoid(y, x) == pytest.approx(1.0, rel=0.01)
    assert y[np.argmin(abs(x))] == pytest.approx(3 * y[np.argmin(abs(x - 1))])
    x, y = density(np.ones(50))
    assert np.all(np.isfinite(y))
    assert x[np.argmax(y)] == 1.0


def test_energies_far_apart_have_a_logarithmic_axis():
    rng = np.random.default_rng(1)
    near = energy_axis(rng.normal(size=(2, 500, 3)))
    assert not near.logarithmic
    assert np.all(near.place([0.0, 1.0]) == [0.0, 1.0])
    far = energy_axis(rng.gamma(3.0, [1e4, 10.0, 1.0], size=(2, 500, 3)))
    assert far.logarithmic
    assert np.all(np.diff(far.ticks) > 0.1 * np.ptp(far.ticks) / len(far.ticks))
    infinite = rng.gamma(3.0, [1e4, 10.0, 1.0], size=(2, 500, 3))
    infinite[0, 0, 0] = np.inf
    assert np.all(np.isfinite(energy_axis(infinite).ticks))
