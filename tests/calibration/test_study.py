"""Coverage studies: coverage of what is known, executors, checkpoints, mistakes."""

import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pm_statmech as pms
from pm_statmech.calibration.repetitions import with_data
from pm_statmech.errors import (
    CalibrationError,
    CheckpointError,
    CheckpointMismatchError,
    ConvergenceWarning,
    EnergyError,
)
from pm_statmech.samplers.refits import compile_constrained
from tests.conftest import Z_LIMIT

cal = pms.calibration
QUIET = {"random_seed": 1, "progressbar": False}


def data(rng):
    return {"y": rng.normal(3.0, 2.0, size=25)}


@pytest.fixture(scope="module")
def model():
    with pm.Model() as made:
        mu = pm.Normal("mu", 0.0, 100.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=np.arange(25.0), beta=0.25)
    return made


@pytest.fixture(scope="module")
def repeat(model):
    return cal.refitted(model, data, draws=400)


@pytest.fixture(scope="module")
def table(repeat):
    return cal.coverage_study(repeat, {"mu": 3.0}, repetitions=150, **QUIET)


def test_coverage_and_width_of_a_normal_mean(model, table):
    # at beta = 1 / sigma^2 the interval is the classical one: 2 * 1.96 * 2 / 5
    assert float(table["width"][0]) == pytest.approx(2 * 1.96 * 0.4, rel=0.03)
    error = np.sqrt(0.95 * 0.05 / 150)
    assert abs(float(table["coverage"][0]) - 0.95) < Z_LIMIT * error
    assert abs(float(table["bias"][0])) < Z_LIMIT * 0.4 / np.sqrt(150)
    assert float(table["rmse"][0]) == pytest.approx(0.4, rel=0.3)
    assert table.attrs["n_not_converged"] == 0
    assert table.attrs["complete"] == 1
    assert np.all(table["beta"] == 0.25)
    # four times as cold, half as wide: 67 %
    cold = cal.coverage_study(
        cal.refitted(model, data, beta=1.0, draws=400), {"mu": 3.0}, repetitions=150, **QUIET
    )
    assert abs(float(cold["coverage"][0]) - 0.673) < Z_LIMIT * np.sqrt(0.673 * 0.327 / 150)


def test_the_table_depends_on_no_executor(repeat, table):
    alone = cal.coverage_study(repeat, {"mu": 3.0}, repetitions=150, cores=1, **QUIET)
    xr.testing.assert_identical(alone, table)
    with ProcessPoolExecutor(1) as pool:
        elsewhere = cal.coverage_study(repeat, {"mu": 3.0}, repetitions=12, executor=pool, **QUIET)
    np.testing.assert_array_equal(elsewhere["low"], table["low"][:12])
    other = cal.coverage_study(
        repeat, {"mu": 3.0}, repetitions=12, random_seed=2, progressbar=False
    )
    assert not np.any(other["low"].values == elsewhere["low"].values)


