r"""Log Z(beta) of a run, as a function that models can use."""

from __future__ import annotations

import numpy as np
from xarray import DataTree

from pm_statmech.datatree import RUNG, read_terms, tempering_group
from pm_statmech.log_partition.curves import LogPartitionCurve
from pm_statmech.stats.free_energy import thermodynamics

# temperatures from one rung to the next
PIECES = 4


def log_partition_curve(dt: DataTree) -> LogPartitionCurve:
    r"""Log Z(beta) of a tempered run, with its slope -U, for use inside other models.

    .. math:: \log Z(\beta) = \log \int \pi_0 e^{-\beta E}, \qquad
              \frac{d \log Z}{d\beta} = -U(\beta)

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    LogPartitionCurve
        ``curve(beta)`` is a tensor, differentiable, NaN outside the ladder; ``curve.error(beta)``
        its standard error. At the rungs and three temperatures between any two of them log Z and U
        are MBAR's; elsewhere a cubic joins them.

    Raises
    ------
    ValueError
        U is not finite at a temperature, as at beta = 0 under a prior with heavy tails.
    TreeError
        a tree without a tempered run.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> curve = pms.log_partition_curve(dt)
    >>> gap = curve(0.3).eval(mode="FAST_COMPILE") - system.log_partition(0.3)
    >>> bool(abs(gap) < 5 * curve.error(0.3).eval(mode="FAST_COMPILE"))
    True
    """
    group = tempering_group(dt)
    rungs = group[RUNG].values
    steps = np.arange(PIECES) / PIECES
    betas = np.append((rungs[:-1, None] + np.diff(rungs)[:, None] * steps).ravel(), rungs[-1])
    found = thermodynamics(dt, betas=betas.tolist())
    terms = read_terms(group.attrs)
    # what else the prior says of a network would be part of log Z
    alone = bool(group.attrs["prior_normalised"])
    networks = {t.name: t.digest for t in terms if t.digest is not None and alone}
    return LogPartitionCurve(
        betas, found["log_partition"].values, found["mean_energy"].values,
        found["log_partition_mcse"].values, networks if len(terms) == len(networks) else None,
    )  # fmt: skip
