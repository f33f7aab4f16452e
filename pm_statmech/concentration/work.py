r"""Work, heat and free energy of moving natural parameters, and what fluctuations of work say.

With the energy :math:`-\eta \cdot T` in units of kT, a sudden change from eta to eta' costs

.. math:: W = -(\eta' - \eta) \cdot T(x), \quad x \sim p_\eta, \qquad
          \Delta F = A(\eta) - A(\eta'), \qquad
          \langle W \rangle - \Delta F = \mathrm{KL}(p_\eta, p_{\eta'}) \ge 0

In steps with time to relax in between it costs less, and in the limit of many steps nothing is
dissipated. Whatever the steps,

.. math:: \left\langle e^{-W} \right\rangle = e^{-\Delta F}, \qquad
          \frac{P_F(W)}{P_R(-W)} = e^{W - \Delta F}

Sources: Jarzynski (1997), Phys. Rev. Lett. 78, 2690-2693; Crooks (1999), Phys. Rev. E 60,
2721-2726; Bennett (1976), J. Comp. Phys. 22; Shirts, Bair, Hooker, Pande (2003), Phys. Rev. Lett.
91, 140601; Balsubramani (2025), arXiv:2501.02071.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.special import logsumexp

from pm_statmech.bridges import bennett_ratio
from pm_statmech.errors import ConvergenceWarning, FamilyError
from pm_statmech.exponential_family import Family


class Change(NamedTuple):
    """What moving the parameters along a path costs on the average, in units of kT.

    First law: the energy of the last distribution less that of the first is `work` + `heat`.
    Second law: `dissipated` = `work` - `free_energy` is not negative.
    """

    free_energy: float
    work: float
    heat: float
    dissipated: float


class WorkDraws(NamedTuple):
    """Work (draws,) of forward and of reverse changes, and the exact free energy difference."""

    forward: np.ndarray
    reverse: np.ndarray
    free_energy: float


class FreeEnergy(NamedTuple):
    """An estimated free energy difference in units of kT, and its standard error."""

    free_energy: float
    mcse: float


class Crooks(NamedTuple):
    """Bennett's estimate from both directions, and the slope of the log odds, which is to be 1."""

    free_energy: float
    mcse: float
    slope: float
    slope_mcse: float


def _path(family: Family, path) -> np.ndarray:
    path = np.asarray(path, dtype=np.float64)
    if path.ndim != 2 or len(path) < 2 or path.shape[1] != family.n_statistics:
        raise FamilyError(
            f"a path of shape {path.shape}: natural parameters (steps + 1, {family.n_statistics}), "
            "from the first to the last."
        )
    return path


def _along(family: Family, path) -> tuple[np.ndarray, np.ndarray]:
    """A (n,) and E[T] (n, K) at each point of a path."""
    eta = pt.matrix("eta", dtype="float64")
    outputs = [family.log_partition(eta), family.mean_statistics(eta)]
    log_partition, means = pytensor.function([eta], outputs, mode="FAST_COMPILE")(path)
    if not np.all(np.isfinite(log_partition)):
        at = path[np.argmin(np.isfinite(log_partition))]
        raise FamilyError(f"no distribution of the family has the natural parameters {at}.")
    return log_partition, means


def change(family: Family, path) -> Change:
    r"""Mean work, heat and free energy of sudden steps along a path, with rest between them.

    .. math:: \langle W \rangle = -\sum_k (\eta_{k + 1} - \eta_k) \cdot E_{\eta_k}[T], \qquad
              \langle W \rangle - \Delta F = \sum_k \mathrm{KL}(p_{\eta_k}, p_{\eta_{k + 1}})

    Parameters
    ----------
    family
        a `Family`; path : (steps + 1, K) natural parameters, of which two are a sudden change.

    Raises
    ------
    FamilyError
        a path of another shape, or through parameters that give no distribution.

    Examples
    --------
    A spring of stiffness 1 that is made ten times as stiff at once:

    >>> import pm_statmech as pms
    >>> spring = pms.Family(lambda x: [-(x**2) / 2], pms.Interval(float("-inf"), float("inf")))
    >>> found = change(spring, [[1.0], [10.0]])
    >>> round(found.work, 6), round(found.free_energy, 6), round(found.dissipated, 6)
    (4.5, 1.151293, 3.348707)
    """
    path = _path(family, path)
    log_partition, means = _along(family, path)
    work = -float(np.sum(np.diff(path, axis=0) * means[:-1]))
    heat = -float(np.sum(path[1:] * np.diff(means, axis=0)))
    free_energy = float(log_partition[0] - log_partition[-1])
    return Change(free_energy, work, heat, work - free_energy)


