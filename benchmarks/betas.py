"""The figures by which the methods of ``pm_statmech.calibration`` are judged.

python benchmarks/betas.py                    # all, about an hour on two cores
python benchmarks/betas.py --only certificates

"""

import argparse
from time import perf_counter

import numpy as np
import pymc as pm

import pm_statmech as pms

cal = pms.calibration


def median_regression(x, y):
    """Median regression of n = 50, Syring and Martin's."""
    with pm.Model() as model:
        x_data = pm.Data("x", x)
        b = pm.Normal("b", 0.0, 10.0, shape=2)
        pms.GibbsLoss("y", b[0] + b[1] * x_data, loss=pms.losses.absolute, observed=y, beta=0.4)
    return model


def median_data(rng):
    x = rng.chisquare(2, 50) - 2
    return {"x": x, "y": 2 + x + rng.normal(0.0, 2.0, 50)}


def bootstrap(repetitions):
    """Mean beta of 50 calibrations, and coverage of the intervals at their betas over 200."""
    model = median_regression(**median_data(np.random.default_rng(0)))
    methods = {
        "marginal": cal.general_posterior_calibration,
        "joint": cal.general_posterior_calibration_joint,
        "information matching": cal.information_matching,
    }
    for name, method in methods.items():
        options = {} if name.startswith("information") else {
            "progressbar": False, "random_seed": 1, "cores": 1
        }  # fmt: skip
        started = perf_counter()
        table = cal.coverage_study(
            cal.calibrated(model, median_data, lambda m, f=method, o=options: f(m, **o)),
            {"b": [2.0, 1.0]}, repetitions=repetitions, random_seed=1,
        )  # fmt: skip
        betas = table["beta"].values
        print(
            f"{name:22s} mean beta of 50 {betas[:50].mean():.3f}, of all {betas.mean():.3f} "
            f"(sd {betas.std():.3f}); coverage {np.round(table['coverage'].values, 3)} +- "
            f"{np.round(table['coverage_mcse'].values, 3)}, {perf_counter() - started:.0f} s",
            flush=True,
        )


def heteroscedastic(rng, n, p, wrong):
    """Grünwald and van Ommen's: half of the rows are exactly zero, without noise."""
    X = rng.normal(size=(n, p))
    y = 0.1 * X[:, :4].sum(axis=1) + np.sqrt(0.05 if wrong else 0.025) * rng.normal(size=n)
    if wrong:
        easy = rng.random(n) < 0.5
        X[easy], y[easy] = 0.0, 0.0
    return np.column_stack([np.ones(n), X]), y


def excess_risk(X, y, beta, wrong):
    """Excess squared risk of the posterior mean, exact: the posterior is conjugate."""
    p = X.shape[1]
    mean = np.linalg.solve(np.eye(p) + beta * X.T @ X, beta * X.T @ y)
    mean[1:5] -= 0.1
    # of a zero row only the intercept counts
    return mean[0] ** 2 + np.sum(mean[1:] ** 2) * (0.5 if wrong else 1.0)


def safe(data_sets, n=100, p=50):
    """Beta and excess risk against beta = 1, misspecified and well specified."""
    for wrong in (True, False):
        betas, risks = [], []
        started = perf_counter()
        for seed in range(data_sets):
            X, y = heteroscedastic(np.random.default_rng(seed), n, p, wrong)
            with pm.Model():
                s2 = pm.InverseGamma("s2", 1.0, 1 / 40)
                b = pm.Normal("b", 0.0, pm.math.sqrt(s2), shape=p + 1)
                pm.Normal("y", X @ b, pm.math.sqrt(s2), observed=y)
                found = cal.safe_bayes(random_seed=seed, progressbar=False)
            path = found.path
            by_means = float(
                path["inverse_temperature"][int(np.argmin(path["plugged_loss"].values))]
            )
            betas.append((found.beta, by_means))
            risks.append([excess_risk(X, y, at, wrong) for at in (1.0, found.beta, by_means)])
        mean = np.mean(risks, axis=0)
        print(
            f"{'misspecified' if wrong else 'well specified':15s} median beta R-log "
            f"{np.median(betas, axis=0)[0]:.3g}, I-log {np.median(betas, axis=0)[1]:.3g}; excess "
            f"risk at 1 over that at the chosen: R-log {mean[0] / mean[1]:.2f}, I-log "
            f"{mean[0] / mean[2]:.2f} ({data_sets} data sets, {perf_counter() - started:.0f} s)",
            flush=True,
        )


