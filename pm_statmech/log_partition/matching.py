r"""Natural parameters of given mean statistics, on a table of states.

The dual of `inversion`, whose Newton steps these are, with A a sum over the states. It is finite
everywhere, and its minimum is finite just where mu lies inside the convex hull of the statistics,
which a linear programme tells.

Source: Wainwright and Jordan (2008), section 3.6.
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
from pm_statmech.log_partition.inversion import cotangents_of, newton_of
from pm_statmech.log_partition.terms import Terms

# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 4


@njit(cache=True, error_model="numpy")
def table_terms(weights, T, log_h, fewest):
    """Terms of all states, of statistics T (S, K) and log base (S,)."""
    log_terms = log_h.copy()
    for s in range(len(log_h)):
        for k in range(T.shape[1]):
            log_terms[s] += weights[k] * T[s, k]
    # nothing lies beyond a table
    pieces = np.array([[0.0, 0.0, 0.0, 1.0, 0.0, 1.0]])
    return Terms(log_h, pieces, T, log_terms, 0.0, False, True)


newton = newton_of(table_terms)
native_newton = njit(newton)


class MomentMatch(Op):
    """Natural parameters of mean statistics on a table, see `inversion.newton_of`."""

    __props__ = ()
    gufunc_signature = "(k),(k),(k),(s,k),(s)->(k)"

    def make_node(self, mean, slack, variance, T, log_h):
        """Apply to means and penalties (K,), statistics (S, K) and log base (S,), of float64."""
        inputs = [
            pt.cast(pt.as_tensor_variable(v), "float64") for v in (mean, slack, variance, T, log_h)
        ]
        shape = (inputs[3].type.shape[1],)
        return Apply(self, inputs, [pt.vector(shape=shape, dtype="float64")])

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        mean, slack, variance, T, log_h = (np.ascontiguousarray(v) for v in inputs)
        none = np.zeros_like(mean)
        with np.errstate(all="ignore"):
            # relative to the mean, so that no offset of a statistic costs digits
            found = newton(none, none, slack, variance, T - mean, log_h)
        output_storage[0][0] = np.where(np.isinf(found), np.nan, found)

    def infer_shape(self, node, shapes):
        """Shape of the means."""
        return [shapes[0]]

    def pullback(self, inputs, outputs, cotangents):
        """By the implicit function theorem; the table is a constant."""
        _, slack, variance, T, log_h = inputs
        [eta] = outputs
        exponents = pt.dot(T, eta) + log_h
        p = pt.exp(exponents - pt.logsumexp(exponents))
        centred = T - pt.dot(p, T)
        covariance = pt.dot(centred.T * p, centred)
        to_all = cotangents_of(eta, covariance, slack, variance, cotangents[0])
        why = "a table is a constant"
        constants = [grad_not_implemented(self, k, v, why) for k, v in ((3, T), (4, log_h))]
        return [*to_all, *constants]


@register_funcify_default_op_cache_key(MomentMatch)
def _numba_moment_match(op, node, **kwargs):
    @numba_basic.numba_njit
    def moment_match(mean, slack, variance, T, log_h):
        none = np.zeros_like(mean)
        found = native_newton(
            none, none, np.ascontiguousarray(slack), np.ascontiguousarray(variance),
            np.ascontiguousarray(T - mean), np.ascontiguousarray(log_h),
        )  # fmt: skip
        return np.where(np.isinf(found), np.nan, found)

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
