"""The density power loss of a PyMC distribution, with its normalising integral."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.basic import logp

from pm_statmech.errors import LossError
from pm_statmech.losses.loss import Loss, constant, positive


def _log_integral_normal(power, mu, sigma):
    return -pt.log(power) / 2 + (1 - power) * (pt.log(sigma) + np.log(2 * np.pi) / 2)


def _log_integral_exponential(power, scale):
    return -pt.log(power) + (1 - power) * pt.log(scale)


def _log_integral_laplace(power, mu, b):
    return -pt.log(power) + (1 - power) * pt.log(2 * b)


def _log_integral_student_t(power, nu, mu, sigma):
    log_beta = pt.gammaln(0.5) + pt.gammaln(nu / 2) - pt.gammaln((nu + 1) / 2)
    tail = (power * (nu + 1) - 1) / 2
    raised = pt.gammaln(0.5) + pt.gammaln(tail) - pt.gammaln(tail + 0.5)
    return raised - power * log_beta + (1 - power) * (pt.log(sigma) + pt.log(nu) / 2)


def _log_integral_bernoulli(power, p):
    return pt.log(p**power + (1 - p) ** power)


# arguments of the distribution, and the log of the integral of f^power in the parameters of its op
_LOG_INTEGRALS: dict[str, tuple[tuple[str, ...], Callable]] = {
    "Normal": (("mu", "sigma"), _log_integral_normal),
    "Exponential": (("lam",), _log_integral_exponential),
    "Laplace": (("mu", "b"), _log_integral_laplace),
    "StudentT": (("nu", "mu", "sigma"), _log_integral_student_t),
    "Bernoulli": (("p",), _log_integral_bernoulli),
}


def density_power(distribution: type[pm.Distribution], alpha: float, **fixed_parameters) -> Loss:
    r"""Density power divergence as a loss: robust, and proper in every parameter of f.

    .. math:: \ell(y, \theta) = \frac{1 - f_\theta(y)^\alpha}{\alpha}
              - \frac{1 - \int f_\theta^{1+\alpha}}{1 + \alpha}

    It tends to :math:`-\log f_\theta(y)` as alpha tends to 0. Source: Basu, Harris, Hjort,
    Jones (1998), scaled as in Ghosh and Basu (2016).

    Parameters
    ----------
    distribution
        a PyMC distribution, one of Normal, Exponential, Laplace, StudentT,
        Bernoulli: those whose integral has a closed form here.
    alpha
        the power, > 0; 0.1 to 0.5 are common.
    fixed_parameters
        parameters passed by name and not estimated, such as ``nu=4``. The
        others come from the prediction, in the order of the distribution's arguments.

    Examples
    --------
    >>> import pymc as pm
    >>> round(density_power(pm.Normal, 1e-6)(0.0, 0.0, 1.0).eval().item(), 5)
    0.91894
    """
    alpha = positive(alpha, "alpha")
    name = distribution.__name__
    if name not in _LOG_INTEGRALS:
        raise LossError(
            f"density_power has no closed integral of f^(1 + alpha) for {name}; it has one for "
            f"{', '.join(sorted(_LOG_INTEGRALS))}."
        )
    arguments, log_integral = _LOG_INTEGRALS[name]
    unknown = set(fixed_parameters) - set(arguments)
    if unknown:
        raise LossError(f"{name} has no parameter {sorted(unknown)}; it has {arguments}.")
    free = [argument for argument in arguments if argument not in fixed_parameters]

    def law(observed, *prediction):
        rv = distribution.dist(**fixed_parameters, **dict(zip(free, prediction, strict=True)))
        log_density = logp(rv, observed)
        log_of_integral = log_integral(constant(1.0 + alpha), *rv.owner.op.dist_params(rv.owner))
        return -pt.expm1(constant(alpha) * log_density) / constant(alpha) + pt.expm1(
            log_of_integral
        ) / constant(1.0 + alpha)

    return Loss(
        "density_power",
        law,
        parameters=(("distribution", name), ("alpha", alpha), *sorted(fixed_parameters.items())),
        convex=False,
        proper_scale=True,
        signature=",".join(["()"] * (1 + len(free))) + "->()",
    )
