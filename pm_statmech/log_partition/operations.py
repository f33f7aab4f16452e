"""Operations of PyTensor whose values are those of one compiled function.

A subclass names the function and its signature, and says what its derivatives are; types, shapes,
evaluation outside numba and inside follow from the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from pm_statmech.native_code import from_source

# raise this when the code around kernels changes: the disk cache knows nothing of it
SOURCE_VERSION = 1


def dimensions(signature: str) -> tuple[list[list[str]], list[list[str]]]:
    """Names of the dimensions of each input and output of a signature like "(n),(n,k)->()"."""
    inputs, outputs = (
        [[d for d in term.strip("()").split(",") if d] for term in side.split("),(")]
        for side in signature.split("->")
    )
    return inputs, outputs


def same_lengths(signature: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of (input, axis) whose lengths have the same name, the first of each name first."""
    first: dict[str, tuple[int, int]] = {}
    pairs = []
    for i, names in enumerate(dimensions(signature)[0]):
        for k, name in enumerate(names):
            if name in first:
                pairs.append((first[name], (i, k)))
            else:
                first[name] = (i, k)
    return pairs


def complaint(op: Op, i: int, k: int, j: int, l: int) -> str:
    """What is wrong with lengths that differ."""
    return (
        f"{type(op).__name__}: axis {k} of input {i} and axis {l} of input {j} have different "
        "lengths."
    )


class CompiledFunction(Op):
    """Values of `kernel`, a numba function of numbers and contiguous arrays.

    Integer inputs stay integers and have no derivative; all others are double precision, and so
    are the outputs.
    """

    __props__ = ()
    gufunc_signature: ClassVar[str]
    kernel: ClassVar[Callable]
    # raise this when the kernel changes: the disk cache knows nothing of it
    version: ClassVar[int]

    def make_node(self, *inputs):
        """Apply to tensors of the signature's dimensions."""
        of_inputs, of_outputs = dimensions(self.gufunc_signature)
        inputs = [pt.as_tensor_variable(v) for v in inputs]
        inputs = [
            pt.cast(v, "int64" if v.type.dtype.startswith(("int", "uint")) else "float64")
            for v in inputs
        ]
        lengths = {}
        for variable, names in zip(inputs, of_inputs, strict=True):
            for name, length in zip(names, variable.type.shape, strict=True):
                if lengths.get(name) is None:
                    lengths[name] = length
        outputs = [
            pt.tensor(dtype="float64", shape=tuple(lengths[name] for name in names))
            for names in of_outputs
        ]
        return Apply(self, inputs, outputs)

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        for (i, k), (j, l) in same_lengths(self.gufunc_signature):
            if inputs[i].shape[k] != inputs[j].shape[l]:
                raise ValueError(complaint(self, i, k, j, l))
        found = self.kernel(*(np.ascontiguousarray(v) if v.ndim else v.item() for v in inputs))
        found = found if isinstance(found, tuple) else (found,)
        for storage, value in zip(output_storage, found, strict=True):
            storage[0] = np.asarray(value)

    def infer_shape(self, node, shapes):
        """Lengths of the outputs' dimensions from those of the inputs."""
        of_inputs, of_outputs = dimensions(self.gufunc_signature)
        lengths = {
            name: length
            for names, shape in zip(of_inputs, shapes, strict=True)
            for name, length in zip(names, shape, strict=True)
        }
        return [tuple(lengths[name] for name in names) for names in of_outputs]

    def no_derivatives(self, inputs, why: str) -> list:
        """Cotangents of all inputs where nobody is offered any."""
        return [grad_not_implemented(self, k, v, why) for k, v in enumerate(inputs)]


def connected(cotangents) -> list[bool]:
    """Which outputs the cost depends on."""
    return [not isinstance(v.type, DisconnectedType) for v in cotangents]


@register_funcify_default_op_cache_key(CompiledFunction)
def _numba_compiled_function(op, node, **kwargs):
    inputs = [f"x{k}" for k in range(len(node.inputs))]
    outputs = [f"y{k}" for k in range(len(node.outputs))]
    given = [
        f"np.ascontiguousarray({x})" if v.type.ndim else f"{x}.item()"
        for x, v in zip(inputs, node.inputs, strict=True)
    ]
    returned = [
        y if v.type.ndim else f"np.array({y})" for y, v in zip(outputs, node.outputs, strict=True)
    ]
    # a kernel reads where it is told to: lengths are looked at before
    checks = [
        f"    if {inputs[i]}.shape[{k}] != {inputs[j]}.shape[{l}]:\n"
        f"        raise ValueError({complaint(op, i, k, j, l)!r})"
        for (i, k), (j, l) in same_lengths(op.gufunc_signature)
    ]
    source = "\n".join(
        [
            f"def compiled_function({', '.join(inputs)}):",
            *checks,
            f"    {', '.join(outputs)} = kernel({', '.join(given)})",
            f"    return {', '.join(returned)}",
        ]
    )
    function = from_source(source, "compiled_function", {"kernel": op.kernel, "np": np})
    return numba_basic.numba_njit(function), 1000 * SOURCE_VERSION + op.version
