r"""A distribution raised to a power and normalised again.

.. math:: p_\beta(x) = \frac{p(x)^\beta}{\int p(y)^\beta\, dy}

Without the integral, a random beta would be paid for by a density that is no density. For many
distributions the power is one of the same kind:

======================= ========================================================
Normal, MvNormal        covariance divided by beta
Gamma(a, b)             a' = beta (a - 1) + 1, b' = beta b
InverseGamma(a, b)      a' = beta (a + 1) - 1, b' = beta b
Beta, Dirichlet         a' = beta (a - 1) + 1
StudentT(nu, mu, s)     nu' = beta (nu + 1) - 1, s'^2 = s^2 nu / nu'; Cauchy is nu = 1
Laplace(mu, b)          b' = b / beta
LogNormal(mu, s)        mu' = mu + (1 - beta) s^2 / beta, s'^2 = s^2 / beta
Pareto(a, m)            a' = beta (a + 1) - 1
VonMises(mu, kappa)     kappa' = beta kappa
Bernoulli, Categorical  p' proportional to p^beta
Geometric(p)            1 - p' = (1 - p)^beta
Poisson(mu)             Conway-Maxwell-Poisson, log lambda = beta log mu, nu = beta
======================= ========================================================

Powers of others are the exponential family whose statistic is log p, and are integrated or summed.
The derivative of the normaliser in a parameter of p is beta E[d log p / d parameter], from the same
points.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.continuous import HalfCauchyRV, HalfStudentTRV, TruncatedNormalRV
from pymc.distributions.discrete import DiscreteUniformRV
from pymc.distributions.distribution import Distribution
from pymc.distributions.shape_utils import rv_size_is_none
from pytensor.tensor.random import basic as of

from pm_statmech.distributions.constants import check_constant, is_positive, known
from pm_statmech.distributions.counts import ConwayMaxwellPoisson
from pm_statmech.distributions.integrated_powers import IntegratedPower
from pm_statmech.errors import FamilyError


def positive(value, said: str):
    """A parameter that must be positive; FamilyError where it is constant and is not."""
    found = known(value)
    if found is not None and not np.all(found > 0):
        raise FamilyError(
            f"this power has no normaliser: {said} must be positive, and is {found}. Take a beta "
            "closer to 1."
        )
    return value


@singledispatch
def power_of(op, rv, beta, **kwargs):
    """Power beta of a variable, with a shape that kwargs give."""
    return IntegratedPower.dist(rv, beta, **kwargs)


def parameters(op, rv):
    """Parameters of a variable, in float64."""
    return [pt.cast(p, "float64") for p in op.dist_params(rv.owner)]


@power_of.register(of.NormalRV)
def _(op, rv, beta, **kwargs):
    mu, sigma = parameters(op, rv)
    return pm.Normal.dist(mu, sigma / pt.sqrt(beta), **kwargs)


@power_of.register(TruncatedNormalRV)
def _(op, rv, beta, **kwargs):
    mu, sigma, lower, upper = parameters(op, rv)
    return pm.TruncatedNormal.dist(
        mu=mu, sigma=sigma / pt.sqrt(beta), lower=lower, upper=upper, **kwargs
    )


@power_of.register(of.HalfNormalRV)
def _(op, rv, beta, **kwargs):
    _, sigma = parameters(op, rv)
    return pm.HalfNormal.dist(sigma / pt.sqrt(beta), **kwargs)


@power_of.register(of.MvNormalRV)
def _(op, rv, beta, **kwargs):
    mu, cov = parameters(op, rv)
    return pm.MvNormal.dist(mu, cov=cov / beta[..., None, None], **kwargs)


@power_of.register(of.GammaRV)
def _(op, rv, beta, **kwargs):
    shape, scale = parameters(op, rv)
    shape = positive(beta * (shape - 1) + 1, "beta (alpha - 1) + 1")
    return pm.Gamma.dist(shape, beta / scale, **kwargs)


@power_of.register(of.InvGammaRV)
def _(op, rv, beta, **kwargs):
    shape, scale = parameters(op, rv)
    shape = positive(beta * (shape + 1) - 1, "beta (alpha + 1) - 1")
    return pm.InverseGamma.dist(shape, beta * scale, **kwargs)


@power_of.register(of.BetaRV)
def _(op, rv, beta, **kwargs):
    a, b = (positive(beta * (p - 1) + 1, "beta (alpha - 1) + 1") for p in parameters(op, rv))
    return pm.Beta.dist(a, b, **kwargs)


@power_of.register(of.DirichletRV)
def _(op, rv, beta, **kwargs):
    [a] = parameters(op, rv)
    return pm.Dirichlet.dist(positive(beta[..., None] * (a - 1) + 1, "beta (a - 1) + 1"), **kwargs)


@power_of.register(of.ExponentialRV)
def _(op, rv, beta, **kwargs):
    [scale] = parameters(op, rv)
    return pm.Exponential.dist(scale=scale / beta, **kwargs)


def _student(nu, sigma, beta):
    """Degrees of freedom and scale of a power."""
    new = positive(beta * (nu + 1) - 1, "beta (nu + 1) - 1")
    return new, sigma * pt.sqrt(nu / new)


@power_of.register(of.StudentTRV)
def _(op, rv, beta, **kwargs):
    nu, mu, sigma = parameters(op, rv)
    nu, sigma = _student(nu, sigma, beta)
    return pm.StudentT.dist(nu=nu, mu=mu, sigma=sigma, **kwargs)


@power_of.register(HalfStudentTRV)
def _(op, rv, beta, **kwargs):
    nu, sigma = parameters(op, rv)
    nu, sigma = _student(nu, sigma, beta)
    return pm.HalfStudentT.dist(nu=nu, sigma=sigma, **kwargs)


@power_of.register(of.CauchyRV)
def _(op, rv, beta, **kwargs):
    mu, scale = parameters(op, rv)
    nu, sigma = _student(1.0, scale, beta)
    return pm.StudentT.dist(nu=nu, mu=mu, sigma=sigma, **kwargs)


@power_of.register(HalfCauchyRV)
def _(op, rv, beta, **kwargs):
    [scale] = parameters(op, rv)
    nu, sigma = _student(1.0, scale, beta)
    return pm.HalfStudentT.dist(nu=nu, sigma=sigma, **kwargs)


@power_of.register(of.LaplaceRV)
def _(op, rv, beta, **kwargs):
    mu, scale = parameters(op, rv)
    return pm.Laplace.dist(mu, scale / beta, **kwargs)


@power_of.register(of.LogNormalRV)
def _(op, rv, beta, **kwargs):
    mu, sigma = parameters(op, rv)
    mu = mu + (1 - beta) * pt.sqr(sigma) / beta
    return pm.LogNormal.dist(mu, sigma / pt.sqrt(beta), **kwargs)


@power_of.register(of.ParetoRV)
def _(op, rv, beta, **kwargs):
    alpha, m = parameters(op, rv)
    alpha = positive(beta * (alpha + 1) - 1, "beta (alpha + 1) - 1")
    return pm.Pareto.dist(alpha, m, **kwargs)


@power_of.register(of.VonMisesRV)
def _(op, rv, beta, **kwargs):
    mu, kappa = parameters(op, rv)
    return pm.VonMises.dist(mu, beta * kappa, **kwargs)


@power_of.register(of.UniformRV)
def _(op, rv, beta, **kwargs):
    lower, upper = parameters(op, rv)
    # of the shape that beta may give
    return pm.Uniform.dist(lower + 0.0 * beta, upper, **kwargs)


@power_of.register(DiscreteUniformRV)
def _(op, rv, beta, **kwargs):
    lower, upper = op.dist_params(rv.owner)
    return pm.DiscreteUniform.dist(lower + pt.cast(0.0 * beta, "int64"), upper, **kwargs)


@power_of.register(of.BernoulliRV)
def _(op, rv, beta, **kwargs):
    [p] = parameters(op, rv)
    return pm.Bernoulli.dist(logit_p=beta * (pt.log(p) - pt.log1p(-p)), **kwargs)


@power_of.register(of.CategoricalRV)
def _(op, rv, beta, **kwargs):
    [p] = parameters(op, rv)
    return pm.Categorical.dist(logit_p=beta[..., None] * pt.log(p), **kwargs)


@power_of.register(of.GeometricRV)
def _(op, rv, beta, **kwargs):
    [p] = parameters(op, rv)
    return pm.Geometric.dist(-pt.expm1(beta * pt.log1p(-p)), **kwargs)


@power_of.register(of.PoissonRV)
def _(op, rv, beta, **kwargs):
    [mu] = parameters(op, rv)
    return ConwayMaxwellPoisson.dist(log_lam=beta * pt.log(mu), nu=beta, **kwargs)


class Powered(Distribution):
    r"""A distribution raised to a power and normalised again.

    .. math:: p_\beta(x) = \frac{p(x)^\beta}{\int p(y)^\beta\, dy}

    The safe way to a random inverse temperature: with a likelihood to the power beta but without
    the integral, beta would follow the data to 0 or to infinity.

    Parameters
    ----------
    dist
        an unnamed distribution, such as ``pm.Normal.dist(mu, sigma)``.
    beta
        (...) power, > 0; random ones are allowed.

    Raises
    ------
    FamilyError
        constants of which the power cannot be normalised, or a distribution without closed form
        that is a vector, or of which it is not known where it lies.
    TypeError
        something that is not an unnamed distribution.

    Notes
    -----
    Closed forms are listed in `pm_statmech.distributions.powered`; others are integrated or
    summed, to a relative error below 1e-6 that is usually rounding, and have first derivatives.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.Powered.dist(pm.Normal.dist(0, 2), beta=4.0)
    >>> float(pm.logp(y, 0.0).eval()) == float(pm.logp(pm.Normal.dist(0, 1), 0.0).eval())
    True
    """

    @classmethod
    def dist(cls, dist, beta, **kwargs):
        """Return the variable without a model."""
        owner = getattr(dist, "owner", None)
        if owner is None or not hasattr(owner.op, "dist_params") or dist.name is not None:
            raise TypeError(
                f"Powered takes an unnamed distribution such as pm.Normal.dist(0, 1), not {dist!r}."
            )
        beta = check_constant("beta", beta, is_positive, "a power is finite and positive")
        try:
            owner.op.dist_params(owner)
            size = owner.op.size_param(owner)
        except ValueError as why:
            raise FamilyError(
                f"a power of {type(owner.op).__name__} is not known: it does not tell its "
                f"parameters ({why})."
            ) from why
        if not {"shape", "size"} & set(kwargs):
            kwargs["size"] = None if rv_size_is_none(size) else size
        return power_of(owner.op, dist, beta, **kwargs)
