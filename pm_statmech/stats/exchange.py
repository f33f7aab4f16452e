"""The ladder as a table: did the rungs move, swap and agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from xarray import DataTree

from pm_statmech.datatree import RUNG, azstats, ladder_group, r_hat, tempering_group
from pm_statmech.stats.averages import SAMPLE_DIMS
from pm_statmech.stats.free_energy import thermodynamics


def short_beta(beta: float) -> str:
    """An inverse temperature to three digits, and 0 as 0."""
    return f"{beta:.3g}"


def ladder_summary(dt: DataTree) -> pd.DataFrame:
    """Return a row per rung: how it moved and swapped, and its thermodynamics.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    DataFrame
        indexed by ``inverse_temperature`` to three digits, with ``mean_energy``,
        ``heat_capacity``, ``relative_entropy``, ``log_partition`` and their errors,
        ``swap_rejection`` with the next colder rung, ``barrier`` from 0 to here,
        ``acceptance_rate``, ``ess_energy`` and ``r_hat_energy`` over the independent ladders.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> table = pms.ladder_summary(dt)
    >>> table.index[0], table.index[-1]
    ('0', '1')
    """
    rungs, group = ladder_group(dt), tempering_group(dt)
    found = thermodynamics(dt)
    energy = group["energy"]
    finite = energy.where(np.isfinite(energy), energy.where(np.isfinite(energy)).max())
    columns = {
        name: found[name].values
        for quantity in ("mean_energy", "heat_capacity", "relative_entropy", "log_partition")
        for name in (quantity, f"{quantity}_mcse")
    }
    columns["swap_rejection"] = np.append(rungs["swap_rejection"].values, np.nan)
    columns["barrier"] = rungs["barrier"].values
    columns["acceptance_rate"] = rungs["acceptance_rate"].values
    columns["ess_energy"] = azstats(finite).ess(sample_dims=SAMPLE_DIMS, method="mean").values
    columns["r_hat_energy"] = (
        r_hat(finite).values if group.sizes["chain"] > 1 else np.full(group.sizes[RUNG], np.nan)
    )
    index = pd.Index([short_beta(b) for b in group[RUNG].values], name=RUNG)
    return pd.DataFrame(columns, index=index)
