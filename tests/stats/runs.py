"""Runs and exact draws that several tests of statistics read."""

from functools import cache

import numpy as np
import xarray as xr
from xarray import DataTree

import pm_statmech as pms

from ..conftest import POINTWISE_OFF
from ..test_solvable import systems

# springs are drawn exactly, below
NOT_RUN = ("two-level system", "harmonic oscillators")
SYSTEMS = {s.name: s for s in systems() if s.name not in NOT_RUN}
CLOSED = {name: s for name, s in SYSTEMS.items() if s.posterior is not None}
BETAS = [0.0, 0.37, 1.0, 2.5]
RUNG = "inverse_temperature"


@cache
def run_of(name: str) -> DataTree:
    """A short run whose ladder ends at 2.5 and has no rung at 0.37."""
    return pms.sample_tempered(
        500, tune=500, model=SYSTEMS[name].model(), betas=[2.5], random_seed=21, quiet=True,
        idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip


def springs(seed, betas, *, d=6, chains=4, draws=500, memory=0.0):
    """Positions (chain, draw, K, d) of d springs at each rung, E = |x|^2 / 2 and x ~ N(0, 1).

    Each rung is an autoregression of its own with correlation `memory`, of exact marginals:
    log Z = -(d/2) log(1 + beta), U = (d/2) / (1 + beta).
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws, len(betas), d))
    x = noise.copy()
    for t in range(1, draws):
        x[:, t] = memory * x[:, t - 1] + np.sqrt(1 - memory**2) * noise[:, t]
    return x / np.sqrt(1 + np.asarray(betas))[:, None]


def tree_of(energy, betas, *, target=1.0, variables=None, **attrs) -> DataTree:
    """A tree as sample_tempered writes it, of energies (chain, draw, K) from anywhere."""
    chains, draws, _ = energy.shape
    index = {"chain": np.arange(chains), "draw": np.arange(draws), RUNG: np.asarray(betas)}
    attrs = {
        "target_beta": target, "reference": "prior", "log_partition_zero": 0.0,
        "log_partition_zero_mcse": 0.0, "prior_reason": "", "n_observations": 0,
        "tempered_terms": '[{"name": "e", "kind": "potential", "ratio": 1.0, "unit": "1", '
                          '"n_observations": 0}]', **attrs,
    }  # fmt: skip
    tempering = xr.Dataset({"energy": (("chain", "draw", RUNG), energy)}, index, attrs)
    at_rungs = xr.Dataset(
        {
            name: (("chain", "draw", RUNG, *(f"{name}_dim_{i}" for i in range(v.ndim - 3))), v)
            for name, v in (variables or {}).items()
        },
        index,
        attrs,
    )
    posterior = at_rungs.sel({RUNG: target}, drop=True)
    return DataTree.from_dict(
        {"/tempering": tempering, "/tempered_posterior": at_rungs, "/posterior": posterior}
    )


def without(dt: DataTree, *groups: str) -> DataTree:
    """A tree that lacks groups."""
    return DataTree.from_dict({f"/{k}": v.dataset for k, v in dt.children.items()
                               if k not in groups})  # fmt: skip
