"""Runs that several tests read; each is sampled once a process."""

import json
import logging
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms

matplotlib.use("agg")
logging.getLogger("pymc").setLevel(logging.WARNING)

# |z| <= 5.5 in every statistical comparison, so that the suite's false alarms stay below 1e-4
Z_LIMIT = 5.5

# exact values of log partition functions, by name
RECORDS = {
    record["id"]: record
    for record in json.loads(
        (Path(__file__).parent / "reference" / "log_partition.json").read_text()
    )["records"]
}

MECHANICS = json.loads(
    (Path(__file__).parent / "reference" / "statistical_mechanics.json").read_text()
)
# exact values of the theory of concentration, and of work
CONCENTRATION, WORK = MECHANICS["concentration"], MECHANICS["entropy_production"]["jarzynski"]

# Simon Newcomb's 66 passage times of light, as deviations from 24800 ns (MASS::newcomb)
NEWCOMB = np.array(
    [28, 26, 33, 24, 34, -44, 27, 16, 40, -2, 29, 22, 24, 21, 25, 30, 23, 29, 31, 19, 24, 20,
     36, 32, 36, 28, 25, 21, 28, 29, 37, 25, 28, 26, 30, 32, 36, 26, 30, 22, 36, 23, 27, 27,
     28, 27, 31, 27, 26, 33, 26, 32, 32, 24, 39, 28, 24, 25, 32, 25, 29, 27, 28, 29, 16, 23],
    dtype=float,
)  # fmt: skip

POINTWISE_OFF = {"log_likelihood": False, "log_prior": False}


def within(estimate, truth, error) -> None:
    """Assert |estimate - truth| <= 5.5 errors, with an error that is a number above 0."""
    assert error > 0, "an error bar of 0 or NaN would pass anything or nothing"
    assert abs((float(estimate) - float(truth)) / float(error)) <= Z_LIMIT


def sum_over_bonds(x) -> int:
    return int(np.sum(x * np.roll(x, 1, 0)) + np.sum(x * np.roll(x, 1, 1)))


def state_with_sum(S: int) -> np.ndarray:
    """A state of the 8 by 8 torus with a sum over bonds: random flips that come nearer."""
    rng = np.random.default_rng(1)
    x = rng.choice([-1, 1], size=(8, 8))
    while sum_over_bonds(x) != S:
        i, j = rng.integers(8, size=2)
        before = abs(sum_over_bonds(x) - S)
        x[i, j] *= -1
        if abs(sum_over_bonds(x) - S) > before and rng.random() > 0.05:
            x[i, j] *= -1
    return x


@pytest.fixture(autouse=True)
def _figures_closed():
    """Close what a test drew: Matplotlib keeps figures, and warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def newcomb_system():
    return pms.solvable.conjugate_normal(NEWCOMB, sigma=10.0, prior_sd=50.0)


@pytest.fixture(scope="session")
def newcomb(newcomb_system):
    return pms.sample_tempered(model=newcomb_system.model(), random_seed=1, quiet=True)


@pytest.fixture(scope="session")
def reference():
    return MECHANICS


@pytest.fixture(scope="session")
def diabetes_system():
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (y - y.mean()) / y.std()
    return pms.solvable.gaussian_linear_model(X, y, noise_sd=np.sqrt(0.5), prior_sd=1.0)


@pytest.fixture
def line():
    """A small regression: x, y."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    return x, 1 + 2 * x + rng.normal(size=30)


@pytest.fixture
def normal_model(line):
    """y ~ N(a, 1), a ~ N(0, 1)."""
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Normal("y", a, 1, observed=line[1])
    return model
