r"""Log Z, moments and draws of one number, as operations whose kernels choose their own points.

.. math:: A(\eta) = \log \sum_x h(x)\, e^{\eta \cdot T(x)}, \qquad
          \frac{\partial A}{\partial \eta} = E[T], \qquad
          \frac{\partial E[T]}{\partial \eta} = \operatorname{Cov}[T], \qquad
          \frac{\partial A}{\partial b} = h(b)\, e^{\eta \cdot T(b) - A}

b being the upper end of an interval. Log Z and E[T] come together; the covariance is computed
where somebody asks for it, and so are third moments. The statistics are compiled by PyTensor, and
its kernel is called from those of `quadrature` and `lattice`. Outside numba the same functions
run in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import graph_replace
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key
from pytensor.tensor import TensorVariable
from pytensor.tensor.blockwise import Blockwise

from pm_statmech.log_partition import lattice, quadrature
from pm_statmech.log_partition.table import over_states
from pm_statmech.log_partition.terms import first_moments, second_moments, third_moments_along
from pm_statmech.native_code import kernel_of, source_beside

# raise this when the kernels change: the disk cache knows nothing of them
VERSION = 4
# more than anybody has
MOST_STATISTICS = 2**30

_in_python: WeakKeyDictionary[OneNumber, Callable] = WeakKeyDictionary()
_native: WeakKeyDictionary[OneNumber, Any] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class OneNumber:
    """A number between two ends, its statistics, and how they are summed or integrated.

    Parameters
    ----------
    joined
        (m,) statistics of the number `x`, the log base last.
    rule
        `quadrature` or `lattice`: functions terms_of and inverse.
    breakpoints
        inside the interval, in order.
    weights
        symbolic (m,), where statistics depend on them; only the first n_own statistics are then
        in the exponent, and the others are its derivatives in the other weights.
    """

    joined: TensorVariable
    x: TensorVariable
    low: float
    high: float
    rule: ModuleType
    breakpoints: tuple[float, ...] = ()
    weights: TensorVariable | None = None
    n_own: int = MOST_STATISTICS

    @property
    def name(self) -> str:
        """Of the rule."""
        return self.rule.__name__.rpartition(".")[2]

    def _compiled(self, mode: str):
        """Function of points (n,) -> statistics (n, m)."""
        points = pt.vector("points", dtype="float64")
        weights = pt.vector("weights") if self.weights is None else self.weights
        T = over_states(self.joined, self.x, points)
        return pytensor.function([points, weights], T, mode=mode, on_unused_input="ignore")

    def python_statistics(self) -> Callable:
        """Function of points (n,) and weights -> statistics (n, m) in a tuple, soon compiled."""
        if self not in _in_python:
            # compiling to native code would take longer than most calls outside it
            function = self._compiled("FAST_COMPILE")
            _in_python[self] = lambda points, weights: (function(points, weights),)
        return _in_python[self]

    def native_kernel(self):
        """The same as a numba function."""
        if self not in _native:
            # the function owns what its kernel needs
            _native[self] = self._compiled("NUMBA")
        return kernel_of(_native[self])

    def terms(self) -> Callable:
        """Function (weights, low, high, fewest) -> Terms that runs in Python."""
        found = self.rule.terms_of(self.python_statistics(), self.n_own)
        return quadrature.pieces_of(found, self.breakpoints) if self.breakpoints else found

    def native_terms(self) -> Callable:
        """The same for numba."""
        found = njit(self.rule.terms_of(self.native_kernel(), self.n_own))
        if not self.breakpoints:
            return found
        return njit(quadrature.pieces_of(found, np.array(self.breakpoints)))

    @property
    def ends(self):
        """Both as constants."""
        return tuple(pt.constant(end, dtype="float64") for end in (self.low, self.high))

    def log_partition(self, weights):
        """A (...) for weights (..., m)."""
        return self.moments(weights)[0]

    def moments(self, weights, *, high=None):
        """A (...), E[T] (..., m) and the relative error (...) for weights (..., m)."""
        low, highest = self.ends
        return Blockwise(Moments(self))(weights, low, highest if high is None else high)

    def inverse(self, weights, u):
        """Where the cumulative probability is u (...), of one or of as many weights (..., m)."""
        u = pt.as_tensor_variable(u)
        if weights.type.ndim == 1:
            # the terms are the same for all
            return Inverse(self)(weights, *self.ends, u.ravel()).reshape(u.shape)
        return Blockwise(Inverse(self))(weights, *self.ends, u[..., None])[..., 0]


def _number(value):
    return pt.cast(pt.as_tensor_variable(value), "float64")


@njit(cache=True)
def log_z_mean_error(found, low, high):
    """Outputs of `Moments`."""
    log_z, mean, error = first_moments(found)
    return np.array(log_z), mean, np.array(error)


@njit(cache=True)
def covariance(found, low, high):
    """Output of `Covariance`."""
    return second_moments(found)


@njit(cache=True)
def third_along(found, low, high, G):
    """Output of `ThirdAlong`."""
    return third_moments_along(found, G)


@njit(cache=True)
def quadrature_inverse(found, low, high, u):
    """Output of `Inverse` on an interval."""
    return quadrature.inverse(found, u)


@njit(cache=True)
def lattice_inverse(found, low, high, u):
    """Output of `Inverse` among integers."""
    return lattice.inverse(found, u)


class OverTerms(Op):
    """What follows from the terms of a sum between two ends, and from further inputs."""

    __props__ = ("engine",)
    # a rule's cells
    fewest = 0

    def __init__(self, engine: OneNumber) -> None:
        self.engine = engine

    @property
    def finish(self) -> Callable:
        """Compiled function (Terms, low, high, further inputs) -> outputs."""
        raise NotImplementedError

    def output_types(self, m: int | None) -> list:
        """Types of the outputs, for m statistics."""
        raise NotImplementedError

    def make_node(self, weights, low, high, *further):
        """Apply to weights (m,), ends and further inputs, of float64."""
        inputs = [_number(v) for v in (weights, low, high, *further)]
        outputs = [t() for t in self.output_types(inputs[0].type.shape[0])]
        return Apply(self, inputs, outputs)

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        weights, low, high, *further = inputs
        low, high = float(low), float(high)
        with np.errstate(all="ignore"):
            found = self.engine.terms()(np.ascontiguousarray(weights), low, high, self.fewest)
            further = [np.ascontiguousarray(v) if v.ndim else v for v in further]
            made = self.finish(found, low, high, *further)
        made = made if isinstance(made, tuple) else (made,)
        for storage, value in zip(output_storage, made, strict=True):
            storage[0] = np.asarray(value)

    def infer_shape(self, node, shapes):
        """Every axis of an output runs over the statistics."""
        return [(shapes[0][0],) * out.type.ndim for out in node.outputs]

    def no_gradient(self, inputs, first: int) -> list:
        """Cotangents of inputs from `first` on that nobody is offered."""
        why = "derivatives of this order"
        return [grad_not_implemented(self, k, v, why) for k, v in enumerate(inputs)][first:]


def scalar_type(m):
    """Type of a number."""
    return pt.TensorType("float64", shape=())


def vector_type(m):
    """Type of (m,) numbers."""
    return pt.TensorType("float64", shape=(m,))


class Moments(OverTerms):
    """A, E[T] and the relative error: numbers, (m,) and a number."""

    gufunc_signature = "(m),(),()->(),(m),()"
    finish = staticmethod(log_z_mean_error)

    def output_types(self, m):
        """A, E[T], error."""
        return [scalar_type(m), vector_type(m), scalar_type(m)]

    def connection_pattern(self, node):
        """The error is a constant to the gradient."""
        return [[True, True, False]] * 3

    def _at(self, end, weights):
        """Statistics (m,) at an end."""
        replaced = {self.engine.x: end}
        if self.engine.weights is not None:
            replaced[self.engine.weights] = weights
        return graph_replace(self.engine.joined, replaced, strict=False)

    def pullback(self, inputs, outputs, cotangents):
        """E[T] for A, the covariance for E[T], and the density at the ends of an interval."""
        weights, low, high = inputs
        log_z, mean, _ = outputs
        of_log_z, of_mean, _ = cotangents
        to_weights = pt.zeros_like(weights)
        along = pt.zeros_like(log_z)
        if not isinstance(of_log_z.type, DisconnectedType):
            to_weights = to_weights + of_log_z * mean
            along = along + of_log_z
        to_ends = []
        with_mean = not isinstance(of_mean.type, DisconnectedType)
        if with_mean and self.engine.weights is not None:
            return self.no_gradient(inputs, 0)
        if with_mean:
            to_weights = to_weights + pt.dot(Covariance(self.engine)(*inputs), of_mean)
        for sign, end in ((-1.0, low), (1.0, high)):
            T = self._at(end, weights)
            lean = pt.dot(of_mean, T - mean) if with_mean else 0.0
            n_own = self.engine.n_own
            density = pt.exp(pt.dot(weights[:n_own], T[:n_own]) - log_z)
            # an infinite end, or one among integers, does not move
            moves = self.engine.rule is quadrature
            to_ends.append(
                pt.switch(pt.isinf(end), 0.0, sign * density * (along + lean))
                if moves
                else pt.zeros_like(end)
            )
        return [to_weights, *to_ends]


class Covariance(OverTerms):
    """Cov[T] (m, m)."""

    gufunc_signature = "(m),(),()->(m,m)"
    finish = staticmethod(covariance)

    def output_types(self, m):
        """Cov[T]."""
        return [pt.TensorType("float64", shape=(m, m))]

    def pullback(self, inputs, outputs, cotangents):
        """Third central moments along the cotangent."""
        along = ThirdAlong(self.engine)(*inputs, cotangents[0])
        return [along, *self.no_gradient(inputs, 1)]


class ThirdAlong(OverTerms):
    """Third central moments (m,) along a matrix (m, m)."""

    gufunc_signature = "(m),(),(),(m,m)->(m)"
    finish = staticmethod(third_along)

    def output_types(self, m):
        """One (m,)."""
        return [vector_type(m)]

    def pullback(self, inputs, outputs, cotangents):
        """Fourth derivatives are not offered."""
        return self.no_gradient(inputs, 0)


class Inverse(OverTerms):
    """Where the cumulative probability is each of some numbers (n,)."""

    gufunc_signature = "(m),(),(),(n)->(n)"
    # draws interpolate between nodes
    fewest = quadrature.CELLS_OF_DRAWS

    @property
    def finish(self) -> Callable:
        """By cells or by integers."""
        return quadrature_inverse if self.engine.rule is quadrature else lattice_inverse

    def output_types(self, m):
        """As many numbers."""
        return [vector_type(None)]

    def infer_shape(self, node, shapes):
        """As many as cumulative probabilities."""
        return [shapes[3]]

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_gradient(inputs, 0)


@register_funcify_and_cache_key(OverTerms)
def _numba_over_terms(op, node, **kwargs):
    kernel = op.engine.native_kernel()
    further = ["", *(f"further{k}" for k in range(len(node.inputs) - 3))]
    source = "\n".join(
        [
            f"# {VERSION}: {op.engine.name} {op.engine.breakpoints} {op.engine.n_own}, "
            f"{op.finish.__name__}",
            f"def over_terms(weights, low, high{', '.join(further)}):",
            "    a, b = low.item(), high.item()",
            f"    found = terms(np.ascontiguousarray(weights), a, b, {op.fewest})",
            f"    return finish(found, a, b{', '.join(further)})",
        ]
    )
    environment = {"terms": op.engine.native_terms(), "finish": op.finish, "np": np}
    function, key = source_beside(kernel, source, "over_terms", environment)
    return numba_basic.numba_njit(function), key
