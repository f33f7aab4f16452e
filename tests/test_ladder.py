import numpy as np
import pytest

from pm_statmech import ladder
from pm_statmech.errors import InverseTemperatureError, LadderError


def test_equal_rejection_divides_the_barrier_equally():
    betas = np.array([0.0, 0.01, 0.1, 1.0])
    rejections = np.array([0.6, 0.3, 0.9])
    new = ladder.equal_rejection(betas, rejections, np.array([0.0, 1.0]), 7)
    from scipy.interpolate import PchipInterpolator

    levels = PchipInterpolator(ladder.barrier(rejections), betas)
    np.testing.assert_allclose(new, levels(np.linspace(0, 1.8, 7)), atol=1e-12)


def test_a_ladder_of_equal_rejections_is_kept():
    betas = np.array([0.0, 0.1, 0.4, 1.0])
    new = ladder.equal_rejection(betas, np.full(3, 0.5), np.array([0.0, 1.0]), 4)
    np.testing.assert_allclose(new, betas, atol=1e-12)


def test_required_rungs_are_kept_exactly_and_gaps_are_no_wider():
    betas = np.linspace(0, 1, 11)
    rejections = np.full(10, 0.4)
    required = np.array([0.0, 0.1 + 0.2, 0.77, 1.0])
    new = ladder.equal_rejection(betas, rejections, required, 9)
    assert set(required) <= set(new)
    assert np.all(np.diff(new) > 0)
    # the barrier is linear here, 4 in all, so no gap is above 4 / 8 of it
    assert np.max(np.diff(new)) <= 0.125 + 1e-9


def test_number_of_rungs_has_a_floor():
    assert ladder.recommended_rungs(0.3) == 6
    assert ladder.recommended_rungs(7.2) == 16


def test_rejection_between_by_hand():
    # E_c - E_h in {-1, 2}; delta = 0.5: 1 - exp(-0.5) and 0
    value = ladder.rejection_between(np.array([1.0]), np.array([2.0, -1.0]), 0.5)
    assert value == pytest.approx((1 - np.exp(-0.5)) / 2)
    # an infinite energy at the hot rung is never accepted by the cold one
    assert ladder.rejection_between(np.array([1.0]), np.array([np.inf]), 0.5) == 1.0


@pytest.mark.parametrize("bad", [[1.0, 0.5], [0.0, 0.5, 0.5, 1.0]])
def test_ladders_increase(bad):
    with pytest.raises(LadderError, match="increase strictly"):
        ladder.check_ladder(bad)


@pytest.mark.parametrize("bad", [[-0.1, 1.0], [0.0, np.nan], [0.0, np.inf]])
def test_rungs_are_finite_and_not_negative(bad):
    with pytest.raises(InverseTemperatureError, match="rung in betas"):
        ladder.check_ladder(bad)
    with pytest.raises(LadderError):
        ladder.check_ladder([])
