"""Scoring rules: losses of a probabilistic prediction. All are proper."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pm_statmech.losses.loss import Loss, constant, fraction


def _crps_gaussian(y, mu, sigma):
    z = (y - mu) / sigma
    density = pt.exp(constant(-0.5) * z**2) / constant(np.sqrt(2 * np.pi))
    return sigma * (
        z * pt.erf(z / constant(np.sqrt(2.0)))
        + constant(2.0) * density
        - constant(1.0 / np.sqrt(np.pi))
    )


def _crps_ensemble(y, members):
    distance = pt.mean(pt.abs(members - pt.expand_dims(y, -1)), axis=-1)
    pairs = pt.abs(pt.expand_dims(members, -1) - pt.expand_dims(members, -2))
    return distance - constant(0.5) * pt.mean(pairs, axis=(-1, -2))


#: Brier score (y - p)^2 of the probability p of y = 1. Bounded by 1.
brier = Loss("brier", lambda y, p: (y - p) ** 2, bound=1.0)

#: Logarithmic score -y log p - (1 - y) log(1 - p) of the probability p of y = 1.
log_score = Loss(
    "log_score", lambda y, p: -pt.switch(y > 0, pt.log(p), pt.log1p(-p)), proper_scale=True
)

#: Continuous ranked probability score of N(mu, sigma^2), Gneiting and Raftery (2007), eq. 21.
crps_gaussian = Loss(
    "crps_gaussian", _crps_gaussian, unit="y", proper_scale=True, signature="(),(),()->()",
    convex=False,
)  # fmt: skip

#: E|X - y| - E|X - X'| / 2 over a row of ensemble members an observation.
crps_ensemble = Loss(
    "crps_ensemble", _crps_ensemble, unit="y", proper_scale=True, smooth=False,
    convex=False, signature="(),(m)->()",
)  # fmt: skip


def interval_score(alpha: float = 0.1) -> Loss:
    r"""Score of a central (1 - alpha) interval with ends l, u (Winkler 1972).

    .. math:: \ell(y, l, u) = (u - l) + \tfrac{2}{\alpha}(l - y)_+ + \tfrac{2}{\alpha}(y - u)_+

    Its minimisers are the alpha/2 and 1 - alpha/2 quantiles.

    >>> interval_score(0.5)(3.0, 0.0, 1.0).eval().item()
    9.0
    """
    alpha = fraction(alpha, "alpha")
    weight = constant(2.0 / alpha)
    return Loss(
        "interval_score",
        lambda y, low, high: (
            (high - low) + weight * pt.maximum(low - y, 0) + weight * pt.maximum(y - high, 0)
        ),
        parameters=(("alpha", alpha),),
        unit="y",
        smooth=False,
        proper_scale=True,
        signature="(),(),()->()",
    )
