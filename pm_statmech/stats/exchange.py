r"""How the rungs of a ladder exchanged states: as a table, and as statistics of pairs and replicas.

.. math:: r_k = E\left[1 - \min\big(1, e^{(\beta_{k+1} - \beta_k)(E_{k+1} - E_k)}\big)\right],
          \qquad \Lambda = \sum_k r_k

Source: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), JRSS B 84(2).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from xarray import DataTree

from pm_statmech import ladder
from pm_statmech.datatree import (
    RUNG,
    azstats,
    ladder_group,
    r_hat,
    round_trips,
    tempering_group,
)
from pm_statmech.errors import TreeError
from pm_statmech.stats.averages import SAMPLE_DIMS, mcse_of_mean
from pm_statmech.stats.evidence import check_ladder_of, pair_ratios
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


def rejections(energy: np.ndarray, betas: np.ndarray) -> np.ndarray:
    r"""Probability that each scan's swap of neighbours is rejected: (chain, draw, K - 1).

    .. math:: 1 - \min\big(1, e^{(\beta_{k+1} - \beta_k)(E_{k+1} - E_k)}\big)

    of energies (chain, draw, K), infinite ones at the hotter rung among them.
    """
    exponent = np.diff(betas) * (energy[..., 1:] - energy[..., :-1])
    return -np.expm1(np.minimum(exponent, 0.0))


def overlap(energy: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Common area of the energy densities of neighbouring rungs (K - 1,), and its error.

    .. math:: \int \min(p_k, p_{k+1}) = E_k\left[\min(1, q)\right]
              = E_{k+1}\left[\min(1, 1/q)\right], \qquad
              q = \frac{p_{k+1}}{p_k} = e^{-\Delta_k E - r_k}

    with r_k = log Z(beta_{k+1}) / Z(beta_k) by Bennett's ratio: no histogram is needed. The mean
    of both forms is taken.
    """
    pairs = pair_ratios(energy, betas)
    with np.errstate(over="ignore"):
        log_q = -np.diff(betas) * np.stack([energy[..., :-1], energy[..., 1:]]) - pairs.log_ratio
        from_hot, from_cold = np.exp(np.minimum(log_q[0], 0)), np.exp(np.minimum(-log_q[1], 0))
    values = 0.5 * (from_hot + from_cold)
    # where q < 1 the first form falls as r rises, where q > 1 the second rises
    slope = 0.5 * np.mean(
        np.where(log_q[1] > 0, from_cold, 0.0) - np.where(log_q[0] < 0, from_hot, 0.0), axis=(0, 1)
    )
    return np.mean(values, axis=(0, 1)), mcse_of_mean(values + slope * pairs.influence)


def replica_paths(dt: DataTree) -> xr.DataArray:
    """Rung of every replica after every scan (chain, draw, replica), counted from the hottest.

    Raises
    ------
    TreeError
        a tree whose rungs never swapped.
    """
    group = tempering_group(dt)
    if "replica" not in group:
        raise TreeError(
            "this tree does not say where replicas were: its rungs never swapped, or a run other "
            "than sample_tempered's made it."
        )
    replica = group["replica"].transpose("chain", "draw", RUNG)
    return xr.DataArray(
        np.argsort(replica.values, axis=2), dims=["chain", "draw", "replica"],
        coords={"chain": group["chain"], "draw": group["draw"],
                "replica": np.arange(group.sizes[RUNG])},
    )  # fmt: skip


def evenness(replica: np.ndarray) -> float:
    r"""How evenly the least even replica of a chain (draw, K) spent its time on the rungs.

    .. math:: 1 - \max_m \frac12 \sum_k \left|\hat p_m(k) - \frac1K\right|

    with the share of scans that replica m was at rung k. 1 / K where no replica ever moved.
    """
    n_rungs = replica.shape[1]
    share = np.stack([np.mean(replica == m, axis=0) for m in range(n_rungs)])
    return float(1.0 - 0.5 * np.max(np.sum(np.abs(share - 1.0 / n_rungs), axis=1)))


