"""Losses of a residual r = observed - prediction (divided by a scale, when one is given)."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import LossError
from pm_statmech.losses.loss import (
    Loss,
    constant,
    convolved_part,
    fixed,
    fraction,
    positive,
    softplus_part,
)


def _residual(name: str, law, unit: str, **properties) -> Loss:
    return Loss(name=name, law=law, unit=unit, residual=True, **properties)


#: Half the square, r^2 / 2, so that beta = 1/sigma^2 is the Normal likelihood.
squared = _residual("squared", lambda r: constant(0.5) * r**2, "y^2")

#: log cosh r. Its argument should be a pure number: give a scale as second prediction.
log_cosh = _residual(
    "log_cosh",
    lambda r: pt.abs(r) + pt.softplus(constant(-2.0) * pt.abs(r)) - constant(np.log(2.0)),
    "1",
)


def pinball(tau: float, smooth: float = 0.0) -> Loss:
    r"""Pinball (check, quantile) loss; its minimiser is the tau-quantile.

    .. math:: \ell(r) = r\,(\tau - 1[r < 0]),
              \qquad \ell_w(r) = \tau r + w \log(1 + e^{-r/w})

    `smooth` is the width w, in the unit of y, of the softplus that replaces the kink.
    Source: Koenker and Bassett (1978); smoothing of Zheng (2011).

    >>> pinball(0.25)(-2.0, 0.0).eval().item()
    1.5
    """
    tau = fraction(tau, "tau")
    width = fixed(smooth, "smooth")
    if not 0 <= width < np.inf:
        raise LossError(f"smooth = {width:g}: the width of the smoothed kink is >= 0.")

    def smoothed(w):
        return lambda r: constant(tau) * r + softplus_part(-r, w)

    def convolved(h):
        return lambda r: constant(tau) * r + convolved_part(-r, h)

    if width > 0:
        return _residual(
            "pinball", smoothed(constant(width)), "y", parameters=(("tau", tau), ("smooth", width))
        )
    return _residual(
        "pinball",
        lambda r: pt.maximum(constant(tau) * r, constant(tau - 1.0) * r),
        "y",
        parameters=(("tau", tau),),
        smooth=False,
        smoothed=smoothed,
        convolved=convolved,
    )


#: Absolute error |r| = 2 pinball(1/2); its minimiser is the median.
absolute = _residual(
    "absolute",
    pt.abs,
    "y",
    smooth=False,
    smoothed=lambda w: lambda r: r + constant(2.0) * softplus_part(-r, w),
    convolved=lambda h: lambda r: r + constant(2.0) * convolved_part(-r, h),
)


def huber(k: float = 1.345) -> Loss:
    r"""Huber's loss: half the square up to k, linear beyond.

    .. math:: \ell(r) = r^2/2 \;(|r| \le k), \qquad k|r| - k^2/2 \;(|r| > k)

    k is in the unit of y, or a pure number when a scale is given. Source: Huber (1964).
    """
    k = positive(k, "k")
    return _residual(
        "huber",
        lambda r: pt.switch(
            pt.abs(r) <= constant(k),
            constant(0.5) * r**2,
            constant(k) * pt.abs(r) - constant(0.5 * k * k),
        ),
        "y^2",
        parameters=(("k", k),),
    )


def pseudo_huber(delta: float = 1.0) -> Loss:
    r"""Smooth relative of Huber's loss, :math:`\ell(r) = \delta^2(\sqrt{1+(r/\delta)^2}-1)`."""
    delta = positive(delta, "delta")
    return _residual(
        "pseudo_huber",
        lambda r: (
            constant(delta**2) * (pt.sqrt(constant(1.0) + (r / constant(delta)) ** 2) - constant(1))
        ),
        "y^2",
        parameters=(("delta", delta),),
    )


def tukey_biweight(c: float = 4.685) -> Loss:
    r"""Tukey's biweight, redescending: beyond c a residual stops mattering.

    .. math:: \ell(r) = \tfrac{c^2}{6}\left(1 - (1 - (r/c)^2)_+^3\right)

    Bounded by c^2/6 and not convex. Source: Beaton and Tukey (1974).
    """
    c = positive(c, "c")
    return _residual(
        "tukey_biweight",
        lambda r: (
            constant(c * c / 6.0)
            * (constant(1.0) - pt.maximum(constant(1.0) - (r / constant(c)) ** 2, 0) ** 3)
        ),
        "y^2",
        parameters=(("c", c),),
        bound=c * c / 6.0,
        convex=False,
    )


def expectile(tau: float) -> Loss:
    r"""Asymmetric squared loss; its minimiser is the tau-expectile.

    .. math:: \ell(r) = |\tau - 1[r < 0]|\, r^2

    At tau = 1/2 it is half the square. Source: Newey and Powell (1987).
    """
    tau = fraction(tau, "tau")
    return _residual(
        "expectile",
        lambda r: pt.switch(r < 0, constant(1.0 - tau), constant(tau)) * r**2,
        "y^2",
        parameters=(("tau", tau),),
    )
