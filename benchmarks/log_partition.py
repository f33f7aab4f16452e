"""Log partition functions: coupled spins by the fold, numbers by quadrature and windows of sums.

    python benchmarks/log_partition.py --spins 10,12,14,16,20

Milliseconds of log Z with all means and pair means (its gradient) in one compiled call, median of
repeats after a warm-up: by `Family`, which folds; by `logsumexp(T @ eta)` in PyTensor's numba mode;
and, where it is installed, by JAX's automatic gradient of the sum over both halves; and by a loop
in numba over all states in the order of a Gray code. After each, how many times longer than ours it
took.

Then milliseconds of log Z with all means of Ising spins on free square lattices, by the transfer
matrix in one compiled call, and how many times longer the tree decomposition of dwave-samplers
takes for log Z, and for log Z with marginals, in the same order of nodes; and microseconds of log Z
with its gradient on a torus by Kaufman's closed form.

Then microseconds of A with E[T] of families on an interval or all counts, in one compiled call; and
how many times longer SciPy takes, with `quad` or a sum of a thousand terms for A and for each of
E[T].
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import networkx as nx
import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from scipy.integrate import quad
from scipy.special import gammaln, logsumexp

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
    """The sum over both halves of the spins in JAX, with its gradient, in double precision.

    States of one half and of the other, and the couplings between them as a matrix product: no
    table of all states, which would not fit at n = 20.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    sizes = n // 2, n - n // 2
    first, second = (jax.numpy.asarray(pms.Spins(k).states(0, 2**k)) for k in sizes)
    rows, columns = np.triu_indices(n, 1)
    half = n // 2

    def log_z(eta):
        h, J = eta[:n], jax.numpy.zeros((n, n)).at[rows, columns].set(eta[n:])
        a = first @ h[:half] + jax.numpy.einsum("si,ij,sj->s", first, J[:half, :half], first)
        b = second @ h[half:] + jax.numpy.einsum("si,ij,sj->s", second, J[half:, half:], second)
        energies = a[:, None] + b + first @ J[:half, half:] @ second.T
        return jax.nn.logsumexp(energies)

    run = jax.jit(jax.value_and_grad(log_z))

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


@njit
def gray_code(h, J):
    """Log Z, means and pair means of spins, one flip a state."""
    n = len(h)
    x = -np.ones(n)
    energy = -np.sum(h)
    fields = h - np.sum(J, axis=1)
    for i in range(n):
        for j in range(i):
            energy += J[i, j]
    total, means, pairs = 0.0, np.zeros(n), np.zeros((n, n))
    shift = np.sum(np.abs(h)) + 0.5 * np.sum(np.abs(J))
    for k in range(2**n):
        if k > 0:
            bit = 0
            while not (k >> bit) & 1:
                bit += 1
            energy -= 2.0 * x[bit] * fields[bit]
            x[bit] = -x[bit]
            for j in range(n):
                fields[j] += 2.0 * x[bit] * J[bit, j]
        p = np.exp(energy - shift)
        total += p
        for i in range(n):
            means[i] += p * x[i]
            for j in range(i):
                pairs[i, j] += p * x[i] * x[j]
    return np.log(total) + shift, means / total, pairs / total


def by_gray_code(n: int) -> Callable:
    """One state after another, in numba."""
    rows, columns = np.triu_indices(n, 1)

    def function(eta):
        J = np.zeros((n, n))
        J[rows, columns] = eta[n:]
        return gray_code(eta[:n], J + J.T)

    return function


