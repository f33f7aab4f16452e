r"""Ladders of inverse temperature: where to put the rungs.

A ladder is a plain increasing float array of beta. The *communication barrier*
between two inverse temperatures is the integral

.. math:: \Lambda(\beta) = \int_0^\beta \tfrac12\, E|E_1 - E_2| \, d\beta',

with :math:`E_1, E_2` independent energies at :math:`\beta'`. To first order the swap
rejection of two neighbours is the barrier between them, so that cumulated rejections
estimate :math:`\Lambda`, and rungs at equal steps of it swap equally often.

Source: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), Non-reversible parallel
tempering, JRSS B 84(2), sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from pm_statmech.errors import InverseTemperatureError, LadderError

MINIMUM_RUNGS = 6


def check_beta(beta: float, what: str = "beta") -> float:
    """Return beta as a float, or raise: it must be finite and not negative."""
    value = float(beta)
    if not np.isfinite(value) or value < 0:
        raise InverseTemperatureError(
            f"{what} = {value:g}: an inverse temperature is finite and >= 0. It multiplies the "
            "summed loss, so a negative one would reward large losses; 0 is the prior."
        )
    return value


def check_ladder(betas: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return `betas` as a strictly increasing float array, or raise LadderError."""
    ladder = np.asarray(betas, dtype=np.float64)
    if ladder.ndim != 1 or ladder.size == 0:
        raise LadderError(
            f"betas has shape {ladder.shape}: give a one-dimensional sequence of inverse "
            "temperatures, such as [0, 0.1, 1]."
        )
    for beta in ladder:
        check_beta(beta, "a rung in betas")
    steps = np.diff(ladder)
    if np.any(steps <= 0):
        k = int(np.argmax(steps <= 0))
        raise LadderError(
            f"betas must increase strictly from hot to cold: rung {k + 1} is {ladder[k + 1]:g} "
            f"after {ladder[k]:g}. Sort them and drop repeats: betas = np.unique(betas)."
        )
    return ladder


def rejection_between(colder: np.ndarray, hotter: np.ndarray, delta: float) -> float:
    r"""Swap rejection of two rungs from independent energies at each.

    .. math:: r = E\left[1 - \min(1, e^{\Delta\beta\,(E_c - E_h)})\right],
              \qquad \Delta\beta = \beta_c - \beta_h

    Infinite energies at the hotter rung are legal, and always rejected.
    """
    # E_c is finite by construction, so inf at the hot rung gives -inf, never NaN
    exponent = delta * (colder[:, None] - hotter[None, :])
    return float(np.mean(-np.expm1(np.minimum(exponent, 0.0))))


def barrier(rejections: np.ndarray) -> np.ndarray:
    """Cumulative barrier at each rung, from the swap rejection of each pair: Lambda(beta_k)."""
    return np.concatenate([[0.0], np.cumsum(rejections)])


def recommended_rungs(total_barrier: float) -> int:
    """Return max(6, 2 Lambda + 1) rungs, the choice of Syed et al. (2022), section 5.4."""
    return max(MINIMUM_RUNGS, int(np.ceil(2 * total_barrier)) + 1)


def equal_rejection(
    betas: np.ndarray,
    rejections: np.ndarray,
    required: np.ndarray,
    n_rungs: int | None = None,
) -> np.ndarray:
    """Ladder through every required rung, the others at equal steps of the barrier.

    Parameters
    ----------
    betas
        (K,) the rungs at which rejections were measured, increasing.
    rejections
        (K - 1,) swap rejection of each neighbouring pair.
    required
        the rungs that must be present, exactly; its ends are the ladder's ends.
    n_rungs
        how many rungs without required ones in the way; by default twice the barrier
        and at least six.

    Returns
    -------
    The new ladder. Between two required rungs the barrier is divided equally, so that no
    pair spans more of it than `n_rungs` equally spaced ones would.
    """
    # a flat barrier is not invertible: a tiny slope keeps rungs apart where nothing rejects
    cumulative = barrier(np.maximum(rejections, 1e-3))
    if n_rungs is None:
        n_rungs = recommended_rungs(cumulative[-1])
    at_beta = PchipInterpolator(betas, cumulative)
    at_barrier = PchipInterpolator(cumulative, betas)
    knots = np.asarray(required, dtype=np.float64)
    levels = at_beta(knots)
    spacing = (levels[-1] - levels[0]) / (n_rungs - 1)
    pieces: list[np.ndarray] = []
    for low, high, start, stop in zip(knots, knots[1:], levels, levels[1:], strict=False):
        n_steps = max(1, int(np.ceil((stop - start) / spacing - 1e-6)))
        inner = at_barrier(np.linspace(start, stop, n_steps + 1)[1:-1])
        inner = inner[(inner > low) & (inner < high)]
        pieces.append(np.concatenate([[low], inner]))
    return np.concatenate([*pieces, knots[-1:]])
