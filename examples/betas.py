"""How hot should a median regression be? Eight answers, side by side.

Engel's 235 households (as in statsmodels): food expenditure against income, by absolute loss. The
loss has no scale, so that nothing but a beta, per franc, says how wide the posterior is. Matching
and the bootstrap ask for intervals that cover; safe Bayes and cross-validation ask for forecasts,
which hardly depend on beta; they are not answers to the same question. It draws ``betas.png``, the
intervals that follow from each, and it draws ``coverage.png``, how one of them was found. Run it
with ``python examples/betas.py``.
"""

import pymc as pm
import statsmodels.api as sm

import pm_statmech as pms

cal = pms.calibration
QUIET = {"random_seed": 1, "progressbar": False}


def median_regression() -> pm.Model:
    data = sm.datasets.engel.load_pandas().data
    with pm.Model() as model:
        level = pm.Normal("level", 0.0, 500.0)
        slope = pm.Normal("slope", 0.0, 1.0)
        pms.GibbsLoss(
            "food", level + slope * data["income"].to_numpy(), loss=pms.losses.absolute,
            observed=data["foodexp"].to_numpy(), beta=0.005,
        )  # fmt: skip
    return model


def main() -> None:
    found = cal.compare(
        {
            "matching": cal.information_matching,
            "matching, trace": cal.information_matching_trace,
            "bootstrap matching": lambda m: cal.loss_likelihood_bootstrap(m, draws=200, **QUIET),
            "coverage": lambda m: cal.general_posterior_calibration(m, replications=100, **QUIET),
            "joint coverage": lambda m: cal.general_posterior_calibration_joint(
                m, replications=100, **QUIET
            ),
            "safe Bayes": lambda m: cal.safe_bayes(m, particles=256, **QUIET),
            "cross-validation": lambda m: cal.predictive_kfold(m, folds=5, **QUIET),
            "as written": 0.005,
        },
        median_regression(),
        **QUIET,
    )
    print(found.table[["beta", "standard_error", "width"]].round(5).to_string())
    for name, calibration in found.calibrations.items():
        print(f"\n{name}: {calibration}")
        print(f"  {calibration.cost}; it assumes that " + "; ".join(calibration.assumptions))
    pms.plot_comparison(found, backend="matplotlib").savefig("betas.png")
    pms.plot_calibration(found.calibrations["coverage"], backend="matplotlib").savefig(
        "coverage.png"
    )


if __name__ == "__main__":
    main()
