r"""Every continuous kernel leaves pi_beta invariant, by a sequential test of known false alarms.

Exact draws of :math:`\pi_\beta` are moved by the kernel and compared with fresh exact draws, by a
two-sample Kolmogorov-Smirnov test (which sees ranks only) of several test functions. One round
on few draws settles the clear cases; a doubtful one is repeated on four times as many, and the
level :math:`\alpha` holds for all rounds together: with :math:`\delta = \alpha / k` and
:math:`\gamma = \delta^{1/k}`, round i rejects below :math:`\delta \gamma^{1-i}`, is content above
:math:`\gamma + \delta \gamma^{1-i}`, and is repeated between them.

Source: Gandy and Scott (2020), arXiv:2001.06465, algorithms 1 and 3.
"""

import numpy as np
import pytest
from scipy import stats

from pm_statmech.samplers.hmc import N_SUMS, hmc_step, random_hmc_step
from pm_statmech.samplers.independence import independence_step
from pm_statmech.samplers.mixture import compiled_parameters
from pm_statmech.samplers.nuts import N_STATISTICS, nuts_step
from pm_statmech.samplers.slice import sweep_slices

from .test_kernels import two_bumps
from .test_nuts import DENSE, exact_draws, funnel_free

__all__ = ["funnel_free"]

ALPHA, ROUNDS, GROWTH = 1e-5, 7, 4
FIRST, SWEEPS = 1000, 3
BETAS = [0.0, 0.05, 0.3, 1.0]


def rejects(p_values, n, *, alpha=ALPHA, rounds=ROUNDS):
    """Whether the sequential test rejects; p_values : n -> p of several functions, independent."""
    level = alpha / rounds
    gamma = level ** (1 / rounds)
    for number in range(rounds):
        p = p_values(n)
        least = len(p) * np.min(p)
        if least <= level:
            return True
        if least > gamma + level:
            return False
        level /= gamma
        if number == 0:
            n *= GROWTH
    return False


# each kernel moves every draw (x, value) once
def by_nuts(target, x, value, beta, rng):
    statistics = np.zeros(N_STATISTICS)
    for i in range(len(x)):
        nuts_step(target, x[i], value[i], beta, 1.1, DENSE, 6, rng, statistics)


def by_hmc(target, x, value, beta, rng):
    work, sums = np.empty(14), np.zeros(N_SUMS)
    for i in range(len(x)):
        random_hmc_step(target, x[i], value[i], beta, 0.9, 1.0, DENSE, rng, work, sums)


def by_slices(target, x, value, beta, rng):
    scratch = np.empty(6)
    for i in range(len(x)):
        sweep_slices(target, x[i], value[i], beta, DENSE, 1.0, rng, scratch)


def propose(target, x, value, beta, rng, uniforms):
    parameters, scratch = compiled_parameters(two_bumps()), np.empty(6)
    for i, proposal in enumerate(two_bumps().draw(len(x), rng)):
        independence_step(target, x[i], value[i], beta, proposal, uniforms[i], scratch,
                          *parameters)  # fmt: skip


def by_independence(target, x, value, beta, rng):
    propose(target, x, value, beta, rng, rng.random(len(x)))


KERNELS = [by_nuts, by_hmc, by_slices, by_independence]


def colder(kernel):
    """The kernel at 2 beta + 0.3: a doubled beta that is wrong at 0 too."""
    return lambda target, x, value, beta, rng: kernel(target, x, value, 2 * beta + 0.3, rng)


def hmc_without_metropolis(target, x, value, beta, rng):
    work, sums = np.empty(12), np.zeros(N_SUMS)
    for i in range(len(x)):
        hmc_step(target, x[i], value[i], beta, 1.3, 1, DENSE, rng.normal(size=2), 0.0, work, sums)


def independence_without_metropolis(target, x, value, beta, rng):
    propose(target, x, value, beta, rng, np.zeros(len(x)))


def test_functions(x, value):
    """Rows of positions, their products, log prior and energy at the draws."""
    return [x[:, 0], x[:, 1], x[:, 0] * x[:, 1], x[:, 1] - x[:, 0], value[:, 0], value[:, 1]]


test_functions.__test__ = False


def breaks_invariance(function, kernel, beta, seed):
    rng = np.random.default_rng(seed)
    target, keep = function.bind()

    def p_values(n):
        x, fresh = exact_draws(beta, n, rng), exact_draws(beta, GROWTH * n, rng)
        value = function(x)
        for _ in range(SWEEPS):
            kernel(target, x, value, beta, rng)
        np.testing.assert_allclose(value, function(x))
        pairs = zip(test_functions(x, value), test_functions(fresh, function(fresh)), strict=True)
        return np.array([stats.ks_2samp(a, b, method="asymp").pvalue for a, b in pairs])

    broken = rejects(p_values, FIRST)
    del keep
    return broken


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_leave_the_target_invariant(funnel_free, kernel, beta):
    assert not breaks_invariance(funnel_free, kernel, beta, 1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_wrong_beta_is_rejected(funnel_free, kernel, beta):
    assert breaks_invariance(funnel_free, colder(kernel), beta, 1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kernel", [hmc_without_metropolis, independence_without_metropolis])
def test_a_skipped_acceptance_is_rejected(funnel_free, kernel, beta):
    assert breaks_invariance(funnel_free, kernel, beta, 1)


def test_false_alarms_are_as_rare_as_promised():
    """At alpha = .1, where they can be counted; six functions of which two depend on others."""
    rng = np.random.default_rng(0)

    def p_values(n):
        p = rng.random(6)
        p[4:] = p[:2]
        return p

    alarms = sum(rejects(p_values, 1, alpha=0.1) for _ in range(4000))
    assert 0 < alarms <= stats.binom.isf(1e-6, 4000, 0.1)


def test_a_bias_is_found_by_growing():
    """A shift of .4 sd is in doubt at first, and found on four times as many draws."""
    rng = np.random.default_rng(0)
    sizes = []

    def p_values(n):
        sizes.append(n)
        a, b = rng.normal(0.4, 1, size=n), rng.normal(size=GROWTH * n)
        return np.array([stats.ks_2samp(a, b, method="asymp").pvalue])

    assert all(rejects(p_values, 150) for _ in range(50))
    assert 20 < sizes.count(GROWTH * 150) <= 60
