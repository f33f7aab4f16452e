r"""How often intervals hold the truth, over many data sets, in parallel.

.. math:: \hat c_j = \frac1R \sum_r 1\bigl\{\theta_j \in C_j(y^{(r)})\bigr\}, \qquad
          y^{(r)} \sim G
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from xarray import DataTree

from pm_statmech.calibration.repetitions import Repetition
from pm_statmech.errors import CalibrationError, CheckpointError, CheckpointMismatchError
from pm_statmech.samplers.refits import in_parallel, threads

Row = dict[str, Any]


def _as_repetition(found: Any) -> Repetition:
    if isinstance(found, Repetition):
        return found
    if isinstance(found, DataTree):
        posterior = found["posterior"].dataset
        stacked = posterior.stack(all_draws=("chain", "draw")).transpose("all_draws", ...)
        return Repetition({str(k): v.values for k, v in stacked.data_vars.items()})
    if isinstance(found, Mapping):
        return Repetition({str(k): np.asarray(v) for k, v in found.items()})
    raise CalibrationError(
        "repeat(rng) gives a Repetition, a DataTree with a posterior, or {variable: draws (S, ...)}"
        f"; it gave {type(found).__name__}."
    )


def _row(repeat: Callable, truth: Mapping[str, np.ndarray], level: float, number: int, seed) -> Row:
    """Equal-tailed intervals of the variables whose truth is known, of one repetition."""
    try:
        with threadpool_limits(1):
            found = _as_repetition(repeat(np.random.default_rng(seed)))
    except Exception as error:
        error.add_note(
            f"It was raised in repetition {number}: repeat it alone by repeat(numpy.random."
            f"default_rng(numpy.random.SeedSequence({seed.entropy}, spawn_key={seed.spawn_key})))."
        )
        raise
    missing = sorted(set(truth) - set(found.draws))
    if missing:
        raise CalibrationError(
            f"truth has {missing}, which the repetition does not draw: it draws "
            f"{sorted(found.draws)}."
        )
    row: Row = {"number": number, "beta": found.beta, "converged": bool(found.converged)}
    for key in ("low", "high", "mean"):
        row[key] = []
    for name, value in truth.items():
        draws = np.asarray(found.draws[name], dtype=float)
        if draws.shape[1:] != value.shape:
            raise CalibrationError(
                f"truth[{name!r}] has shape {value.shape}, and draws of it {draws.shape[1:]}."
            )
        flat = draws.reshape(len(draws), -1)
        ends = np.quantile(flat, [(1 - level) / 2, (1 + level) / 2], axis=0)
        row["low"] += ends[0].tolist()
        row["high"] += ends[1].tolist()
        row["mean"] += flat.mean(axis=0).tolist()
    return row


@lru_cache(maxsize=4)
def _unpickled(payload: bytes) -> tuple:
    return pickle.loads(payload)


def _row_elsewhere(payload: bytes, number: int, seed) -> Row:
    """`_row` in another process, which keeps what it compiled from one repetition to the next."""
    repeat, truth, level = _unpickled(payload)
    return _row(repeat, truth, level, number, seed)


class _Checkpoint:
    """One JSON line that says what is studied, then one a finished repetition."""

    def __init__(self, path: Path, header: Row) -> None:
        self.path = path
        self.rows: dict[int, Row] = {}
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            self._read(lines, header)
            # a line that was cut short is written again
            whole = [line for line in lines if line.endswith("\n")]
            path.write_text("".join(whole))
        else:
            path.write_text(json.dumps(header) + "\n")

    def _read(self, lines: list[str], header: Row) -> None:
        try:
            found = json.loads(lines[0])
        except (IndexError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{self.path} is not the checkpoint of a study.") from error
        other = [key for key in header if found.get(key) != header[key]]
        if other:
            raise CheckpointMismatchError(
                f"{self.path} is of another study: its {other} are "
                f"{[found.get(key) for key in other]}, not {[header[key] for key in other]}. Give "
                "the same arguments, or another file."
            )
        for line in lines[1:]:
            if line.endswith("\n"):
                row = json.loads(line)
                self.rows[row["number"]] = row

    def add(self, row: Row) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _coordinates(truth: Mapping[str, np.ndarray]) -> list[str]:
    return [
        name + (f"[{', '.join(map(str, index))}]" if index else "")
        for name, value in truth.items()
        for index in np.ndindex(*value.shape)
    ]


def coverage_study(
    repeat: Callable,
    truth: Mapping[str, Any],
    *,
    level: float = 0.95,
    repetitions: int = 200,
    executor: Executor | None = None,
    cores: int | None = None,
    checkpoint: str | Path | None = None,
    random_seed=None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Coverage and width of posterior intervals over many data sets: data, posterior, interval.

    .. math:: \hat c_j = \frac1R \sum_r 1\bigl\{\theta_j \in C_j(y^{(r)})\bigr\}, \qquad
              \mathrm{mcse} = \sqrt{\hat c_j (1 - \hat c_j) / R}

    Parameters
    ----------
    repeat
        ``repeat(rng)`` draws data and their posterior: `refitted` or `calibrated` of a model, or
        any function that returns a DataTree with a posterior, or {variable: draws (S, ...)}.
    truth
        {variable: value} that the intervals should hold, of the variables to be studied.
    level
        of the equal-tailed intervals.
    repetitions
        R.
    executor
        any of ``concurrent.futures``, or with its interface (Dask's ``client.get_executor()``,
        mpi4py's ``MPIPoolExecutor``); by default threads, which is enough for `refitted`.
    cores
        threads, where there is no executor.
    checkpoint
        file to which finished repetitions are added; a study with the same arguments goes on from
        it, and ends in the same table.
    random_seed
        of all repetitions, each of which has a stream of its own: the table depends neither on the
        executor nor on the order in which they finish.
    progressbar
        over repetitions.

    Returns
    -------
    Dataset
        over ``repetition`` and ``coordinate``: low, high, mean, covered; over ``repetition``: beta
        and converged; over ``coordinate``: truth, coverage with coverage_mcse, width, bias and
        rmse of the means. Attributes: level, complete (0 after Ctrl-C, which keeps what was
        finished), n_not_converged, random_seed.

    Raises
    ------
    CalibrationError
        draws that lack a variable of the truth, or have another shape; what else a repetition
        raises is raised with a note that says how to repeat it alone.
    CheckpointMismatchError, CheckpointError
        a file of another study, or of none.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1, observed=np.zeros(20))
    >>> repeat = pms.calibration.refitted(
    ...     model, lambda rng: {"y": rng.normal(3.0, 1.0, size=20)}, draws=400)
    >>> table = pms.calibration.coverage_study(
    ...     repeat, {"mu": 3.0}, repetitions=40, random_seed=1, progressbar=False)
    >>> bool(abs(table["coverage"][0] - 0.95) < 5 * table["coverage_mcse"][0] + 0.05)
    True
    """
    from rich.progress import track

    if not 0 < level < 1:
        raise CalibrationError(f"level = {level:g}: a coverage lies between 0 and 1.")
    if repetitions < 1 or not truth:
        raise CalibrationError(
            f"repetitions = {repetitions}, truth of {sorted(truth)}: a study takes at least one of "
            "each."
        )
    known = {name: np.asarray(value, dtype=float) for name, value in truth.items()}
    sequence = np.random.SeedSequence(random_seed)
    saved = None
    if checkpoint is not None:
        header = {
            "study": "coverage", "level": level, "repetitions": repetitions,
            "random_seed": "" if random_seed is None else str(random_seed),
            "truth": {name: value.tolist() for name, value in known.items()},
        }  # fmt: skip
        if random_seed is None:
            raise CalibrationError("a checkpoint needs random_seed=, or it cannot be gone on from.")
        saved = _Checkpoint(Path(checkpoint), header)
    rows: dict[int, Row] = {} if saved is None else dict(saved.rows)
    seeds = sequence.spawn(repetitions)
    numbers = [r for r in range(repetitions) if r not in rows]
    in_threads = executor is None or isinstance(executor, ThreadPoolExecutor)
    run: Callable
    arguments: Iterable[tuple]
    if in_threads:
        run, arguments = _row, ((repeat, known, level, r, seeds[r]) for r in numbers)
    else:
        import cloudpickle

        payload = cloudpickle.dumps((repeat, known, level))
        run, arguments = _row_elsewhere, ((payload, r, seeds[r]) for r in numbers)
    complete = True
    with threads(cores) if executor is None else nullcontext(executor) as pool:
        finished = in_parallel(run, arguments, pool)
        try:
            for _, row in track(
                finished, "Repeating", total=len(numbers), disable=not progressbar, transient=True
            ):
                rows[row["number"]] = row
                if saved is not None:
                    saved.add(row)
        except KeyboardInterrupt:
            complete = False
            finished.close()
    if not rows:
        raise KeyboardInterrupt
    return _table([rows[r] for r in sorted(rows)], known, level, complete, random_seed)


