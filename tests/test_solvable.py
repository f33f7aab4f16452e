from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

import pm_statmech as pms

from .conftest import NEWCOMB, RECORDS

BETAS = [0.0, 0.37, 1.0, 2.5]


def systems():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 3))
    y = X @ [1.0, -0.5, 0.2] + rng.normal(size=20)
    return [
        pms.solvable.conjugate_normal([1.0, 2.0, 4.0], sigma=1.5, prior_mean=-1.0, prior_sd=2.0),
        pms.solvable.gaussian_linear_model(X, y, noise_sd=1.0, prior_sd=2.0),
        pms.solvable.harmonic_oscillators([0.5, 3.0, 40.0], prior_sd=1.3),
        pms.solvable.two_level(1.7),
        pms.solvable.beta_bernoulli(7, 3, a=2.0, b=1.5),
        pms.solvable.gaussian_mixture(dimension=2, separation=8.0, prior_sd=5.0),
    ]


@pytest.mark.parametrize("system", systems(), ids=lambda s: s.name)
class TestLaws:
    def test_log_z_is_zero_at_the_prior(self, system):
        assert system.log_partition(0.0) == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("beta", BETAS)
    def test_derivatives(self, system, beta):
        h = 2e-6
        low, high = max(beta - h, 0.0), beta + h
        middle = 0.5 * (low + high)
        slope = (system.log_partition(high) - system.log_partition(low)) / (high - low)
        assert slope == pytest.approx(-system.mean_energy(middle), rel=1e-6)
        slope = (system.mean_energy(high) - system.mean_energy(low)) / (high - low)
        assert slope == pytest.approx(-system.energy_variance(middle), rel=2e-4)

    @pytest.mark.parametrize("beta", BETAS)
    def test_relative_entropy_is_not_negative(self, system, beta):
        assert system.relative_entropy(beta) >= -1e-12
        assert system.heat_capacity(beta) == beta**2 * system.energy_variance(beta)


def test_diabetes_reference(diabetes_system, reference):
    rows = reference["diabetes_posterior_thermodynamics"]["rows"]
    assert len(rows) == 7
    for row in rows:
        beta = row["beta"]
        assert diabetes_system.log_partition(beta) == pytest.approx(row["logZ"], abs=1e-9)
        assert diabetes_system.mean_energy(beta) == pytest.approx(row["U"], rel=1e-10)
        assert diabetes_system.energy_variance(beta) == pytest.approx(row["VarE"], rel=1e-9)
        assert diabetes_system.heat_capacity(beta) == pytest.approx(row["C"], abs=1e-9)
        expected = row["KL_post_prior"]
        assert diabetes_system.relative_entropy(beta) == pytest.approx(expected, abs=1e-9)


def test_newcomb_known_values(newcomb_system):
    mean, sd = newcomb_system.posterior(1.0)["mu"]
    assert (mean, sd) == (pytest.approx(26.19624, abs=1e-5), pytest.approx(1.23054, abs=1e-5))
    assert newcomb_system.mean_energy(1.0) == pytest.approx(250.64549, abs=1e-5)
    assert newcomb_system.heat_capacity(1.0) == pytest.approx(0.49956, abs=1e-5)
    assert newcomb_system.log_partition(1.0) == pytest.approx(-253.98761, abs=1e-5)
    assert newcomb_system.relative_entropy(1.0) == pytest.approx(3.34212, abs=1e-5)
    assert newcomb_system.log_partition(0.25) == pytest.approx(-65.68584, abs=1e-5)


def test_conjugate_normal_by_quadrature():
    system = pms.solvable.conjugate_normal(NEWCOMB[:4], sigma=3.0, prior_mean=20.0, prior_sd=4.0)

    def weight(mu, beta):
        log = stats.norm(mu, 3.0).logpdf(NEWCOMB[:4]).sum()
        return stats.norm(20.0, 4.0).pdf(mu) * np.exp(beta * log)

    for beta in (0.37, 1.0, 2.5):
        value, _ = integrate.quad(weight, -20, 60, args=(beta,), epsabs=0, limit=400)
        assert system.log_partition(beta) == pytest.approx(np.log(value), abs=1e-9)


