"""A classifier with a guarantee: breast tumours, and a bound on the risk of the next diagnosis.

400 of the 569 tumours of Wolberg, Street, Mangasarian (1995, as in scikit-learn) train a linear
classifier by its 0-1 loss: a tempered run, whose log Z and mean energy give PAC-Bayes certificates.
With probability 95% over the training data the risk of a posterior draw is below the bound; no
test set is needed for it, and 169 tumours are kept only to look. The prior must know nothing of
the data, so that features are scaled by round numbers, not by their own mean and deviation. It
draws ``certificate.png``. Run it with ``python examples/certificate.py``.
"""

import numpy as np
import pymc as pm
from sklearn.datasets import load_breast_cancer

import pm_statmech as pms

FEATURES = ["worst radius", "worst texture", "worst concave points", "worst smoothness"]
MIDDLE, SCALE = np.array([16.0, 25.0, 0.12, 0.13]), np.array([5.0, 6.0, 0.06, 0.02])


def load() -> tuple[np.ndarray, np.ndarray]:
    """Features (569, 5), the first one 1, and whether a tumour is benign (569,)."""
    data = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in FEATURES]
    X = (data.data[:, columns] - MIDDLE) / SCALE
    return np.column_stack([np.ones(len(X)), X]), data.target


def main() -> None:
    X, y = load()
    order = np.random.default_rng(1).permutation(len(y))
    learn, test = order[:400], order[400:]
    with pm.Model():
        w = pm.Normal("w", 0.0, 1.0, shape=X.shape[1])
        pms.GibbsLoss("benign", X[learn] @ w, loss=pms.losses.zero_one, observed=y[learn])
        dt = pms.sample_tempered(500, target_beta=4.0, random_seed=1, quiet=True)
        found = pms.calibration.pac_bayes(dt)
    best = found.path.sel(inverse_temperature=found.beta)
    print(f"beta {found.beta:.3g}: wrong on {float(best['empirical_risk']):.1%} of 400 tumours")
    for name in ("maurer_seeger", "mcallester", "catoni", "linear"):
        print(f"  {name:14s} certifies a risk below {float(found.path[name].min()):.1%}")
    draws = pms.reweight(dt, found.beta)["posterior"]["w"].stack(s=("chain", "draw")).values
    wrong = (X[test] @ draws > 0) != (y[test][:, None] > 0)
    print(f"a draw is wrong on {wrong.mean():.1%} of 169 tumours that it has not seen")
    pms.plot_calibration(found, backend="matplotlib").savefig("certificate.png")


if __name__ == "__main__":
    main()