def _table(rows: list[Row], truth, level: float, complete: bool, random_seed) -> xr.Dataset:
    flat = np.concatenate([np.ravel(value) for value in truth.values()])
    low, high, mean = (np.array([row[key] for row in rows]) for key in ("low", "high", "mean"))
    covered = (low <= flat) & (flat <= high)
    coverage = covered.mean(axis=0)
    both = ("repetition", "coordinate")
    return xr.Dataset(
        {
            "low": (both, low),
            "high": (both, high),
            "mean": (both, mean),
            "covered": (both, covered),
            "beta": ("repetition", [row["beta"] for row in rows]),
            "converged": ("repetition", [row["converged"] for row in rows]),
            "truth": ("coordinate", flat),
            "coverage": ("coordinate", coverage),
            "coverage_mcse": ("coordinate", np.sqrt(coverage * (1 - coverage) / len(rows))),
            "width": ("coordinate", np.mean(high - low, axis=0)),
            "bias": ("coordinate", np.mean(mean, axis=0) - flat),
            "rmse": ("coordinate", np.sqrt(np.mean((mean - flat) ** 2, axis=0))),
        },
        coords={
            "repetition": [row["number"] for row in rows],
            "coordinate": _coordinates(truth),
        },
        attrs={
            "level": level, "complete": int(complete), "repetitions": len(rows),
            "n_not_converged": sum(not row["converged"] for row in rows),
            "random_seed": "" if random_seed is None else str(random_seed),
        },
    )  # fmt: skip