def test_two_level_heat_capacity_peak(reference):
    peak = reference["concentration"]["schottky"]
    system = pms.solvable.two_level(1.0)
    assert system.heat_capacity(1 / peak["T_peak"]) == pytest.approx(peak["C_peak"], rel=1e-10)


def test_mixture_published_evidences():
    for dimension, expected in ((10, -32.543453), (30, -97.073429)):
        system = pms.solvable.gaussian_mixture(dimension=dimension)
        assert system.log_partition(1.0) == pytest.approx(expected, abs=1e-6)
        # the quadrature along the axis, which serves every other beta, agrees next to 1
        assert system.log_partition(1.0 + 1e-12) == pytest.approx(expected, abs=1e-6)


def test_two_level_by_enumeration():
    system = pms.solvable.two_level(1.7)
    split = pms.tempered_model(system.model())
    from pytensor import function

    energy = function(list(split.value_vars), split.energy)
    for beta in BETAS:
        weights = np.array([0.5 * np.exp(-beta * energy(s)) for s in (0, 1)])
        assert system.log_partition(beta) == pytest.approx(np.log(weights.sum()), abs=1e-13)
        p = weights[1] / weights.sum()
        assert system.posterior(beta)["s"][0] == pytest.approx(p, abs=1e-13)


def test_onsager_records():
    for name in ("onsager_b0.1", "onsager_b0.3", "onsager_b0.4"):
        record = RECORDS[name]
        found = pms.solvable.onsager(record["parameters"]["beta"])
        assert found.log_partition == pytest.approx(record["value"], rel=1e-12)
        assert found.mean_energy == pytest.approx(float(record["energy_per_site"]), rel=1e-12)
        assert found.heat_capacity == pytest.approx(float(record["specific_heat"]), rel=1e-11)
    critical = pms.solvable.onsager(pms.solvable.ONSAGER_BETA)
    assert critical.log_partition == pytest.approx(RECORDS["onsager_bc"]["value"], rel=1e-12)
    assert critical.mean_energy == pytest.approx(-np.sqrt(2.0), rel=1e-7)
    assert critical.heat_capacity > 8


@pytest.mark.parametrize("beta", BETAS)
def test_torus_against_all_states(beta):
    system = pms.solvable.ising_torus(3, 4)
    bits = np.arange(2**12)[:, None] >> np.arange(12) & 1
    s = (2 * bits - 1).reshape(-1, 3, 4)
    E = -np.sum(s * np.roll(s, 1, 1) + s * np.roll(s, 1, 2), axis=(1, 2)).astype(float)
    p = np.exp(-beta * (E - E.min()))
    log_z = np.log(np.mean(p)) - beta * E.min()
    U = np.average(E, weights=p)
    assert system.log_partition(beta) == pytest.approx(log_z, abs=1e-12)
    assert system.mean_energy(beta) == pytest.approx(U, abs=1e-12)
    variance = np.average((E - U) ** 2, weights=p)
    assert system.energy_variance(beta) == pytest.approx(variance, rel=1e-8, abs=1e-8)


def test_torus_far_from_critical_is_onsagers_lattice():
    torus = pms.solvable.ising_torus(64, 64)
    for beta in (0.2, 0.7):
        exact = pms.solvable.onsager(beta)
        assert torus.mean_energy(beta) / 4096 == pytest.approx(exact.mean_energy, rel=1e-9)
        assert torus.heat_capacity(beta) / 4096 == pytest.approx(exact.heat_capacity, rel=1e-8)


@pytest.mark.parametrize("size", [(2, 4), (5, 1)])
def test_torus_too_small_to_close(size):
    with pytest.raises(ValueError, match="two edges"):
        pms.solvable.ising_torus(*size)


def test_large_torus_variance_is_the_difference_of_the_mean():
    # Richardson's extrapolation of differences of the mean energy
    system = pms.solvable.ising_torus(32, 32)
    for beta in (0.3, 0.42):
        d = [
            (system.mean_energy(beta - h) - system.mean_energy(beta + h)) / (2 * h)
            for h in (4e-4, 2e-4, 1e-4)
        ]
        d = [(4 * b - a) / 3 for a, b in pairwise(d)]
        assert system.energy_variance(beta) == pytest.approx((16 * d[1] - d[0]) / 15, rel=3e-8)
