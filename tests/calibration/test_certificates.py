"""PAC-Bayes certificates against enumeration, and how often they fail."""

import numpy as np
import pymc as pm
import pytest
from scipy.optimize import minimize_scalar

import pm_statmech as pms
from pm_statmech.calibration.certificates import grid_of_betas
from pm_statmech.errors import CalibrationError, InverseTemperatureError
from tests.conftest import within

cal = pms.calibration
NAMES = ("maurer_seeger", "mcallester", "catoni", "linear")


def kl(q, p):
    first = 0.0 if q == 0 else q * np.log(q / p)
    return first + (0.0 if q == 1 else (1 - q) * np.log((1 - q) / (1 - p)))


def test_inverse_of_the_binary_relative_entropy():
    assert cal.kl_inverse(0.1, 0.05) == pytest.approx(0.220079, abs=5e-7)
    for q in (0.0, 1e-6, 0.1, 0.5, 0.97):
        for c in (1e-6, 0.05, 0.7, 3.0):
            p = cal.kl_inverse(q, c)
            assert q <= p <= 1
            # nearer to 1 the rounding of p is what one sees
            if p < 1 - 1e-8:
                assert kl(q, p) == pytest.approx(c, rel=1e-6)
        assert cal.kl_inverse(q, 0.0) == q
    assert cal.kl_inverse(1.0, 0.3) == 1.0
    assert cal.kl_inverse(0.5, 1e9) == 1.0
    for bad in ((-0.1, 0.1), (1.1, 0.1), (0.1, -1.0)):
        with pytest.raises(CalibrationError, match="kl_inverse"):
            cal.kl_inverse(*bad)


def by_enumeration(losses, prior, beta, delta, share, M):
    """Every bound of one beta, written out."""
    n = len(losses)
    energy = losses.sum(axis=0)
    z = np.sum(prior * np.exp(-beta * energy))
    posterior = prior * np.exp(-beta * energy) / z
    risk = posterior @ energy / (n * M)
    divergence = np.sum(posterior[posterior > 0] * np.log((posterior / prior)[posterior > 0]))
    c = (divergence + np.log(2 * np.sqrt(n) / delta)) / n
    tightest = minimize_scalar(
        lambda p: (kl(risk, p) - c) ** 2, bounds=(risk, 1 - 1e-12), method="bounded",
        options={"xatol": 1e-12},
    ).x  # fmt: skip
    lam = n * beta * M
    own = delta * share
    return {
        "maurer_seeger": M * tightest,
        "mcallester": M * min(1.0, risk + np.sqrt(c / 2)),
        "catoni": M * min(1.0, (1 - np.exp(-lam / n * risk - (divergence - np.log(own)) / n))
                          / (1 - np.exp(-lam / n))),
        "linear": M * min(1.0, risk + (divergence - np.log(own)) / lam + lam / (8 * n)),
    }  # fmt: skip


@pytest.mark.parametrize("M", [1.0, 3.0])
def test_finite_class_against_enumeration(M):
    rng = np.random.default_rng(2)
    losses = M * rng.beta(1.0, np.linspace(1.0, 9.0, 12), size=(80, 12))
    prior = rng.dirichlet(np.ones(12))
    betas = [0.01 / M, 0.2 / M, 1.5 / M]
    path = cal.pac_bayes_finite(losses, prior, bound=M, delta=0.1, betas=betas).path
    for k, beta in enumerate(betas):
        exact = by_enumeration(losses, prior, beta, 0.1, 1 / 3, M)
        for name in NAMES:
            assert float(path[name][k]) == pytest.approx(exact[name], abs=1e-6), name


def test_certificates_fail_as_seldom_as_they_say():
    rng = np.random.default_rng(3)
    risks = rng.uniform(0.2, 0.5, size=8)
    failed, control = dict.fromkeys(NAMES, 0), 0
    for _ in range(1000):
        losses = (rng.random((40, 8)) < risks).astype(float)
        path = cal.pac_bayes_finite(losses, delta=0.2).path
        log_w = -path["inverse_temperature"].values[:, None] * losses.sum(axis=0)
        posterior = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        true = (posterior / posterior.sum(axis=1, keepdims=True)) @ risks
        for name in NAMES:
            failed[name] += bool(np.any(true > path[name].values))
        control += bool(np.any(true > path["empirical_risk"].values))
    assert all(count <= 0.2 * 1000 for count in failed.values())
    # the empirical risk itself certifies nothing
    assert control > 0.5 * 1000


