"""Signs of a first-order transition, read from a tree."""

from __future__ import annotations

import numpy as np
from xarray import DataTree

from pm_statmech.datatree.groups import (
    RUNG,
    ladder_group,
    reference_group,
    tempering_group,
)
from pm_statmech.datatree.groups import r_hat as r_hat_of
from pm_statmech.transitions import LEAST_DRAWS, Transition, find_transitions


def transitions(dt: DataTree) -> list[Transition]:
    """Signs of a transition in the tree of `sample_tempered`, see `transitions`."""
    tempering, rungs = tempering_group(dt), ladder_group(dt)
    betas = tempering[RUNG].values
    energy = tempering["energy"].transpose("chain", "draw", RUNG)
    finite = energy.where(np.isfinite(energy), energy.where(np.isfinite(energy)).max())
    r_hat = np.full(len(betas), np.nan)
    if energy.sizes["chain"] > 1 and energy.sizes["draw"] >= LEAST_DRAWS:
        varied = np.ptp(finite.values, axis=(0, 1)) > 0
        r_hat[varied] = r_hat_of(finite).values[varied]
    # a heavy tail of the prior makes its R-hat a lottery, and its draws are independent anyway
    r_hat[0] = np.nan if betas[0] == 0 else r_hat[0]
    group = reference_group(dt)
    searched = np.empty(0)
    if group is not None and group.attrs["n_modes_found_by_search"] > 0:
        searched = group["pilot_weight"].values[-group.attrs["n_modes_found_by_search"] :]
    return find_transitions(
        energy.values,
        betas,
        int(np.flatnonzero(betas == tempering.attrs["target_beta"])[0]),
        rungs["swap_rejection"].values,
        rungs["restarts"].values,
        r_hat,
        searched,
    )
