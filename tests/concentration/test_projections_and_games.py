"""Projections, contingency tables, games and channels: identities, other solvers, vertices."""

from itertools import combinations

import numpy as np
import pymc as pm
import pytest
from scipy.optimize import minimize
from scipy.special import entr, rel_entr
from scipy.stats import entropy

import pm_statmech as pms
from pm_statmech import concentration as co
from pm_statmech.concentration.laws import PLAIN
from pm_statmech.errors import ConvergenceWarning, ProjectionError
from tests.conftest import CONCENTRATION, RECORDS

FACES = np.arange(1, 7)
MEAN = FACES[:, None].astype(float)


def test_record_of_the_loaded_die():
    record = CONCENTRATION["iproj_die"]
    found = co.i_projection(FACES, statistics=lambda x: [x], moments=[record["mean"]])
    np.testing.assert_allclose(found.probabilities, record["p"], rtol=1e-12)
    assert found.natural_parameters[0] == pytest.approx(record["lambda"], rel=1e-12)
    assert found.relative_entropy == pytest.approx(record["KL"], rel=1e-12)
    assert np.sum(entr(found.probabilities)) == pytest.approx(record["H"], rel=1e-12)


def test_record_of_a_mean_that_was_measured():
    record = CONCENTRATION["l2_maxent"]
    found = co.i_projection(FACES, statistics=MEAN, moments=[4.5], variance=record["s"])
    assert found.natural_parameters[0] == pytest.approx(record["lambda"], rel=1e-9)
    assert found.mean_statistics[0] == pytest.approx(record["mean"], rel=1e-9)
    assert 4.5 - found.mean_statistics[0] == pytest.approx(record["slack"], rel=1e-9)


@pytest.mark.parametrize("mean", [2.5, 5.9])
def test_records_of_dice(mean):
    found = co.i_projection(FACES, statistics=MEAN, moments=[mean])
    exact = RECORDS[f"dice_mean_{mean}"]["value"]
    assert found.relative_entropy == pytest.approx(exact, rel=1e-12)


def random_problem(rng):
    n = rng.integers(3, 40)
    k = rng.integers(1, min(n - 1, 6))
    T = rng.normal(size=(n, k)) * 10 ** rng.uniform(-2, 2, size=k)
    base = np.maximum(rng.dirichlet(np.full(n, rng.choice([0.2, 1.0, 5.0]))), 1e-12)
    return T, base, rng.dirichlet(np.ones(n))


def test_pythagorean_identity_of_a_thousand_problems():
    rng = np.random.default_rng(1)
    worst, least = 0.0, np.inf
    for _ in range(1000):
        T, base, p = random_problem(rng)
        points = np.arange(len(T))
        found = co.i_projection(points, base, statistics=T, moments=p @ T)
        np.testing.assert_allclose(found.mean_statistics, p @ T, rtol=1e-10, atol=1e-10)
        worst = max(worst, abs(found.pythagorean(p).residual))
        # of half-spaces that p is in, often on the border
        reach = rng.choice([0.0, 0.3], size=T.shape[1]) * np.std(T, axis=0)
        low = p @ T - reach * rng.random(T.shape[1])
        found = co.i_projection(points, base, statistics=T, lower=low)
        assert np.all(found.mean_statistics >= low - 1e-9 * np.ptp(T, axis=0))
        assert np.all(found.natural_parameters >= 0)
        least = min(least, found.pythagorean(p).residual)
    assert worst < 1e-12
    assert least > -1e-12


def test_the_identity_needs_the_projection():
    # control: a member of the family with another mean leaves a residual
    other = co.i_projection(FACES, statistics=MEAN, moments=[4.4])
    p = co.i_projection(FACES, [1, 1, 1, 1, 1, 9], statistics=MEAN, moments=[4.5]).probabilities
    assert abs(other.pythagorean(p).residual) > 1e-3


