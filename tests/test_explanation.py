"""explain: an engine for every variable, its error and cost."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pm_statmech as pms


def pairs(s):
    i, j = np.triu_indices(12, 1)
    return [s, s[i] * s[j]]


def test_every_engine_is_named():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=4)
        pms.ExponentialFamily(
            "die", pt.stack([mu[0]]), statistics=lambda x: [x], support=pms.Integers(1, 6),
            observed=[3, 4],
        )  # fmt: skip
        pms.ExponentialFamily(
            "spins", np.zeros(78), statistics=pairs, support=pms.Spins(12), observed=np.ones(12)
        )
        pms.ConwayMaxwellPoisson("counts", mu=pt.exp(mu), nu=2.0, observed=[0, 1, 2, 3])
        pms.DiscreteGaussian("integers", mu[0], 1.0, observed=[0])
        pms.Quartic("site", a=mu[0], b=1.0, observed=[0.1])
        pms.MaxEnt(
            "kinks", statistics=[pms.statistics.absolute(0.0)], moments=[1.0],
            support=pms.Interval(-np.inf, np.inf), observed=[0.3],
        )  # fmt: skip
        pms.VonMisesFisher("direction", [0.0, 1.0], pt.exp(mu[0]), observed=[[0.0, 1.0]])
        pms.Kent("oval", np.eye(3), pt.exp(mu[0]), 0.1, observed=[[1.0, 0.0, 0.0]])
        pms.GibbsLoss("loss", mu[0], loss=pms.losses.pinball(0.5), observed=np.zeros(3), beta=1.0)
        pms.GibbsPotential("energy", pt.sum(mu**2))
        pm.Potential("constraint", pt.switch(mu[0] > -9, 0.0, -np.inf))
    found = pms.explain(model, mode="FAST_COMPILE")
    assert found["normaliser"].to_dict() == {
        "mu": "closed form",
        "die": "table of 6 states",
        "spins": "fold of 12 binary entries",
        "counts": "sum outwards from the largest term, or its expansion",
        "integers": "sum over integers",
        "site": "quadrature",
        "kinks": "quadrature in 2 pieces",
        "direction": "quadrature over the angle",
        "oval": "contour integral",
        "loss": "none: a loss",
        "energy": "none: an energy",
        "constraint": "none: a Potential",
    }
    assert found.loc["counts", "number"] == 4
    assert found.loc["die", "number"] == 1
    exact = ["mu", "die", "spins", "counts", "oval"]
    np.testing.assert_array_equal(found.loc[exact, "error"], 0.0)
    assert 0 < found.loc["site", "error"] < 1e-10
    families = found.index[1:9]
    assert np.all(found.loc[families, "microseconds"] > 0)
    assert np.all(found.loc[families.drop(["counts", "oval"]), "MiB"] > 0)
    assert np.all(found.loc[["counts", "oval"], "MiB"] == 0)
    assert found.loc[["loss", "energy", "constraint"], "error"].isna().all()