def simulate_work(family: Family, path, *, draws: int = 10_000, random_seed=None) -> WorkDraws:
    r"""Work of many changes along a path and back, each step from the distribution at rest.

    .. math:: W = -\sum_k (\eta_{k + 1} - \eta_k) \cdot T(x_k), \qquad x_k \sim p_{\eta_k}

    Parameters
    ----------
    family
        a `Family`; path : (steps + 1, K) natural parameters.
    draws
        in each direction; random_seed : an int or a NumPy Generator.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> drawn = simulate_work(die, np.linspace(0, 1, 5)[:, None], draws=4000, random_seed=1)
    >>> found = jarzynski(drawn.forward)
    >>> bool(abs(found.free_energy - drawn.free_energy) < 4 * found.mcse)
    True
    """
    from pm_statmech.distributions.projected import statistics_sampler

    path = _path(family, path)
    log_partition, _ = _along(family, path)
    sample = statistics_sampler(family, draws, random_seed)
    forward, reverse = np.zeros(draws), np.zeros(draws)
    for here, onward in pairwise(path):
        forward -= sample(here) @ (onward - here)
        reverse -= sample(onward) @ (here - onward)
    return WorkDraws(forward, reverse, float(log_partition[0] - log_partition[-1]))


def jarzynski(work) -> FreeEnergy:
    r"""Free energy difference from work in one direction, :math:`-\log \langle e^{-W} \rangle`.

    The error is that of the delta method, too small where few draws with little work count: see
    `crooks`.

    Parameters
    ----------
    work
        (draws,) W in units of kT.

    Raises
    ------
    FamilyError
        fewer than two draws, or work that is NaN.

    Examples
    --------
    >>> round(jarzynski([1.0, 2.0, 3.0]).free_energy, 6)
    1.691006
    """
    w = np.asarray(work, dtype=np.float64).ravel()
    if len(w) < 2 or np.any(np.isnan(w)):
        raise FamilyError("work is NaN, or there are fewer than two draws of it.")
    log_mean = float(logsumexp(-w) - np.log(len(w)))
    relative = np.exp(-w - log_mean)
    return FreeEnergy(-log_mean, float(np.std(relative, ddof=1) / np.sqrt(len(w))))


def crooks(forward, reverse) -> Crooks:
    r"""Free energy difference from work in both directions, and whether Crooks' relation holds.

    .. math:: \log\frac{P_F(W)}{P_R(-W)} = W - \Delta F

    Bennett's acceptance ratio gives the difference. A logistic regression of the direction on W
    has slope 1 where the relation holds, and another where work was miscounted or changes began
    elsewhere than at rest.

    Parameters
    ----------
    forward, reverse
        (draws,) W of each direction, in units of kT, independent. That of the reverse change is
        the work done in it, of its own sign: over the same energy difference as a gain.

    Raises
    ------
    FamilyError
        fewer than two draws, NaN, or work that is always the same.

    Notes
    -----
    Where forward work and minus the reverse work do not overlap the slope is NaN, and a
    `ConvergenceWarning` says so.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> drawn = simulate_work(die, [[0.0], [1.0]], draws=4000, random_seed=1)
    >>> found = crooks(drawn.forward, drawn.reverse)
    >>> bool(abs(found.slope - 1) < 4 * found.slope_mcse)
    True
    """
    from statsmodels.api import Logit

    f, r = (np.asarray(v, dtype=np.float64).ravel() for v in (forward, reverse))
    if min(len(f), len(r)) < 2 or np.any(np.isnan(f)) or np.any(np.isnan(r)):
        raise FamilyError("work is NaN, or there are fewer than two draws of it in a direction.")
    if min(np.ptp(f), np.ptp(r)) == 0:
        raise FamilyError(
            "all work is the same: the changes lead nowhere, or the draws are one and the same."
        )
    value, hot, cold = bennett_ratio(-f, r)
    variance = np.var(hot, ddof=1) / len(f) + np.var(cold, ddof=1) / len(r)
    if np.min(f) >= np.max(-r) or np.max(f) <= np.min(-r):
        warnings.warn(
            f"forward work, {np.min(f):.3g} to {np.max(f):.3g}, and minus the reverse work, "
            f"{np.min(-r):.3g} to {np.max(-r):.3g}, do not overlap: no difference can be read off. "
            "Take smaller steps; or is the reverse work negated already?",
            ConvergenceWarning,
            stacklevel=2,
        )
        return Crooks(-value, float(np.sqrt(variance)), np.nan, np.nan)
    is_forward = np.append(np.ones(len(f)), np.zeros(len(r)))
    work = np.append(f, -r)
    design = np.column_stack([np.ones(len(work)), work])
    fit = Logit(is_forward, design).fit(disp=0)
    return Crooks(-value, float(np.sqrt(variance)), float(fit.params[1]), float(fit.bse[1]))
