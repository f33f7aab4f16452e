"""Natural parameters of given means on infinite supports, and integrals in pieces."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, special

import pm_statmech as pms
from pm_statmech import errors

REAL = pms.Interval(-np.inf, np.inf)
POSITIVE = pms.Interval(0, np.inf)
COUNTS = pms.Integers(0, np.inf)
NORMAL = pms.Family(lambda x: [x, x**2], REAL)
GAMMA = pms.Family(lambda x: [x, pt.log(x)], POSITIVE)
WAITING = pms.Family(lambda x: [x], POSITIVE)
QUARTIC = pms.Family(lambda x: [x, x**2, x**3, x**4], REAL)
COM_POISSON = pms.Family(lambda k: [k, -pt.gammaln(k + 1)], COUNTS)


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


@pytest.mark.parametrize(
    ("family", "mean", "eta"),
    [
        (NORMAL, [3.0, 9.01], [300.0, -50.0]),
        (NORMAL, [1e3, 1e6 + 1], [1e3, -0.5]),
        (NORMAL, [1e6, 1e12 + 1e6], [1.0, -5e-7]),
        (WAITING, [1e-6], [-1e6]),
        (WAITING, [1e8], [-1e-8]),
        (GAMMA, [2 / 3, special.digamma(2) - np.log(3)], [-3.0, 1.0]),
        (GAMMA, [0.1 / 7, special.digamma(0.1) - np.log(7)], [-7.0, -0.9]),
        (GAMMA, [5e4, special.digamma(500) - np.log(0.01)], [-0.01, 499.0]),
        (pms.Family(lambda k: [k], COUNTS, lambda k: -pt.gammaln(k + 1)), [7.0], [np.log(7)]),
        (pms.Family(lambda k: [k, k**2], pms.Integers(-np.inf, np.inf)), [0.0, 100.0],
         [0.0, -0.005]),
    ],
)  # fmt: skip
def test_closed_forms(family, mean, eta):
    found = value(family.fit_moments(mean))
    np.testing.assert_allclose(found, eta, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "mean"),
    [
        (QUARTIC, [0.0, 1.0, 0.0, 2.5]),
        (QUARTIC, [0.0, 1.0, 0.0, 1.5]),
        (QUARTIC, [0.0, 1.0, 1.0, 3.0]),
        (COM_POISSON, [3.0, -2.2]),
        (pms.Family(lambda x: [x, x**2], pms.Interval(0, 1)), [0.99, 0.9802]),
        (pms.Family(lambda x: [x, x**2], pms.Interval(0, 1)), [0.3, 0.12]),
    ],
)
def test_members_have_the_means(family, mean):
    eta = value(family.fit_moments(mean))
    np.testing.assert_allclose(value(family.mean_statistics(eta)), mean, rtol=1e-10, atol=1e-12)
    # duality: A*(mu) is minus the entropy, and its gradient is eta
    conjugate = value(family.conjugate(mean))
    assert conjugate == pytest.approx(-value(family.entropy(eta)), rel=1e-9, abs=1e-9)


def test_batches_and_gradients():
    mean = pt.dmatrix("mean")
    eta = GAMMA.fit_moments(mean)
    total = (eta * np.array([1.0, 2.0])).sum()
    f = pytensor.function([mean], [eta, total, pytensor.grad(total, mean)], mode="FAST_COMPILE")
    at = np.array([[1.0, -0.5], [3.0, 0.7]])
    found, _, gradient = f(at)
    for row, one in zip(at, found, strict=True):
        np.testing.assert_allclose(value(GAMMA.fit_moments(row)), one, rtol=1e-10)
    for i, k in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[i, k] = 1e-5
        slope = (f(at + step)[1] - f(at - step)[1]) / 2e-5
        assert gradient[i, k] == pytest.approx(slope, rel=1e-6)


def test_native_code_gives_what_python_gives():
    mean = pt.dvector("mean")
    eta = GAMMA.fit_moments(mean)
    outputs = [eta, pytensor.grad(eta[1], mean)]
    native = pytensor.function([mean], outputs, mode="NUMBA")
    python = pytensor.function([mean], outputs, mode="FAST_COMPILE")
    for at in (np.array([1.0, -0.5]), np.array([1e-3, -9.0])):
        for found, expected in zip(native(at), python(at), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9)
    # above the logarithm of the mean no mean of logarithms can be
    assert np.all(np.isnan(native(np.array([1.0, 0.5]))[0]))


DIE = pms.Family(lambda x: [x, x**2], pms.Integers(1, 6))


@pytest.mark.parametrize(
    ("family", "mean"), [(DIE, [3.0, 12.0]), (GAMMA, [2.0, 0.1]), (COM_POISSON, [3.0, -2.0])]
)
def test_slack_and_variances(family, mean):
    """What is best: means within the slack, on its edge where eta is not 0; means off by v eta."""
    mean = np.array(mean)
    free = value(family.fit_moments(mean))
    variance = np.array([0.3, 0.1])
    eta = value(family.fit_moments(mean, variance=variance))
    off = value(family.mean_statistics(eta)) - mean
    np.testing.assert_allclose(off, -variance * eta, rtol=1e-8, atol=1e-10)
    assert np.max(np.abs(eta - free)) > 1e-3
    for slack in ([0.05, 0.02], [0.3, 0.01], [0.01, 0.6], [1e-9, 0.0]):
        slack = np.array(slack)
        eta = value(family.fit_moments(mean, slack=slack))
        off = value(family.mean_statistics(eta)) - mean
        assert np.all(np.abs(off) <= slack + 1e-9)
        np.testing.assert_allclose(off[eta != 0], (-slack * np.sign(eta))[eta != 0], atol=1e-9)
        # no more entropy than without
        entropy = value(family.entropy(eta))
        assert entropy >= value(family.entropy(free)) - 1e-12


def test_slack_that_does_not_bind_leaves_a_statistic_out():
    eta = value(DIE.fit_moments([3.4, 15.0], slack=[0.2, 1.0]))
    np.testing.assert_array_equal(eta, 0.0)
    # a mean that nothing has, but something within the slack
    eta = value(DIE.fit_moments([7.0, 30.0], slack=[1.5, 9.0]))
    assert value(DIE.mean_statistics(eta))[0] == pytest.approx(5.5, rel=1e-9)
    with pytest.raises(errors.FamilyError, match="no member"):
        DIE.fit_moments([9.0, 30.0], slack=[1.5, 9.0])


@pytest.mark.parametrize("family", [DIE, GAMMA])
def test_derivatives_of_penalised_fits(family):
    inputs = [pt.dvector(name) for name in ("mean", "slack", "variance")]
    mean, slack, variance = inputs
    eta = family.fit_moments(mean, slack=slack, variance=variance)
    total = (eta * np.array([1.0, 2.0])).sum()
    f = pytensor.function(inputs, [eta, total], mode="FAST_COMPILE")
    g = pytensor.function(inputs, pytensor.grad(total, inputs), mode="FAST_COMPILE")
    first = {DIE: [3.0, 12.0], GAMMA: [2.0, 0.1]}[family]
    for at in (
        [np.array(first), np.array([0.05, 0.02]), np.array([0.2, 0.1])],
        [np.array(first), np.array([0.0, 0.7]), np.array([0.1, 0.1])],
    ):
        gradients = g(*at)
        found = f(*at)[0]
        for k, gradient in enumerate(gradients):
            for i, step in enumerate(1e-6 * np.eye(2)):
                if k == 1 and (at[1][i] == 0.0 or found[i] == 0.0):
                    continue
                more, less = [v.copy() for v in at], [v.copy() for v in at]
                more[k], less[k] = more[k] + step, less[k] - step
                slope = (f(*more)[1] - f(*less)[1]) / 2e-6
                assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.exhaustive
def test_native_code_is_of_its_own_support():
    """The same statistics between other ends, which a cache on disk must tell apart."""
    mean = pt.dvector("mean")
    for high in (1.0, 2.0):
        family = pms.Family(lambda x: [x * 1.0625], pms.Interval(0.0, high))
        eta = pytensor.function([mean], family.fit_moments(mean), mode="NUMBA")(np.array([0.4]))
        assert value(family.mean_statistics(eta))[0] == pytest.approx(0.4, rel=1e-9)


def test_integrals_in_pieces():
    """Kinks and jumps at breakpoints are integrated, whole and below an end, and drawn from."""
    laplace = pms.Family(lambda x: [pt.abs(x - 1)], pms.Interval(-np.inf, np.inf, (1.0,)))
    assert value(laplace.log_partition([-2.0])) == pytest.approx(0.0, abs=1e-13)
    steps = pms.Family(lambda x: [x, x < 2, x < 5], pms.Interval(0, np.inf, (2.0, 5.0)))
    eta = np.array([-0.3, 1.0, -2.0])

    def density(x):
        return np.exp(eta[0] * x + eta[1] * (x < 2) + eta[2] * (x < 5))

    pieces = [integrate.quad(density, *ends)[0] for ends in ((0, 2), (2, 5), (5, np.inf))]
    assert value(steps.log_partition(eta)) == pytest.approx(np.log(sum(pieces)), rel=1e-12)
    means = value(steps.mean_statistics(eta))
    below = np.cumsum(pieces) / np.sum(pieces)
    np.testing.assert_allclose(means[1:], below[:2], rtol=1e-11)
    weights = steps.weights(eta)
    for high, expected in ((1.0, None), (2.0, pieces[0]), (5.0, sum(pieces[:2])), (7.0, None)):
        expected = (
            integrate.quad(density, 0, high, points=[2, 5])[0] if expected is None else (expected)
        )
        found = value(steps.engine.moments(weights, high=pt.constant(high))[0])
        assert found == pytest.approx(np.log(expected), rel=1e-8)
    u = np.array([1e-9, 0.1, below[0] - 1e-9, below[0] + 1e-9, 0.5, below[1], 0.999])
    x = value(steps.engine.inverse(weights, u))
    found = np.exp([value(steps.engine.moments(weights, high=pt.constant(b))[0]) for b in x])
    np.testing.assert_allclose(found / np.sum(pieces), u, rtol=1e-5, atol=1e-12)


def test_scales_of_any_size():
    """A shift or a unit of x makes no difference to the rule."""
    for sd in (1e-12, 1e-3, 1.0, 1e4, 1e9):
        eta = np.array([0.0, -0.5 / sd**2])
        found = value(NORMAL.log_partition(eta))
        assert found == pytest.approx(0.5 * np.log(2 * np.pi) + np.log(sd), rel=1e-12)
        error = value(NORMAL.relative_error(eta))
        assert error < 1e-12
    for shape, rate in ((2.0, 1e-20), (2.0, 1e20), (0.06, 1.0), (1e6, 1e3)):
        found = value(GAMMA.log_partition([-rate, shape - 1]))
        assert found == pytest.approx(special.gammaln(shape) - shape * np.log(rate), rel=1e-11)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: NORMAL.fit_moments([1.0, 0.5]), errors.FamilyError, "no member .* mean stat"),
        (lambda: WAITING.fit_moments([-1.0]), errors.FamilyError, "no member"),
        (
            lambda: pms.Family(lambda x: [x, 2 * x + 1], POSITIVE).fit_moments([1.0, 3.0]),
            errors.FamilyError, "follow from the others",
        ),
        (
            lambda: pms.Family(lambda x: [x, 1.0], POSITIVE).fit_moments([1.0, 1.0]),
            errors.FamilyError, "statistic 1 never varies",
        ),
        (
            lambda: pms.Family(lambda x: [x**3], REAL).fit_moments([1.0]),
            errors.FamilyError, "no natural parameters",
        ),
        (lambda: DIE.fit_moments([3.0, 12.0], slack=-1.0), errors.FamilyError, "slack.*not neg"),
        (lambda: pms.Interval(0, 1, (0.5, 0.5)), errors.SupportError, "breakpoints"),
        (lambda: pms.Interval(0, 1, (2.0,)), errors.SupportError, "breakpoints"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