def test_grid_without_betas_depends_on_n_alone_and_shares_sum_to_one():
    betas, shares = grid_of_betas(400, 2.0)
    assert np.all(np.diff(betas) > 0)
    assert betas[len(betas) // 2] == pytest.approx(1 / (2.0 * 20.0))
    # the rest of the infinite sum, on both sides
    rest = 2 * (2 / 3) / (len(betas) // 2 + 2)
    assert np.sum(shares) + rest == pytest.approx(1.0, rel=1e-3)


@pytest.fixture(scope="module")
def classes():
    """Sixteen classifiers of which a tempered run chooses."""
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(100, 16))
    y = (scores[:, 3] + 0.5 * rng.normal(size=100) > 0).astype(int)
    with pm.Model() as model:
        k = pm.Categorical("k", np.full(16, 1 / 16))
        of_all = pm.Data("scores", scores)
        pms.GibbsLoss("y", of_all[:, k], loss=pms.losses.zero_one, observed=y)
        dt = pms.sample_tempered(1000, target_beta=1.0, random_seed=1, quiet=True)
    losses = ((scores > 0) != (y[:, None] > 0)).astype(float)
    return model, dt, losses


def test_a_run_certifies_what_enumeration_does(classes):
    model, dt, losses = classes
    betas = [0.05, 0.3, 1.0]
    exact = cal.pac_bayes_finite(losses, betas=betas).path
    plain = cal.pac_bayes(dt, model, betas=betas, mcse_factor=0.0).path
    found = pms.thermodynamics(dt, betas=betas)
    for k in range(3):
        for name in ("relative_entropy", "log_partition"):
            within(plain[name][k], exact[name][k], found[f"{name}_mcse"][k] + 1e-9)
    for name in NAMES:
        np.testing.assert_allclose(plain[name], exact[name], rtol=0.05)
        # Monte Carlo errors only ever loosen a certificate
        assert np.all(cal.pac_bayes(dt, model, betas=betas).path[name] >= plain[name])
    chosen = cal.pac_bayes(dt, model)
    assert chosen.beta in chosen.path["inverse_temperature"]
    assert "probability 0.95" in str(chosen)
    assert np.isnan(chosen.standard_error)
    assert "+-" not in str(chosen)


def test_what_no_certificate_holds_for(classes):
    model, dt, _ = classes
    y = (np.arange(100) % 2).astype(float)

    def refused(loss, *, prior=pm.Normal, match="", seen=y, predict=lambda mu: mu, **options):
        with pm.Model() as other:
            mu = prior("mu", *(() if prior is pm.Flat else (0.0, 1.0)))
            pms.GibbsLoss("y", predict(mu), loss=loss, observed=seen, **options)
        with pytest.raises(CalibrationError, match=match):
            cal.pac_bayes(dt, other)

    refused(pms.losses.absolute, match="is not bounded")
    refused(pms.losses.zero_one, weights=np.linspace(1.0, 2.0, 100), match="weighs")
    refused(pms.losses.zero_one, prior=pm.Flat, match="flat")
    refused(pms.losses.zero_one, seen=y[:50], match="run of {'y': 100} observations")
    # Brier's score of what is no probability, and a bound that is wrong
    refused(pms.losses.brier, match="Is the prediction a probability")
    low = pms.losses.Loss("low", lambda y, f: -y + 0.0 * f, bound=0.5)
    refused(low, match="between 0 and 0.5")
    with pm.Model() as likelihood:
        mu = pm.Normal("mu")
        pm.Normal("y", mu, 1.0, observed=y)
    with pytest.raises(CalibrationError, match="likelihood"):
        cal.pac_bayes(dt, likelihood)
    with pytest.raises(InverseTemperatureError, match="outside the ladder"):
        cal.pac_bayes(dt, model, betas=[0.5, 7.0])
    with pytest.raises(InverseTemperatureError, match="above 0"):
        cal.pac_bayes(dt, model, betas=[0.0, 0.5])
    with pytest.raises(CalibrationError, match="delta"):
        cal.pac_bayes(dt, model, delta=1.5)
    hot = pms.from_energies(np.ones((2, 10, 2)), [0.5, 1.0], name="y", n_observations=100)
    with pytest.raises(InverseTemperatureError, match="begins at beta"):
        cal.pac_bayes(hot, model)
    with pytest.raises(CalibrationError, match="losses have shape"):
        cal.pac_bayes_finite(np.full((10, 2), 1.5))
    with pytest.raises(CalibrationError, match="prior of shape"):
        cal.pac_bayes_finite(np.zeros((10, 2)), [0.7, 0.7])
    with pytest.raises(CalibrationError, match="5 observations"):
        cal.pac_bayes_finite(np.zeros((5, 2)))
