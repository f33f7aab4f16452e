"""`sample_tempered` and `log_evidence` by default, next to peers, on problems with known log Z.

    python benchmarks/evidence.py --seeds 20 --problems pine,mixture10 --methods ours,smc

Prints, a line for each method: the share of runs within two reported errors of the truth, the
median and root mean square error, the mean reported error, CPU seconds without compilation and
those of compilation, T = seconds (rms / 0.1)^2 and its ratio to ours (see `summary`), the mean
over runs of the largest error of a mode's weight among the draws, and how many runs warned. Each
method first runs once on each problem, uncounted, to fill the caches. Rows go to the file `--out`
as they come; those already there are not run again, so give a new file after a change to the code.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from time import process_time

import numpy as np
import pymc as pm
from compile_clock import compile_clock
from peers import METHODS, NotAttemptedError
from problems import PROBLEMS, Problem
from summary import HEADER, Row, append_row, line, read_rows

WARM_UP_SEED = 10_000
# a Gaussian fitted to one of their modes can be that mode, and a bridge to it without variance
GAUSSIAN = {
    "regression", "mixture10", "mixture30", "unequal10", "label_switching", "unequal_hard",
}  # fmt: skip


def mode_error(problem: Problem, draws: dict[str, np.ndarray]) -> float:
    """Largest difference between a mode's weight and its share of the draws, NaN without modes."""
    if problem.mode_of is None:
        return float("nan")
    labels = problem.mode_of(draws)
    shares = np.bincount(labels, minlength=len(problem.weights)) / len(labels)
    return float(np.max(np.abs(shares - problem.weights)))


def run(name: str, problem: Problem, model: pm.Model, seed: int) -> Row:
    """One run of a method, as a row; what it raises, other than a missing library, is a note."""
    log_z = reported = missed = float("nan")
    with warnings.catch_warnings(record=True) as caught, compile_clock() as clock:
        warnings.simplefilter("always")
        start = process_time()
        try:
            log_z, reported, draws = METHODS[name](problem, model, seed)
            seconds = process_time() - start - clock.seconds
            missed = mode_error(problem, draws)
            notes = []
        except (ModuleNotFoundError, NotAttemptedError):
            raise
        except Exception as error:
            seconds = process_time() - start - clock.seconds
            notes = [type(error).__name__]
            print(f"   {name}, seed {seed}: {type(error).__name__}: {error}", flush=True)
    notes += {warning.category.__name__ for warning in caught}
    return Row(
        problem.name, name, seed, log_z - problem.log_evidence, reported, seconds, clock.seconds,
        missed, " ".join(sorted(notes)),
    )  # fmt: skip


def complete(
    name: str, problem: Problem, model: pm.Model, seeds: int, out: Path | None, rows: list[Row]
) -> list[Row]:
    """Rows of a method on a problem for all seeds, of which those in `rows` are not run again."""
    known = {row.seed: row for row in rows if (row.problem, row.method) == (problem.name, name)}
    missing = [seed for seed in range(seeds) if seed not in known]
    if missing:
        run(name, problem, model, WARM_UP_SEED)
    for seed in missing:
        known[seed] = run(name, problem, model, seed)
        if out is not None:
            append_row(out, known[seed])
    return [known[seed] for seed in range(seeds)]


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    """Names of a comma-separated list, all of the known ones by default."""
    names = known if text is None else text.split(",")
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"{what} {unknown} are not among {known}.")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    makers = {maker.__name__: maker for maker in PROBLEMS}
    parser.add_argument("--seeds", type=int, default=8, help="runs of each method and problem")
    parser.add_argument("--problems", help=f"some of {','.join(makers)}")
    parser.add_argument("--methods", help=f"some of {','.join(METHODS)}")
    parser.add_argument("--out", type=Path, help="CSV file of the rows, to go on from or to begin")
    arguments = parser.parse_args()
    problems = chosen(arguments.problems, list(makers), "problems")
    methods = chosen(arguments.methods, list(METHODS), "methods")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    rows = [] if arguments.out is None else read_rows(arguments.out)
    print(HEADER)
    for maker in problems:
        problem = makers[maker]()
        model = problem.model()
        said = "; Gaussian modes: T of a method that fits Gaussians is no measure of it on others"
        said = said if maker in GAUSSIAN else ""
        print(f"{problem.name}, log Z = {problem.log_evidence:.4f}{said}", flush=True)
        own: list[Row] = []
        for name in list(methods):
            try:
                found = complete(name, problem, model, arguments.seeds, arguments.out, rows)
            except NotAttemptedError as reason:
                print(f"   {name:12} skipped: {reason}", flush=True)
                continue
            except ModuleNotFoundError as error:
                print(f"   {name:12} skipped: {error}; it comes with the extra `bench`", flush=True)
                methods.remove(name)
                continue
            own = found if name == "ours" else own
            print(line(found, own), flush=True)


if __name__ == "__main__":
    main()