def lattices(widths: list[int]) -> None:
    """Print the tables of square lattices and tori."""
    try:
        import dimod
        from dwave.samplers import TreeDecompositionSampler
    except ModuleNotFoundError:
        dimod = None
    print(
        f"{'lattice':>20} {'ours ms':>9} {'tree ms':>9} {'ratio':>6} {'marginals':>10} {'ratio':>6}"
    )
    graphs = {str(width): nx.grid_2d_graph(width, width) for width in widths}
    graphs["ring of 120, rewired"] = nx.connected_watts_strogatz_graph(120, 4, 0.1, seed=1)
    graphs["tree of 500"] = nx.random_labeled_tree(500, seed=1)
    for name, graph in graphs.items():
        K = pt.vector("K", shape=(len(graph.edges),))
        x = pms.Ising.dist(K, graph=graph)
        log_z = x.owner.op.log_partition(*x.owner.inputs[2:])
        ours = pytensor.function([K], [log_z, pytensor.grad(log_z, K)], mode="NUMBA")
        at = np.random.default_rng(len(graph)).normal(size=len(graph.edges))
        own = milliseconds(ours, at)
        line = f"{name:>20} {own:9.3f}"
        if dimod is not None:
            number = {v: k for k, v in enumerate(graph)}
            couplings = {
                (number[u], number[v]): -J for (u, v), J in zip(graph.edges, at, strict=True)
            }
            model = dimod.BinaryQuadraticModel.from_ising({}, couplings)
            for marginals in (False, True):
                peer = partial(
                    TreeDecompositionSampler().sample, model, beta=1.0, num_reads=1,
                    marginals=marginals,
                    # row by row is the best order of a lattice; elsewhere its own, of least fill
                    elimination_order=list(range(len(graph))) if name.isdigit() else None,
                )  # fmt: skip
                found = peer().info["log_partition_function"]
                np.testing.assert_allclose(found, ours(at)[0], rtol=1e-10)
                took = milliseconds(lambda at, peer=peer: peer(), at)
                line += f" {took:9.1f} {took / own:6.0f}"
        print(line, flush=True)
    print(f"{'torus':>8} {'us':>9}")
    for size in (8, 16, 32, 64):
        beta = pt.scalar("beta")
        graph = nx.grid_2d_graph(size, size, periodic=True)
        x = pms.Ising.dist(beta, graph=graph)
        log_z = x.owner.op.log_partition(*x.owner.inputs[2:])
        ours = pytensor.function([beta], [log_z, pytensor.grad(log_z, beta)], mode="NUMBA")
        ours.trust_input = True
        print(f"{size:8d} {1e3 * milliseconds(ours, np.array(0.43)):9.1f}", flush=True)


def gamma_by_quad(eta: np.ndarray) -> tuple[float, float, float]:
    """A and E[log x], E[x] of a gamma distribution by SciPy's `quad`."""

    def integral(f) -> float:
        return quad(lambda x: f(x) * x ** eta[0] * np.exp(eta[1] * x), 0, np.inf, epsrel=1e-10)[0]

    z = integral(lambda x: 1.0)
    return np.log(z), integral(np.log) / z, integral(lambda x: x) / z


def counts_by_sum(eta: np.ndarray) -> tuple[float, float, float]:
    """A and E[k], -E[log k!] of a Conway-Maxwell-Poisson distribution by a thousand terms."""
    k = np.arange(1024.0)
    T = np.column_stack([k, -gammaln(k + 1)])
    exponents = T @ eta
    A = logsumexp(exponents)
    return A, *(np.exp(exponents - A) @ T)


NUMBERS = {
    "gamma, by quadrature": (
        pms.Family(lambda x: [pt.log(x), x], pms.Interval(0, np.inf)), [2.0, -1.5], gamma_by_quad,
    ),
    "counts, by a window": (
        pms.Family(lambda x: [x, -pt.gammaln(x + 1)], pms.Integers(0, np.inf)), [1.5, 1.2],
        counts_by_sum,
    ),
}  # fmt: skip


def numbers() -> None:
    """Print the table of families of one number."""
    print(f"{'family':24} {'us':>7} {'SciPy ratio':>12}")
    for name, (one, eta, peer) in NUMBERS.items():
        variable, at = pt.vector("eta", shape=(2,)), np.array(eta)
        A = one.log_partition(variable)
        ours = pytensor.function([variable], [A, pytensor.grad(A, variable)], mode="NUMBA")
        ours.trust_input = True
        found, reference = ours(at), peer(at)
        np.testing.assert_allclose([found[0], *found[1]], reference, rtol=1e-8)
        own, took = milliseconds(ours, at), milliseconds(peer, at)
        print(f"{name:24} {1e3 * own:7.1f} {took / own:12.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spins", default="10,12,14,16,20", help="numbers of spins")
    parser.add_argument("--widths", default="10,12,14", help="of free lattices")
    arguments = parser.parse_args()
    sizes = [int(n) for n in arguments.spins.split(",")]
    print(
        f"{'spins':>5} {'fold ms':>9} {'logsumexp':>10} {'ratio':>6} {'JAX':>9} {'ratio':>6} "
        f"{'Gray':>9} {'ratio':>6}"
    )
    for n in sizes:
        rng = np.random.default_rng(n)
        eta = np.concatenate([0.3 * rng.normal(size=n), rng.normal(size=n * (n - 1) // 2) / n**0.5])
        ours = folded(n)
        own = milliseconds(ours, eta)
        line = f"{n:5d} {own:9.3f}"
        for peer in (summed, by_jax, by_gray_code):
            try:
                other = peer(n) if n <= LARGEST_SUM or peer is not summed else None
            except ModuleNotFoundError:
                other = None
            if other is None:
                line += f" {'-':>9} {'-':>6}"
                continue
            np.testing.assert_allclose(other(eta)[0], ours(eta)[0], rtol=1e-10)
            took = milliseconds(other, eta)
            line += f" {took:9.3f} {took / own:6.1f}"
        print(line, flush=True)
    lattices([int(w) for w in arguments.widths.split(",")])
    numbers()


if __name__ == "__main__":
    main()
