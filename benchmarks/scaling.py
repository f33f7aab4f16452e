r"""What `sample_tempered` costs as the parameters, the data or the rungs become more.

    python benchmarks/scaling.py --limit 300

Three tables, one line a size: CPU seconds without compilation, rungs, stages and gradients of the
pilot's annealing, gradients of one move of the target (those of the other rungs are not
recorded), and the error of log Z in units of the reported one where log Z is known. After each,
the exponent a of seconds ~ size^a by least squares on logs. A table ends before the size that
would, at the last exponent, take more than `--limit` seconds.

- parameters: a chain of d springs, whose gradient costs O(d), under the prior N(0, 3^2),

  .. math:: E = \tfrac12 \sum_i \frac{(x_{i+1} - 0.9 x_i)^2}{1 - 0.9^2} + \tfrac12 x_1^2

- data: logistic regression on 5 columns, with as many rows;
- rungs: the chain of 10 springs on a ladder asked for with that many.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Iterable
from time import process_time
from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from compile_clock import compile_clock

import pm_statmech as pms

DIMENSIONS = (10, 30, 100, 300, 1000)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
RUNGS = (10, 30, 100, 300)
RHO, PRIOR_SD = 0.9, 3.0
SHORT = {"draws": 250, "tune": 250}


class Case(NamedTuple):
    """A model, its log evidence or NaN, and what is asked of `sample_tempered`."""

    model: pm.Model
    log_evidence: float
    options: dict


def springs(d: int, options: dict) -> Case:
    """The chain of d springs; log Z = -1/2 log det(I + s^2 A) with E = x' A x / 2."""
    with pm.Model() as model:
        x = pm.Normal("x", 0, PRIOR_SD, shape=d)
        steps = (x[1:] - RHO * x[:-1]) / np.sqrt(1 - RHO**2)
        pms.GibbsPotential("springs", 0.5 * (x[0] ** 2 + pt.sum(steps**2)))
    to_steps = (np.eye(d) - RHO * np.eye(d, k=-1)) / np.sqrt(1 - RHO**2)
    to_steps[0] = np.eye(d)[0]
    stiffness = to_steps.T @ to_steps
    log_det = np.linalg.slogdet(np.eye(d) + PRIOR_SD**2 * stiffness)[1]
    return Case(model, -0.5 * float(log_det), options)


def logistic(rows: int) -> Case:
    """Logistic regression of `rows` synthetic observations on 5 columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 5))
    y = rng.random(rows) < 1 / (1 + np.exp(-X @ np.linspace(-1, 1, 5)))
    with pm.Model() as model:
        w = pm.Normal("w", 0, 2.5, shape=5)
        pm.Bernoulli("y", logit_p=pt.dot(X, w), observed=y.astype(int))
    return Case(model, float("nan"), SHORT)


def laddered(rungs: int) -> Case:
    """Ten springs with as many rungs, evenly spaced in beta."""
    return springs(10, {"betas": np.linspace(0, 1, rungs), **SHORT})


def measure(case: Case) -> tuple[float, str]:
    """CPU seconds of one run, and the rest of its line."""
    with compile_clock() as clock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = process_time()
        dt = pms.sample_tempered(
            model=case.model, random_seed=1, cores=1, quiet=True, keep_tempered=False,
            idata_kwargs={"log_likelihood": False, "log_prior": False}, **case.options,
        )  # fmt: skip
        seconds = process_time() - start - clock.seconds
        found = pms.log_evidence(dt)
    annealing, target = dt["annealing"], dt["sample_stats"]
    z = (float(found["log_evidence"]) - case.log_evidence) / float(found["mcse"])
    said = " ".join(sorted({warning.category.__name__ for warning in caught}))
    return seconds, (
        f"{clock.seconds:8.2f} {dt['ladder'].sizes['inverse_temperature']:6d} "
        f"{annealing.sizes['stage']:7d} {int(annealing['n_steps'].sum()):10d} "
        f"{float(target['n_steps'].mean()):11.1f} {float(found['mcse']):8.4f} {z:6.1f}  {said}"
    )


def table(name: str, sizes: Iterable[int], case: Callable[[int], Case], limit: float) -> None:
    """Print a table over sizes, and its exponent."""
    print(
        f"\n{name:>10} {'CPU s':>8} {'compile':>8} {'rungs':>6} {'stages':>7} {'in pilot':>10} "
        f"{'in a move':>11} {'mcse':>8} {'z':>6}  warnings"
    )
    done: list[tuple[float, float]] = []
    for size in sizes:
        if len(done) > 1:
            (n1, s1), (n2, s2) = done[-2:]
            expected = s2 * (size / n2) ** (np.log(s2 / s1) / np.log(n2 / n1))
            if expected > limit:
                print(f"{size:10d} left out: it would take some {expected:.0f} s")
                break
        seconds, rest = measure(case(size))
        done.append((size, seconds))
        print(f"{size:10d} {seconds:8.2f} {rest}", flush=True)
    if len(done) > 1:
        exponent = np.polyfit(*np.log(np.array(done)).T, 1)[0]
        print(f"CPU seconds ~ {name}^{exponent:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds of one run")
    limit = parser.parse_args().limit
    logging.getLogger("pymc").setLevel(logging.ERROR)
    table("parameters", DIMENSIONS, lambda d: springs(d, {}), limit)
    table("data rows", ROWS, logistic, limit)
    table("rungs", RUNGS, laddered, limit)


if __name__ == "__main__":
    main()
