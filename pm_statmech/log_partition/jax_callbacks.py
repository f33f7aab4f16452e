"""Our operations inside programs of JAX: calls back to their compiled functions, with derivatives.

The derivative of an operation is the JAX form of its own pullback, so that nothing is written
twice, and orders are those that PyTensor has. PyTensor rewrites a graph for JAX before it
translates it, which is where JAX is first imported: whoever does not use it does not need it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytensor
from pytensor.compile.mode import get_mode, optdb
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.null_type import NullType
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter

from pm_statmech.log_partition.inversion import Inversion
from pm_statmech.log_partition.matching import MomentMatch
from pm_statmech.log_partition.moments import OverTerms
from pm_statmech.log_partition.operations import CompiledFunction


def compiled_form(op: Op, node: Apply):
    """Function of arrays, compiled by numba at its first call."""

    @cache
    def compiled():
        inputs = [v.type() for v in node.inputs]
        outputs = op.make_node(*inputs).outputs
        function = pytensor.function(inputs, outputs, mode="NUMBA", on_unused_input="ignore")
        function.trust_input = True
        return function

    def call(*values):
        return tuple(compiled()(*(np.asarray(v) for v in values)))

    return call


def pullback_form(op: Op, node: Apply, with_cost: tuple[bool, ...], wanted: tuple[bool, ...]):
    """JAX function (inputs, cotangents that are there) -> cotangents of the wanted inputs."""
    from pytensor.link.jax.dispatch import jax_funcify

    inputs = [v.type() for v in node.inputs]
    outputs = op.make_node(*inputs).outputs
    given = [v.type() for v in outputs]
    cotangents = [
        g if there else DisconnectedType()() for g, there in zip(given, with_cost, strict=True)
    ]
    found = [
        g for g, use in zip(op.pullback(inputs, outputs, cotangents), wanted, strict=True) if use
    ]
    for g in found:
        if isinstance(g.type, NullType):
            raise NotImplementedError(f"JAX needs what {op} does not have: {g.type.why_null}")
    here = [g for g, there in zip(given, with_cost, strict=True) if there]
    graph = FunctionGraph([*inputs, *here], found, clone=True)
    get_mode("JAX").optimizer.rewrite(graph)
    return jax_funcify(graph)


def callback_form(op: Op, node: Apply, **kwargs):
    """JAX function of the inputs that calls the compiled form, and whose derivative is ours."""
    import jax

    call = compiled_form(op, node)

    def forward(*values):
        shapes = op.infer_shape(node, [v.shape for v in values])
        results = tuple(
            jax.ShapeDtypeStruct(shape, v.type.dtype)
            for shape, v in zip(shapes, node.outputs, strict=True)
        )
        return jax.pure_callback(call, results, *values, vmap_method="sequential")

    differentiable = jax.custom_vjp(forward)

    def with_residuals(*values):
        plain = tuple(v.value for v in values)
        # residuals are arrays; what is known beforehand stays in their structure
        return differentiable(*plain), (plain, tuple(() if v.perturbed else None for v in values))

    def backward(residuals, cotangents):
        values, perturbed = residuals
        zero = jax.custom_derivatives.SymbolicZero
        with_cost = tuple(not isinstance(c, zero) for c in cotangents)
        # what is not a real number has no derivative
        wanted = tuple(
            p is not None and v.type.dtype == "float64"
            for p, v in zip(perturbed, node.inputs, strict=True)
        )
        there = [c for c, has in zip(cotangents, with_cost, strict=True) if has]
        if not there or not any(wanted):
            return (None,) * len(values)
        found = iter(pullback_form(op, node, with_cost, wanted)(*values, *there))
        return tuple(next(found) if use else None for use in wanted)

    differentiable.defvjp(with_residuals, backward, symbolic_zeros=True)

    def function(*values):
        found = differentiable(*(jax.numpy.asarray(v) for v in values))
        return found if len(found) > 1 else found[0]

    return function


@cache
def _register() -> None:
    from pytensor.link.jax.dispatch import jax_funcify

    for kind in (CompiledFunction, OverTerms, MomentMatch, Inversion):
        jax_funcify.register(kind)(callback_form)


class RegisterForJax(GraphRewriter):
    """Teach JAX's translator our operations; the graph stays as it is."""

    def apply(self, fgraph):
        """Register once."""
        _register()


optdb.register("pm_statmech_jax_callbacks", RegisterForJax(), "jax", position=0)
