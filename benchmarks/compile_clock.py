"""CPU seconds that PyTensor and numba spend on compiling, or on finding what they compiled before.

PyMC's samplers and ours compile a model anew in every call. What that costs is a constant of the
host libraries, and says nothing of an algorithm, so `evidence` counts it apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time
from unittest.mock import patch

from numba.core import event
from pytensor.compile.maker import FunctionMaker


@dataclass
class CompileClock:
    """Seconds spent in compilers so far; `depth` of nested calls, `started` of the outermost."""

    seconds: float = 0.0
    depth: int = 0
    started: float = 0.0

    def enter(self) -> None:
        """Note that a compiler begins its work."""
        if self.depth == 0:
            self.started = process_time()
        self.depth += 1

    def leave(self) -> None:
        """Note that it is done."""
        self.depth -= 1
        if self.depth == 0:
            self.seconds += process_time() - self.started


class _NumbaListener(event.Listener):
    """Holds numba's global compiler lock against the clock: every compilation takes it."""

    def __init__(self, clock: CompileClock):
        self.clock = clock

    def on_start(self, event):
        self.clock.enter()

    def on_end(self, event):
        self.clock.leave()


@contextmanager
def compile_clock() -> Iterator[CompileClock]:
    """Run the block with a clock on PyTensor's function maker and on numba's compiler lock."""
    clock = CompileClock()

    def timed(function):
        def wrapper(*args, **kwargs):
            clock.enter()
            try:
                return function(*args, **kwargs)
            finally:
                clock.leave()

        return wrapper

    listener = _NumbaListener(clock)
    event.register("numba:compiler_lock", listener)
    try:
        with (
            patch.object(FunctionMaker, "__init__", timed(FunctionMaker.__init__)),
            patch.object(FunctionMaker, "create", timed(FunctionMaker.create)),
        ):
            yield clock
    finally:
        event.unregister("numba:compiler_lock", listener)
