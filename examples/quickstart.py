"""Median food expenditure on income: a Gibbs posterior, its ladder of temperatures, a report.

Engel's data: 235 Belgian working-class households of 1857, annual income and food expenditure in
francs, as shipped by statsmodels. The loss is the pinball loss of the median, in francs; there is
no likelihood. Run it with ``python examples/quickstart.py``.
"""

from pathlib import Path

import numpy as np
import pymc as pm
import statsmodels.api as sm

import pm_statmech as pms

BETA = 0.0103  # per franc: the value at which loss and sampling information match here


def engel_model(beta: float = BETA, *, with_income: bool = True) -> pm.Model:
    data = sm.datasets.engel.load_pandas().data
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 500)
        prediction = intercept
        if with_income:
            slope = pm.Normal("slope", 0, 1)
            prediction = intercept + slope * data["income"].to_numpy()
        pms.GibbsLoss(
            "foodexp",
            prediction,
            loss=pms.losses.pinball(0.5),
            observed=data["foodexp"].to_numpy(),
            beta=beta,
        )
    return model


def interval(draws) -> str:
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"slope {float(draws.mean()):.4f}, 95% interval {low:.4f} to {high:.4f}"


def main() -> None:
    model = engel_model()
    best = pms.minimise(model)
    print(f"Minimiser of loss and prior ({best.method}): {float(best.point['slope']):.4f}\n")

    dt = pms.sample_tempered(model=model, betas=[0, BETA / 4, BETA, 4 * BETA], random_seed=1)

    print("\nWhat beta does to the slope of the median (francs of food per franc of income):")
    rungs = dt["tempered_posterior"]["slope"]
    for beta in (BETA / 4, BETA, 4 * BETA):
        at_beta = rungs.sel(inverse_temperature=beta, method="nearest")
        print(f"  beta = {beta:.5f}: {interval(at_beta)}")

    without = pms.sample_tempered(
        model=engel_model(with_income=False), random_seed=1, progressbar=False
    )
    with_income, alone = pms.log_evidence(dt), pms.log_evidence(without)
    difference = float(with_income["log_evidence"] - alone["log_evidence"])
    error = float(np.hypot(with_income["mcse"], alone["mcse"]))
    print(f"\nLog evidence for income at this beta: {difference:.3f} +- {error:.1g} nats")
    print(f"Leave-one-out: {pms.loo(dt)}\n")

    columns = ["mean_energy", "heat_capacity", "relative_entropy", "log_partition",
               "log_partition_mcse", "swap_rejection"]  # fmt: skip
    print(pms.ladder_summary(dt)[columns].round(3).to_string())
    print(f"\n{pms.verdict(dt)}\n")
    print(f"Report: {pms.report(dt, Path('engel.html')).resolve()}")


if __name__ == "__main__":
    main()