def test_interrupted_and_resumed(repeat, table, tmp_path):
    path, calls = tmp_path / "study.jsonl", []

    stop_at = [40]

    def watched(rng):
        calls.append(1)
        if len(calls) == stop_at[0]:
            raise KeyboardInterrupt
        return repeat(rng)

    options = {"repetitions": 150, "checkpoint": path, "cores": 1, **QUIET}
    part = cal.coverage_study(watched, {"mu": 3.0}, **options)
    assert part.attrs["complete"] == 0
    assert 20 <= part.sizes["repetition"] < 60
    # a line that was being written when the power went
    with path.open("a") as file:
        file.write('{"number": 149, "lo')
    calls.clear()
    stop_at[0] = 10**6
    whole = cal.coverage_study(watched, {"mu": 3.0}, **options)
    assert len(calls) == 150 - part.sizes["repetition"]
    xr.testing.assert_identical(whole, table)
    # nothing is left to do, and more may be asked for
    calls.clear()
    xr.testing.assert_identical(cal.coverage_study(watched, {"mu": 3.0}, **options), table)
    more = cal.coverage_study(watched, {"mu": 3.0}, **{**options, "repetitions": 153})
    assert len(calls) == 3
    np.testing.assert_array_equal(more["low"][:150], table["low"])
    with pytest.raises(CheckpointMismatchError, match="level"):
        cal.coverage_study(watched, {"mu": 3.0}, level=0.9, **options)
    with pytest.raises(CheckpointMismatchError, match="truth"):
        cal.coverage_study(watched, {"mu": 3.5}, **options)
    with pytest.raises(CheckpointMismatchError, match="repeat"):
        cal.coverage_study(repeat, {"mu": 3.0}, **options)
    for text, match in (("nonsense\n", "line 1 is not"), ("3\n", "not the checkpoint"),
                        ('{"study": "other"}\n', "not the checkpoint")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(CheckpointError, match=match):
            cal.coverage_study(watched, {"mu": 3.0}, **options)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not the checkpoint"):
        cal.coverage_study(watched, {"mu": 3.0}, **options)
    # killed while the first line was written
    path.write_text('{"study": "cov')
    again = cal.coverage_study(watched, {"mu": 3.0}, **{**options, "repetitions": 2})
    np.testing.assert_array_equal(again["low"], table["low"][:2])
    with pytest.raises(CalibrationError, match="random_seed= as an int"):
        cal.coverage_study(repeat, {"mu": 3.0}, checkpoint=tmp_path / "new", progressbar=False)


def test_any_function_can_be_studied():
    def trees(rng):
        y = rng.normal(size=30)
        draws = y.mean() + rng.normal(size=(2, 500)) / np.sqrt(30)
        return xr.DataTree.from_dict({"/posterior": xr.Dataset({"m": (("chain", "draw"), draws)})})

    def mappings(rng):
        y = rng.normal(size=30)
        return {"m": y.mean() + rng.normal(size=1000) / np.sqrt(30)}

    for repeat in (trees, mappings):
        found = cal.coverage_study(repeat, {"m": 0.0}, repetitions=200, **QUIET)
        assert abs(float(found["coverage"][0]) - 0.95) < Z_LIMIT * np.sqrt(0.95 * 0.05 / 200)
    vectors = cal.coverage_study(
        lambda rng: {"v": rng.normal(size=(200, 2, 2))}, {"v": np.zeros((2, 2))}, repetitions=5,
        **QUIET,
    )  # fmt: skip
    assert vectors["coordinate"].values.tolist() == ["v[0, 0]", "v[0, 1]", "v[1, 0]", "v[1, 1]"]


def test_calibrated_repetitions_follow_their_data(model):
    found = cal.coverage_study(
        cal.calibrated(model, data, cal.information_matching, draws=400), {"mu": 3.0},
        repetitions=6, **QUIET,
    )  # fmt: skip
    # 1 / variance of each data set
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(1).spawn(6)]
    np.testing.assert_allclose(found["beta"], [1 / data(rng)["y"].var() for rng in rngs])


def test_data_are_exchanged_in_a_copy(model):
    y = np.linspace(0.0, 1.0, 25)
    other = with_data(model, {"y": y})
    np.testing.assert_array_equal(other.rvs_to_values[other["y"]].eval(), y)
    np.testing.assert_array_equal(model.rvs_to_values[model["y"]].eval(), np.arange(25.0))
    with pm.Model() as with_columns:
        x = pm.Data("x", np.ones(3))
        mu = pm.Normal("mu")
        pm.Normal("y", mu * x, 1.0, observed=pm.Data("seen", np.zeros(3)))
    other = with_data(with_columns, {"x": np.arange(3.0), "seen": np.ones(3)})
    np.testing.assert_array_equal(other["x"].get_value(), np.arange(3.0))
    np.testing.assert_array_equal(with_columns["x"].get_value(), np.ones(3))
    repeat = cal.refitted(with_columns, lambda rng: {"y": np.ones(3)})
    with pytest.raises(CalibrationError, match="'seen', 'x'"):
        repeat(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("generate", "match"),
    [
        (lambda rng: {"z": np.zeros(25)}, "does not have as data"),
        (lambda rng: {"y": np.zeros(24)}, r"shape \(24,\)"),
        (lambda rng: {"y": np.full(25, np.nan)}, "not finite"),
        (lambda rng: np.zeros(25), "ndarray"),
    ],
)
def test_generated_data_are_checked(model, generate, match):
    with pytest.raises(CalibrationError, match=match) as caught:
        cal.coverage_study(
            cal.refitted(model, generate, draws=100), {"mu": 0.0}, repetitions=2, **QUIET
        )
    assert "spawn_key=(" in caught.value.__notes__[0]


