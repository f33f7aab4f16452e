import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, optimize, stats

from pm_statmech import losses
from pm_statmech.errors import LossError

LOCATION = [
    losses.squared, losses.absolute, losses.pinball(0.2), losses.pinball(0.2, smooth=0.1),
    losses.huber(1.2), losses.pseudo_huber(0.7), losses.tukey_biweight(3.0), losses.log_cosh,
    losses.expectile(0.8),
]  # fmt: skip
MARGIN = [
    losses.logistic, losses.hinge, losses.smooth_hinge(0.2), losses.exponential, losses.zero_one,
]  # fmt: skip
POWER = {"y": 1.0, "y^2": 2.0, "1": 0.0}


def value(loss, *arguments):
    return loss(*(np.asarray(a, dtype=float) for a in arguments)).eval()


@pytest.mark.parametrize(
    ("loss", "r", "expected"),
    [
        (losses.squared, 3.0, 4.5),
        (losses.absolute, -3.0, 3.0),
        (losses.pinball(0.2), 3.0, 0.6),
        (losses.pinball(0.2), -3.0, 2.4),
        (losses.huber(1.0), 0.5, 0.125),
        (losses.huber(1.0), -3.0, 2.5),
        (losses.pseudo_huber(2.0), 3.0, 4 * (np.sqrt(1 + 2.25) - 1)),
        (losses.tukey_biweight(2.0), 1.0, 4 / 6 * (1 - 0.75**3)),
        (losses.tukey_biweight(2.0), 9.0, 4 / 6),
        (losses.log_cosh, 1.3, np.log(np.cosh(1.3))),
        (losses.expectile(0.8), 2.0, 3.2),
        (losses.expectile(0.8), -2.0, 0.8),
    ],
    ids=str,
)
def test_location_losses_by_hand(loss, r, expected):
    assert value(loss, r + 1.0, 1.0) == pytest.approx(expected, rel=1e-14)
    # a scale divides the residual
    assert value(loss, 2 * r + 1.0, 1.0, 2.0) == pytest.approx(expected, rel=1e-14)


def test_pinball_has_no_float32_error():
    assert value(losses.pinball(0.1), 1.0, 0.0) == 0.1


@pytest.mark.parametrize("loss", LOCATION, ids=lambda s: s.label)
class TestProperties:
    grid = np.linspace(-5, 5, 2001)

    def test_unit(self, loss):
        """Rescaling y, prediction and the loss's constants by c scales it by c^power."""
        if loss is losses.log_cosh:
            pytest.skip("its argument is a pure number")
        c = 3.0
        makers = {
            "pinball": lambda p: losses.pinball(p["tau"], smooth=c * p.get("smooth", 0.0)),
            "huber": lambda p: losses.huber(c * p["k"]),
            "pseudo_huber": lambda p: losses.pseudo_huber(c * p["delta"]),
            "tukey_biweight": lambda p: losses.tukey_biweight(c * p["c"]),
        }
        maker = makers.get(loss.name)
        scaled = maker(dict(loss.parameters)) if maker else loss
        np.testing.assert_allclose(
            value(scaled, c * self.grid, 0.0),
            c ** POWER[loss.unit] * value(loss, self.grid, 0.0),
            rtol=1e-12,
        )

    def test_bound(self, loss):
        values = value(loss, 100 * self.grid, 0.0)
        if loss.bounded:
            assert values.max() == pytest.approx(loss.bound)
        else:
            assert values.max() > value(loss, self.grid, 0.0).max()
        assert values.min() >= 0

    def test_convexity(self, loss):
        values = value(loss, self.grid, 0.0)
        middle = 0.5 * (values[:-2] + values[2:]) - values[1:-1]
        assert (middle.min() >= -1e-12) == loss.convex

    def test_smoothness(self, loss):
        slope = np.diff(value(loss, self.grid, 0.0)) / np.diff(self.grid)
        assert (np.abs(np.diff(slope)).max() < 0.1) == loss.smooth

    def test_smooth_relative_tends_to_it(self, loss):
        if loss.smoothed is None:
            assert loss.smooth
            return
        gaps = []
        for width in (0.1, 0.01):
            near = loss.smoothed(np.float64(width))(pt.as_tensor(self.grid)).eval()
            gaps.append(np.abs(near - value(loss, self.grid, 0.0)).max())
        assert gaps[1] == pytest.approx(gaps[0] / 10, rel=1e-6)


