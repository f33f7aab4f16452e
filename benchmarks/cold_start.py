"""What a user waits for in a fresh Python process, on eight schools.

    python benchmarks/cold_start.py

Wall seconds from the end of `import pymc` until a process has its draws: four of them, or those
of the default call. Caches on disk (bytecode, PyTensor's, numba's) are in a directory of their
own, empty for the first process that samples, and filled for the others, of which the median is
shown. After it: how far the last process was after how many seconds, and when it had ended.
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


def run(code: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds after its start at which a fresh process was how far, and of the whole process."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    marks = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return {**{name: float(at) for name, at in marks}, "process": perf_counter() - start}


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
            "PYTHONPYCACHEPREFIX": str(Path(cache, "bytecode")),
        }
        # a place for bytecode is of no use where Python may not write any
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        run(IMPORT, environment)
        for name, code, n in (
            ("first draws, empty caches", FIRST_DRAWS, 1),
            ("first draws", FIRST_DRAWS, repeats),
            ("default call", DEFAULT_CALL, repeats),
        ):
            found = [run(code, environment) for _ in range(n)]
            beyond = median(marks["draws"] - marks["import pymc"] for marks in found)
            last = ", ".join(f"{mark} {at:.1f}" for mark, at in found[-1].items())
            print(f"{name:26} import pymc + {beyond:4.1f} s; {last}", flush=True)


if __name__ == "__main__":
    main()
