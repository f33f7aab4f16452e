r"""How often intervals hold the truth, over many data sets, in parallel.

.. math:: \hat c_j = \frac1R \sum_r 1\bigl\{\theta_j \in C_j(y^{(r)})\bigr\}, \qquad
          y^{(r)} \sim G
"""

from __future__ import annotations

import pickle
import warnings
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

from pm_statmech.calibration.repetitions import (
    Repetition,
    check_level,
    coordinate_labels,
    described_function,
)
from pm_statmech.calibration.study_file import Row, StudyFile
from pm_statmech.errors import (
    CalibrationError,
    ConvergenceWarning,
)
from pm_statmech.samplers.refits import MOST_RHAT
from pm_statmech.samplers.workers import in_parallel, seeds_of, threads


def _as_repetition(found: Any) -> Repetition:
    if isinstance(found, Repetition):
        return found
    if isinstance(found, DataTree | xr.Dataset):
        if isinstance(found, DataTree):
            if "posterior" not in found.children:
                raise CalibrationError(
                    f"repeat(rng) gives a DataTree of {sorted(found.children)}: no posterior."
                )
            found = found["posterior"].dataset
        if not {"chain", "draw"} <= set(found.dims):
            raise CalibrationError(
                f"repeat(rng) gives a Dataset over {list(found.dims)}: draws are over chain, draw."
            )
        draws = {str(k): v.transpose("chain", "draw", ...).values for k, v in found.items()}
        return Repetition(
            {k: v.reshape(-1, *v.shape[2:]) for k, v in draws.items()},
            converged=all(_mixed(v) for v in draws.values()),
        )
    if isinstance(found, Mapping):
        return Repetition({str(k): np.asarray(v) for k, v in found.items()})
    raise CalibrationError(
        "repeat(rng) gives a Repetition, a DataTree with a posterior, or {variable: draws (S, ...)}"
        f"; it gave {type(found).__name__}."
    )


