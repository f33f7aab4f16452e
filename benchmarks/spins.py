"""Moves of spins on a square torus: the heat bath and clusters, with peers.

    python benchmarks/spins.py --size 64

Spin updates a nanosecond of one lattice in one thread at the critical temperature, best of some
repeats after a warm-up: the heat bath of `sample_network` on a lattice, the general one on any
graph, and, where they are installed, those of thrml, dwave-samplers and peapods, each with how many
times slower it is. Then nanoseconds a spin of a Swendsen-Wang sweep, ours and that of peapods, from
which its heat bath between cluster sweeps is subtracted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import networkx as nx
import numpy as np

from pm_statmech.log_partition.networks import Network
from pm_statmech.network_kernels.chains import bond_probabilities
from pm_statmech.network_kernels.clusters import swendsen_wang
from pm_statmech.network_kernels.lattices import square_sweeps
from pm_statmech.network_kernels.moves import heat_bath

CRITICAL = 0.5 * np.log(1.0 + np.sqrt(2.0))
REPEATS = 5


def seconds(run: Callable[[int], None], sweeps: int) -> float:
    """Of so many sweeps, the least of some repeats."""
    run(sweeps)
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        run(sweeps)
        times.append(perf_counter() - start)
    return min(times)


def torus(size: int) -> Network:
    """Ising spins."""
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(size, size, periodic=True))
    edges = np.sort(np.array(graph.edges), axis=1)
    return Network(size**2, edges, np.array([[1.0, -1.0], [-1.0, 1.0]]))


def own_lattice(size: int) -> Callable:
    state = {"x": np.ones((size, size), dtype=np.int8)}
    rng = np.random.default_rng(1)

    def run(sweeps):
        state["x"] = square_sweeps(rng, state["x"], CRITICAL, 0.0, sweeps)

    return run


def own_graph(size: int) -> Callable:
    network = torus(size)
    theta, K = np.zeros((network.n, 2)), np.full(network.m, CRITICAL)
    x = np.zeros((1, network.n), dtype=np.int64)
    return lambda sweeps: heat_bath.run(network, 1, x, theta, K, sweeps)


def own_clusters(size: int) -> Callable:
    network, rng = torus(size), np.random.default_rng(1)
    theta, x = np.zeros((network.n, 2)), np.zeros(network.n, dtype=np.int64)
    bonds = bond_probabilities(np.full(network.m, CRITICAL), 2.0)
    limits = np.round(bonds * 2.0**32).astype(np.uint32)

    def run(sweeps):
        for _ in range(sweeps):
            bits = rng.bit_generator.random_raw(network.m // 2).view(np.uint32)
            u = rng.random(network.n, dtype=np.float32)
            swendsen_wang(x, theta, limits, network.edges, bits, u)

    return run


def of_thrml(size: int) -> Callable:
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    network = torus(size)
    nodes = [SpinNode() for _ in range(network.n)]
    edges = [(nodes[i], nodes[j]) for i, j in network.edges]
    model = IsingEBM(
        nodes, edges, jnp.zeros(network.n), jnp.ones(network.m), jnp.array(float(CRITICAL))
    )
    colour = np.add(*np.divmod(np.arange(network.n), size)) % 2
    blocks = [Block([nodes[k] for k in np.flatnonzero(colour == c)]) for c in range(2)]
    program = IsingSamplingProgram(model, blocks, clamped_blocks=[])
    key = jax.random.key(0)
    initial = hinton_init(key, model, blocks, ())
    compiled: dict[int, Callable] = {}

    def run(sweeps):
        if sweeps not in compiled:
            schedule = SamplingSchedule(n_warmup=sweeps, n_samples=1, steps_per_sample=1)
            compiled[sweeps] = jax.jit(
                lambda key, x: sample_states(key, program, schedule, x, [], [Block(nodes)])
            )
        jax.block_until_ready(compiled[sweeps](key, initial))

    return run


def of_dwave(size: int) -> Callable:
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    couplings = {(int(i), int(j)): -1.0 for i, j in torus(size).edges}
    model, sampler = (
        dimod.BinaryQuadraticModel.from_ising({}, couplings),
        SimulatedAnnealingSampler(),
    )

    def run(sweeps):
        sampler.sample(
            model, num_reads=1, num_sweeps=sweeps, beta_range=[CRITICAL, CRITICAL],
            beta_schedule_type="linear", proposal_acceptance_criteria="Gibbs",
        )  # fmt: skip

    return run


def of_peapods(size: int, **options) -> Callable:
    import peapods

    model = peapods.Ising((size, size), temperatures=np.array([1.0 / CRITICAL]))
    return lambda sweeps: model.sample(sweeps, sweep_mode="gibbs", sequential=True, **options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, help="of the torus")
    parser.add_argument("--sweeps", type=int, default=2000)
    arguments = parser.parse_args()
    size, sweeps = arguments.size, arguments.sweeps
    spins = size**2 * sweeps
    print(f"{'heat bath':24} {'updates/ns':>10} {'slower':>7}")
    ours = seconds(own_lattice(size), sweeps)
    print(f"{'sample_network, lattice':24} {spins / ours / 1e9:10.3f}")
    peers = {"any graph": own_graph, "thrml": of_thrml, "dwave": of_dwave, "peapods": of_peapods}
    for name, make in peers.items():
        try:
            took = seconds(make(size), sweeps)
        except ModuleNotFoundError:
            continue
        print(f"{name:24} {spins / took / 1e9:10.3f} {took / ours:7.1f}", flush=True)
    few = max(sweeps // 10, 1)
    clusters = seconds(own_clusters(size), few) / (size**2 * few) * 1e9
    print(f"\n{'Swendsen-Wang':24} {'ns a spin':>10} {'slower':>7}")
    print(f"{'ours':24} {clusters:10.1f}")
    try:
        both = seconds(of_peapods(size, cluster_update_interval=1, cluster_mode="sw"), few)
        alone = seconds(of_peapods(size), few)
    except ModuleNotFoundError:
        return
    theirs = (both - alone) / (size**2 * few) * 1e9
    print(f"{'peapods':24} {theirs:10.1f} {theirs / clusters:7.1f}")


if __name__ == "__main__":
    main()
