r"""Log evidence from a ladder: stepping stones, each by Bennett's acceptance ratio.

.. math:: \log\frac{Z(\beta_*)}{Z(0)} = \sum_k r_k,
          \qquad r_k = \log\frac{Z(\beta_{k+1})}{Z(\beta_k)}

Each r_k uses the draws of both rungs, by the optimal bridge between them, the root of

.. math:: E_k\,\sigma(-\Delta_k E - r) = E_{k+1}\,\sigma(r + \Delta_k E),
          \qquad \Delta_k = \beta_{k+1} - \beta_k,\quad \sigma(u) = 1/(1 + e^{-u})

Errors follow from the estimator's influence on each scan, summed over the ladder, so that
both autocorrelation and the correlation of rungs (which swap states) are in them.

Sources: Xie, Lewis, Fan, Kuo, Chen (2011), Syst. Biol. 60; Bennett (1976), J. Comp. Phys. 22;
Meng and Wong (1996), Statistica Sinica 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.bridges import bennett_ratio
from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import LadderError
from pm_statmech.stats.averages import mcse_of_mean


class PairRatios(NamedTuple):
    """log Z(beta_{k+1}) / Z(beta_k) of each pair, and the influence of each draw on it.

    `log_ratio`, `forward`, `backward` (K - 1,); `influence` (chain, draw, K - 1), of mean 0.
    """

    log_ratio: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    influence: np.ndarray


def pair_ratios(energy: np.ndarray, betas: np.ndarray) -> PairRatios:
    """Ratios of partition functions of neighbouring rungs from energies (chain, draw, K)."""
    n_pairs = len(betas) - 1
    log_ratio, forward, backward = np.empty((3, n_pairs))
    influence = np.zeros((*energy.shape[:2], n_pairs))
    count = energy.shape[0] * energy.shape[1]
    for k in range(n_pairs):
        delta = betas[k + 1] - betas[k]
        hot, cold = -delta * energy[..., k], -delta * energy[..., k + 1]
        log_ratio[k], from_hot, from_cold = bennett_ratio(hot, cold)
        influence[..., k] = from_hot + from_cold
        forward[k] = logsumexp(hot) - np.log(count)
        backward[k] = np.log(count) - logsumexp(-cold)
    return PairRatios(log_ratio, forward, backward, influence)


def check_ladder_of(group: xr.Dataset) -> None:
    """Raise LadderError where a group `tempering` has a single rung."""
    if group.sizes[RUNG] == 1:
        raise LadderError(
            f"these draws are at one temperature, beta = {float(group[RUNG][0]):g}, which says "
            "nothing of Z or of other temperatures. pm_statmech.sample_tempered runs a ladder; "
            "pm_statmech.bridge(dt, model) finds log Z of a trace."
        )


def stepping_stone(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target by stepping stones, each by Bennett's acceptance ratio.

    .. math:: \log Z(\beta_*) = \sum_k \log\frac{Z(\beta_{k+1})}{Z(\beta_k)}

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats; for each pair of rungs ``log_ratio`` and
        its ``log_ratio_mcse``, with the one-sided estimates ``forward`` and ``backward``,
        which disagree where neighbours overlap badly. Relative to Z(0), see attrs.

    Notes
    -----
    Sources: Xie et al. (2011), Syst. Biol. 60; Bennett (1976), J. Comp. Phys. 22.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.stepping_stone(dt)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 5 * found.mcse)
    True
    """
    group = tempering_group(dt)
    betas = group[RUNG].values
    check_ladder_of(group)
    target = int(np.flatnonzero(betas == group.attrs["target_beta"])[0])
    energy = group["energy"].transpose("chain", "draw", RUNG).values[..., : target + 1]
    pairs = pair_ratios(energy, betas[: target + 1])
    total = np.sum(pairs.influence, axis=-1, keepdims=True)
    attrs = {
        "method": "stepping stones by Bennett's acceptance ratio",
        "target_beta": group.attrs["target_beta"],
        "reference": group.attrs["reference"],
        "log_partition_zero": group.attrs["log_partition_zero"],
        "log_partition_zero_mcse": group.attrs["log_partition_zero_mcse"],
    }
    return xr.Dataset(
        {
            "log_evidence": np.sum(pairs.log_ratio),
            "mcse": mcse_of_mean(total)[0],
            "log_ratio": ("pair", pairs.log_ratio),
            "log_ratio_mcse": ("pair", mcse_of_mean(pairs.influence)),
            "forward": ("pair", pairs.forward),
            "backward": ("pair", pairs.backward),
        },
        coords={
            "pair": np.arange(target),
            "hotter": ("pair", betas[:target]),
            "colder": ("pair", betas[1 : target + 1]),
        },
        attrs=attrs,
    )
