r"""Natural parameters of given mean statistics: damped Newton on the dual.

.. math:: \eta^*(\mu) = \arg\min_\eta\; A(\eta) - \eta \cdot \mu
          + \sum_k \epsilon_k |\eta_k| + \tfrac12 \sum_k v_k \eta_k^2

Without the last two terms E[T] = mu. With slack epsilon, abs(E[T] - mu) <= epsilon and entropy is
largest under that; statistics whose slack does not bind have eta = 0. With variances v, entropy is
weighed against sum (E[T] - mu)^2 / 2v. By the implicit function theorem

.. math:: d\eta = \left(\operatorname{Cov}(T) + \operatorname{diag} v\right)^{-1}
          \left(d\mu - \operatorname{sign}(\eta)\, d\epsilon - \eta\, dv\right)

among the eta that are not 0 or have no slack.

The objective is convex, and +inf where A is, so that steps that are shortened until it falls
converge from wherever A is finite. They grow as long as that pays: the distribution may lie far
from the first one. The decrement g' H^{-1} g, which no change of units alters, says how far there
is to go; below 1e-13 one more step leaves nothing. With slack a step stays in one orthant, and
entries that would leave it stop at 0.

Sources: Wainwright and Jordan (2008), section 3.6, for the dual; Dudik, Phillips, Schapire (2007),
J. Mach. Learn. Res. 8, 1217-1260, for slack and variances; Boyd and Vandenberghe (2004), Convex
Optimization, section 9.5, for the decrement; Andrew and Gao (2007), ICML, for orthants.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

from pm_statmech.errors import FamilyError
from pm_statmech.log_partition.moments import VERSION as ENGINE_VERSION
from pm_statmech.log_partition.moments import Covariance, OneNumber
from pm_statmech.log_partition.terms import first_moments, second_moments
from pm_statmech.native_code import source_beside

MAX_TRIALS, LEAST_LENGTH = 400, 1e-15
# in nats, below that of any distribution that floating point could tell from a point
LEAST_ENTROPY = -1e4
LEAST_STRIDE, MOST_CANDIDATES = 1e-4, 81
# of the decrement, a squared distance in standard deviations
QUADRATIC, CONVERGED = 1e-6, 1e-13
# raise this when the kernels change: the disk cache knows nothing of them
VERSION = 3


@njit(cache=True, error_model="numpy")
def newton_step(gradient, hessian, eta, slack):
    """Step (K,) of Newton in units of standard deviations, the decrement, and the orthant (K,).

    Entries at 0 whose slack does not bind stay there.
    """
    n = len(eta)
    slope, orthant = gradient.copy(), np.sign(eta)
    scale = np.sqrt(np.diag(hessian))
    for k in range(n):
        if slack[k] > 0.0:
            if eta[k] != 0.0:
                slope[k] += slack[k] * orthant[k]
            else:
                slope[k] -= np.sign(slope[k]) * min(slack[k], abs(slope[k]))
                orthant[k] = -np.sign(slope[k])
    correlation = hessian / np.outer(scale, scale)
    for k in range(n):
        if slack[k] > 0.0 and orthant[k] == 0.0:
            correlation[k, :] = 0.0
            correlation[:, k] = 0.0
            correlation[k, k] = 1.0
        correlation[k, k] += 1e-14
    step = -np.linalg.solve(correlation, slope / scale) / scale
    return step, -np.dot(step, slope), orthant


@njit(cache=True, error_model="numpy")
def kept_in(trial, orthant, slack):
    """A trial (K,) whose entries with slack stop at 0 where they would leave the orthant."""
    for k in range(len(trial)):
        if slack[k] > 0.0 and trial[k] * orthant[k] <= 0.0:
            trial[k] = 0.0
    return trial


def newton_of(terms):
    """Function (mean (K,), start (K,), slack (K,), variance (K,), low, high) -> eta (K,).

    NaN where steps do not reach them, infinite where nothing has that mean: the objective is an
    upper bound of the entropy of whatever has it, so that it then falls without end.
    """

    def newton(mean, start, slack, variance, low, high):
        n = len(mean)
        none = np.full(n, np.nan)
        eta, value, step, decrement, length = start, np.inf, np.zeros(n), np.inf, 0.0
        best, best_value, improved, orthant = start, np.inf, False, np.sign(start)
        is_last = False
        means, hessian = np.zeros(n), np.zeros((n, n))
        # one call of `terms`, in one place: compilers copy it to each
        for _ in range(MAX_TRIALS):
            trial = kept_in(eta + length * step, orthant, slack)
            found = terms(np.append(trial, 1.0), low, high, 0)
            log_z, trial_means, _ = first_moments(found)
            penalty = np.sum(slack * np.abs(trial) + 0.5 * variance * trial**2)
            trial_value = log_z - np.dot(trial, mean) + penalty if log_z < np.inf else np.inf
            if is_last:
                # where the means are those of the edge, a step may go over it
                return trial if trial_value < np.inf else eta
            # close by rounding hides a decrease, and full steps converge
            sure = decrement < QUADRATIC and length == 1.0 and trial_value < np.inf
            least = best_value if improved else value - 1e-4 * length * decrement
            accepted = sure or trial_value < (np.inf if length == 0.0 else least)
            if accepted:
                best, best_value, improved = trial, trial_value, True
                means, hessian = trial_means[:n], second_moments(found)[:n, :n].copy()
            if accepted and length >= 1.0 and decrement >= 1.0:
                # longer, while the objective falls further
                length *= 2.0
                continue
            if not improved:
                # shorter, and not close to where A becomes infinite
                length *= 0.25 if trial_value == np.inf else 0.5
                if length < LEAST_LENGTH:
                    return none
                continue
            eta, value, improved = best, best_value, False
            if value < LEAST_ENTROPY:
                return np.full(n, np.inf)
            if not np.all(np.diag(hessian) > 0.0):
                return none
            for k in range(n):
                hessian[k, k] += variance[k]
            step, decrement, orthant = newton_step(
                means - mean + variance * eta, hessian, eta, slack
            )
            if not 0.0 <= decrement < np.inf:
                return none
            is_last, length = decrement < CONVERGED, 1.0
        return none

    return newton


def match_of(newton):
    """The same from many starts (S, K) with their means, in turn, then by way of means in between.

    Means between those of two distributions are those of some distribution, though not always of
    one in the family.
    """

    def match(mean, starts, means, slack, variance, low, high):
        for i in range(2 * len(starts)):
            j, direct = i % len(starts), i < len(starts)
            eta, share, stride = starts[j], 0.0, 1.0 if direct else 0.25
            while share < 1.0 and stride > LEAST_STRIDE:
                farther = min(share + stride, 1.0)
                nearer = (1.0 - farther) * means[j] + farther * mean
                trial = newton(nearer, eta, slack, variance, low, high)
                if np.isinf(trial[0]):
                    return np.full(len(mean), np.nan)
                if np.all(np.isfinite(trial)):
                    eta, share, stride = trial, farther, 2.0 * stride
                elif direct:
                    break
                else:
                    stride *= 0.25
            if share == 1.0:
                return eta
        return np.full(len(mean), np.nan)

    return match


class Inversion(Op):
    """Natural parameters (K,) of mean statistics (K,), see `newton_of`."""

    __props__ = ("engine",)
    gufunc_signature = "(k),(s,k),(s,k),(k),(k)->(k)"

    def __init__(self, engine: OneNumber) -> None:
        self.engine = engine

    def make_node(self, mean, starts, means, slack, variance):
        """Apply to means, to natural parameters (S, K) to start from with theirs, and penalties."""
        inputs = [
            pt.cast(pt.as_tensor_variable(v), "float64")
            for v in (mean, starts, means, slack, variance)
        ]
        shape = (inputs[1].type.shape[1],)
        return Apply(self, inputs, [pt.vector(shape=shape, dtype="float64")])

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        engine = self.engine
        with np.errstate(all="ignore"):
            match = match_of(newton_of(engine.terms()))
            given = (np.ascontiguousarray(v) for v in inputs)
            output_storage[0][0] = match(*given, engine.low, engine.high)

    def infer_shape(self, node, shapes):
        """Shape of the means."""
        return [shapes[0]]

    def pullback(self, inputs, outputs, cotangents):
        """By the implicit function theorem; where Newton starts is of no consequence."""
        _, starts, means, slack, variance = inputs
        [eta] = outputs
        weights = pt.concatenate([eta, pt.ones(1)])
        covariance = Covariance(self.engine)(weights, *self.engine.ends)[:-1, :-1]
        to_mean, to_slack, to_variance = cotangents_of(
            eta, covariance, slack, variance, cotangents[0]
        )
        return [to_mean, pt.zeros_like(starts), pt.zeros_like(means), to_slack, to_variance]


def cotangents_of(eta, covariance, slack, variance, cotangent):
    """Cotangents of means, slack and variance (K,), of that of eta."""
    free = pt.neq(eta, 0.0) | pt.le(slack, 0.0)
    hessian = pt.switch(free[:, None] & free, covariance + pt.diag(variance), pt.eye(eta.shape[0]))
    to_mean = pt.linalg.solve(hessian, pt.switch(free, cotangent, 0.0), assume_a="sym")
    to_mean = pt.switch(free, to_mean, 0.0)
    return to_mean, -to_mean * pt.sign(eta), -to_mean * eta


@register_funcify_and_cache_key(Inversion)
def _numba_inversion(op, node, **kwargs):
    engine = op.engine
    kernel = engine.native_kernel()
    source = "\n".join(
        [
            # the key on disk is made of this text, not of the environment
            f"# {VERSION}, {ENGINE_VERSION}: {engine.name} {engine.low!r} {engine.high!r} "
            f"{engine.breakpoints}",
            "def inversion(mean, starts, means, slack, variance):",
            "    mean, starts = np.ascontiguousarray(mean), np.ascontiguousarray(starts)",
            "    means, slack = np.ascontiguousarray(means), np.ascontiguousarray(slack)",
            "    return match(",
            "        mean, starts, means, slack, np.ascontiguousarray(variance), low, high)",
        ]
    )
    environment = {
        "match": njit(match_of(njit(newton_of(engine.native_terms())))),
        "low": engine.low, "high": engine.high, "np": np,
    }  # fmt: skip
    function, key = source_beside(kernel, source, "inversion", environment)
    return numba_basic.numba_njit(function), key


def find_starts(engine: OneNumber, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Natural parameters (S, n) where A is finite, and the mean statistics (S, n) there.

    Of -1, 0 and 1, with as few as can be that are not 0.

    Raises
    ------
    FamilyError
        no such parameters, or statistics of which one follows from the others.
    """
    terms = engine.terms()
    candidates = sorted(product((0.0, -1.0, 1.0), repeat=n), key=np.count_nonzero)
    starts: list[tuple[float, ...]] = []
    means: list[np.ndarray] = []
    for eta in candidates[:MOST_CANDIDATES]:
        with np.errstate(all="ignore"):
            found = terms(np.append(eta, 1.0), engine.low, engine.high, 0)
        if np.isfinite(first_moments(found)[0]):
            if not starts:
                check_covariance(second_moments(found)[:-1, :-1])
            starts.append(eta)
            means.append(first_moments(found)[1][:-1])
    if not starts:
        raise FamilyError(
            "no natural parameters of -1, 0 and 1 give a distribution, from which to look for "
            "those of given means. Scale the statistics, or narrow the support."
        )
    return np.array(starts), np.array(means)


def check_covariance(covariance: np.ndarray) -> None:
    """Raise FamilyError where one statistic follows from the others."""
    variances = np.diag(covariance)
    if not np.all(variances > 0):
        k = int(np.argmin(variances > 0))
        raise FamilyError(f"statistic {k} never varies: its parameter means nothing.")
    correlation = covariance / np.sqrt(np.outer(variances, variances))
    if np.linalg.eigvalsh(correlation)[0] < 1e-12:
        raise FamilyError(
            "some statistics follow from the others, so that many parameters give the same "
            "distribution. Leave those out."
        )
