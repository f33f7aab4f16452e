r"""Log evidence from the stages of annealed particles.

After their moves the N particles of stage j are draws of :math:`\pi_{\beta_j}`, so that all stages
together are a ladder, pooled by MBAR (see `mbar`) like the rungs of a run. This uses each stage
from both sides, and its error is well below that of the increments

.. math:: \log\frac{Z(\beta_{j+1})}{Z(\beta_j)} \approx \log \frac1N \sum_i w_i

of sequential Monte Carlo. Particles are not independent: those with a common ancestor are summed
before the variance is taken.

Sources: Shirts and Chodera (2008), J. Chem. Phys. 129; Lee and Whiteley (2018), Biometrika
105(3), for variances by families.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pm_statmech.stats.mbar import sample_influence, solve_mbar


class StageEvidence(NamedTuple):
    """log Z at the last stage relative to the first, its error, and the last stage's families.

    `families` is the effective number of independent ancestors, 1 / sum of squared shares.
    """

    log_z: float
    mcse: float
    families: float


def stage_evidence(energies: np.ndarray, betas: np.ndarray, family: np.ndarray) -> StageEvidence:
    """Pool the stages of annealed particles.

    Parameters
    ----------
    energies, family
        (J, N) of each particle at each stage, and its ancestor at stage 0.
    betas
        (J,).
    """
    solved = solve_mbar(energies.T[None], betas)
    influence = sample_influence(solved, len(betas) - 1)[0] / energies.shape[1]
    sums = np.zeros(int(np.max(family)) + 1)
    np.add.at(sums, family.T.ravel(), influence.ravel())
    plain, by_ancestor = np.sum(influence**2), np.sum(sums**2)
    counts = np.bincount(family[-1]) / energies.shape[1]
    return StageEvidence(
        float(solved.log_z[-1]),
        float(np.sqrt(max(plain, by_ancestor))),
        float(1.0 / np.sum(counts**2)),
    )
