"""BlackJAX's adaptive tempered SMC with Hamiltonian moves, in one function that JAX compiles.

The metric is that of the weighted particles, the step size follows their acceptance. Every
particle has a step of its own, between half and one and a half times the tuned one, since
trajectories of one length return to where they began on some target.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import blackjax
import jax
import jax.numpy as jnp
from blackjax.smc import extend_params, resampling
from pymc.sampling.jax import get_jaxified_graph

TARGET_ESS = 0.5
MOVES, STEPS = 10, 5
TARGET_ACCEPTANCE = 0.8


def sampler(inputs: list, graphs: list) -> Callable:
    """Return (key, particles (n, d) of the prior) -> (particles, weights, log Z).

    Parameters
    ----------
    inputs, graphs
        [flat vector] and [log prior, log likelihood] of a model, in PyTensor.
    """
    log_prior, log_likelihood = (get_jaxified_graph(inputs, [graph]) for graph in graphs)

    def step(carry):
        state, key, log_z, scale = carry
        own, jitter, key = jax.random.split(key, 3)
        mean = state.weights @ state.particles
        variances = state.weights @ (state.particles - mean) ** 2
        steps = scale * jax.random.uniform(jitter, state.weights.shape, minval=0.5, maxval=1.5)
        algorithm = blackjax.adaptive_tempered_smc(
            lambda x: log_prior(x)[0],
            lambda x: log_likelihood(x)[0],
            partial(blackjax.hmc.build_kernel(), num_integration_steps=STEPS),
            blackjax.hmc.init,
            {"step_size": steps, **extend_params({"inverse_mass_matrix": variances})},
            resampling.systematic,
            TARGET_ESS,
            num_mcmc_steps=MOVES,
        )
        state, info = algorithm.step(own, state)
        scale *= jnp.exp(jnp.mean(info.update_info.acceptance_rate) - TARGET_ACCEPTANCE)
        return state, key, log_z + info.log_likelihood_increment, scale

    def run(key, particles):
        start = blackjax.smc.tempered.init(particles)
        start = start._replace(tempering_param=jnp.zeros(()))
        state, _, log_z, _ = jax.lax.while_loop(
            lambda carry: carry[0].tempering_param < 1.0,
            step,
            (start, key, jnp.zeros(()), jnp.asarray(particles.shape[1] ** -0.25)),
        )
        return state.particles, state.weights, log_z

    return run