def _mixed(draws: np.ndarray) -> bool:
    """Whether R-hat of draws (chain, draw, ...) is at most 1.05 wherever they vary."""
    from arviz_stats.base import array_stats

    flat = draws.reshape(*draws.shape[:2], -1)
    return all(
        array_stats.rhat(flat[..., j], chain_axis=0, draw_axis=1, method="split") <= MOST_RHAT
        for j in range(flat.shape[-1])
        if np.ptp(flat[..., j]) > 0
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
    row: Row = {
        "number": number, "beta": float(found.beta), "converged": bool(found.converged)
    }  # fmt: skip
    for key in ("low", "high", "mean"):
        row[key] = []
    for name, value in truth.items():
        draws = np.asarray(found.draws[name], dtype=float)
        if draws.ndim == 0 or draws.shape[1:] != value.shape or len(draws) < 2:
            raise CalibrationError(
                f"truth[{name!r}] has shape {value.shape}, so that draws of it have (S, "
                f"*{value.shape}); they have {draws.shape}."
            )
        if not np.all(np.isfinite(draws)):
            raise CalibrationError(f"draws of {name} are not finite.")
        flat = draws.reshape(len(draws), -1)
        ends = np.quantile(flat, [(1 - level) / 2, (1 + level) / 2], axis=0)
        row["low"] += ends[0].tolist()
        row["high"] += ends[1].tolist()
        row["mean"] += flat.mean(axis=0).tolist()
    return row


def _attempted(repeat: Callable, truth, level: float, number: int, seed) -> Row | Exception:
    """The row of a repetition, or what it raised."""
    try:
        return _row(repeat, truth, level, number, seed)
    except Exception as error:
        return error


@lru_cache(maxsize=4)
def _unpickled(payload: bytes) -> tuple:
    return pickle.loads(payload)


def _attempted_elsewhere(payload: bytes, number: int, seed) -> Row | Exception:
    """`_attempted` in another process, which keeps what it compiled."""
    repeat, truth, level = _unpickled(payload)
    return _attempted(repeat, truth, level, number, seed)


def _coordinates(truth: Mapping[str, np.ndarray], repeat: Any) -> list[str]:
    model = getattr(repeat, "model", None)
    if model is not None:
        return [
            label
            for name, value in truth.items()
            for label in coordinate_labels(model, name, value.shape)
        ]
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
    most_failures: int = 0,
    executor: Executor | None = None,
    cores: int | None = None,
    checkpoint: str | Path | None = None,
    random_seed=None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Coverage and width of posterior intervals over many data sets: data, posterior, interval.

    .. math:: \hat c_j = \frac1R \sum_r 1\bigl\{\theta_j \in C_j(y^{(r)})\bigr\}, \qquad
              \mathrm{mcse} = \sqrt{\tilde c_j (1 - \tilde c_j) / R}, \quad
              \tilde c_j = \frac{R \hat c_j + 1}{R + 2}

    Parameters
    ----------
    repeat
        ``repeat(rng)`` draws data and their posterior: `refitted` or `calibrated` of a model, or
        any function that returns a DataTree with a posterior, or {variable: draws (S, ...)}.
    truth
        {variable: value} that the intervals should hold, of the variables to be studied: for a
        loss, the minimiser of its expectation under what generates the data.
    level
        of the equal-tailed intervals.
    repetitions
        R.
    most_failures
        repetitions that may raise: they are left out of the table, with a warning and their
        messages in the attribute ``failures``. One more ends the study.
    executor
        any of ``concurrent.futures``, or with its interface (Dask's ``client.get_executor()``,
        mpi4py's ``MPIPoolExecutor``); by default threads for `refitted`, and one repetition after
        another for everything else, because PyTensor does not compile in several threads at once:
        give processes, not threads, to go faster.
    cores
        threads of `refitted`, where there is no executor.
    checkpoint
        file to which finished repetitions are added; a study of the same model, generator, level,
        truth and seed goes on from it, and ends in the same table, with more repetitions if more
        are asked for. What a function of your own does is not compared, only its name.
    random_seed
        of all repetitions, each of which has a stream of its own, ``rng``: the table depends
        neither on the executor nor on the order in which they finish, as long as `repeat` draws
        all that is random from it.
    progressbar
        over repetitions.

    Returns
    -------
    Dataset
        over ``repetition`` and ``coordinate``: low, high, mean, covered; over ``repetition``: beta
        and converged; over ``coordinate``: truth, coverage, its standard error coverage_mcse (never
        0), width, bias and rmse of the means. Attributes:
        level, complete (0 after Ctrl-C, which keeps what was finished), n_not_converged (by R-hat,
        of repetitions that tell their chains apart), random_seed, failures.

    Raises
    ------
    CalibrationError
        draws that lack a variable of the truth, or have another shape; `calibrated` in a pool of
        threads; what else a repetition
        raises is raised with a note that says how to repeat it alone.
    CheckpointMismatchError, CheckpointError
        a file of another study, or of none.

    Warns
    -----
    ConvergenceWarning
        repetitions that failed, where some may.

    Notes
    -----
    Processes need the lines that start them below ``if __name__ == "__main__":``, as everywhere in
    Python. A function of your own may call any sampler: ``pm.sample(random_seed=rng)``.

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

    check_level(level)
    if repetitions < 1 or not isinstance(truth, Mapping) or not truth:
        raise CalibrationError(
            f"repetitions = {repetitions}, truth = {truth}: a study takes at least one repetition, "
            "and {variable: value} of what its intervals should hold."
        )
    known = {name: np.asarray(value, dtype=float) for name, value in truth.items()}
    for name, value in known.items():
        if value.size == 0 or not np.all(np.isfinite(value)):
            raise CalibrationError(f"truth[{name!r}] = {value}: give finite values.")
    seeds = seeds_of(random_seed).spawn(repetitions)
    saved = None
    if checkpoint is not None:
        if not isinstance(random_seed, int | np.integer):
            raise CalibrationError(
                "a checkpoint needs random_seed= as an int, or it cannot be gone on from."
            )
        header = {
            "study": "coverage", "level": level, "random_seed": int(random_seed),
            "truth": {name: value.tolist() for name, value in known.items()},
            "repeat": getattr(repeat, "fingerprint", None) or described_function(repeat),
        }  # fmt: skip
        saved = StudyFile(Path(checkpoint), header)
    done = {} if saved is None else saved.rows
    rows: dict[int, Row] = {r: row for r, row in done.items() if r < repetitions}
    numbers = [r for r in range(repetitions) if r not in rows]
    in_threads = executor is None or isinstance(executor, ThreadPoolExecutor)
    run: Callable
    arguments: Iterable[tuple]
    if in_threads:
        run, arguments = _attempted, ((repeat, known, level, r, seeds[r]) for r in numbers)
    else:
        import cloudpickle

        payload = cloudpickle.dumps((repeat, known, level))
        run, arguments = _attempted_elsewhere, ((payload, r, seeds[r]) for r in numbers)
    if in_threads and executor is not None and not getattr(repeat, "in_threads", True):
        raise CalibrationError(
            "calibrated(...) compiles for each data set, which PyTensor does not do in several "
            "threads at once: give a ProcessPoolExecutor, or none."
        )
    complete, failures = True, {}
    if executor is None and not getattr(repeat, "in_threads", False):
        # compiling changes settings of the whole process, which threads would mix up
        cores = 1
    with threads(cores) if executor is None else nullcontext(executor) as pool:
        finished = in_parallel(run, arguments, pool)
        try:
            for index, row in track(
                finished, "Repeating", total=len(numbers), disable=not progressbar, transient=True
            ):
                if isinstance(row, Exception):
                    failures[numbers[index]] = f"{type(row).__name__}: {row}"
                    if len(failures) > most_failures:
                        raise row
                    continue
                rows[row["number"]] = row
                if saved is not None:
                    saved.add(row)
        except KeyboardInterrupt:
            complete = False
            finished.close()
    if not complete and not rows:
        raise KeyboardInterrupt
    if not rows:
        raise CalibrationError(f"every repetition failed: {failures}.")
    if failures:
        warnings.warn(
            f"{len(failures)} of {repetitions} repetitions failed and are not in the table: "
            f"{next(iter(failures.values()))[:200]} (and so on; see its attribute 'failures').",
            ConvergenceWarning,
            stacklevel=2,
        )
    table = _table(
        [rows[r] for r in sorted(rows)], known, level, complete, random_seed,
        _coordinates(known, repeat),
    )  # fmt: skip
    told = "\n".join(f"repetition {r}: {text}" for r, text in sorted(failures.items()))
    return table.assign_attrs(n_failed=len(failures), failures=told)


def _table(
    rows: list[Row], truth, level: float, complete: bool, random_seed, coordinates: list[str]
) -> xr.Dataset:
    flat = np.concatenate([np.ravel(value) for value in truth.values()])
    low, high, mean = (np.array([row[key] for row in rows]) for key in ("low", "high", "mean"))
    covered = (low <= flat) & (flat <= high)
    coverage = covered.mean(axis=0)
    # of no misses in R the error is not 0
    likely = (covered.sum(axis=0) + 1) / (len(rows) + 2)
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
            "coverage_mcse": ("coordinate", np.sqrt(likely * (1 - likely) / len(rows))),
            "width": ("coordinate", np.mean(high - low, axis=0)),
            "bias": ("coordinate", np.mean(mean, axis=0) - flat),
            "rmse": ("coordinate", np.sqrt(np.mean((mean - flat) ** 2, axis=0))),
        },
        coords={
            "repetition": [row["number"] for row in rows],
            "coordinate": coordinates,
        },
        attrs={
            "level": level, "complete": int(complete), "repetitions": len(rows),
            "n_not_converged": sum(not row["converged"] for row in rows),
            "random_seed": "" if random_seed is None else str(random_seed),
        },
    )  # fmt: skip
