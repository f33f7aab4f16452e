r"""What the rows of a benchmark say of a method, with the uncertainty of few seeds.

.. math:: T = \bar s \left(\frac{\mathrm{rms}(\log \hat Z - \log Z)}{0.1}\right)^2

is the CPU time in which averages of a method would reach an error of 0.1: for an unbiased
one it does not depend on how long each run is. Intervals are percentiles of T over resampled
seeds, those of a ratio over seeds of both methods resampled independently.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

WANTED_ERROR = 0.1
N_BOOTSTRAP = 4000
HEADER = (
    f"{'':3}{'method':12} {'n':>3} {'in 2 se':>7} {'median':>8} {'rms':>8} {'reported':>8} "
    f"{'s':>7} {'compile':>7} {'T [95%]':>30} {'T / T(ours) [95%]':>30} {'mode':>6}  warnings"
)


@dataclass(frozen=True)
class Row:
    """One run of a method on a problem.

    `error` is log Z minus the truth, NaN where the run failed; `seconds` of CPU without
    `compile_seconds`; `mode_error` the largest error of a mode's weight among the draws;
    `notes` the classes of warnings raised, and of an exception, separated by spaces.
    """

    problem: str
    method: str
    seed: int
    error: float
    reported: float
    seconds: float
    compile_seconds: float
    mode_error: float
    notes: str


def read_rows(path: Path) -> list[Row]:
    """Rows of a file, none where there is no file yet."""
    if not path.exists():
        return []
    kinds = {field.name: {"str": str, "int": int, "float": float}[str(field.type)]
             for field in fields(Row)}  # fmt: skip
    with path.open(newline="") as file:
        return [
            Row(**{name: kinds[name](text) for name, text in line.items()})
            for line in csv.DictReader(file)
        ]


def append_row(path: Path, row: Row) -> None:
    """Write one row at the end of a file at once, so that an interrupted run keeps it."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(row))


def bootstrap_times(rows: Sequence[Row], rng: np.random.Generator) -> np.ndarray:
    """T (1 + N_BOOTSTRAP,) of the rows themselves, and of their resamples."""
    seconds = np.array([row.seconds for row in rows])
    squares = np.array([row.error**2 for row in rows])
    chosen = rng.integers(len(rows), size=(N_BOOTSTRAP, len(rows)))
    chosen = np.concatenate([np.arange(len(rows))[None], chosen])
    return np.mean(seconds[chosen], axis=1) * np.mean(squares[chosen], axis=1) / WANTED_ERROR**2


def _interval(values: np.ndarray) -> str:
    """First value with the percentiles of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5], method="inverted_cdf")
    return f"{values[0]:.3g} [{low:.2g}, {high:.2g}]"


def line(rows: Sequence[Row], own: Sequence[Row]) -> str:
    """One line on a method's rows on a problem, next to our own rows there."""
    finished = [row for row in rows if np.isfinite(row.error)]
    method, notes = rows[0].method, Counter(word for row in rows for word in row.notes.split())
    said = ", ".join(f"{word} {count}/{len(rows)}" for word, count in sorted(notes.items()))
    if not finished:
        return f"   {method:12} {len(rows):3d} no run finished  {said}"
    rng = np.random.default_rng(0)
    errors = np.array([row.error for row in finished])
    reported = np.array([row.reported for row in finished])
    within = reported_mean = "-"
    if np.all(np.isfinite(reported)):
        within = f"{np.sum(np.abs(errors) <= 2 * reported) / len(rows):.0%}"
        reported_mean = f"{np.mean(reported):.4f}"
    times, ratio = bootstrap_times(finished, rng), "-"
    own = [row for row in own if np.isfinite(row.error)]
    if own and method != own[0].method:
        with np.errstate(divide="ignore"):
            ratio = _interval(times / bootstrap_times(own, rng))
    modes = [row.mode_error for row in finished if np.isfinite(row.mode_error)]
    return (
        f"   {method:12} {len(rows):3d} {within:>7} {np.median(np.abs(errors)):8.4f} "
        f"{np.sqrt(np.mean(errors**2)):8.4f} {reported_mean:>8} "
        f"{np.mean([row.seconds for row in finished]):7.2f} "
        f"{np.mean([row.compile_seconds for row in finished]):7.2f} "
        f"{_interval(times):>30} {ratio:>30} {f'{np.mean(modes):.3f}' if modes else '-':>6}  {said}"
    )
