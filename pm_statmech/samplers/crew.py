"""Chains at work in threads: one generator and one control block each, and a clean stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from pm_statmech.energy_function import EnergyFunction, Target
from pm_statmech.samplers.progress import LadderProgress

FINISHED, STOP = 0, 1


@dataclass
class Crew:
    """The chains of a run; results do not depend on how many threads carry them.

    Parameters
    ----------
    target
        the energy function with its data.
    generators
        one NumPy Generator a chain, spawned from the run's seed.
    controls
        one [finished scans, stop flag] a chain, which the compiled loops read.
    pool
        threads; the compiled loops hold no GIL.
    progress
        told of finished scans ten times a second.
    interrupted
        whether Ctrl-C was pressed.
    """

    target: Target
    keep_alive: tuple
    generators: list[np.random.Generator]
    pool: ThreadPoolExecutor
    progress: LadderProgress
    controls: list[np.ndarray] = field(default_factory=list)
    interrupted: bool = False

    @property
    def n_members(self) -> int:
        """How many chains."""
        return len(self.generators)

    def run(self, task: Callable[[int], object], *, keep_partial: bool = False) -> list:
        """Run task(chain) for every chain, and return the results in the chains' order.

        After Ctrl-C (see `stopping_on_interrupt`) the loops end with their current scan; with
        `keep_partial` the results are then what was finished, else KeyboardInterrupt is raised.
        """
        for control in self.controls:
            control[FINISHED] = 0
        futures = [self.pool.submit(task, member) for member in range(self.n_members)]
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=0.1)
            self.progress.watch([int(control[FINISHED]) for control in self.controls])
        results = [future.result() for future in futures]
        if self.interrupted and not keep_partial:
            raise KeyboardInterrupt
        return results

    def stop(self) -> None:
        """Ask the compiled loops to stop after their current scan."""
        self.interrupted = True
        for control in self.controls:
            control[STOP] = 1


@contextmanager
def stopping_on_interrupt(crew: Crew) -> Iterator[None]:
    """Turn the first Ctrl-C into `crew.stop()`; a second one raises KeyboardInterrupt as usual.

    An exception in the middle of a round could lose what other chains finished. Outside the
    main thread, where no handler can be set, Ctrl-C is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.getsignal(signal.SIGINT)

    def handler(number, frame):
        signal.signal(signal.SIGINT, usual)
        crew.stop()

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def assemble(
    energy_function: EnergyFunction,
    generators: list[np.random.Generator],
    cores: int,
    progress: LadderProgress,
) -> Crew:
    """Bind the data of an energy function and start the threads."""
    target, keep_alive = energy_function.bind()
    return Crew(
        target,
        keep_alive,
        generators,
        ThreadPoolExecutor(max_workers=min(cores, len(generators))),
        progress,
        [np.zeros(2, dtype=np.int64) for _ in generators],
    )