def test_projections_against_another_solver():
    rng = np.random.default_rng(3)
    for _ in range(5):
        T, base, p = rng.normal(size=(8, 3)), rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8))
        low, high = p @ T - 0.2, p @ T + [0.3, 0.0, np.inf]
        found = co.i_projection(np.arange(8), base, statistics=T, lower=low, upper=high)
        given = [
            {"type": "eq", "fun": lambda q: q.sum() - 1},
            {"type": "ineq", "fun": lambda q, T=T, low=low: q @ T - low},
            {"type": "ineq", "fun": lambda q, T=T, high=high: (high - q @ T)[:2]},
        ]
        other = minimize(
            lambda q, base=base: np.sum(rel_entr(q, base)), base, constraints=given,
            bounds=[(1e-12, 1)] * 8, options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        np.testing.assert_allclose(found.probabilities, other.x, atol=1e-5)


def test_slack_is_an_interval_of_means():
    by_slack = co.i_projection(FACES, statistics=MEAN, moments=[4.5], slack=0.3)
    by_ends = co.i_projection(FACES, statistics=MEAN, lower=[4.2], upper=[4.8])
    np.testing.assert_allclose(by_slack.probabilities, by_ends.probabilities, rtol=1e-13)
    assert by_slack.mean_statistics[0] == pytest.approx(4.2)
    # nothing binds
    free = co.i_projection(FACES, statistics=MEAN, moments=[3.6], slack=0.3)
    assert free.relative_entropy == 0
    assert free.natural_parameters.tolist() == [0]


def test_statistics_may_follow_from_each_other():
    # all margins of a table, one of which the others give
    i, j = np.divmod(np.arange(12), 4)
    T = np.column_stack([i[:, None] == np.arange(3), j[:, None] == np.arange(4)]).astype(float)
    p = np.random.default_rng(1).dirichlet(np.ones(12))
    found = co.i_projection(np.arange(12), statistics=T, moments=p @ T)
    independent = np.outer(p.reshape(3, 4).sum(axis=1), p.reshape(3, 4).sum(axis=0))
    np.testing.assert_allclose(found.probabilities, independent.ravel(), rtol=1e-11)


def test_means_on_the_edge_leave_states_out():
    found = co.i_projection(
        [0, 1, 2, 3], statistics=np.array([[0, 0], [1, 0], [2, 0], [0, 1.0]]), moments=[1.2, 0.0]
    )
    assert found.support.tolist() == [True, True, True, False]
    assert found.probabilities[3] == 0
    inside = co.i_projection([0, 1, 2], statistics=np.array([[0.0], [1], [2]]), moments=[1.2])
    np.testing.assert_allclose(found.probabilities[:3], inside.probabilities, rtol=1e-12)
    alone = co.i_projection(FACES, statistics=MEAN, moments=[6.0])
    assert alone.probabilities.tolist() == [0, 0, 0, 0, 0, 1]
    # the base's own zeros are kept
    found = co.i_projection(FACES, [0, 1, 1, 1, 1, 1], statistics=MEAN, moments=[4.5])
    assert found.probabilities[0] == 0
    assert found.mean_statistics[0] == pytest.approx(4.5)


def test_likelihood_and_entropy_find_the_same_member():
    counts = np.array([3, 5, 4, 9, 12, 20])
    likely = co.m_projection(FACES, counts, statistics=lambda x: [x])
    entropic = co.i_projection(FACES, statistics=MEAN, moments=[counts @ FACES / counts.sum()])
    np.testing.assert_allclose(likely.probabilities, entropic.probabilities, rtol=1e-13)
    p = counts / counts.sum()
    assert likely.relative_entropy == pytest.approx(entropy(p, likely.probabilities))
    family = pms.Family(lambda x: [x], pms.Integers(1, 6))
    eta = family.fit(np.repeat(FACES, counts))
    np.testing.assert_allclose(likely.natural_parameters, eta, rtol=1e-10)


def test_projections_become_pymc_variables():
    found = co.i_projection(
        [2, -1, 5, 7], [0.1, 0.4, 0.3, 0.2], statistics=lambda x: [x, x**2], moments=[3.0, 17.0]
    )
    log_p = np.log(found.probabilities)
    states = np.array([2, -1, 5, 7])
    got = pm.logp(found.to_pymc(), states).eval(mode=PLAIN)
    np.testing.assert_allclose(got, log_p, rtol=1e-12)
    with pm.Model() as model:
        found.to_pymc("x")
    assert [v.name for v in model.free_RVs] == ["x"]
    drawn = pm.draw(model["x"], 4000, random_seed=1)
    shares = np.mean(drawn[:, None] == states, axis=0)
    z = (shares - found.probabilities) / np.sqrt(
        found.probabilities * (1 - found.probabilities) / 4000
    )
    assert np.max(np.abs(z)) < 5.5
    with pm.Model() as model:
        found.to_pymc("y", observed=[5, 5, 7])
    logp = float(model.compile_logp(mode=PLAIN)({}))
    assert logp == pytest.approx(2 * log_p[2] + log_p[3], rel=1e-12)
    # numbers of states would pass for states
    halves = co.i_projection([0.5, 1.5, 4.0], statistics=lambda x: [x], moments=[2.0])
    with pytest.raises(ProjectionError, match=r"pm\.Categorical"):
        halves.to_pymc()


def test_record_of_proportional_fitting():
    record = RECORDS["ipf_2x3"]
    found = co.iterative_proportional_fitting(
        np.array([[1, 2, 3], [4, 5, 6]]) / 21, {0: [0.5, 0.5], 1: [0.2, 0.3, 0.5]}, tolerance=1e-15
    )
    assert found.relative_entropy == pytest.approx(record["value"], rel=1e-12)
    np.testing.assert_allclose(found.table, record["Q"], rtol=1e-12)


def test_fitting_is_the_projection_on_all_margins():
    rng = np.random.default_rng(5)
    first, other = rng.gamma(1.0, size=(2, 3, 4, 2))
    margins = {(0, 1): other.sum(axis=2), (1, 2): other.sum(axis=0), 0: other.sum(axis=(1, 2))}
    found = co.iterative_proportional_fitting(first, margins, tolerance=1e-13)
    assert found.converged
    np.testing.assert_allclose(found.table.sum(axis=2), margins[0, 1], rtol=1e-11)
    index = np.indices(first.shape).reshape(3, -1)
    T = [(index[0] == a) & (index[1] == b) for a in range(3) for b in range(4)]
    T += [(index[1] == a) & (index[2] == b) for a in range(4) for b in range(2)]
    T = np.array(T, dtype=float).T
    p = other.ravel() / other.sum()
    projected = co.i_projection(np.arange(24), first.ravel(), statistics=T, moments=p @ T)
    np.testing.assert_allclose(
        found.table.ravel() / other.sum(), projected.probabilities, rtol=1e-9
    )
    assert found.relative_entropy == pytest.approx(projected.relative_entropy, rel=1e-9)


def test_the_order_of_axes_is_that_of_the_key():
    margin = np.array([[10, 1.0], [2, 7]])
    found = co.iterative_proportional_fitting(np.ones((2, 2, 2)), {(1, 0): margin})
    np.testing.assert_allclose(found.table.sum(axis=2), margin.T)


def test_fitting_says_when_it_cannot():
    # zeros of the first table leave no table with these margins
    with pytest.warns(ConvergenceWarning, match="did not converge: after .* sweeps"):
        found = co.iterative_proportional_fitting(
            [[1, 1, 0], [0, 1, 0], [0, 1, 1]], {0: [0.2, 0.6, 0.2], 1: [0.3, 0.4, 0.3]}
        )
    assert not found.converged
    assert found.residual > 0.01
    with pytest.raises(ProjectionError, match=r"total is 1 in one and 1\.1"):
        co.iterative_proportional_fitting(np.ones((2, 2)), {0: [0.5, 0.6], 1: [0.5, 0.5]})
    with pytest.raises(ProjectionError, match=r"entry \(1,\) of axes \(0,\)"):
        co.iterative_proportional_fitting(
            np.ones((2, 2, 2)), {(0, 1): np.ones((2, 2)), (0, 2): [[1, 1], [0.5, 1]], 1: [2, 2]}
        )
    with pytest.raises(ProjectionError, match=r"entry \(0,\) is to be 0.5"):
        co.iterative_proportional_fitting([[0, 0], [1, 1]], {0: [0.5, 0.5]})
    for axes in (2, -1, 0.7, (0, 0), "rows"):
        with pytest.raises(ProjectionError, match="axes are different numbers from 0 to 1"):
            co.iterative_proportional_fitting(np.ones((2, 3)), {axes: [1, 1]})
    with pytest.raises(ProjectionError, match="no margins"):
        co.iterative_proportional_fitting(np.ones((2, 3)), [[1, 1]])
    with pytest.raises(ProjectionError, match="shape"):
        co.iterative_proportional_fitting(np.ones((2, 3)), {0: [1, 1, 1]})


def test_alternating_projections_reach_the_projection_on_all():
    top = (FACES == 6)[:, None].astype(float)
    low = (FACES == 1)[:, None].astype(float)
    constraints = [
        {"statistics": MEAN, "moments": [4.5]}, {"statistics": top, "upper": [0.3]},
        {"statistics": low, "lower": [0.08]},
    ]  # fmt: skip
    found = co.alternating_projections(FACES, constraints=constraints)
    T = np.hstack([MEAN, top, low])
    at_once = co.i_projection(
        FACES, statistics=T, lower=[4.5, -np.inf, 0.08], upper=[4.5, 0.3, np.inf]
    )
    np.testing.assert_allclose(found.probabilities, at_once.probabilities, atol=1e-9)
    # found out long before the last cycle
    with pytest.warns(ConvergenceWarning, match=r"last of \d\d? cycles .* in all sets"):
        co.alternating_projections(
            FACES,
            constraints=[{"statistics": MEAN, "moments": [mean]} for mean in (4.5, 4.0)],
        )  # fmt: skip


def test_a_set_that_binds_on_the_way_leaves_no_trace():
    # the first set is met anyhow once the second is: Dykstra's correction takes its cut back
    top = (FACES == 6)[:, None].astype(float)
    constraints = [{"statistics": top, "upper": [0.1]}, {"statistics": MEAN, "upper": [2.5]}]
    found = co.alternating_projections(FACES, constraints=constraints)
    alone = co.i_projection(FACES, statistics=MEAN, upper=[2.5])
    assert alone.probabilities[-1] < 0.1
    np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-10)


