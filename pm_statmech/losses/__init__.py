"""Pointwise losses. Each is a frozen value: name, unit, bound, smoothness, convexity."""

from pm_statmech.losses.density import density_power
from pm_statmech.losses.location import (
    absolute,
    expectile,
    huber,
    log_cosh,
    pinball,
    pseudo_huber,
    squared,
    tukey_biweight,
)
from pm_statmech.losses.loss import Loss
from pm_statmech.losses.margin import (
    cross_entropy,
    exponential,
    hinge,
    logistic,
    smooth_hinge,
    zero_one,
)
from pm_statmech.losses.scoring import (
    brier,
    crps_ensemble,
    crps_gaussian,
    interval_score,
    log_score,
)

__all__ = [
    "Loss",
    "absolute",
    "brier",
    "cross_entropy",
    "crps_ensemble",
    "crps_gaussian",
    "density_power",
    "expectile",
    "exponential",
    "hinge",
    "huber",
    "interval_score",
    "log_cosh",
    "log_score",
    "logistic",
    "pinball",
    "pseudo_huber",
    "smooth_hinge",
    "squared",
    "tukey_biweight",
    "zero_one",
]