def certificates(data_sets=1000):
    """How often finite-class certificates fail, and a certificate of a real classifier."""
    print(f"kl^-1(.1, .05) = {cal.kl_inverse(0.1, 0.05):.6f}")
    rng = np.random.default_rng(1)
    risks = rng.uniform(0.05, 0.6, size=30)
    names = ("maurer_seeger", "mcallester", "catoni", "linear")
    failed = dict.fromkeys(names, 0)
    for _ in range(data_sets):
        losses = (rng.random((200, 30)) < risks).astype(float)
        path = cal.pac_bayes_finite(losses).path
        betas = path["inverse_temperature"].values
        log_w = -betas[:, None] * losses.sum(axis=0)
        posterior = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        true = (posterior / posterior.sum(axis=1, keepdims=True)) @ risks
        for name in names:
            failed[name] += bool(np.any(true > path[name].values))
    print(f"failed at any beta, of {data_sets} (delta = .05): {failed}")
    classifier()


def classifier():
    """Breast cancer of Wisconsin: 400 to learn, 169 to test; features by published ranges."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    order = np.random.default_rng(1).permutation(len(data.target))
    names = ("worst radius", "worst texture", "worst concave points", "worst smoothness")
    columns = [list(data.feature_names).index(name) for name in names]
    # scales from the instrument, not from these data: a prior must not know them
    X = (data.data[:, columns] - [16.0, 25.0, 0.12, 0.13]) / [5.0, 6.0, 0.06, 0.02]
    X = np.column_stack([np.ones(len(X)), X])
    learn, test = order[:400], order[400:]
    started = perf_counter()
    with pm.Model():
        w = pm.Normal("w", 0.0, 1.0, shape=X.shape[1])
        pms.GibbsLoss("y", X[learn] @ w, loss=pms.losses.zero_one, observed=data.target[learn])
        dt = pms.sample_tempered(1000, target_beta=2.0, random_seed=1, quiet=True)
        found = cal.pac_bayes(dt)
    draws = pms.reweight(dt, found.beta)["posterior"]["w"].values.reshape(-1, X.shape[1])
    wrong = (X[test] @ draws.T > 0) != (data.target[test][:, None] > 0)
    certificate = found.path.attrs["certificate"]
    print(found)
    print(
        f"certificate {certificate:.4f}, test risk of a draw {wrong.mean():.4f}, apart "
        f"{certificate - wrong.mean():.4f} ({perf_counter() - started:.0f} s)"
    )


def speed(data_sets=200, peers=5):
    """A coverage study against pm.sample on each data set."""
    model = median_regression(**median_data(np.random.default_rng(0)))
    repeat = cal.refitted(model, median_data)
    repeat(np.random.default_rng(0))
    started = perf_counter()
    cal.coverage_study(repeat, {"b": [2.0, 1.0]}, repetitions=data_sets, random_seed=1)
    ours = perf_counter() - started
    rng = np.random.default_rng(1)

    def peer():
        with median_regression(**median_data(rng)):
            pm.sample(250, tune=500, chains=4, cores=2, progressbar=False, quiet=True,
                      compute_convergence_checks=False)  # fmt: skip

    peer()
    started = perf_counter()
    for _ in range(peers):
        peer()
    each = (perf_counter() - started) / peers
    print(
        f"{data_sets} data sets: {ours:.1f} s, as many pm.sample calls {each * data_sets:.0f} s "
        f"({each:.2f} s each of {peers}): {each * data_sets / ours:.0f} times"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {
        "speed": speed,
        "certificates": certificates,
        "bootstrap": lambda: bootstrap(options.repetitions),
        "safe": lambda: safe(options.data_sets),
    }
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--data-sets", type=int, default=12)
    options = parser.parse_args()
    for name, part in parts.items():
        if options.only in (None, name):
            print(f"# {name}", flush=True)
            part()


if __name__ == "__main__":
    main()
