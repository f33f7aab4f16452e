"""Losses of a classifier's score f, with labels y in {0, 1} or {-1, +1}: m = (2 [y > 0] - 1) f."""

from __future__ import annotations

import pytensor.tensor as pt

from pm_statmech.losses.loss import Loss, constant, convolved_part, positive, softplus_part


def _margin(observed, score):
    return pt.switch(observed > 0, score, -score)


def _smooth_hinge_law(w):
    return lambda y, f: softplus_part(constant(1.0) - _margin(y, f), w)


def _convolved_hinge_law(h):
    return lambda y, f: convolved_part(constant(1.0) - _margin(y, f), h)


def smooth_hinge(width: float = 0.1) -> Loss:
    r"""Hinge with a softplus for its kink, :math:`w \log(1 + e^{(1 - m)/w})`."""
    width = positive(width, "width")
    return Loss("smooth_hinge", _smooth_hinge_law(constant(width)), parameters=(("width", width),))


#: log(1 + exp(-m)): the Bernoulli log loss of a logit.
logistic = Loss("logistic", lambda y, f: pt.softplus(-_margin(y, f)))

#: max(0, 1 - m), of support vector machines.
hinge = Loss(
    "hinge",
    lambda y, f: pt.maximum(constant(1.0) - _margin(y, f), 0),
    smooth=False,
    smoothed=_smooth_hinge_law,
    convolved=_convolved_hinge_law,
)

#: exp(-m), of boosting.
exponential = Loss("exponential", lambda y, f: pt.exp(-_margin(y, f)))

#: 1[m <= 0]: the share of wrong labels; bounded by 1, with no gradient.
zero_one = Loss(
    "zero_one",
    lambda y, f: pt.cast(_margin(y, f) <= 0, "float64"),
    bound=1.0,
    smooth=False,
    convex=False,
)

#: log sum_k exp(f_k) - f_y, for integer labels y and a row of scores an observation.
cross_entropy = Loss(
    "cross_entropy",
    lambda y, f: (
        pt.logsumexp(f, axis=-1)
        - pt.sum(f * pt.eq(pt.arange(f.shape[-1]), pt.expand_dims(y, -1)), axis=-1)
    ),
    signature="(),(k)->()",
)
