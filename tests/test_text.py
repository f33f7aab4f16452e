"""What results look like in a terminal and in a notebook: one short line, or a table."""

import numpy as np
import pytest

import pm_statmech as pms


@pytest.fixture(scope="module")
def shown(newcomb, newcomb_system):
    model = newcomb_system.model()
    return {
        "loss": pms.loo(newcomb),
        "estimate": pms.Estimate(1.2345678, 0.0123, "mean energy at beta = 0.2"),
        "minimum": pms.minimise(model),
        "split": pms.tempered_model(model),
        "curve": pms.log_partition_curve(newcomb),
        "moves": pms.heat_bath,
        "engine": pms.log_partition.by_kaufman,
        "approximation": pms.log_partition.bethe,
        "finding": pms.verdict(newcomb).findings[0],
    }


def test_one_line_each(shown):
    for name, result in shown.items():
        if name != "loss":  # that of a likelihood is ArviZ's
            text = repr(result)
            assert "\n" not in text, name
            assert len(text) < 250, name


def test_what_is_said(shown):
    assert repr(shown["estimate"]) == "1.235 +- 0.012 (mean energy at beta = 0.2)"
    assert repr(shown["split"]) == (
        "TemperedModel(y (likelihood, beta 1); target beta 1, variables mu)"
    )
    assert repr(shown["moves"]) == "NetworkMoves(heat bath)"
    assert "approximate" in repr(shown["approximation"])
    assert "approximate" not in repr(shown["engine"])
    assert "from 0 to 1" in repr(shown["curve"])
    assert repr(shown["finding"]).startswith("[ok] ")


def test_an_expected_loss_hides_its_arrays():
    found = pms.ExpectedLoss(10.0, 1.0, 0.1, 0.5, "y", 3, np.zeros(3), np.zeros(3))
    assert repr(found) == str(found)
    assert "10.00 +- 1.00 (unit y) over 3 observations" in repr(found)
