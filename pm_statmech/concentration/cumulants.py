r"""Cumulants, their Legendre transforms, and rate functions: Cramer's theorem as an expression.

.. math:: K(t) = \log E[e^{tX}], \qquad I(x) = \sup_t\; t x - K(t), \qquad
          P(\bar X_n \ge x) = e^{-n I(x) + o(n)}

for x above the mean. Everything is a PyTensor expression, so that it can stand inside a model.

Sources: Cramer (1938), Actualites scientifiques et industrielles 736; Dembo and Zeitouni (1998),
Large Deviations Techniques and Applications, chapter 2; Rockafellar (1970), Convex Analysis,
section 26, for steepness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from pm_statmech.concentration.laws import INF, Law, is_known, numbers_of
from pm_statmech.concentration.named_laws import law_of
from pm_statmech.concentration.tilts import slopes, solve_slope, start_between
from pm_statmech.errors import CumulantError
from pm_statmech.exponential_family import Family


class Conjugate(NamedTuple):
    """A Legendre transform (...) and where its supremum is (...), which is its slope."""

    value: Any
    tilt: Any


class RateFunction(NamedTuple):
    """A rate (...), and its first two derivatives in x: the tilt, and 1 / K'' there.

    By the envelope theorem :math:`I'(x) = t^*(x)`, and the derivative of I in a parameter is minus
    that of K at the tilt: gradients of `value` are these.
    """

    value: Any
    tilt: Any
    curvature: Any


def _double(x):
    return pt.cast(pt.as_tensor_variable(x), "float64")


def cumulant(dist, t):
    r"""Cumulant generating function K(t) = log E[exp(tX)] (...), +inf where E is infinite.

    Parameters
    ----------
    dist
        an unnamed or named PyMC distribution, `Atoms`, or a `CompoundSum`.
    t
        (...) tilt, in 1 / the unit of X.

    Raises
    ------
    CumulantError
        a distribution whose tail is heavier than any exponential, such as LogNormal, or whose
        cumulant is not known here.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> round(float(pms.concentration.cumulant(pm.Poisson.dist(2), 0.5).eval()), 6)
    1.297443
    """
    law, t = law_of(dist), _double(t)
    low, high = law.domain
    inside = pt.ge(t, low) & pt.le(t, high)
    value = law.cumulant(pt.switch(inside, t, 0.0))
    return pt.switch(inside & ~pt.isnan(value), value, INF)


def legendre(function: Callable, x, *, low=-INF, high=INF) -> Conjugate:
    r"""Legendre transform of a convex function.

    .. math:: f^*(x) = \sup_{low < t < high}\; t x - f(t), \qquad \frac{df^*}{dx} = t^*(x)

    Parameters
    ----------
    function
        t -> f(t), elementwise on PyTensor tensors, with f'' above 0.
    x
        (...) slopes.
    low, high
        ends of the interval on which f is finite; at a finite end its slope must be infinite.

    Raises
    ------
    CumulantError
        numbers x that are no slope of f: beyond what f reaches, or f is not steep at an end, so
        that the supremum is at that end and the tilt has another mean than x. Random x give NaN
        there.

    Examples
    --------
    >>> import pytensor.tensor as pt, pm_statmech as pms
    >>> found = pms.concentration.legendre(pt.exp, 2.0)
    >>> round(float(found.value.eval()), 6)
    -0.613706
    """
    x = _double(x)
    t = solve_slope(function, x, low, high)
    t = _checked(function, t, x, (low, high), "the function")
    return Conjugate(t * x - function(t), t)


def _checked(function, t, x, domain, name: str):
    """The tilt, evaluated where everything is known; CumulantError where there is none."""
    if not is_known(t, x, function(t)):
        return t
    found, wanted = numbers_of(t, pt.broadcast_arrays(t, x)[1])
    if np.all(np.isfinite(found)):
        return pt.constant(found)
    value = wanted[np.isnan(found)].ravel()[0]
    function_of_one = function(start_between(*(_double(v) for v in domain))).type.ndim == 0
    # a hair inside, where a slope that is finite stays finite
    for end, sign in zip(numbers_of(*domain), (-1.0, 1.0), strict=True):
        if function_of_one and np.isfinite(end):
            slope = _slope_near(function, float(end), sign)
            if np.isfinite(slope) and sign * (value - slope) > 0:
                raise CumulantError(
                    f"{name} is not steep: its slope is {slope:.6g} at t = {end:.6g}, beyond which "
                    f"it is infinite, and {value:.6g} lies beyond that. No tilt has this mean: the "
                    f"supremum is at the end, and the rate goes on as a line of slope {end:.6g}."
                )
    raise CumulantError(
        f"no tilt of {name} gives the mean {value:.6g}: it lies outside the slopes of the "
        "cumulant, or on their edge, where the tilt is infinite."
    )


def _slope_near(function, end: float, sign: float) -> float:
    """Limit of the slope at a finite end, infinite where it grows without bound."""
    distance = max(abs(end), 1.0) * np.array([1e-4, 1e-6, 1e-8, 1e-10])
    near = pt.constant(end - sign * distance)
    [found] = numbers_of(slopes(function, near)[0])
    if not np.all(np.isfinite(found)):
        return INF
    # a slope that grows with a power of the distance to the end multiplies, or at least keeps
    # growing by as much; one that is bounded settles
    steps = np.abs(np.diff(found))
    return float(found[-1]) if steps[2] < 0.5 * steps[0] or steps[2] < 1e-9 else INF


def tilt_of(law: Law, x):
    """The tilt (...) that moves the mean of a law to x, which lies inside its support."""
    if law.tilt is not None:
        return law.tilt(x)
    t = solve_slope(law.cumulant, x, *law.domain)
    return _checked(law.cumulant, t, x, law.domain, f"the cumulant of {law.name}")


def rate_function(dist, x) -> RateFunction:
    r"""Cramer's rate function of the mean of independent draws.

    .. math:: I(x) = \sup_t\; t x - K(t) = \mathrm{KL}(P_{t^*}, P), \qquad K'(t^*) = x

    0 at the mean, +inf outside the support; at the end of a support, -log P(X = end).

    Parameters
    ----------
    dist
        an unnamed or named PyMC distribution, `Atoms`, or a `CompoundSum`; its parameters may be
        random variables of the model, and gradients flow through.
    x
        (...) values of the mean.

    Returns
    -------
    value, tilt (the derivative of the value) and curvature, PyTensor expressions.

    Raises
    ------
    CumulantError
        see `cumulant`; numbers x that no tilt has for a mean.

    Notes
    -----
    Inside a model, ``pm.Potential("tail", -n * rate_function(...).value)`` is no normalised
    likelihood: the rate leaves out the factor of `bahadur_rao`. Of Uniform, HalfNormal, Gumbel,
    Logistic, DiscreteUniform, Categorical, `Atoms` and `CompoundSum` the tilt is searched for, and
    native code of that takes some ten seconds to compile.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> found = pms.concentration.rate_function(pm.Exponential.dist(1), 3.0)
    >>> round(float(found.value.eval()), 6), round(float(found.tilt.eval()), 6)
    (0.901388, 0.666667)
    """
    law, x = law_of(dist), _double(x)
    (low, high), (at_low, at_high) = law.support, law.edges
    # of the shape that x and the parameters have together
    x = x + pt.zeros_like(law.cumulant(pt.zeros_like(x)))
    inside = pt.gt(x, low) & pt.lt(x, high)
    mean, _ = slopes(law.cumulant, pt.zeros_like(x))
    safe = pt.switch(inside, x, mean)
    t = tilt_of(law, safe)
    value = t * safe - law.cumulant(t)
    edge = pt.switch(pt.eq(x, low), at_low, pt.switch(pt.eq(x, high), at_high, INF))
    # the envelope theorem is in the expression: dI/dt = x - K'(t) is 0
    _, curvature = slopes(law.cumulant, t + 0.0)
    beyond = pt.switch(pt.le(x, low), -INF, INF)
    outside = pt.switch(pt.isnan(x), np.nan, edge)
    return RateFunction(
        pt.switch(inside, value, outside), pt.switch(inside, t, beyond),
        pt.switch(inside, 1 / curvature, np.nan),
    )  # fmt: skip


def cumulant_of_statistics(family: Family, eta, t):
    r"""Cumulant of the sufficient statistics of a family's member, (...).

    .. math:: K(t) = \log E_\eta[e^{t \cdot T}] = A(\eta + t) - A(\eta)

    Parameters
    ----------
    family
        a `Family`; eta : (..., K) its parameters; t : (..., K) tilts.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> found = pms.concentration.cumulant_of_statistics(die, [0.0], [0.1])
    >>> round(float(found.eval()), 6)
    0.364539
    """
    eta, t = _double(eta), _double(t)
    return family.log_partition(eta + t) - family.log_partition(eta)


def rate_function_of_statistics(family: Family, eta, mean):
    r"""Cramer's rate function of the mean statistics of a family's member, (...).

    .. math:: I(\mu) = \sup_t\; t \cdot \mu - A(\eta + t) + A(\eta)
              = \mathrm{KL}(p_{\eta^*(\mu)}, p_\eta)

    Sanov's theorem contracted to the statistics. Its gradient in mu is eta* - eta.

    Parameters
    ----------
    family
        a `Family`; eta : (..., K) its parameters; mean : (..., K) mu.

    Raises
    ------
    FamilyError
        numbers mu that no member has, see `Family.fit_moments`.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> found = pms.concentration.rate_function_of_statistics(die, [0.0], [4.5])
    >>> round(float(found.eval()), 6)
    0.178178
    """
    eta, mean = _double(eta), _double(mean)
    tilted = family.fit_moments(mean)
    gap = pt.sum((tilted - eta) * mean, axis=-1)
    return gap - family.log_partition(tilted) + family.log_partition(eta)
