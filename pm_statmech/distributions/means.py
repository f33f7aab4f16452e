"""Means of the variables, as `pymc.distributions.moments.mean` asks for them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.moments.means import _mean
from pymc.distributions.shape_utils import maybe_resize
from pytensor.tensor.blockwise import Blockwise

from pm_statmech.distributions.bingham import FisherBinghamRV
from pm_statmech.distributions.counts import ConwayMaxwellPoissonRV, EndlessZetaRV
from pm_statmech.distributions.family_variables import ListedRV, NumberRV
from pm_statmech.distributions.integrated_powers import PoweredRV
from pm_statmech.distributions.lines import TruncatedExponentialRV
from pm_statmech.distributions.spheres import VonMisesFisherRV, WatsonRV, unit
from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.conway_maxwell_poisson import CountCumulants
from pm_statmech.log_partition.fisher_bingham import FisherBingham


def resized(mean, rv, size, n_core: int):
    """Mean (..., *core) with the batch axes that size gives."""
    return maybe_resize(mean, size) if n_core == 0 else pt.broadcast_to(mean, rv.shape)


@cache
def with_itself(family: Family) -> Family:
    """The family with x as one more statistic, the first."""
    return Family(lambda x: [x, *family.statistics(x)], family.support, family.log_base)


@_mean.register(ListedRV)
def _listed_mean(op, rv, rng, size, *params):
    states, exponents = op.states(op.weights(*params))
    p = pt.exp(exponents - pt.logsumexp(exponents, axis=-1, keepdims=True))
    return resized(pt.dot(p, pt.cast(states, "float64")), rv, size, len(op.family.support.shape))


@_mean.register(NumberRV)
def _number_mean(op, rv, rng, size, *params):
    eta = op.natural(*params)
    eta = pt.concatenate([pt.zeros_like(eta[..., :1]), eta], axis=-1)
    mean = with_itself(op.family).mean_statistics(eta)[..., 0]
    origin = op.origin(*params)
    return maybe_resize(mean if origin is None else mean + origin, size)


@_mean.register(PoweredRV)
def _powered_mean(op, rv, rng, size, *params):
    return maybe_resize(op.engine().moments(op.weights(*params))[1][..., -1], size)


@_mean.register(ConwayMaxwellPoissonRV)
def _conway_maxwell_poisson_mean(op, rv, rng, size, log_lam, nu):
    return maybe_resize(Blockwise(CountCumulants())(log_lam, nu)[1], size)


@_mean.register(EndlessZetaRV)
def _endless_zeta_mean(op, rv, rng, size, s):
    # infinite unless s > 2
    finite = pt.exp(op.log_partition(pt.maximum(s - 1.0, 1.0)) - op.log_partition(s))
    return maybe_resize(pt.switch(pt.gt(s, 2.0), finite, np.inf), size)


@_mean.register(TruncatedExponentialRV)
def _truncated_exponential_mean(op, rv, rng, size, eta, lower, upper):
    # half the width times coth y - 1/y from the middle, with y = eta times half the width
    half = 0.5 * (upper - lower)
    y = eta * half
    near = pt.lt(pt.abs(y), 0.05)
    far = pt.switch(near, 1.0, y)
    square = pt.sqr(pt.switch(near, y, 0.05))
    series = y * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
    lean = pt.switch(near, series, 1.0 / pt.tanh(far) - 1.0 / far)
    return maybe_resize(lower + half + half * lean, size)


@_mean.register(VonMisesFisherRV)
def _von_mises_fisher_mean(op, rv, rng, size, mu, kappa):
    length = 1.0 - op.family.mean_statistics(-kappa[..., None])
    return resized(length * unit(mu), rv, size, 1)


@_mean.register(WatsonRV)
def _watson_mean(op, rv, rng, size, mu, kappa):
    return resized(pt.zeros_like(mu * kappa[..., None]), rv, size, 1)


@_mean.register(FisherBinghamRV)
def _fisher_bingham_mean(op, rv, rng, size, A, b):
    A = 0.5 * (A + pt.swapaxes(A, -1, -2))
    return resized(Blockwise(FisherBingham())(A, b)[1], rv, size, 1)