def vertices_of(T, mean):
    """All vertices of the distributions with given means: basic solutions that are not negative."""
    equations = np.column_stack([T, np.ones(len(T))]).T
    target = np.append(mean, 1.0)
    for chosen in combinations(range(len(T)), len(target)):
        block = equations[:, chosen]
        if abs(np.linalg.det(block)) < 1e-12:
            continue
        weights = np.linalg.solve(block, target)
        if np.all(weights >= -1e-12):
            vertex = np.zeros(len(T))
            vertex[list(chosen)] = weights
            yield vertex


GAMES = {
    "log": (co.minimax_log_loss, lambda q: -np.log(q), lambda p: np.sum(entr(p))),
    "Brier": (co.minimax_brier, lambda q: 1 - 2 * q + q @ q, co.brier_entropy),
    "spherical": (
        co.minimax_spherical, lambda q: 1 - q / np.linalg.norm(q), co.spherical_entropy,
    ),
    "zero-one": (co.minimax_zero_one, lambda q: 1 - q, co.zero_one_entropy),
}  # fmt: skip


@pytest.mark.parametrize("name", GAMES)
def test_no_vertex_costs_more_than_the_value_and_no_member_has_more_entropy(name):
    play, loss, entropy_of = GAMES[name]
    rng = np.random.default_rng(7)
    for T, mean in (
        (MEAN, [4.5]), (MEAN, [5.6]), (np.hstack([MEAN, MEAN**2]), [3.4, 15.0]),
        (rng.normal(size=(7, 2)), [0.05, -0.1]),
    ):  # fmt: skip
        game = play(np.arange(len(T)), statistics=T, moments=mean)
        vertices = np.array(list(vertices_of(T, mean)))
        assert len(vertices) > 2
        np.testing.assert_allclose(game.adversary @ T, mean, atol=1e-9)
        assert abs(game.gap) < 1e-9
        assert game.value == pytest.approx(float(entropy_of(game.adversary)), abs=1e-9)
        assert np.max(vertices @ loss(game.answer)) <= game.value + 1e-9
        assert game.worst_loss == pytest.approx(np.max(vertices @ loss(game.answer)), abs=1e-9)
        mixed = rng.dirichlet(np.full(len(vertices), 0.5), 200) @ vertices
        assert all(float(entropy_of(p)) <= game.value + 1e-9 for p in mixed)
        # control: another answer has a worse worst case
        worse = 0.9 * game.answer + 0.1 * np.roll(game.answer, 1)
        assert np.max(vertices @ loss(worse)) > game.value + 1e-5


