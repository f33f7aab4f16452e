r"""Log evidence from annealed populations: by their weights, and by the work done on particles.

Each half h of each of C chains is a population of its own, whose increments give

.. math:: \hat Z_h = \prod_j \frac1N \sum_i e^{-(\beta_{j+1} - \beta_j) E(x_i)}, \qquad
          \hat Z = \frac{1}{2C} \sum_h \hat Z_h

Its relative variance is estimated from the shares :math:`n_k / N` of the particles at the target
that descend from prior draw k, as :math:`\sum_k (n_k / N)^2 - 1/N`, which counts whatever
resampling and moves have done (and a little more: n resamplings alone add some n / N); and from
the spread between chains. The larger is taken.

Sources: Del Moral, Doucet, Jasra (2006), JRSS B 68(3); Lee and Whiteley (2018), Biometrika
105(3); Neal (2001), Stat. Comput. 11; Jarzynski (1997), Phys. Rev. Lett. 78.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree import annealing_group
from pm_statmech.errors import EvidenceWarning, TreeError
from pm_statmech.stats.averages import rounded_error

LEAST_FAMILIES = 10.0
LEAST_ESS = 100.0
FAR_APART = 5.0


class PopulationEvidence(NamedTuple):
    """log Z relative to the first stage, its error, and what it rests on.

    `support` is an effective number: of ancestors in the poorest population, or of particles.
    """

    log_z: float
    mcse: float
    support: float


def evidence_by_weights(log_ratio: np.ndarray, family_overlap: np.ndarray) -> PopulationEvidence:
    """Log Z by sequential Monte Carlo.

    Parameters
    ----------
    log_ratio
        (C, J, 2) log of the mean weight of each half at each stage, NaN beyond the last.
    family_overlap
        (C, 2, 2) sum of squared shares of the families of each half, at the first stage, where
        it is 1/N, and at the last.
    """
    log_z = np.nansum(log_ratio, axis=1)
    mean = float(logsumexp(log_z) - np.log(log_z.size))
    relative = np.exp(log_z - mean)
    excess = np.maximum(family_overlap[:, 1] - family_overlap[:, 0], 0.0)
    within = np.sqrt(np.sum(relative**2 * excess)) / relative.size
    n_chains = len(log_z)
    by_chain = np.mean(relative, axis=1)
    between = np.std(by_chain, ddof=1) / np.sqrt(n_chains) if n_chains > 1 else 0.0
    return PopulationEvidence(
        mean,
        rounded_error(mean, max(within, between)),
        float(1.0 / np.max(family_overlap[:, 1])),
    )


def evidence_by_work(work: np.ndarray) -> PopulationEvidence:
    r"""Log Z by Jarzynski's equality, :math:`\log \frac1n \sum_i e^{-W_i}`, from work (C, N)."""
    log_weights = -np.ravel(work)
    mean = float(logsumexp(log_weights) - np.log(log_weights.size))
    relative = np.exp(log_weights - mean)
    error = np.std(relative, ddof=1) / np.sqrt(relative.size)
    return PopulationEvidence(
        mean,
        rounded_error(mean, error),
        float(np.sum(relative) ** 2 / np.sum(relative**2)),
    )


def annealed_evidence(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target by sequential Monte Carlo, and by Jarzynski's equality beside it.

    .. math:: \log \hat Z_{SMC} = \log \frac{1}{2C} \sum_h \prod_j \frac1N \sum_i w_{hji}, \qquad
              \log \hat Z_{AIS} = \log \frac1n \sum_i e^{-W_i}

    The two share betas and kernels, and no particle.

    Parameters
    ----------
    dt
        the tree of `sample_annealed`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats, by SMC; ``estimate``, ``estimate_mcse`` and
        ``used`` over ``method``; ``support`` over ``method``, the effective number of ancestors
        in the poorest population, and of particles of the second pass. Attributes: ``method``
        in words, ``doubts``, and ``reference``, what log Z is relative to.

    Raises
    ------
    TreeError
        a tree without annealed populations.

    Warns
    -----
    EvidenceWarning
        the two are more than five errors apart, where the work rests on 100 particles or more.

    Notes
    -----
    Sources: Del Moral, Doucet, Jasra (2006), JRSS B 68(3); Lee and Whiteley (2018), Biometrika
    105(3), for the error; Neal (2001), Stat. Comput. 11.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> from pm_statmech.stats.populations import annealed_evidence
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_annealed(model=system.model(), random_seed=1, quiet=True)
    >>> found = annealed_evidence(dt)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 5 * found.mcse)
    True
    """
    group = annealing_group(dt) if isinstance(dt, DataTree) else None
    if group is None or "work" not in group:
        seen = sorted(dt.children) if isinstance(dt, DataTree) else f"a {type(dt).__name__}"
        raise TreeError(
            "this needs the DataTree of sample_annealed, with 'work' in its group 'annealing'; "
            f"got {seen}."
        )
    overlap = group["family_overlap"].transpose("chain", "stage", "half").values
    last = group["n_stages"].values - 1
    chains = np.arange(len(last))
    smc = evidence_by_weights(
        group["log_ratio"].transpose("chain", "stage", "half").values,
        np.stack([overlap[:, 0], overlap[chains, last]], axis=1),
    )
    ais = evidence_by_work(group["work"].transpose("chain", "draw").values)
    doubts = []
    if smc.support < LEAST_FAMILIES:
        doubts.append(f"smc: a population descends from {smc.support:.1f} independent ancestors.")
    if ais.support < LEAST_ESS:
        doubts.append(f"ais: its weights are those of {ais.support:.1f} particles.")
    gap, joint = abs(smc.log_z - ais.log_z), np.hypot(smc.mcse, ais.mcse)
    if gap > FAR_APART * joint and ais.support >= LEAST_ESS:
        warnings.warn(
            f"log Z by work is {gap:.2f} nats ({gap / joint:.0f} errors) from {smc.log_z:.3f} by "
            "sequential Monte Carlo: particles do not pass between modes. Draw more, or use "
            "sample_tempered.",
            EvidenceWarning,
            stacklevel=2,
        )
    return xr.Dataset(
        {
            "log_evidence": smc.log_z,
            "mcse": smc.mcse,
            "estimate": ("method", [smc.log_z, ais.log_z]),
            "estimate_mcse": ("method", [smc.mcse, ais.mcse]),
            "used": ("method", [True, False]),
            "support": ("method", [smc.support, ais.support]),
        },
        coords={"method": ["smc", "ais"]},
        attrs={
            "method": "annealed sequential Monte Carlo",
            "doubts": " ".join(doubts),
            **{
                name: group.attrs[name]
                for name in ("target_beta", "reference", "log_partition_zero",
                             "log_partition_zero_mcse")
            },
        },
    )  # fmt: skip