def test_checkpoints_tell_models_apart(model, tmp_path):
    options = {"repetitions": 2, "checkpoint": tmp_path / "study", **QUIET}
    cal.coverage_study(cal.refitted(model, data, draws=100), {"mu": 3.0}, **options)
    with pytest.raises(CheckpointMismatchError, match=r"refitted at 0\.3"):
        cal.coverage_study(cal.refitted(model, data, beta=0.3, draws=100), {"mu": 3.0}, **options)
    with pm.Model() as moved:
        mu = pm.Normal("mu", 0.0, 100.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=np.ones(25), beta=0.25)
    with pytest.raises(CheckpointMismatchError, match="repeat"):
        cal.coverage_study(cal.refitted(moved, data, draws=100), {"mu": 3.0}, **options)


def test_random_methods_draw_from_the_repetition(model):
    repeat = cal.calibrated(
        model, data, lambda m, random_seed=None: np.random.default_rng(random_seed).uniform(0.2, 1)
    )
    twice = [cal.coverage_study(repeat, {"mu": 3.0}, repetitions=3, **QUIET) for _ in range(2)]
    xr.testing.assert_identical(*twice)
    assert len(np.unique(twice[0]["beta"])) == 3


def test_what_compiles_does_not_run_in_threads(model):
    """PyTensor's settings are the process's: two threads that compile leave them changed."""
    running, most = [0], [0]
    lock = threading.Lock()

    def method(m):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return 0.25

    cal.coverage_study(
        cal.calibrated(model, data, method, draws=100), {"mu": 3.0}, repetitions=4, cores=2,
        **QUIET,
    )  # fmt: skip
    assert most[0] == 1
    with ThreadPoolExecutor(2) as pool, pytest.raises(CalibrationError, match="several threads"):
        cal.coverage_study(
            cal.calibrated(model, data, method, draws=100), {"mu": 3.0}, executor=pool, **QUIET
        )


def test_threads_share_a_compiled_function(model):
    split = pms.tempered_model(model)
    constrained = compile_constrained(split, split.compile().layout)
    rows = [np.full((2000, 1), float(k)) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(lambda x: constrained(x)["mu"], rows)):
            np.testing.assert_array_equal(found, float(k))


def test_some_may_fail():
    def fails(rng):
        if rng.random() < 0.2:
            raise ValueError("bad luck")
        return {"m": rng.normal(size=100)}

    with pytest.raises(ValueError, match="bad luck") as caught:
        cal.coverage_study(fails, {"m": 0.0}, repetitions=30, **QUIET)
    assert "spawn_key=(" in caught.value.__notes__[0]
    with pytest.warns(ConvergenceWarning, match="bad luck"):
        table = cal.coverage_study(fails, {"m": 0.0}, repetitions=30, most_failures=20, **QUIET)
    assert table.attrs["n_failed"] + table.sizes["repetition"] == 30
    assert table.attrs["failures"].count("bad luck") == table.attrs["n_failed"] > 0


def test_chains_that_disagree_are_seen():
    def apart(rng):
        draws = np.array([-5.0, 5.0])[:, None] + 0.1 * rng.normal(size=(2, 100))
        return xr.Dataset({"m": (("chain", "draw"), draws)})

    table = cal.coverage_study(apart, {"m": 0.0}, repetitions=3, **QUIET)
    assert table.attrs["n_not_converged"] == 3
    # three of three is not certainty
    assert float(table["coverage"][0]) == 1.0
    assert float(table["coverage_mcse"][0]) > 0.1


