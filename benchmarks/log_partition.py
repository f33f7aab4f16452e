"""Log partition functions of coupled spins: the fold against sums over all states, in one run.

    python benchmarks/log_partition.py --spins 10,12,14,16

Milliseconds of log Z with all means and pair means (its gradient) in one compiled call, median of
repeats after a warm-up: by `Family`, which folds; by `logsumexp(T @ eta)` in PyTensor's numba mode;
and, where it is installed, by JAX's automatic gradient of the same sum. After each, how many
times longer than ours it took.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import pytensor
import pytensor.tensor as pt

import pm_statmech as pms

REPEATS = 7
LARGEST_SUM = 16


def family(n: int) -> pms.Family:
    """N spins with a field each and a coupling a pair."""
    rows, columns = np.triu_indices(n, 1)
    return pms.Family(lambda x: [x, x[rows] * x[columns]], pms.Spins(n))


def folded(n: int) -> Callable:
    """Ours, through PyTensor."""
    eta = pt.vector("eta", shape=(n * (n + 1) // 2,))
    log_z = family(n).log_partition(eta)
    return pytensor.function([eta], [log_z, pytensor.grad(log_z, eta)], mode="NUMBA")


def table(n: int) -> np.ndarray:
    """Statistics of all states (2^n, K)."""
    states = pms.Spins(n).states(0, 2**n)
    rows, columns = np.triu_indices(n, 1)
    return np.column_stack([states, states[:, rows] * states[:, columns]])


def summed(n: int) -> Callable:
    """`logsumexp` of a table of all states, in PyTensor."""
    eta = pt.vector("eta", shape=(n * (n + 1) // 2,))
    log_z = pt.logsumexp(pt.dot(pt.constant(table(n)), eta))
    return pytensor.function([eta], [log_z, pytensor.grad(log_z, eta)], mode="NUMBA")


def by_jax(n: int) -> Callable:
    """The same sum with JAX's gradient, in double precision."""
    import jax

    jax.config.update("jax_enable_x64", True)
    T = jax.numpy.asarray(table(n))
    run = jax.jit(jax.value_and_grad(lambda eta: jax.nn.logsumexp(T @ eta)))

    def function(eta):
        log_z, gradient = run(eta)
        return log_z.block_until_ready(), gradient.block_until_ready()

    return function


def milliseconds(function: Callable, eta: np.ndarray) -> float:
    """Median time of a call."""
    function(eta)
    once = perf_counter()
    function(eta)
    calls = max(1, int(0.1 / max(perf_counter() - once, 1e-6)))
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        for _ in range(calls):
            function(eta)
        times.append((perf_counter() - start) / calls)
    return 1e3 * median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spins", default="10,12,14,16", help="numbers of spins")
    sizes = [int(n) for n in parser.parse_args().spins.split(",")]
    print(f"{'spins':>5} {'fold ms':>9} {'logsumexp':>10} {'ratio':>6} {'JAX':>9} {'ratio':>6}")
    for n in sizes:
        rng = np.random.default_rng(n)
        eta = np.concatenate([0.3 * rng.normal(size=n), rng.normal(size=n * (n - 1) // 2) / n**0.5])
        ours = folded(n)
        own = milliseconds(ours, eta)
        line = f"{n:5d} {own:9.3f}"
        for peer in (summed, by_jax):
            try:
                other = peer(n) if n <= LARGEST_SUM else None
            except ModuleNotFoundError:
                other = None
            if other is None:
                line += f" {'-':>9} {'-':>6}"
                continue
            np.testing.assert_allclose(other(eta)[0], ours(eta)[0], rtol=1e-10)
            took = milliseconds(other, eta)
            line += f" {took:9.3f} {took / own:6.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
