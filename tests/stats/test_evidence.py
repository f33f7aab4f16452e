import numpy as np
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.stats.annealed import stage_evidence
from pm_statmech.stats.averages import mcse_of_mean, pareto_tail
from pm_statmech.stats.combination import Estimate, _combined
from pm_statmech.stats.evidence import bennett_ratio, pair_ratios

from ..conftest import within

BETAS = np.array([0.0, 0.05, 0.2, 1.0])
N = 4000


def gamma_energies(seed, chains=4, draws=N // 4):
    """Energies of d = 6 springs under a Gaussian prior, drawn exactly: E ~ Gamma(3, 1 + beta)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.gamma(3.0, 1 / (1 + b), size=(chains, draws)) for b in BETAS], axis=-1)


TRUTH = -3.0 * np.log1p(BETAS)  # Z = (1 + beta)^-3 with E ~ Gamma(3, 1) at the prior


def test_pair_ratios_on_exact_draws():
    pairs = pair_ratios(gamma_energies(0), BETAS)
    np.testing.assert_allclose(np.mean(pairs.influence, axis=(0, 1)), 0, atol=1e-12)
    for k in range(3):
        error = mcse_of_mean(pairs.influence[..., k : k + 1])[0]
        within(pairs.log_ratio[k], TRUTH[k + 1] - TRUTH[k], error)
    assert np.all(np.abs(pairs.forward - np.diff(TRUTH)) < 0.2)
    assert np.all(np.abs(pairs.backward - np.diff(TRUTH)) < 0.4)


def test_errors_are_calibrated():
    """Over 200 exact data sets 90% to 99% lie within 2 errors; half the error would fail."""
    scores = []
    for seed in range(200):
        pairs = pair_ratios(gamma_energies(seed + 1), BETAS)
        error = mcse_of_mean(np.sum(pairs.influence, axis=-1, keepdims=True))[0]
        scores.append((np.sum(pairs.log_ratio) - TRUTH[-1]) / error)
    share = np.mean(np.abs(scores) < 2)
    assert 0.90 <= share <= 0.995
    assert np.mean(np.abs(scores) < 1) < 0.80  # control: errors twice too small would be seen


def test_bennett_solves_its_equation():
    rng = np.random.default_rng(3)
    hot, cold = rng.normal(size=(2, 500)), rng.normal(1.0, 1.0, size=(2, 500))
    r, *_ = bennett_ratio(hot, cold)
    up = np.mean(1 / (1 + np.exp(-(hot - r))))
    down = np.mean(1 / (1 + np.exp(-(r - cold))))
    assert up == pytest.approx(down, rel=1e-9)


def test_infinite_energies_of_the_prior_count_as_weight_zero():
    """Half of the prior is excluded and the rest is flat: log Z = log(1/2) for every beta > 0."""
    rng = np.random.default_rng(1)
    energy = np.zeros((4, 1000, 3))
    energy[..., 0] = np.where(rng.random((4, 1000)) < 0.5, 0.0, np.inf)
    pairs = pair_ratios(energy, np.array([0.0, 0.3, 1.0]))
    share = np.mean(np.isfinite(energy[..., 0]))
    assert pairs.log_ratio[0] == pytest.approx(np.log(share), abs=1e-9)
    assert pairs.log_ratio[1] == pytest.approx(0.0, abs=1e-12)
    within(pairs.log_ratio[0], np.log(0.5), mcse_of_mean(pairs.influence)[0])


def test_infinite_and_finite_energies_together():
    rng = np.random.default_rng(2)
    energy = gamma_energies(5)
    energy[..., 0] = np.where(rng.random(energy.shape[:2]) < 0.2, np.inf, energy[..., 0])
    pairs = pair_ratios(energy, BETAS)
    total = mcse_of_mean(np.sum(pairs.influence, axis=-1, keepdims=True))[0]
    within(np.sum(pairs.log_ratio), TRUTH[-1] + np.log(0.8), total)


def test_mcse_knows_of_autocorrelation():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(4, 5000))
    chain = np.zeros_like(noise)
    for t in range(1, 5000):
        chain[:, t] = 0.9 * chain[:, t - 1] + noise[:, t]
    error = mcse_of_mean(chain[..., None])[0]
    expected = np.sqrt(1 / (1 - 0.81) * (1.9 / 0.1) / chain.size)
    assert error == pytest.approx(expected, rel=0.15)
    np.testing.assert_array_equal(mcse_of_mean(np.full((4, 100, 2), 3.0)), 0.0)


@pytest.mark.parametrize(("shape", "infinite"), [(0.2, False), (2.0, True)])
def test_pareto_tail_tells_infinite_means(shape, infinite):
    values = stats.genpareto(shape).rvs((4, 1000), random_state=6)
    assert (pareto_tail(values) >= 1) == infinite


def test_stepping_stone_reads_its_tree(newcomb):
    found = pms.stepping_stone(newcomb)
    assert found.attrs["reference"] == "prior"
    assert float(found.log_ratio.sum()) == pytest.approx(float(found.log_evidence))
    summary = pms.thermodynamics(newcomb).sel(inverse_temperature=1.0)
    assert float(summary.log_partition) == pytest.approx(float(found.log_evidence))
    assert float(summary.log_partition_mcse) == pytest.approx(float(found.mcse))


@pytest.mark.parametrize("what", [3, None])
def test_log_evidence_of_something_else_is_a_named_error(what):
    with pytest.raises(pms.errors.TreeError, match="this needs the DataTree"):
        pms.log_evidence(what)


def test_log_evidence_of_annealed_populations():
    system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    dt = pms.sample_annealed(400, chains=2, model=system.model(), random_seed=1, quiet=True)
    found = pms.log_evidence(dt)
    assert found.attrs["method"] == "annealed sequential Monte Carlo"
    within(found["log_evidence"], system.log_partition(1.0), found["mcse"])


def test_a_ladder_with_a_gap_leaves_the_answer_to_the_bridges(newcomb, newcomb_system):
    """Rungs whose draws do not overlap doubt MBAR, and only all doubts together raise."""
    broken = newcomb.copy(deep=True)
    broken["tempering"]["energy"].values[..., :2] += 1e7
    found = pms.log_evidence(broken)
    assert "mbar" not in found.attrs["method"]
    assert "hardly overlap" in found.attrs["doubts"]
    within(found["log_evidence"], newcomb_system.log_partition(1.0), found["mcse"])
    del broken["reference"], broken["annealing"]
    with pytest.raises(pms.errors.EvidenceError, match=r"no estimate.*mbar: .*hardly overlap"):
        pms.log_evidence(broken)


def particles(seed, clones=1, n=600, shape=2.0, betas=(0.0, 0.6, 2.0)):
    """Energies Gamma(shape, 1 + beta) at each stage, so that Z = (1 + beta)^-shape."""
    rng = np.random.default_rng(seed)
    energies = [np.repeat(rng.gamma(shape, 1 / (1 + b), n // clones), clones) for b in betas]
    family = np.tile(np.repeat(np.arange(n // clones), clones), (len(betas), 1))
    return np.array(energies), np.array(betas), family


@pytest.mark.parametrize("clones", [1, 6])
def test_errors_of_the_stages_know_of_families(clones):
    found = [stage_evidence(*particles(seed, clones)) for seed in range(150)]
    scores = np.array([(f.log_z + 2.0 * np.log(3.0)) / f.mcse for f in found])
    within(np.mean(scores), 0.0, np.std(scores) / np.sqrt(len(scores)))
    assert 0.8 < np.std(scores) < 1.2
    assert found[0].families == pytest.approx(600 / clones)
    if clones > 1:
        # a control: particles taken for independent have errors far too small
        energies, betas, _ = particles(0, clones)
        alone = stage_evidence(energies, betas, np.tile(np.arange(600), (3, 1)))
        assert found[0].mcse > 1.8 * alone.mcse


def estimate(name, log_z, mcse, own=None):
    return Estimate(name, log_z, mcse, mcse if own is None else own, "")


def test_bridges_share_the_error_of_z_at_zero():
    """Var(mean of absolute bridges) + s_0^2, not half of their sum."""
    pair = [estimate(n, 1.0, np.hypot(0.001, 0.01), 0.001) for n in ("pilot bridge", "run bridge")]
    value, error = _combined(pair, 0.01)
    assert value == pytest.approx(1.0)
    assert error == pytest.approx(np.sqrt(0.01**2 + 0.001**2 / 2))
    # an independent ladder of error .01 halves the variance, and no more
    _, error = _combined([*pair, estimate("mbar", 1.0, 0.01)], 0.01)
    assert error == pytest.approx(0.01 / np.sqrt(2), rel=0.01)


def test_a_pair_of_shared_draws_counts_as_its_better_one():
    pair = [estimate("pilot bridge", 0.0, 0.01), estimate("pilot ladder", 0.0, 0.01)]
    assert _combined(pair, 0.0)[1] == pytest.approx(0.01)
    apart = [estimate("pilot bridge", 0.0, 0.01), estimate("posterior bridge", 0.0, 0.01)]
    assert _combined(apart, 0.0)[1] == pytest.approx(0.01 / np.sqrt(2))


def test_estimates_that_scatter_widen_the_error():
    s = 0.01
    for gap in (1.0, 8.0):
        two = [estimate("pilot bridge", 0.0, s), estimate("posterior bridge", gap * s, s)]
        error = _combined(two, 0.0)[1]
        assert error == pytest.approx(max(s / np.sqrt(2), gap * s / 2))