def test_variables_are_labelled_by_the_model():
    with pm.Model(coords={"who": ["ann", "bob"]}) as named:
        m = pm.Normal("m", 0.0, 10.0, dims="who")
        pm.Deterministic("gap", m[0] - m[1])
        pm.Normal("y", m, 1.0, observed=np.zeros((9, 2)))
    repeat = cal.refitted(
        named, lambda rng: {"y": rng.normal(size=(9, 2))}, draws=200, var_names=["m", "gap"]
    )
    table = cal.coverage_study(repeat, {"m": [0.0, 0.0], "gap": 0.0}, repetitions=20, **QUIET)
    assert table["coordinate"].values.tolist() == ["m[ann]", "m[bob]", "gap"]
    np.testing.assert_allclose(table["mean"][:, 0] - table["mean"][:, 1], table["mean"][:, 2])
    with pytest.raises(CalibrationError, match=r"\['nu'\] are not among"):
        cal.refitted(named, data, var_names=["nu"])
    with pytest.raises(CalibrationError, match="draws = 10"):
        cal.calibrated(named, data, 1.0, draws=10)


def test_data_that_are_no_data():
    rng = np.random.default_rng(1)
    with pm.Model() as counts:
        mu = pm.Normal("mu")
        pm.Poisson("y", pm.math.exp(mu), observed=rng.poisson(1.0, size=20))
    for values, match in ((rng.normal(size=20), "integers"), (np.array(["a"] * 20), "numbers")):
        with pytest.raises(CalibrationError, match=match):
            cal.refitted(counts, lambda _, v=values: {"y": v})(rng)
    with pytest.raises(EnergyError, match="data that the likelihood allows"):
        cal.refitted(counts, lambda _: {"y": np.full(20, -1)})(rng)
    # floats that are whole are counts
    found = cal.refitted(counts, lambda _: {"y": np.full(20, 3.0)})(rng)
    assert abs(np.mean(found.draws["mu"]) - np.log(3.0)) < 0.2
    # observed through pm.Data: by that name
    with pm.Model() as through:
        mu = pm.Normal("mu")
        scale = pm.Data("scale", 1.0)
        seen = pm.Data("seen", rng.poisson(20.0, size=20))
        pm.Poisson("y", scale * pm.math.exp(mu), observed=seen)
    with pytest.raises(CalibrationError, match=r"it has \['scale', 'seen'\]"):
        cal.refitted(through, lambda _: {"y": np.ones(20)})(rng)
    found = cal.refitted(through, lambda _: {"seen": np.full(20, 3), "scale": 0.5})(rng)
    assert abs(np.mean(found.draws["mu"]) - np.log(6.0)) < 0.3


def test_what_is_refused(repeat):
    with pytest.raises(CalibrationError, match="does not draw"):
        cal.coverage_study(repeat, {"nu": 3.0}, repetitions=2, **QUIET)
    with pytest.raises(CalibrationError, match="draws of it have"):
        cal.coverage_study(repeat, {"mu": [3.0, 2.0]}, repetitions=2, **QUIET)
    with pytest.raises(CalibrationError, match="level = 95"):
        cal.coverage_study(repeat, {"mu": 3.0}, level=95, **QUIET)
    with pytest.raises(CalibrationError, match="at least one repetition"):
        cal.coverage_study(repeat, {}, **QUIET)
    for bad, match in (
        (lambda rng: {"mu": 1.0}, "draws of it have"),
        (lambda rng: {"mu": np.full(50, np.nan)}, "not finite"),
        (lambda rng: xr.Dataset({"mu": ("s", np.zeros(5))}), "over chain, draw"),
        (lambda rng: xr.DataTree(), "no posterior"),
    ):
        with pytest.raises(CalibrationError, match=match):
            cal.coverage_study(bad, {"mu": 3.0}, repetitions=1, **QUIET)
    with pytest.raises(CalibrationError, match="give finite values"):
        cal.coverage_study(repeat, {"mu": np.nan}, **QUIET)
    with pytest.raises(CalibrationError, match="it gave int"):
        cal.coverage_study(lambda rng: 3, {"mu": 3.0}, repetitions=1, **QUIET)
