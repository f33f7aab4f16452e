"""Native code around the compiled kernel of a PyTensor function, cached on disk beside it.

This file holds everything that depends on the internals ``fn.vm.jit_fn`` and
``pytensor.link.numba.cache``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import numba
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src

# raise this when what is generated changes in a way that its source does not show
SOURCE_VERSION = 1


def kernel_of(function: Any) -> Any:
    """Compiled kernel (*inputs, *shared) -> outputs, and updates, of a function in NUMBA mode."""
    return function.vm.jit_fn


def source_beside(
    kernel: Any, source: str, name: str, environment: Mapping[str, object]
) -> tuple[Callable, str | None]:
    """Python function of a source that calls ``kernel``, and the key that numba may cache it by.

    The key on disk is that of the kernel with the source; a kernel without a key, of an Op that
    nobody can name, is compiled in every process, and what calls it as well.
    """
    key = CACHED_SRC_FUNCTIONS.get(kernel.py_func)
    if key is not None:
        key = sha256(f"{key}|{SOURCE_VERSION}|{source}".encode()).hexdigest()
    names = {"__name__": __name__, "kernel": kernel, **environment}
    return compile_numba_function_src(source, name, names, names, cache_key=key), key


def from_source(source: str, name: str, environment: Mapping[str, object]) -> Callable:
    """Python function of a source, with a file of its own in tracebacks."""
    names = {"__name__": __name__, **environment}
    return compile_numba_function_src(source, name, names, names)


def repeated(function: Any) -> Callable:
    """Loop (rows (n, d)) that fills each row with the vector a function without inputs returns.

    What a call updates, such as a random number generator, is what the next one reads.
    """
    kernel = kernel_of(function)
    fgraph = function.maker.fgraph
    containers = tuple(function.input_storage)
    states = [f"s{k}" for k in range(len(containers))]
    results = ["row", *(f"s{fgraph.update_mapping[k]}" for k in range(1, len(fgraph.outputs)))]
    source = "\n".join(
        [
            f"def fill_rows(rows, {', '.join(states)}):",
            "    for i in range(len(rows)):",
            f"        {', '.join(results)}, = kernel({', '.join(states)})",
            "        rows[i] = row",
        ]
    )
    loop, key = source_beside(kernel, source, "fill_rows", {})
    compiled = numba.njit(cache=key is not None)(loop)

    def fill(rows):
        compiled(rows, *(container.storage[0] for container in containers))

    return fill