def test_minimisers_are_what_they_say():
    y = np.random.default_rng(1).gamma(2.0, size=401)

    def minimiser(loss):
        return optimize.minimize_scalar(
            lambda m: value(loss, y, m).sum(), bounds=(0, 20), method="bounded",
            options={"xatol": 1e-10},
        ).x  # fmt: skip

    assert minimiser(losses.squared) == pytest.approx(y.mean(), abs=1e-6)
    assert minimiser(losses.absolute) == pytest.approx(np.median(y), abs=1e-6)
    assert minimiser(losses.pinball(0.2)) == pytest.approx(np.quantile(y, 0.2), abs=5e-3)
    expected = stats.expectile(y, alpha=0.8)
    assert minimiser(losses.expectile(0.8)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", MARGIN, ids=lambda s: s.label)
def test_margin_losses_take_both_codings(loss):
    f = np.linspace(-3, 3, 13)
    for label in (0, 1):
        a, b = value(loss, label, f), value(loss, 2 * label - 1, f)
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(value(loss, 1, f), value(loss, 0, -f))


def test_margin_losses_by_hand():
    assert value(losses.logistic, 1, 0.7) == pytest.approx(-np.log(1 / (1 + np.exp(-0.7))))
    assert value(losses.hinge, 0, 0.7) == pytest.approx(1.7)
    assert value(losses.exponential, 0, 0.7) == pytest.approx(np.exp(0.7))
    assert value(losses.zero_one, 0, 0.7) == losses.zero_one.bound == 1.0
    expected = -np.log(np.exp(0.5) / np.exp([0.1, 0.5, -1.0]).sum())
    scores = np.array([[0.1, 0.5, -1.0], [0.1, 0.5, -1.0]])
    np.testing.assert_allclose(losses.cross_entropy(np.array([1, 1]), scores).eval(), expected)


def test_crps_is_its_integral():
    def integrand(x, y):
        return (stats.norm(1.0, 2.0).cdf(x) - (x >= y)) ** 2

    for y in (-1.0, 1.0, 4.5):
        below, _ = integrate.quad(integrand, -40, y, args=(y,))
        above, _ = integrate.quad(integrand, y, 40, args=(y,))
        assert value(losses.crps_gaussian, y, 1.0, 2.0) == pytest.approx(below + above, rel=1e-7)


def test_crps_of_a_large_ensemble_is_the_gaussian_one():
    members = stats.norm(1.0, 2.0).ppf((np.arange(1500) + 0.5) / 1500)
    got = value(losses.crps_ensemble, [4.5], members[None, :])
    np.testing.assert_allclose(got, value(losses.crps_gaussian, 4.5, 1.0, 2.0), rtol=2e-3)


def test_scores_by_hand():
    assert value(losses.brier, 1, 0.3) == pytest.approx(0.49)
    assert value(losses.log_score, 0, 0.3) == pytest.approx(-np.log(0.7))
    assert value(losses.interval_score(0.2), -1.0, 0.0, 2.0) == pytest.approx(2 + 10)


@pytest.mark.parametrize(
    ("distribution", "prediction", "fixed", "frozen"),
    [
        (pm.Normal, (0.5, 2.0), {}, stats.norm(0.5, 2.0)),
        (pm.Exponential, (0.4,), {}, stats.expon(scale=2.5)),
        (pm.Laplace, (0.5, 2.0), {}, stats.laplace(0.5, 2.0)),
        (pm.StudentT, (0.5, 2.0), {"nu": 4.0}, stats.t(4.0, 0.5, 2.0)),
    ],
)
@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_density_power_is_its_formula(distribution, prediction, fixed, frozen, alpha):
    loss = losses.density_power(distribution, alpha, **fixed)
    low = 0.0 if distribution is pm.Exponential else -np.inf
    integral, _ = integrate.quad(lambda x: frozen.pdf(x) ** (1 + alpha), low, np.inf)
    y = 1.3
    expected = (1 - frozen.pdf(y) ** alpha) / alpha - (1 - integral) / (1 + alpha)
    assert value(loss, y, *prediction) == pytest.approx(expected, rel=1e-8)


def test_density_power_of_bernoulli_sums_to_its_formula():
    loss = losses.density_power(pm.Bernoulli, 0.5)
    expected = (1 - 0.3**0.5) / 0.5 - (1 - (0.3**1.5 + 0.7**1.5)) / 1.5
    assert loss(np.array(1), np.float64(0.3)).eval() == pytest.approx(expected, rel=1e-12)


def test_density_power_scale_is_proper():
    """Its expectation under the truth is smallest at the true scale, unlike a bare residual's."""
    y = stats.norm(0, 2.0).ppf((np.arange(4000) + 0.5) / 4000)
    scales = np.linspace(1, 4, 61)
    loss = losses.density_power(pm.Normal, 0.5)
    totals = [value(loss, y, 0.0, s).mean() for s in scales]
    assert scales[int(np.argmin(totals))] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("loss", [*LOCATION, *MARGIN], ids=lambda s: s.label)
def test_gradients(loss):
    if loss.name == "zero_one":
        pytest.skip("it has none")
    f = pt.dvector("f")
    y = np.array([1.0, 0.0, 1.0])
    gradient = pytensor.function([f], pytensor.grad(loss(y, f).sum(), f))
    at, h = np.array([0.3, 0.6, 2.7]), 1e-6
    numeric = [
        (value(loss, y, at + h * e).sum() - value(loss, y, at - h * e).sum()) / (2 * h)
        for e in np.eye(3)
    ]
    np.testing.assert_allclose(gradient(at), numeric, atol=1e-6)


def test_losses_are_values():
    assert losses.pinball(0.3) == losses.pinball(0.3) != losses.pinball(0.4)
    assert losses.squared() is losses.squared
    assert hash(losses.huber(2.0)) == hash(losses.huber(2.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: losses.pinball(1.5),
        lambda: losses.pinball(0.5, smooth=-1.0),
        lambda: losses.huber(0.0),
        lambda: losses.interval_score(0.0),
        lambda: losses.huber(pt.dscalar("k")),
        lambda: losses.density_power(pm.Gamma, 0.5),
        lambda: losses.density_power(pm.Normal, 0.5, nu=3.0),
        lambda: losses.squared(1.0, 2.0, 3.0, 4.0),
        lambda: losses.logistic(1.0, 2.0, 3.0),
        lambda: losses.squared(1.0),
    ],
)
def test_bad_constants_and_arguments(call):
    with pytest.raises(LossError):
        call()
