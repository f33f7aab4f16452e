"""Independent pieces of work, their seeds, and the threads or processes that carry them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits


def seeds_of(random_seed) -> np.random.SeedSequence:
    """Seed sequence of an int, a sequence of ints, a NumPy Generator, or None."""
    if isinstance(random_seed, np.random.Generator):
        random_seed = int(random_seed.integers(2**63))
    return np.random.SeedSequence(random_seed)


def _done(futures: Iterable[Future]) -> set[Future]:
    finished, _ = wait(futures, return_when=FIRST_COMPLETED)
    return finished


def in_parallel(
    run: Callable, arguments: Iterable[tuple], executor: Executor
) -> Generator[tuple[int, Any]]:
    """(number, result) of run(*arguments[number]) as they finish, few ahead of the workers.

    After an exception, or once the caller stops, what has not begun is cancelled.
    """
    waiting: dict[Future, int] = {}
    left = enumerate(arguments)
    ahead = 4 * (os.cpu_count() or 1)
    try:
        while True:
            for number, given in left:
                waiting[executor.submit(run, *given)] = number
                if len(waiting) >= ahead:
                    break
            if not waiting:
                return
            for future in _done(waiting):
                yield waiting.pop(future), future.result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def threads(cores: int | None) -> Iterator[Executor]:
    """Threads for compiled loops, each of which does its linear algebra alone."""
    with threadpool_limits(1), ThreadPoolExecutor(cores or os.cpu_count()) as pool:
        yield pool
