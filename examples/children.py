"""Counts that vary less than Poisson's: children after nine years of marriage.

602 answers to the Redbook survey of 1974 (Fair 1978, as in statsmodels). Mean 1.65, variance 0.87:
people plan their families, and no Poisson or negative binomial regression can say so. A
Conway-Maxwell-Poisson regression by its mean can, with one more parameter nu > 1, and its
normaliser is part of the model. "Five or more" counts as five. Run it with
``python examples/children.py``.
"""

import arviz as az
import numpy as np
import pymc as pm
import statsmodels.api as sm

import pm_statmech as pms


def load() -> tuple[np.ndarray, np.ndarray]:
    """Children (n,), and age, schooling and religiousness (n, 3) in standard deviations."""
    data = sm.datasets.fair.load_pandas().data
    data = data[data["yrs_married"] == 9]
    X = data[["age", "educ", "religious"]].to_numpy()
    return np.floor(data["children"]).to_numpy(dtype=int), (X - X.mean(axis=0)) / X.std(axis=0)


def fit(family: str, y: np.ndarray, X: np.ndarray):
    """Posterior of a regression of the log mean, with its log likelihood."""
    with pm.Model(coords={"column": ["age", "educ", "religious"]}):
        intercept = pm.Normal("intercept", 0, 1)
        slopes = pm.Normal("slopes", 0, 0.5, dims="column")
        mu = pm.math.exp(intercept + pm.math.dot(X, slopes))
        if family == "Poisson":
            pm.Poisson("children", mu, observed=y)
        elif family == "negative binomial":
            pm.NegativeBinomial("children", mu, alpha=pm.HalfNormal("alpha", 100), observed=y)
        else:
            nu = pm.LogNormal("nu", 0, 1)
            pms.ConwayMaxwellPoisson("children", mu=mu, nu=nu, observed=y)
        dt = pm.sample(300, tune=300, chains=4, random_seed=1, progressbar=False, quiet=True)
        return pm.compute_log_likelihood(dt, progressbar=False)


def main() -> None:
    y, X = load()
    print(f"{len(y)} families: mean {y.mean():.2f}, variance {y.var():.2f} children")
    fits = {name: fit(name, y, X) for name in ("Poisson", "negative binomial", "CMP")}
    print(az.compare(fits)[["rank", "elpd", "elpd_diff", "dse"]].round(1).to_string())
    print(az.summary(fits["CMP"], var_names=["nu", "slopes"]).iloc[:, :4].to_string())
    nu = fits["CMP"]["posterior"]["nu"]
    print(f"nu is above 1, so under-dispersed, in {float((nu > 1).mean()):.1%} of the draws")


if __name__ == "__main__":
    main()
