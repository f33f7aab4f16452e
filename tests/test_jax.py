"""Engines in programs of JAX: the same values and derivatives as in PyTensor's own."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_statmech as pms


def coupled_spins():
    eta = pm.Normal("eta", 0, 1, shape=6)
    rows, columns = np.triu_indices(3, 1)
    pms.ExponentialFamily(
        "y", eta, statistics=lambda x: [x, x[rows] * x[columns]], support=pms.Spins(3),
        observed=np.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]]),
    )  # fmt: skip


def gamma_by_quadrature():
    a, b = pm.HalfNormal("a", shape=2), pm.HalfNormal("b")
    pms.ExponentialFamily(
        "y", pt.stack([a, -b * pt.ones(2)], axis=-1), statistics=lambda x: [pt.log(x), x],
        support=pms.Interval(0, np.inf), observed=np.array([1.0, 2.0]),
    )  # fmt: skip


def counts():
    mu, nu = pm.HalfNormal("mu"), pm.HalfNormal("nu", shape=3)
    pms.ConwayMaxwellPoisson("y", mu=mu, nu=nu, observed=np.array([1, 2, 3]))


def largest_entropy():
    mean = pm.Beta("mean", 2, 2)
    pms.MaxEnt(
        "y", statistics=lambda x: [x], moments=mean[None], support=pms.Interval(0, 1),
        observed=np.array([0.2, 0.4]),
    )  # fmt: skip


def largest_entropy_on_a_table():
    mean = pm.Beta("mean", 2, 2)
    pms.MaxEnt(
        "y", statistics=lambda x: [x], moments=4.0 * mean[None], support=pms.Integers(0, 4),
        observed=np.array([1, 3]),
    )  # fmt: skip


def directions():
    A = pm.Normal("A", shape=3)
    pms.Bingham("y", pt.diag(A), observed=np.eye(3)[:2])


def labels_on_a_ring():
    J, h = pm.Normal("J", shape=5), pm.Normal("h", shape=(5, 3))
    pms.Potts("y", J, h, q=3, graph=nx.cycle_graph(5), observed=np.array([[0, 1, 2, 1, 0]]))


def a_torus():
    J = pm.Normal("J")
    graph = nx.grid_2d_graph(4, 4, periodic=True)
    pms.Ising("y", J, graph=graph, observed=np.ones((4, 4)))


def two_layers():
    W = pm.Normal("W", shape=(4, 2))
    pms.RestrictedBoltzmannMachine("y", W, observed=np.array([[0, 1, 1, 0]]))


BUILDERS = [
    coupled_spins, gamma_by_quadrature, counts, two_layers,
    *(pytest.param(build, marks=pytest.mark.exhaustive) for build in (
        largest_entropy, largest_entropy_on_a_table, directions, labels_on_a_ring, a_torus)),
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDERS)
def test_values_and_derivatives_are_pytensors(build):
    jax = pytest.importorskip("jax")
    from pymc.sampling.jax import get_jaxified_graph

    with pm.Model() as model:
        build()
    at = [np.asarray(v) + 0.1 for v in model.initial_point().values()]
    point = {v.name: a for v, a in zip(model.value_vars, at, strict=True)}
    [logp] = [model.logp()]
    translated = get_jaxified_graph(inputs=model.value_vars, outputs=[logp])
    value, slopes = jax.jit(jax.value_and_grad(lambda x: translated(*x)[0]))(at)
    np.testing.assert_allclose(value, model.compile_logp(mode="FAST_COMPILE")(point), rtol=1e-10)
    flat = np.concatenate([np.ravel(s) for s in slopes])
    own = model.compile_dlogp(mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(flat, own, rtol=1e-8, atol=1e-10)
    # many points at once, as samplers do with their chains
    batch = [np.stack([a, a + 0.1]) for a in at]
    values, _ = jax.jit(jax.vmap(jax.value_and_grad(lambda x: translated(*x)[0])))(batch)
    np.testing.assert_allclose(values[0], value, rtol=1e-10)
    assert values[1] != values[0]


def test_second_derivatives_of_coupled_spins():
    jax = pytest.importorskip("jax")
    from pymc.sampling.jax import get_jaxified_graph

    eta = pt.vector("eta", shape=(6,))
    rows, columns = np.triu_indices(3, 1)
    family = pms.Family(lambda x: [x, x[rows] * x[columns]], pms.Spins(3))
    translated = get_jaxified_graph(inputs=[eta], outputs=[family.log_partition(eta)])
    at = np.linspace(-0.5, 0.7, 6)
    found = jax.hessian(lambda x: translated(x)[0])(at)
    np.testing.assert_allclose(found, family.covariance(at).eval(mode="FAST_COMPILE"), rtol=1e-10)


def test_what_pytensor_cannot_derive_is_refused():
    jax = pytest.importorskip("jax")
    from pymc.sampling.jax import get_jaxified_graph

    A = pt.matrix("A", shape=(3, 3))
    with pm.Model():
        y = pms.Bingham.dist(A)
    translated = get_jaxified_graph(inputs=[A], outputs=[pm.logp(y, np.eye(3)[0])])
    with pytest.raises(NotImplementedError, match="second derivatives"):
        jax.jacrev(jax.jacrev(lambda x: translated(x)[0]))(np.diag([0.0, 1.0, 2.0]))


def test_without_jax_all_is_as_before():
    code = "\n".join(
        [
            "import sys",
            # importing it fails from here on
            "sys.modules['jax'] = None",
            "import pymc as pm, pm_statmech as pms",
            "y = pms.ConwayMaxwellPoisson.dist(mu=2.0, nu=1.0)",
            "print(pm.logp(y, 2).exp().eval(mode='FAST_COMPILE'))",
        ]
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(float(run.stdout), 2.0 * np.exp(-2.0), rtol=1e-12)
