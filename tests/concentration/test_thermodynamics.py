"""Responses, work, lengths and bounds: records, closed forms, differences, enumeration."""

from itertools import pairwise, product

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech import concentration as co
from pm_statmech.concentration.laws import PLAIN
from pm_statmech.errors import ConvergenceWarning, FamilyError, NetworkError
from tests.conftest import CONCENTRATION, RECORDS, WORK, within

SPRING = pms.Family(lambda x: [-(x**2) / 2], pms.Interval(-np.inf, np.inf))
DIE = pms.Family(lambda x: [x], pms.Integers(1, 6))
TWO = pms.Family(lambda x: [x, x**2], pms.Integers(0, 5))
ETA = np.array([0.4, -0.15])


def mean_of(family, eta):
    return family.mean_statistics(np.asarray(eta)).eval(mode=PLAIN)


def test_record_of_the_gamma_family():
    record = CONCENTRATION["gamma_fisher"]
    family = pms.Family(lambda x: [pt.log(x), -x], pms.Interval(0, np.inf), lambda x: -pt.log(x))
    shape, rate = record["alpha,beta"]
    found = co.fisher_information(family, [shape, rate])
    exact = np.array(record["hessA"])
    # the record's second statistic is x, and its parameter minus the rate
    np.testing.assert_allclose(np.abs(found), exact, rtol=1e-9)
    value = float(family.log_partition(np.array([shape, rate])).eval(mode=PLAIN))
    assert value == pytest.approx(record["A"], rel=1e-9)
    entropy = float(family.entropy(np.array([shape, rate])).eval(mode=PLAIN))
    assert entropy == pytest.approx(record["entropy"], rel=1e-9)


def test_record_of_the_fluctuation_dissipation_theorem():
    record = CONCENTRATION["fdt_die"]
    eta = [CONCENTRATION["iproj_die"]["lambda"]]
    found = co.response(DIE, eta, observable=lambda x: x, field=lambda x: x)
    # the record differentiates by differences, good to ten digits
    assert found == pytest.approx(record["Var"], rel=1e-9)
    h = 1e-4
    slope = (mean_of(DIE, [eta[0] + h]) - mean_of(DIE, [eta[0] - h]))[0] / (2 * h)
    assert found == pytest.approx(slope, rel=1e-7)


def test_response_of_any_observable_to_any_field():
    def observable(x):
        return pt.sin(x)

    def field(x):
        return pt.eq(x, 2) * 1.0

    x = np.arange(6)
    wide = pms.Family(lambda x: [x, x**2, field(x)], pms.Integers(0, 5))
    h, means = 1e-5, []
    for s in (1, -1):
        eta = np.append(ETA, s * h)
        log_p = wide.log_prob(pt.constant(x), eta).eval(mode=PLAIN)
        means.append(np.exp(log_p) @ np.sin(x))
    found = co.response(TWO, ETA, observable=observable, field=field)
    assert found == pytest.approx((means[0] - means[1]) / (2 * h), rel=1e-7)


def test_record_of_schottkys_peak():
    record = CONCENTRATION["schottky"]
    levels = pms.Family(lambda x: [x], pms.Integers(0, 1))
    T = record["T_peak"]
    peak, below, above = (
        co.heat_capacity_of_family(levels, [-1 / v]) for v in (T, 0.98 * T, 1.02 * T)
    )
    assert peak == pytest.approx(record["C_peak"], rel=1e-12)
    assert peak > max(below, above)


def test_heat_capacity_is_the_slope_of_the_energy():
    h = 1e-4
    energies = [-ETA @ mean_of(TWO, (1 + s * h) * ETA) for s in (1, -1)]
    # C = -beta^2 dU/dbeta at beta = 1
    slope = (energies[0] - energies[1]) / (2 * h)
    assert co.heat_capacity_of_family(TWO, ETA) == pytest.approx(-slope, rel=1e-7)


