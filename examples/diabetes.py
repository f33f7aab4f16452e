"""The diabetes regression, tempered, next to its closed form at seven temperatures.

Data of Efron, Hastie, Johnstone, Tibshirani (2004), as in scikit-learn, columns and response
standardised; y ~ N(X b, 0.5) and b ~ N(0, I). Run it with ``python examples/diabetes.py``.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import pm_statmech as pms

BETAS = [0.0, 0.1, 0.16416830195132148, 0.25, 0.5, 1.0, 2.0]  # the third is 1 / log n


def diabetes_system() -> pms.solvable.SolvableSystem:
    X, y = load_diabetes(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (y - y.mean()) / y.std()
    return pms.solvable.gaussian_linear_model(X, y, noise_sd=np.sqrt(0.5), prior_sd=1.0)


def main() -> None:
    system = diabetes_system()
    dt = pms.sample_tempered(model=system.model(), betas=BETAS, random_seed=1)
    found = pms.thermodynamics(dt)
    exact = {
        "mean_energy": system.mean_energy,
        "heat_capacity": system.heat_capacity,
        "relative_entropy": system.relative_entropy,
        "log_partition": system.log_partition,
    }
    print(f"{'beta':>8} {'quantity':>17} {'estimate':>12} {'error':>9} {'exact':>12} {'z':>6}")
    for beta in BETAS:
        row = found.sel(inverse_temperature=beta)
        for name, curve in exact.items():
            estimate, error, truth = float(row[name]), float(row[f"{name}_mcse"]), curve(beta)
            z = f"{(estimate - truth) / error:6.2f}" if error > 0 else " exact"
            print(f"{beta:8.4f} {name:>17} {estimate:12.4f} {error:9.4f} {truth:12.4f} {z}")
    print(f"\n{pms.verdict(dt)}")


if __name__ == "__main__":
    main()
