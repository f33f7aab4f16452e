"""Doctor visits that vary seven times as much as Poisson's, and intervals that do not know.

20,190 person-years of the RAND health insurance experiment (as in statsmodels), a Poisson
regression of visits on three columns. Bayes at beta = 1 believes the variance to be the mean, and
its intervals are half as wide as they should be. The experiment itself is the judge: it stands
for a population from which 200 samples of 300 are drawn, and intervals should hold the
population's slopes in 95% of them. Beta is calibrated on one sample, and judged on the 200. It
draws ``overconfident.png``. Run it with ``python examples/overconfident.py``.
"""

import numpy as np
import pymc as pm
import statsmodels.api as sm

import pm_statmech as pms

cal = pms.calibration
COLUMNS = ["lncoins", "physlm", "disea"]
N_SAMPLE = 300


def population() -> tuple[np.ndarray, np.ndarray]:
    """Coinsurance, limitation and diseases in standard deviations (20190, 3), and visits."""
    data = sm.datasets.randhie.load_pandas().data
    X = data[COLUMNS].to_numpy()
    return (X - X.mean(axis=0)) / X.std(axis=0), data["mdvis"].to_numpy(dtype=int)


def main() -> None:
    X, visits = population()
    fit = sm.GLM(visits, sm.add_constant(X), family=sm.families.Poisson()).fit()
    truth = {"level": fit.params[0], "slopes": fit.params[1:]}

    def sample(rng: np.random.Generator) -> dict:
        rows = rng.integers(len(visits), size=N_SAMPLE)
        return {"X": X[rows], "visits": visits[rows]}

    first = sample(np.random.default_rng(1))
    with pm.Model(coords={"column": COLUMNS}) as model:
        x = pm.Data("X", first["X"])
        level = pm.Normal("level", 0.0, 5.0)
        slopes = pm.Normal("slopes", 0.0, 1.0, dims="column")
        pm.Poisson("visits", pm.math.exp(level + x @ slopes), observed=first["visits"])
        found = cal.compare(
            {"Bayes": 1.0, "matching": cal.information_matching},
            random_seed=1, progressbar=False,
        )  # fmt: skip
    print(found)
    for name, calibration in found.calibrations.items():
        study = cal.coverage_study(
            cal.refitted(model, sample, beta=calibration.beta), truth, random_seed=1,
            progressbar=False,
        )  # fmt: skip
        held = ", ".join(
            f"{name} {float(share):.0%}"
            for name, share in zip(study["coordinate"].values, study["coverage"], strict=True)
        )
        print(f"{name:8s} at beta {calibration.beta:.3f} holds {held}")
    pms.plot_comparison(found, backend="matplotlib").savefig("overconfident.png")


if __name__ == "__main__":
    main()