@pytest.mark.parametrize("name", ["Brier", "spherical", "zero-one"])
def test_certificates_of_larger_games(name):
    # means near the edge, so that many states are out and vertices come and go
    rng = np.random.default_rng(8)
    for _ in range(25):
        T, p = rng.normal(size=(16, 3)), rng.dirichlet(np.full(16, 0.15))
        game = GAMES[name][0](np.arange(16), statistics=T, moments=p @ T)
        np.testing.assert_allclose(game.adversary @ T, p @ T, atol=1e-8)
        assert abs(game.gap) < 1e-9


def test_the_log_game_has_inequalities_a_base_and_edges():
    game = co.minimax_log_loss(FACES, statistics=MEAN, lower=[4.5], upper=[5.5])
    assert game.value == pytest.approx(CONCENTRATION["iproj_die"]["H"], rel=1e-12)
    base = np.array([1, 2, 1, 1, 0.5, 1])
    game = co.minimax_log_loss(FACES, base, statistics=MEAN, moments=[4.5])
    assert game.value == pytest.approx(-np.sum(rel_entr(game.adversary, base)), rel=1e-12)
    assert abs(game.gap) < 1e-9
    game = co.minimax_log_loss(FACES, statistics=MEAN, moments=[1.0])
    assert (game.value, game.worst_loss) == pytest.approx((0, 0))


