r"""The tilt that moves a mean to x: the root of K'(t) = x, inside a graph.

Newton's steps inside a bracket, which is halved where they leave it or shrink too slowly. The last
step is an expression of x and of the parameters, so that derivatives are those of the implicit
function theorem,

.. math:: t^* = t_0 - \frac{K'(t_0) - x}{K''(t_0)}, \qquad \frac{dt^*}{dx} = \frac{1}{K''(t^*)}

and nothing is differentiated through the iteration.

Source: Press, Teukolsky, Vetterling, Flannery (2007), Numerical Recipes, section 9.4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import DisconnectedType, disconnected_grad
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import graph_inputs, truncated_graph_inputs
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

from pm_statmech.concentration.laws import PLAIN
from pm_statmech.native_code import kernel_of, source_beside

MOST_STEPS = 200
# in units of 1 + |t|; the step after it is quadratically closer
CLOSE = 1e-9
# of a slope, relative to how far it is from where the search began, and to what rounds
MET, ROUNDING = 1e-6, 1e-12
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


def slopes(function: Callable, t):
    """f'(t) and f''(t) of a convex function of numbers, entry by entry."""
    slope = pytensor.grad(pt.sum(function(t)), t)
    return slope, pytensor.grad(pt.sum(slope), t)


@njit(cache=True, error_model="numpy")
def advance(t, a, b, last, x, start, value, slope, curvature):
    """Move all t (n,) and their brackets (a, b), in place; whether all have arrived."""
    arrived = True
    for i in range(len(t)):
        gap = slope[i] - x[i]
        # beyond its domain a function may be NaN and have slopes all the same
        lost = not (np.isfinite(gap) and np.isfinite(value[i]) and curvature[i] >= 0.0)
        if (t[i] > start[i]) if lost else (gap > 0.0):
            b[i], direction = t[i], -1.0
        else:
            a[i], direction = t[i], 1.0
        newton = t[i] - gap / curvature[i]
        if gap == 0.0 or abs(newton - t[i]) <= 1e-15 * abs(t[i]):
            continue
        is_open = np.isinf(a[i]) or np.isinf(b[i])
        slow = not is_open and abs(newton - t[i]) > 0.5 * abs(last[i])
        if not lost and a[i] < newton < b[i] and not slow:
            new = newton
        else:
            # doubling while nothing is beyond, halves of the bracket afterwards
            new = t[i] + 2.0 * direction * max(abs(t[i]), 1.0)
            if not is_open or not a[i] < new < b[i]:
                new = 0.5 * (a[i] + b[i])
        if new != t[i] and np.isfinite(new):
            arrived = False
            last[i], t[i] = new - t[i], new
    return arrived


class TiltSearch(Op):
    """Roots t (n,) of f'(t) = x, from starts inside brackets (low, high), all vectors (n,).

    Parameters
    ----------
    t, parameters
        inputs of the inner graph; outputs : f(t), f'(t) and f''(t) (n,).
    """

    def __init__(self, t, parameters, outputs) -> None:
        self.inputs, self.outputs = [t, *parameters], list(outputs)
        self._function = None

    def make_node(self, x, low, high, start, *parameters):
        """Apply to vectors of float64 and to the parameters of the inner graph."""
        return Apply(self, [x, low, high, start, *parameters], [pt.vector(dtype="float64")])

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        if self._function is None:
            self._function = pytensor.function(
                self.inputs, self.outputs, mode=PLAIN, on_unused_input="ignore"
            )
        x, low, high, start, *parameters = inputs
        t, a, b = (np.array(v, dtype=np.float64) for v in (start, low, high))
        last = np.full(len(t), np.inf)
        with np.errstate(all="ignore"):
            for _ in range(MOST_STEPS):
                if advance(t, a, b, last, x, start, *self._function(t, *parameters)):
                    break
        output_storage[0][0] = t

    def infer_shape(self, node, shapes):
        """Shape of x."""
        return [shapes[0]]

    def connection_pattern(self, node):
        """Nothing: derivatives are those of the step that follows."""
        return [[False] for _ in node.inputs]

    def pullback(self, inputs, outputs, cotangents):
        """Nothing."""
        return [DisconnectedType()() for _ in inputs]


@register_funcify_and_cache_key(TiltSearch)
def _numba_tilt_search(op, node, **kwargs):
    function = pytensor.function(
        op.inputs, op.outputs, mode="NUMBA", on_unused_input="ignore", trust_input=True
    )
    names = ", ".join(f"p{k}" for k in range(len(op.inputs) - 1))
    source = "\n".join(
        [
            f"# {VERSION}",
            f"def tilt_search(x, low, high, start, {names}):",
            "    t, a, b = start.copy(), low.copy(), high.copy()",
            "    last = np.full(len(t), np.inf)",
            f"    for _ in range({MOST_STEPS}):",
            f"        value, slope, curvature = kernel(t.copy(), {names})",
            "        if advance(t, a, b, last, x, start, value, slope, curvature):",
            "            break",
            "    return t",
        ]
    )
    search, key = source_beside(
        kernel_of(function), source, "tilt_search", {"advance": advance, "np": np}
    )
    return numba_basic.numba_njit(search), key


def start_between(low, high):
    """A point inside (low, high), 0 where it is one."""
    middle = pt.switch(
        pt.isinf(low), pt.switch(pt.isinf(high), 0.0, high - 1.0),
        pt.switch(pt.isinf(high), low + 1.0, (low + high) / 2),
    )  # fmt: skip
    return pt.switch(pt.lt(low, 0.0) & pt.gt(high, 0.0), 0.0, middle)


def _frontier(outputs, t) -> list:
    """What a graph of t hangs on beside t and constants."""
    return [
        v
        for v in truncated_graph_inputs(outputs, [t])
        if v is not t and not all(isinstance(u, Constant) for u in graph_inputs([v]))
    ]


def solve_slope(function: Callable, x, low, high):
    """The t in (low, high) where f'(t) = x (...), NaN where there is none.

    `function` is convex, elementwise, and may be NaN or infinite beyond where it is finite.
    """
    x = pt.as_tensor_variable(x)
    full = pt.zeros_like(function(start_between(low, high) + 0.0 * x))
    # adding zeros makes all of the shape that the cumulants have
    x, low, high = (pt.cast(v, "float64") + full for v in (x, low, high))
    start = start_between(low, high)

    t = pt.vector("t", dtype="float64")
    shape = full.shape

    def flat(v):
        return pt.flatten(function(pt.reshape(v, shape, ndim=full.ndim)))

    outputs = [flat(t), *slopes(flat, t)]
    parameters = _frontier(outputs, t)
    inner = [v.type() for v in parameters]
    if parameters:
        outputs = graph_replace(outputs, dict(zip(parameters, inner, strict=True)))
    search = TiltSearch(t, inner, outputs)
    vectors = [disconnected_grad(pt.flatten(v)) for v in (x, low, high, start)]
    found = search(*vectors, *(disconnected_grad(v) for v in parameters))
    t0 = disconnected_grad(pt.reshape(found, shape, ndim=full.ndim))
    slope, curvature = slopes(function, t0)
    last = (slope - x) / curvature
    # at an end where f'' alone is infinite a step is short, and the slope is not x
    at_start = disconnected_grad(slopes(function, start)[0])
    met = MET * pt.abs(x - at_start) + ROUNDING * (pt.abs(x) + pt.abs(at_start))
    found = pt.le(pt.abs(last), CLOSE * (1 + pt.abs(t0))) & pt.le(pt.abs(slope - x), met)
    return pt.switch(found, t0 - last, np.nan)
