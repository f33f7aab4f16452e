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