def test_maxwells_relations_by_differences():
    found = co.mixed_responses(TWO, ETA, held=[1])
    held = mean_of(TWO, ETA)[1]
    h = 1e-4

    def held_parameter(first):
        from scipy.optimize import brentq

        return brentq(lambda e: mean_of(TWO, [first, e])[1] - held, -1, 1, xtol=1e-14)

    up, down = ([ETA[0] + s * h, held_parameter(ETA[0] + s * h)] for s in (1, -1))
    by_mean = (mean_of(TWO, up)[0] - mean_of(TWO, down)[0]) / (2 * h)
    assert found.susceptibility[0, 0] == pytest.approx(by_mean, rel=1e-6)
    assert found.parameters[0, 0] == pytest.approx((up[1] - down[1]) / (2 * h), rel=1e-6)
    np.testing.assert_allclose(found.parameters, -found.means.T)
    # the free response is larger, as the heat capacity at constant pressure is
    assert found.susceptibility[0, 0] < co.fisher_information(TWO, ETA)[0, 0]
    with pytest.raises(FamilyError, match="some, and not all"):
        co.mixed_responses(TWO, ETA, held=[0, 1])


def test_records_of_sudden_and_slow_changes():
    sudden = co.change(SPRING, [[1.0], [10.0]])
    assert sudden.free_energy == pytest.approx(WORK["dF"], rel=1e-9)
    assert sudden.work == pytest.approx(WORK["quench"]["<W>"], rel=1e-9)
    assert sudden.dissipated == pytest.approx(WORK["quench"]["Wdiss=KL(p0||p1)"], rel=1e-9)
    back = co.change(SPRING, [[10.0], [1.0]])
    # work gained, of opposite sign in the record
    assert abs(back.work) == pytest.approx(abs(WORK["quench"]["<W>_rev"]), rel=1e-9)
    for n, exact in WORK["perfect_AIS_Wdiss"].items():
        found = co.change(SPRING, np.linspace(1, 10, int(n) + 1)[:, None])
        assert found.dissipated == pytest.approx(exact, rel=1e-9)
    for n, exact in WORK["perfect_AIS_Wdiss_geodesic"].items():
        found = co.change(SPRING, np.geomspace(1, 10, int(n) + 1)[:, None])
        assert found.dissipated == pytest.approx(exact, rel=1e-8)
    assert co.length_between(SPRING, [1.0], [10.0]) == pytest.approx(
        WORK["thermo_length"], rel=1e-9
    )


def test_first_and_second_law():
    path = np.array([[0.0, 0.0], [0.5, -0.1], [0.2, 0.1], ETA])
    found = co.change(TWO, path)
    energy = [-eta @ mean_of(TWO, eta) for eta in (path[0], path[-1])]
    assert found.work + found.heat == pytest.approx(energy[1] - energy[0], rel=1e-12)
    kl = sum(float(TWO.kl(a, b).eval(mode=PLAIN)) for a, b in pairwise(path))
    assert found.dissipated == pytest.approx(kl, rel=1e-11)


@pytest.mark.parametrize("family", ["spring", "die"])
def test_simulated_work_obeys_jarzynski_and_crooks(family):
    if family == "spring":
        system, path = SPRING, np.geomspace(1, 10, 9)[:, None]
    else:
        system, path = DIE, np.array([[0.0], [0.8]])
    drawn = co.simulate_work(system, path, draws=20_000, random_seed=1)
    exact = co.change(system, path)
    assert drawn.free_energy == pytest.approx(exact.free_energy, rel=1e-12)
    within(np.mean(drawn.forward), exact.work, np.std(drawn.forward) / 20_000**0.5)
    onward = co.jarzynski(drawn.forward)
    within(onward.free_energy, exact.free_energy, onward.mcse)
    back = co.jarzynski(drawn.reverse)
    within(-back.free_energy, exact.free_energy, back.mcse)
    both = co.crooks(drawn.forward, drawn.reverse)
    within(both.free_energy, exact.free_energy, both.mcse)
    within(both.slope, 1, both.slope_mcse)
    assert both.mcse < min(onward.mcse, back.mcse)
    # control: the mean work itself is not the free energy
    assert np.mean(drawn.forward) - exact.free_energy > 5.5 * np.std(drawn.forward) / 20_000**0.5
    # control: work that was miscounted has another slope
    wrong = co.crooks(2 * drawn.forward, 2 * drawn.reverse)
    assert abs(wrong.slope - 1) > 5.5 * wrong.slope_mcse


def test_work_that_does_not_overlap_is_said():
    drawn = co.simulate_work(DIE, [[0.0], [0.5]], draws=500, random_seed=1)
    with pytest.warns(ConvergenceWarning, match="negated already"):
        found = co.crooks(drawn.forward, -drawn.reverse)
    assert np.isnan(found.slope)


