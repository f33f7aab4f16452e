r"""What Cramér's exponent leaves out: Bahadur and Rao's factor, and saddlepoint approximations.

.. math:: P(\bar X_n \ge x) \approx \frac{e^{-n I(x)}}{t \sigma \sqrt{2 \pi n}}, \qquad
          f_n(x) \approx \sqrt{\frac{n}{2 \pi K''(t)}}\, e^{-n I(x)}

with K'(t) = x and sigma^2 = K''(t).

Sources: Bahadur and Rao (1960), Ann. Math. Statist. 31, 1015-1027; Daniels (1954), Ann. Math.
Statist. 25, 631-650; Lugannani and Rice (1980), Adv. Appl. Probab. 12, 475-490; Daniels (1987),
Int. Statist. Rev. 55, 37-48, for lattices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.special import log_ndtr

from pm_statmech.concentration.cumulants import rate_function
from pm_statmech.concentration.lattice_sums import first_above, whole_number
from pm_statmech.concentration.laws import numbers_of
from pm_statmech.concentration.named_laws import law_of
from pm_statmech.concentration.tilts import slopes
from pm_statmech.errors import CumulantError

# below as many standard deviations of one draw from the mean two terms cancel
NEAR = 1e-3


class _Saddle(NamedTuple):
    """Rate, tilt, K'' and the third and fourth cumulants over K'', at the tilt of a mean."""

    rate: float
    tilt: float
    curvature: float
    third: float
    fourth: float


def _saddle(law, mean: float) -> _Saddle:
    low, high = ends_of(law)
    if not low < mean < high:
        raise CumulantError(
            f"a mean of {mean:g} is not inside the support {low:g} to {high:g} of {law.name}, "
            "where there is no saddlepoint."
        )
    found = rate_function(law, mean)
    rate, t = (float(v) for v in numbers_of(found.value, found.tilt))
    at: Any = pt.constant(t)
    _, curvature = slopes(law.cumulant, at)
    third: Any = pytensor.grad(curvature, at)
    fourth: Any = pytensor.grad(third, at)
    two, three, four = (float(v) for v in numbers_of(curvature, third, fourth))
    return _Saddle(rate, t, two, three / two, four / two)


def ends_of(law) -> tuple[float, float]:
    """Ends of the support of one law.

    Raises
    ------
    CumulantError
        arrays of parameters, or random ones.
    """
    ends = numbers_of(*law.support)
    vectors = [v.ndim - (law.name == "Categorical") for v in numbers_of(*law.parameters)]
    if any(v.ndim for v in ends) or max(vectors, default=0) > 0:
        raise CumulantError(
            f"{law.name} has arrays of parameters, where a probability is of one law: take one."
        )
    return float(ends[0]), float(ends[1])


def _on_lattice(law, n: int, threshold: float) -> float:
    """The first value of a mean at or above a threshold."""
    whole_number(n, threshold)
    if law.span == 0.0:
        return threshold
    origin = ends_of(law)[0] if law.origin is None else law.origin
    return origin + law.span * first_above(n, origin, law.span, threshold) / n


def bahadur_rao(dist, *, n: int, threshold: float) -> float:
    r"""Log probability that the mean of n draws is at or above a threshold, to 1 + O(1/n).

    .. math:: \log\left[\frac{e^{-n I(x)}}{\sigma \sqrt{2 \pi n}}
              \times \frac1t \text{ or } \frac{d}{1 - e^{-td}}\right]

    the second on a lattice of span d, where x is the first value of the mean at or above the
    threshold.

    Parameters
    ----------
    dist
        an unnamed PyMC distribution, `Atoms`, or a `CompoundSum`.
    n
        number of draws; threshold : x, above E[X].

    Raises
    ------
    CumulantError
        a threshold at or below the mean, or not inside the support.

    Examples
    --------
    >>> import pymc as pm
    >>> round(bahadur_rao(pm.DiscreteUniform.dist(1, 6), n=100, threshold=4.5), 7)
    -20.2842027
    """
    law = law_of(dist)
    x = _on_lattice(law, n, threshold)
    if x == ends_of(law)[1]:
        return _all_at_the_end(law, n)
    saddle = _saddle(law, x)
    if not saddle.tilt > 0:
        raise CumulantError(
            f"threshold = {threshold:g} is not above the mean, where the refinement does not hold: "
            "take `saddlepoint_tail`."
        )
    factor = (
        np.log(law.span / -np.expm1(-saddle.tilt * law.span)) if law.span else -np.log(saddle.tilt)
    )
    return float(-n * saddle.rate - 0.5 * np.log(2 * np.pi * n * saddle.curvature) + factor)


def saddlepoint_density(dist, *, n: int, mean: float) -> float:
    r"""Log density of the mean of n draws, or of a lattice its log probability, to 1 + O(1/n).

    .. math:: \log\left[\sqrt{\frac{n}{2 \pi K''(t)}}\, e^{-n I(x)}\right]

    and, on a lattice, d/n times that.

    Parameters
    ----------
    dist
        see `bahadur_rao`; n : number of draws; mean : x.

    Examples
    --------
    >>> import pymc as pm
    >>> round(saddlepoint_density(pm.Normal.dist(0, 1), n=4, mean=1.0), 6)
    -2.225791
    """
    law, n = law_of(dist), whole_number(n, mean)
    saddle = _saddle(law, mean)
    cell = np.log(law.span / n) if law.span else 0.0
    return float(0.5 * np.log(n / (2 * np.pi * saddle.curvature)) - n * saddle.rate + cell)


def saddlepoint_tail(dist, *, n: int, threshold: float) -> float:
    r"""Log probability that the mean of n draws is at or above a threshold, near and far.

    .. math:: 1 - \Phi(w) + \phi(w) \left(\frac1u - \frac1w\right), \qquad
              w = \operatorname{sign}(t) \sqrt{2 n I(x)}, \qquad u = t \sqrt{n K''(t)}

    with t replaced by (1 - exp(-td)) / d on a lattice of span d. Lugannani and Rice's formula,
    whose relative error is small at any distance from the mean.

    Parameters
    ----------
    dist
        see `bahadur_rao`; n : number of draws; threshold : x.

    Examples
    --------
    >>> import pymc as pm
    >>> round(saddlepoint_tail(pm.DiscreteUniform.dist(1, 6), n=100, threshold=4.5), 4)
    -20.3049
    """
    law = law_of(dist)
    x = _on_lattice(law, n, threshold)
    if x == ends_of(law)[1]:
        return _all_at_the_end(law, n)
    saddle = _saddle(law, x)
    t, d = saddle.tilt, law.span
    scale = np.sqrt(n * saddle.curvature)
    u = t * scale
    if abs(t) * np.sqrt(saddle.curvature) < NEAR:
        # both terms cancel at the mean: their series in t
        w = u * np.sqrt(1 - t * saddle.third / 3 + t**2 * saddle.fourth / 12)
        gap = -(saddle.third / 6 + t * (saddle.third**2 - saddle.fourth) / 24) / scale
    else:
        w = float(np.sign(t) * np.sqrt(2 * n * saddle.rate))
        gap = 1 / u - 1 / w
    if d:
        td = t * d
        near = td / 12 + 0.5
        gap += d * (near if abs(td) < 1e-3 else 1 / -np.expm1(-td) - 1 / td) / scale
    # both terms relative to the first, which does not overflow below the mean
    ratio = np.exp(-0.5 * w**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-w))
    return float(log_ndtr(-w) + np.log1p(gap * ratio))


def _all_at_the_end(law, n: int) -> float:
    """Log probability that all n draws are at the upper end."""
    return -n * float(numbers_of(law.edges[1])[0])
