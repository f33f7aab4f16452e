"""Learning is projection: likelihood, entropy and the safest forecast end at one table.

8,419 people in eight Chinese cities, by smoking and lung cancer (Liu 1992, as in statsmodels). The
model says that smoking multiplies the odds of cancer by the same factor everywhere. Three roads
lead to it: the likelihood of a log-linear model, maximised by statsmodels; the table of largest
entropy with the observed margins of every pair, by proportional fitting; and the forecast whose
worst log loss is smallest among all tables with those margins, by a game. They end at the same odds
ratio, the same deviance and the same loss. It draws ``three_roads.png``. Run it with
``python examples/three_roads.py``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

from pm_statmech import concentration as co


def load() -> tuple[list[str], np.ndarray]:
    """Names of the cities and counts (city, smoking, cancer), yes before no."""
    data = sm.datasets.china_smoking.load_pandas().data
    return [str(name) for name in data.index], data.to_numpy(dtype=float).reshape(-1, 2, 2)


def pairs(n_cities: int) -> np.ndarray:
    """Statistics (cells, K): all pairs of city and smoking, city and cancer, smoking and cancer."""
    city, smoking, cancer = np.indices((n_cities, 2, 2)).reshape(3, -1)
    columns = [(city == c) & (smoking == s) for c in range(n_cities) for s in (0, 1)]
    columns += [(city == c) & (cancer == s) for c in range(n_cities) for s in (0, 1)]
    columns += [(smoking == s) & (cancer == t) for s in (0, 1) for t in (0, 1)]
    return np.array(columns, dtype=float).T


def summary(p: np.ndarray, counts: np.ndarray) -> tuple[float, float, float]:
    """Odds ratio, deviance of the counts, and log loss a person, of probabilities of cells."""
    table = p.reshape(counts.shape)[0]
    share = counts / counts.sum()
    odds = table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    deviance = 2 * counts.sum() * float(co.relative_entropy(share.ravel(), p.ravel()))
    return odds, deviance, float(co.log_loss(share.ravel(), p.ravel()).expected)


def main() -> None:
    cities, counts = load()
    T, n = pairs(len(cities)), counts.sum()
    share = counts.ravel() / n

    city, smoking, cancer = np.indices(counts.shape).reshape(3, -1)
    cells = pd.DataFrame(
        {"count": counts.ravel(), "city": city, "smoking": smoking, "cancer": cancer}
    )
    likelihood = smf.glm(
        "count ~ C(city) * smoking + C(city) * cancer + smoking * cancer", cells,
        family=sm.families.Poisson(),
    ).fit(tol=1e-14)  # fmt: skip
    margins = {(0, 1): counts.sum(2), (0, 2): counts.sum(1), (1, 2): counts.sum(0)}
    entropy = co.iterative_proportional_fitting(np.ones_like(counts), margins, tolerance=1e-14)
    game = co.minimax_log_loss(np.arange(len(T)), statistics=T, moments=share @ T)
    roads = {
        "largest likelihood": np.asarray(likelihood.fittedvalues) / n,
        "largest entropy": entropy.table.ravel() / n,
        "smallest worst loss": game.answer,
    }
    print("                      odds ratio   deviance   log loss a person in nats")
    for name, p in roads.items():
        odds, deviance, loss = summary(p, counts)
        print(f"{name:20s} {odds:11.6f} {deviance:10.6f} {loss:10.6f}")
    print(
        f"the entropy of the fitted table is {game.value:.6f}, the worst loss {game.worst_loss:.6f}"
    )
    found = co.m_projection(np.arange(len(T)), counts.ravel(), statistics=T)
    flat = co.i_projection(np.arange(len(T)), statistics=T, moments=share @ T).pythagorean(share)
    print(
        f"what the data tell of a uniform table, {flat.total:.6f} nats a person, is what the model "
        f"leaves,\n{flat.to_projection:.6f}, and what it says, {flat.of_projection:.6f}: "
        f"Pythagoras, within {abs(flat.residual):.0e}"
    )
    print(f"the first is the deviance over 2n, {found.relative_entropy:.6f}")

    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    ratio = counts[:, 0, 0] * counts[:, 1, 1] / (counts[:, 0, 1] * counts[:, 1, 0])
    error = np.sqrt(np.sum(1 / counts, axis=(1, 2)))
    at = np.arange(len(cities))
    bars = ratio * np.array([1 - np.exp(-error), np.exp(error) - 1])
    axis.errorbar(at, ratio, bars, fmt="ko", capsize=3, label="each city")
    for k, (name, p) in enumerate(roads.items()):
        axis.axhline(
            summary(p, counts)[0], color=f"C{k}", ls=("-", "--", ":")[k], lw=3 - k, label=name
        )
    axis.set_xticks(at, cities)
    axis.set(ylabel="odds ratio of lung cancer", yscale="log")
    axis.set_yticks([1.5, 2, 2.5, 3, 4], ["1.5", "2", "2.5", "3", "4"])
    axis.minorticks_off()
    axis.legend()
    figure.savefig("three_roads.png", dpi=120)


if __name__ == "__main__":
    main()
