"""A progress bar that looks like PyMC's: one row a chain, with the ladder's state."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pymc.progress_bar import CustomProgress, default_progress_theme
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column


class LadderProgress:
    """Scans finished by each chain, with the number of rungs and the barrier."""

    def __init__(self, chains: int, total: int, *, enabled: bool) -> None:
        self._bars = CustomProgress(
            BarColumn(bar_width=None, table_column=Column("Progress", ratio=1)),
            TextColumn("{task.fields[stage]}", table_column=Column("Stage", no_wrap=True)),
            TextColumn("{task.completed:.0f}", table_column=Column("Scans", no_wrap=True)),
            TextColumn("{task.fields[rungs]}", table_column=Column("Rungs", no_wrap=True)),
            TextColumn("{task.fields[barrier]}", table_column=Column("Barrier", no_wrap=True)),
            TimeElapsedColumn(table_column=Column("Elapsed", no_wrap=True)),
            TimeRemainingColumn(table_column=Column("Remaining", no_wrap=True)),
            console=Console(theme=default_progress_theme),
            include_headers=True,
            expand=True,
            disable=not enabled,
        )
        self._tasks = [
            self._bars.add_task("", total=total, stage="pilot", rungs="", barrier="")
            for _ in range(chains)
        ]
        self._done = [0] * chains
        self._counting = False

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def stage(self, name: str, *, rungs: int | None = None, barrier: float | None = None) -> None:
        """Begin a stage whose scans count towards the total."""
        self._counting = True
        for task in self._tasks:
            self._bars.update(
                task,
                stage=name,
                **({} if rungs is None else {"rungs": str(rungs)}),
                **({} if barrier is None else {"barrier": f"{barrier:.1f}"}),
            )

    def watch(self, finished: list[int]) -> None:
        """Show what the running block has finished, in scans a chain."""
        if self._counting:
            for task, done, more in zip(self._tasks, self._done, finished, strict=True):
                self._bars.update(task, completed=done + more)

    def close_block(self, scans: int) -> None:
        """Count a finished block."""
        self._done = [done + scans for done in self._done]
        self.watch([0] * len(self._done))
