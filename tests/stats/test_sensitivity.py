"""Means, spreads and shifts at other betas, against closed forms."""

import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech.errors import InverseTemperatureError, TreeError

from ..conftest import POINTWISE_OFF, within

# prior N(0, 1) and one datum at 5 of unit variance: they disagree
SYSTEM = pms.solvable.conjugate_normal([5.0], sigma=1.0, prior_mean=0.0, prior_sd=1.0)


@pytest.fixture(scope="module")
def run():
    return pms.sample_tempered(
        1500, tune=200, model=SYSTEM.model(), betas=[4.0], random_seed=3, quiet=True,
        progressbar=False, idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip


def test_against_the_conjugate_posterior(run):
    betas = [0.25, 0.7, 1.0, 3.0]
    found = pms.beta_sensitivity(run, betas=betas)
    for k, beta in enumerate(betas):
        # precision 1 + beta; the mean's derivative in log beta is 5 beta / (1 + beta)^2
        mean, sd = 5 * beta / (1 + beta), 1 / np.sqrt(1 + beta)
        shift = 5 * beta / (1 + beta) ** 2 / sd
        within(found["mu"][k], mean, found["mu_mcse"][k])
        within(found["mu_sd"][k], sd, found["mu_sd_mcse"][k])
        within(found["mu_shift"][k], shift, found["mu_shift_mcse"][k])
        # the control: the shift of the other sign
        assert abs(found["mu_shift"][k] + shift) > 5.5 * found["mu_shift_mcse"][k]


def test_errors_are_honest_over_seeds():
    z = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        betas = np.linspace(0.0, 2.0, 9)
        x = 5 * betas / (1 + betas) + rng.normal(size=(4, 400, 9)) / np.sqrt(1 + betas)
        dt = pms.from_energies(0.5 * (5 - x) ** 2, betas, target_beta=1.0, draws={"x": x})
        found = pms.beta_sensitivity(dt, betas=[0.6]).isel(inverse_temperature=0)
        exact = {"x": 3 / 1.6, "x_sd": 1 / np.sqrt(1.6), "x_shift": 3 / 1.6**1.5}
        z.append([(found[k] - v) / found[f"{k}_mcse"] for k, v in exact.items()])
    rms = np.sqrt(np.mean(np.square(z), axis=0))
    assert np.all(rms > 0.55)
    assert np.all(rms < 1.55)


def test_defaults_and_dims(run, diabetes_system):
    found = pms.beta_sensitivity(run)
    betas = found["inverse_temperature"].values
    assert betas[0] == pytest.approx(0.25)
    assert betas[-1] == pytest.approx(4.0)
    constant = run.copy()
    draws = constant["tempered_posterior"].to_dataset()
    constant["tempered_posterior"] = draws.assign(c=draws["mu"] * 0 + 2.0)
    still = pms.beta_sensitivity(constant, var_names=["c"], betas=[1.0])
    assert float(still["c_sd"][0]) == 0
    assert float(still["c_shift"][0]) == 0


def test_what_is_refused(run):
    with pytest.raises(InverseTemperatureError, match="outside the ladder"):
        pms.beta_sensitivity(run, betas=[5.0])
    with pytest.raises(TreeError, match="nonsense"):
        pms.beta_sensitivity(run, var_names=["nonsense"])
    less = run.copy()
    del less["tempered_posterior"]
    with pytest.raises(TreeError, match="keep_tempered=True"):
        pms.beta_sensitivity(less)
