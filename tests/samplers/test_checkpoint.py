"""Checkpoints: resumed bit for bit, extended, damaged, fought over, and another run's."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import CheckpointError, CheckpointMismatchError
from pm_statmech.samplers import checkpoint, parallel_tempering, resumption, rounds

DATA = np.random.default_rng(0).normal(1.0, 2.0, size=30)


def model(prior_sd=10.0, data=DATA):
    with pm.Model() as built:
        mu = pm.Normal("mu", 0, prior_sd)
        sigma = pm.HalfNormal("sigma", 5)
        pm.Normal("y", mu, sigma, observed=data)
    return built


def run(path, draws=600, built=None, **changes):
    options = {"tune": 64, "chains": 2, "random_seed": 3, "quiet": True, **changes}
    return pms.sample_tempered(draws, model=built or model(), checkpoint=path, **options)


def assert_same(a, b):
    for group in ("posterior", "tempering", "sample_stats", "reference"):
        for name, value in a[group].dataset.data_vars.items():
            np.testing.assert_array_equal(value, b[group][name], err_msg=f"{group}/{name}")
    np.testing.assert_array_equal(a["ladder"]["swap_rejection"], b["ladder"]["swap_rejection"])


@pytest.fixture(scope="module")
def whole():
    # code compiled in this process may round otherwise than the same code from the disk cache
    run(None, draws=64)
    return run(None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "run.npz"
    run(path)
    return path


def test_a_checkpoint_changes_nothing(whole, finished):
    assert_same(whole, run(finished))


def test_a_finished_run_is_only_read_and_a_seed_need_not_be_repeated(whole, finished):
    assert_same(whole, run(finished, random_seed=None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel_tempering, "run_pilot", None)
        patch.setattr(parallel_tempering, "tune_ladders", None)
        assert_same(whole, run(finished))


def test_more_draws_extend_a_run_as_if_it_had_never_stopped(whole, tmp_path):
    path = tmp_path / "run.npz"
    run(path, draws=250)
    assert_same(whole, run(path))


def stepwise_model():
    """Zero-one errors of a threshold: the pilot learns that gradients vanish."""
    with pm.Model() as built:
        threshold = pm.Normal("threshold", 0, 2)
        wrong = pm.math.neq(pm.math.ge(DATA, threshold), DATA > 1)
        pms.GibbsPotential("errors", pm.math.sum(wrong * 1.0))
    return built


def test_a_stepwise_model_is_extended_bit_for_bit(tmp_path):
    path = tmp_path / "run.npz"
    run(path, draws=150, built=stepwise_model())
    assert_same(run(None, draws=300, built=stepwise_model()),
                run(path, draws=300, built=stepwise_model()))  # fmt: skip


def test_blocks_do_not_change_when_tuning_changes_the_ladder(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel_tempering, "block_length", lambda cost, rungs: 3 * rungs + 11)
    # a ladder that tuning re-lays with another number of rungs
    relaid = []
    monkeypatch.setattr(
        parallel_tempering, "tune_ladders",
        lambda *args, **kwargs: relaid.append(len(args[1].betas)) or wider(args[1], args[4]),
    )  # fmt: skip

    def wider(ladders, required):
        rejections = np.full(len(ladders.betas) - 1, 0.9)
        record = type("Record", (), {"rejections": rejections})
        new = rounds.relay(ladders, record, required)
        relaid.append(len(new.betas))
        return new

    path = tmp_path / "run.npz"
    run(path, draws=150)
    assert_same(run(None, draws=300), run(path, draws=300))
    assert relaid[0] != relaid[1]


def test_fewer_draws_than_a_checkpoint_holds(whole, finished):
    part = run(finished, draws=100)
    np.testing.assert_array_equal(
        part["posterior"]["mu"], whole["posterior"]["mu"].isel(draw=slice(100))
    )
    rates = part["ladder"]["acceptance_rate"]
    np.testing.assert_array_equal(rates, whole["ladder"]["acceptance_rate"])
    assert float(rates.max()) <= 1.0


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_killed_run_goes_on_bit_for_bit(whole, tmp_path, monkeypatch, after):
    """Killed after the pilot, after the tuning, or after blocks of draws."""
    monkeypatch.setattr(resumption, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(resumption, "LARGEST_SHARE", np.inf)
    path, writes = tmp_path / "run.npz", []
    write = checkpoint.write

    def failing(*arguments):
        write(*arguments)
        writes.append(1)
        if len(writes) == after:
            raise KilledError

    monkeypatch.setattr(checkpoint, "write", failing)
    with pytest.raises(KilledError):
        run(path)
    monkeypatch.setattr(checkpoint, "write", write)
    assert_same(whole, run(path))


def test_every_flipped_bit_and_every_cut_is_a_named_error(finished):
    content = bytearray(finished.read_bytes())
    checkpoint.decode(bytes(content), finished)
    rng = np.random.default_rng(0)
    for position in rng.integers(8 * len(content), size=60):
        content[position // 8] ^= 1 << (position % 8)
        with pytest.raises(CheckpointError, match=r"changed since|no whole checkpoint"):
            checkpoint.decode(bytes(content), finished)
        content[position // 8] ^= 1 << (position % 8)
    for length in rng.integers(len(content), size=20):
        with pytest.raises(CheckpointError, match="no whole checkpoint"):
            checkpoint.decode(bytes(content[:length]), finished)
    checkpoint.decode(bytes(content), finished)


def test_a_damaged_member_is_named(finished, tmp_path):
    content = bytearray(finished.read_bytes())
    _, arrays = checkpoint.decode(bytes(content), finished)
    raw = arrays["state.ladders.x"].tobytes()
    content[content.find(raw) + 3] ^= 1
    path = tmp_path / "run.npz"
    path.write_bytes(bytes(content))
    (tmp_path / "run.npz.previous").write_bytes(finished.read_bytes())
    with pytest.raises(CheckpointError, match=r"state\.ladders\.x.*run\.npz\.previous: move it"):
        run(path)
    (tmp_path / "run.npz.previous").replace(path)
    run(path)


def test_only_the_generation_before_is_left_by_a_crash_between_renames(whole, finished, tmp_path):
    (tmp_path / "run.npz.previous").write_bytes(finished.read_bytes())
    assert_same(whole, run(tmp_path / "run.npz"))


@pytest.mark.parametrize(
    ("built", "changes", "message"),
    [
        (model(prior_sd=11.0), {}, "other values at the same points"),
        (model(data=DATA + 1e-6), {}, "data have changed"),
        (None, {"random_seed": 4}, r"random_seed was \[3\], is \[4\]"),
        (None, {"chains": 3}, "chains was 2, is 3"),
        (None, {"target_accept": 0.9}, "target_accept"),
        (None, {"betas": [0.0, 0.5]}, "required rungs"),
        (None, {"target_beta": 0.5, "betas": [1.0]}, "target_beta was 1.0, is 0.5"),
    ],
)
def test_another_run_is_a_named_mismatch(finished, built, changes, message):
    with pytest.raises(CheckpointMismatchError, match=message):
        run(finished, built=built, **changes)


def test_two_writers_and_bad_paths(finished, tmp_path):
    with checkpoint.locked(finished), pytest.raises(CheckpointError, match="another process"):
        run(finished)
    with pytest.raises(CheckpointError, match="file name in a folder that exists"):
        run(tmp_path / "nowhere" / "run.npz")
    (tmp_path / "note.npz").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        run(tmp_path / "note.npz")


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_kill_9_leaves_a_readable_checkpoint(tmp_path):
    path, script = tmp_path / "run.npz", tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import numpy as np, pymc as pm, pm_statmech as pms
        from pm_statmech.samplers import resumption
        resumption.SECONDS_BETWEEN, resumption.LARGEST_SHARE = 0.0, np.inf
        with pm.Model():
            mu = pm.Normal("mu", 0, 10, shape=30)
            pm.Normal("y", mu, 1, observed=np.zeros(30))
            pms.sample_tempered(10**6, tune=64, chains=2, random_seed=3, quiet=True,
                                keep_tempered=False, checkpoint={str(path)!r})
        """)
    )
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with checkpoint.locked(path):
        state = resumption.load(path)
    assert state.ladders.x.shape[0] == 2
