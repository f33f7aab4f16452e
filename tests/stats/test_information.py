"""Entropies and mutual information of draws with known distributions."""

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech.errors import TreeError
from pm_statmech.stats.information import plug_in_entropy

from ..conftest import within


def tree(**variables):
    data = {
        name: (("chain", "draw", *(f"{name}_k{i}" for i in range(v.ndim - 2))), v)
        for name, v in variables.items()
    }
    return xr.DataTree.from_dict({"/posterior": xr.Dataset(data)})


def markov(rng, shape, p, stay):
    """Binary chains of stationary probability p whose correlation decays like stay^t."""
    x = rng.random(shape) < p
    for t in range(1, shape[1]):
        x[:, t] = np.where(rng.random(shape[0]) < stay, x[:, t - 1], x[:, t])
    return x


def autoregression(rng, shape, memory):
    x = rng.normal(size=shape)
    for t in range(1, shape[1]):
        x[:, t] = memory * x[:, t - 1] + np.sqrt(1 - memory**2) * x[:, t]
    return x


@pytest.mark.parametrize("stay", [0.0, 0.8])
def test_entropy_of_a_switch(stay):
    p = 0.2
    exact = -p * np.log(p) - (1 - p) * np.log(1 - p)
    z, plain, gaps = [], [], []
    for seed in range(100):
        x = markov(np.random.default_rng(seed), (4, 200), p, stay).astype(int)
        value, error, seen = plug_in_entropy(x)
        assert seen == 2
        z.append((value - exact) / error)
        gaps.append(value - exact)
        share = x.mean()
        plain.append(-share * np.log(share) - (1 - share) * np.log(1 - share) - exact)
    assert 0.8 < np.sqrt(np.mean(np.square(z))) < 1.25
    # the bias is off: the mean error is small beside that of the plain estimate where draws repeat
    if stay:
        assert np.mean(plain) < -0.004
        assert abs(np.mean(gaps)) < 0.5 * abs(np.mean(plain))


def test_discrete_entropy_keeps_dimensions():
    rng = np.random.default_rng(1)
    k = np.stack([rng.integers(0, 4, (4, 2000)), np.full((4, 2000), 7)], axis=-1)
    found = pms.discrete_entropy(
        tree(k=k, flag=rng.random((4, 2000)) < 0.5, x=rng.normal(size=(4, 2000)))
    )
    assert set(found.data_vars) == {
        f"{name}{suffix}" for name in ("k", "flag") for suffix in ("", "_mcse", "_values")
    }
    within(found["k"][0].item(), np.log(4), found["k_mcse"][0].item() + 1e-3)
    assert found["k"][1] == 0.0
    assert found["k_values"].values.tolist() == [4, 1]
    within(found["flag"].item(), np.log(2), 1e-3)
    with pytest.raises(TreeError, match="'x'"):
        pms.discrete_entropy(tree(x=rng.normal(size=(2, 50))), var_names=["x"])
    with pytest.raises(TreeError, match="all variables"):
        pms.discrete_entropy(tree(x=rng.normal(size=(2, 50))))


@pytest.mark.parametrize("r", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_information_of_normal_pairs(r, memory):
    exact = -0.5 * np.log(1 - r**2)
    z = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        a, b = (autoregression(rng, (4, 500), memory) for _ in range(2))
        # information does not see what is done to each variable alone
        found = pms.mutual_information(tree(a=np.exp(2 * a), b=r * a + np.sqrt(1 - r**2) * b))
        z.append((found["mutual_information"][0, 1].item() - exact) / found["mcse"][0, 1].item())
    assert 0.6 < np.sqrt(np.mean(np.square(z))) < 1.35


def test_information_of_discrete_and_mixed_pairs():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, (4, 2000))
    noise = rng.random((4, 2000)) < 0.3
    y = np.where(noise, rng.integers(0, 3, (4, 2000)), x)
    same, other = 0.7 / 3 + 0.1 / 3, 0.1 / 3
    of_labels = 3 * same * np.log(9 * same) + 6 * other * np.log(9 * other)
    label = rng.integers(0, 2, (4, 2000))
    position = rng.normal(2.0 * label, 1.0)
    half = quad(
        lambda v: 0.5 * norm.pdf(v) * np.log(2 * norm.pdf(v) / (norm.pdf(v) + norm.pdf(v - 2))),
        -10, 12,
    )[0]  # fmt: skip
    found = pms.mutual_information(tree(x=x, y=y, label=label, position=position))
    I, error = found["mutual_information"], found["mcse"]
    for pair, exact in ((("x", "y"), of_labels), (("label", "position"), 2 * half),
                        (("x", "position"), 0.0), (("x", "label"), 0.0)):  # fmt: skip
        where = dict(zip(("parameter", "other"), pair, strict=True))
        within(I.sel(where).item(), exact, error.sel(where).item())
    np.testing.assert_array_equal(I, I.T)
    assert np.all(np.diag(I) == 0)


def test_labels_and_refusals():
    rng = np.random.default_rng(3)
    dt = tree(b=rng.normal(size=(2, 100, 2)), s=rng.normal(size=(2, 100)))
    found = pms.mutual_information(dt)
    assert found["parameter"].values.tolist() == ["b[0]", "b[1]", "s"]
    assert pms.mutual_information(dt, var_names=["b"]).sizes == {"parameter": 2, "other": 2}
    normal = pms.mutual_information(tree(a=rng.normal(size=(2, 100)), b=rng.normal(size=(2, 100))))
    assert np.all(np.diag(normal["correlation"]) == 1)
    with pytest.raises(TreeError, match="chains=2"):
        pms.mutual_information(dt.isel(chain=[0]))
    with pytest.raises(TreeError, match="nu"):
        pms.mutual_information(dt, var_names=["nu"])
    with pytest.raises(TreeError, match="there are 1 parameters"):
        pms.mutual_information(dt, var_names=["s"])
    with pytest.raises(TreeError, match="posterior"):
        pms.mutual_information(xr.DataTree())
