r"""Natural parameters of given mean statistics, on a table of states: damped Newton on the dual.

.. math:: \eta^*(\mu) = \arg\min_\eta\; A(\eta) - \eta \cdot \mu, \qquad
          E_{\eta^*}[T] = \mu, \qquad \frac{d\eta^*}{d\mu} = \operatorname{Cov}_{\eta^*}(T)^{-1}

The objective is convex and its minimum is finite just where mu lies inside the convex hull of the
statistics; the derivative is that of the implicit function theorem, so that no iteration is
differentiated through.

Sources: Wainwright and Jordan (2008), section 3.6, for the dual; Nocedal and Wright (2006),
Numerical Optimization, section 3.1, for the line search.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key
from scipy.optimize import linprog

from pm_statmech.errors import FamilyError

MAX_ITERATIONS = 200
TOLERANCE = 1e-12
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


@njit(cache=True)
def _objective(eta, centred, log_h, p):
    """A(eta) - eta . mean from T - mean (S, K), and p (S,) <- probabilities."""
    top = -np.inf
    for s in range(centred.shape[0]):
        p[s] = log_h[s] + np.dot(centred[s], eta)
        top = max(top, p[s])
    total = 0.0
    for s in range(centred.shape[0]):
        p[s] = np.exp(p[s] - top)
        total += p[s]
    p /= total
    return top + np.log(total)


@njit(cache=True)
def match_moments(mean, T, log_h):
    """Natural parameters (K,) of mean statistics (K,); NaN where there are none.

    Parameters
    ----------
    mean
        (K,); T, log_h : (S, K), (S,) the table.
    """
    n_states, n = T.shape
    # relative to the mean, so that no offset of a statistic costs digits
    centred = T - mean
    # in units of the statistics' own ranges
    scale = np.ones(n)
    for k in range(n):
        scale[k] = max(np.max(T[:, k]) - np.min(T[:, k]), 1e-300)
    eta, p, trial_p = np.zeros(n), np.empty(n_states), np.empty(n_states)
    value = _objective(eta, centred, log_h, p)
    for _ in range(MAX_ITERATIONS):
        gradient = np.dot(p, centred)
        residual = np.max(np.abs(gradient) / scale)
        if residual < TOLERANCE:
            return eta
        deviation = centred - gradient
        hessian = np.dot(deviation.T * p, deviation)
        # near the edge of the hull the covariance is almost singular
        for k in range(n):
            hessian[k, k] += 1e-12 * scale[k] ** 2 * min(1.0, residual)
        step = np.linalg.solve(hessian, -gradient)
        slope = np.dot(step, gradient)
        if not slope < 0.0:
            return np.full(n, np.nan)
        length, accepted = 1.0, False
        for _ in range(60):
            trial = eta + length * step
            trial_value = _objective(trial, centred, log_h, trial_p)
            # rounding hides a decrease below 1e-15 of the value itself
            if trial_value <= value + 1e-4 * length * slope + 1e-15 * (1.0 + abs(value)):
                accepted = True
                break
            length *= 0.5
        if not accepted:
            return np.full(n, np.nan)
        eta, value = trial, trial_value
        p[:] = trial_p
    return np.full(n, np.nan)


class MomentMatch(Op):
    """Natural parameters of mean statistics on a table, see `match_moments`."""

    __props__ = ()
    gufunc_signature = "(k),(s,k),(s)->(k)"

    def make_node(self, mean, T, log_h):
        """Apply to means (K,), statistics (S, K) and log base (S,), of float64."""
        inputs = [pt.cast(pt.as_tensor_variable(v), "float64") for v in (mean, T, log_h)]
        shape = (inputs[1].type.shape[1],)
        return Apply(self, inputs, [pt.vector(shape=shape, dtype="float64")])

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        output_storage[0][0] = match_moments(*(np.ascontiguousarray(v) for v in inputs))

    def infer_shape(self, node, shapes):
        """Shape of the means."""
        return [shapes[0]]

    def pullback(self, inputs, outputs, cotangents):
        """Cotangents through the inverse covariance; the table is a constant."""
        mean, T, log_h = inputs
        exponents = pt.dot(T, outputs[0]) + log_h
        p = pt.exp(exponents - pt.logsumexp(exponents))
        centred = T - mean
        covariance = pt.dot(centred.T * p, centred)
        to_mean = pt.linalg.solve(covariance, cotangents[0], assume_a="pos")
        why = "a table is a constant"
        return [
            to_mean,
            grad_not_implemented(self, 1, T, why),
            grad_not_implemented(self, 2, log_h, why),
        ]


@register_funcify_default_op_cache_key(MomentMatch)
def _numba_moment_match(op, node, **kwargs):
    @numba_basic.numba_njit
    def moment_match(mean, T, log_h):
        return match_moments(
            np.ascontiguousarray(mean), np.ascontiguousarray(T), np.ascontiguousarray(log_h)
        )

    return moment_match, VERSION


def check_identified(T: np.ndarray) -> None:
    """Raise FamilyError where one statistic follows from the others at every state."""
    spread = np.ptp(T, axis=0)
    if np.any(spread == 0):
        k = int(np.argmax(spread == 0))
        raise FamilyError(f"statistic {k} is the same at every state: its parameter means nothing.")
    centred = (T - np.mean(T, axis=0)) / spread
    rank = int(np.linalg.matrix_rank(centred))
    if rank < T.shape[1]:
        raise FamilyError(
            f"the {T.shape[1]} statistics are {rank} and a constant: some follow from the others, "
            "so that many parameters give the same distribution. Leave those out."
        )


def check_inside(mean: np.ndarray, T: np.ndarray) -> None:
    """Raise FamilyError unless mean statistics (K,) lie inside the convex hull of T (S, K).

    By the linear programme that puts as much weight as it can on every state at once.
    """
    n = len(T)
    # weights t + v_s, v >= 0, of sum 1 and with the right mean; t > 0 just inside the hull
    equalities = np.vstack([np.column_stack([T.T, T.sum(axis=0)]), np.append(np.ones(n), n)])
    found = linprog(
        np.append(np.zeros(n), -1.0), A_eq=equalities, b_eq=np.append(mean, 1.0),
        bounds=[(0, None)] * n + [(None, None)], method="highs",
    )  # fmt: skip
    least = -found.fun if found.status == 0 else -np.inf
    if least > 1e-9 / n:
        return
    edge = "on the edge of" if least > -1e-9 else "outside"
    low, high = np.min(T, axis=0), np.max(T, axis=0)
    raise FamilyError(
        f"mean statistics {np.array2string(mean, precision=6)} lie {edge} the convex hull of the "
        f"statistics, which range from {np.array2string(low, precision=6)} to "
        f"{np.array2string(high, precision=6)}: no member of the family has them."
    )