def exchange_statistics(dt: DataTree) -> xr.Dataset:
    r"""How neighbouring rungs exchange states, how far states travelled, and how many rungs to use.

    .. math:: r_k = E\left[1 - \min\big(1, e^{\Delta_k (E_{k+1} - E_k)}\big)\right], \quad
              \lambda_k = \frac{r_k}{\Delta_k}, \quad \Lambda = \sum_k r_k, \quad
              \Delta_k = \beta_{k+1} - \beta_k

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, or of `from_energies`, whose rungs may never have swapped:
        rejections are then what swaps would have met.

    Returns
    -------
    Dataset
        over ``pair``, with the coordinates ``hotter`` and ``colder``: ``swap_rejection``,
        ``local_barrier`` and ``energy_overlap`` (the common area of the neighbours' energy
        densities), each with ``*_mcse``. Over ``inverse_temperature``: ``barrier`` with
        ``barrier_mcse``. Over ``chain``, where a run swapped: ``round_trips`` from beta = 0 to the
        target and back, ``restarts``, ``round_trip_rate`` for every scan, and ``replica_mixing``,
        see `evenness`. Numbers: ``recommended_rungs``, twice the barrier and one, and six at
        least; ``ideal_round_trip_rate``,
        :math:`1 / (2 + 2\Lambda)`, which many rungs and good moves approach; over ``rung``
        ``recommended_ladder``, with equal rejections and through the target.

    Raises
    ------
    LadderError
        a single rung.

    Notes
    -----
    Source: Syed et al. (2022), JRSS B 84(2), sections 3 to 5.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.exchange_statistics(dt)
    >>> bool(found["barrier"][-1] > 0.3), int(found["recommended_rungs"])
    (True, 6)
    """
    group = tempering_group(dt)
    betas = group[RUNG].values
    check_ladder_of(group)
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    rejected = rejections(energy, betas)
    r, r_error = np.mean(rejected, axis=(0, 1)), mcse_of_mean(rejected)
    barrier_error = mcse_of_mean(np.cumsum(rejected - r, axis=-1))
    common, common_error = overlap(energy, betas)
    step = np.diff(betas)
    total = float(np.sum(r))
    required = np.unique([betas[0], group.attrs["target_beta"], betas[-1]])
    variables: dict = {
        "swap_rejection": ("pair", r),
        "swap_rejection_mcse": ("pair", r_error),
        "local_barrier": ("pair", r / step),
        "local_barrier_mcse": ("pair", r_error / step),
        "energy_overlap": ("pair", common),
        "energy_overlap_mcse": ("pair", common_error),
        "barrier": (RUNG, ladder.barrier(r)),
        "barrier_mcse": (RUNG, np.append(0.0, barrier_error)),
        "recommended_rungs": ladder.recommended_rungs(total),
        "ideal_round_trip_rate": 1.0 / (2.0 + 2.0 * total),
        "recommended_ladder": ("rung", ladder.equal_rejection(betas, r, required)),
    }
    coords = {
        RUNG: betas,
        "hotter": ("pair", betas[:-1]),
        "colder": ("pair", betas[1:]),
    }
    if "replica" in group:
        replica = group["replica"].transpose("chain", "draw", RUNG).values
        target = int(np.flatnonzero(betas == group.attrs["target_beta"])[0])
        trips = np.array([round_trips(own, target) for own in replica])
        variables |= {
            "round_trips": ("chain", trips[:, 0]),
            "restarts": ("chain", trips[:, 1]),
            "round_trip_rate": ("chain", trips[:, 0] / replica.shape[1]),
            "replica_mixing": ("chain", [evenness(own) for own in replica]),
        }
        coords["chain"] = group["chain"].values
    keep = ("target_beta", "tempered_terms")
    return xr.Dataset(variables, coords, {key: group.attrs[key] for key in keep})