def test_geodesics_in_closed_form():
    # probabilities lie on a sphere of radius 2
    family = pms.Family(lambda x: [pt.eq(x, 1) * 1.0, pt.eq(x, 2) * 1.0], pms.Integers(0, 2))
    start, end = np.array([0.0, 0.0]), np.array([1.5, -1.0])
    p, q = (np.exp(np.append(0, v) - logsumexp(np.append(0, v))) for v in (start, end))
    distance = 2 * np.arccos(np.sqrt(p) @ np.sqrt(q))
    found = co.geodesic(family, start, end, steps=8)
    assert found.length == pytest.approx(distance, rel=1e-7)
    assert found.length < co.length_between(family, start, end)
    # the middle of the great circle
    middle = np.sqrt(p) + np.sqrt(q)
    middle = (middle / np.linalg.norm(middle)) ** 2
    np.testing.assert_allclose(found.path[4], np.log(middle[1:] / middle[0]), atol=1e-6)
    # equal steps along it dissipate least
    straight = co.change(family, np.linspace(start, end, 9)).dissipated
    assert co.change(family, found.path).dissipated < straight
    assert co.change(family, found.path).dissipated == pytest.approx(distance**2 / 16, rel=0.05)


def test_record_of_bounds_of_spins():
    record = RECORDS["bounds_free4x4"]["value"]
    J = np.zeros((16, 16))
    for i, j in product(range(4), range(4)):
        if j < 3:
            J[4 * i + j, 4 * i + j + 1] = 0.3
        if i < 3:
            J[4 * i + j, 4 * i + j + 4] = 0.3
    field = 0.2 * np.random.default_rng(3).normal(size=16)
    found = co.spin_bounds(J + J.T, field)
    assert found.exact == pytest.approx(record["exact"], rel=1e-9)
    assert found.mean_field == pytest.approx(record["naive_mean_field"], rel=1e-9)
    assert found.bethe == pytest.approx(record["bethe"], rel=1e-9)
    trw = next(v for k, v in record.items() if k.lower().startswith("trw") or "tree" in k.lower())
    assert found.tree_reweighted == pytest.approx(trw, rel=1e-9)
    assert found.mean_field_error > 0 > found.tree_reweighted_error
    assert found.width == pytest.approx(found.mean_field_error - found.tree_reweighted_error)


def test_bounds_hold_for_random_spins_of_several_parts():
    rng = np.random.default_rng(4)
    for _ in range(5):
        J = np.triu(rng.normal(scale=0.4, size=(7, 7)) * (rng.random((7, 7)) < 0.5), 1)
        J[:, 6] = 0
        h = rng.normal(scale=0.3, size=7)
        s = np.array(list(product([-1, 1], repeat=7)))
        exact = logsumexp(0.7 * (np.einsum("si,ij,sj->s", s, J, s) + s @ h))
        found = co.spin_bounds(J + J.T, h, beta=0.7)
        assert found.exact == pytest.approx(exact, rel=1e-12)
        assert found.mean_field <= exact + 1e-12
        assert found.tree_reweighted >= exact - 1e-9
    hot = co.spin_bounds(J + J.T, h, beta=0.0)
    assert hot.mean_field == pytest.approx(7 * np.log(2))
    assert hot.width == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: co.spin_bounds(np.ones((2, 2))), NetworkError, "diagonal of 0"),
        (lambda: co.spin_bounds(np.zeros((2, 2)), np.nan), NetworkError, "not finite"),
        (lambda: co.change(SPRING, [[1.0]]), FamilyError, "from the first to the last"),
        (lambda: co.change(SPRING, [[1.0], [-1.0]]), FamilyError, "no distribution"),
        (lambda: co.jarzynski([1.0, np.nan]), FamilyError, "NaN"),
        (lambda: co.crooks([1.0, np.nan], [1.0, 2.0]), FamilyError, "NaN"),
    ],
)
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_probabilities_of_the_spring_are_normal():
    drawn = co.simulate_work(SPRING, [[1.0], [2.0]], draws=4000, random_seed=2)
    # W = x^2 / 2 with x ~ N(0, 1)
    share = np.mean(drawn.forward < 0.5)
    within(share, norm.cdf(1) - norm.cdf(-1), np.sqrt(share * (1 - share) / 4000))


def test_a_geodesic_of_one_parameter_is_a_straight_path_at_another_pace():
    found = co.geodesic(SPRING, [1.0], [10.0], steps=4)
    assert found.length == pytest.approx(WORK["thermo_length"], rel=1e-7)
    np.testing.assert_allclose(found.path[:, 0], np.geomspace(1, 10, 5), rtol=1e-7)
