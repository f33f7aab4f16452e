"""What a user waits for in a fresh Python process, on eight schools.

    python benchmarks/cold_start.py

Wall seconds of whole processes: one that only imports PyMC; one that samples until it has four
draws; one that makes the default call. Caches on disk are in a directory of their own, empty for
the first process that samples, and filled for the others, of which the median is shown. After it:
what it takes beyond the import of PyMC, and how far the process was after how many seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

IMPORT = "import pymc"
MARK = """
from time import perf_counter
start = perf_counter()
def mark(name):
    print(name, perf_counter() - start)
"""
SAMPLE = (
    MARK
    + """
import pymc as pm
mark("import pymc")
import pm_statmech as pms
mark("import pm_statmech")
y = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
sigma = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
with pm.Model():
    mu = pm.Normal("mu", 0, 5)
    tau = pm.HalfCauchy("tau", 5)
    effect = pm.Normal("effect", 0, 1, shape=8)
    pm.Normal("y", mu + tau * effect, sigma, observed=y)
    mark("model")
    pms.sample_tempered({arguments}random_seed=1, quiet=True)
    mark("draws")
"""
)
FIRST_DRAWS = SAMPLE.format(arguments="draws=4, tune=0, ")
DEFAULT_CALL = SAMPLE.format(arguments="")


def run(code: str, environment: dict[str, str]) -> tuple[float, str]:
    """Wall seconds of a fresh process, and its last marks in words."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    seconds = perf_counter() - start
    marks = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return seconds, ", ".join(f"{name} {float(at):.1f}" for name, at in marks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="processes with filled caches")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as cache:
        flags = [os.environ.get("PYTENSOR_FLAGS", ""), f"base_compiledir={Path(cache, 'pytensor')}"]
        environment = {
            **os.environ,
            "PYTENSOR_FLAGS": ",".join(flag for flag in flags if flag),
            "NUMBA_CACHE_DIR": str(Path(cache, "numba")),
        }
        run(IMPORT, environment)
        alone = median(run(IMPORT, environment)[0] for _ in range(repeats))
        print(f"{'import pymc':26} {alone:6.1f} s")
        for name, code, n in (
            ("first draws, empty caches", FIRST_DRAWS, 1),
            ("first draws", FIRST_DRAWS, repeats),
            ("default call", DEFAULT_CALL, repeats),
        ):
            runs = sorted(run(code, environment) for _ in range(n))
            seconds, marks = runs[(n - 1) // 2]
            print(f"{name:26} {seconds:6.1f} s, {seconds - alone:+6.1f} s; {marks}", flush=True)


if __name__ == "__main__":
    main()