@pytest.mark.parametrize("name", GAMES)
def test_games_without_members_are_refused(name):
    with pytest.raises(ProjectionError, match="outside the convex hull"):
        GAMES[name][0](FACES, statistics=MEAN, moments=[7.0])


def test_capacities_in_closed_form():
    erasure = co.channel_capacity([[0.7, 0.3, 0], [0, 0.3, 0.7]])
    assert erasure.capacity == pytest.approx(0.7 * np.log(2), rel=1e-10)
    # the Z channel
    e = 0.3
    z = co.channel_capacity([[1, 0], [e, 1 - e]])
    exact = np.log(1 + (1 - e) * e ** (e / (1 - e)))
    assert z.lower - 1e-15 <= exact <= z.upper + 1e-15
    assert z.capacity == pytest.approx(exact, rel=1e-9)
    assert z.upper - z.lower <= 1e-10
    useless = co.channel_capacity(np.tile([0.2, 0.5, 0.3], (3, 1)))
    assert useless.capacity == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(useless.outputs, [0.2, 0.5, 0.3])
    with pytest.warns(ConvergenceWarning, match="capacity is between"):
        co.channel_capacity([[1, 0], [0.3, 0.7]], rounds=2)
    with pytest.raises(ProjectionError, match="sum 1"):
        co.channel_capacity([[1, 1], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"moments": [7.0]}, "outside the convex hull"),
        ({"lower": [6.5]}, "outside the convex hull"),
        ({"moments": [5.5], "weights": [1, 1, 1, 1, 1, 0]}, "the base is 0 at states"),
        ({}, "no constraint"),
        ({"moments": [4.5], "lower": [4.0]}, "alone"),
        ({"lower": [4.0], "upper": [3.0]}, "is above"),
        ({"moments": [4.5, 3.0]}, "for 1 statistics"),
        ({"moments": [np.inf]}, "not finite"),
        ({"moments": [4.5], "slack": -1.0}, "not negative"),
        ({"moments": [4.5], "weights": [1, 1]}, "one each"),
        ({"moments": [4.5], "statistics": MEAN[:3]}, "for 6 points"),
        ({"moments": [4.5], "statistics": MEAN * np.nan}, "statistic 0 is nan"),
    ],
)
def test_mistakes(given, match):
    given = {"statistics": MEAN, **given}
    with pytest.raises(ProjectionError, match=match):
        co.i_projection(FACES, **given)


def test_a_likelihood_without_a_maximum_is_named():
    with pytest.raises(ProjectionError, match="rises without end"):
        co.m_projection(FACES, [0, 0, 0, 0, 0, 3], statistics=MEAN)
    with pytest.raises(ProjectionError, match="base is 0 at the point 6"):
        co.m_projection(FACES, statistics=MEAN, base=[1, 1, 1, 1, 1, 0])
