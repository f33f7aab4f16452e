"""A network of political attitudes, with the uncertainty of every tie.

944 voters of the American National Election Study of 1996 (as in statsmodels), ten answers each,
split at their medians into -1 and 1. An Ising model says which answers go together given all
others; a horseshoe prior says that most pairs do not. Its normaliser, a sum over 1024 states, is
part of the model, so that every coupling has a posterior, and one that rests on the likelihood and
not on a stand-in for it. Run it with ``python examples/attitudes.py``; it draws ``attitudes.png``.
"""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pymc as pm
import statsmodels.api as sm

import pm_statmech as pms

ANSWERS = {
    "popul": "large town", "TVnews": "TV news", "selfLR": "self right", "ClinLR": "Clinton right",
    "DoleLR": "Dole right", "PID": "Republican", "age": "older", "educ": "schooling",
    "income": "income", "vote": "votes Dole",
}  # fmt: skip


def load() -> np.ndarray:
    """Spins (944, 10): above the median of an answer, or not."""
    data = sm.datasets.anes96.load_pandas().data[list(ANSWERS)]
    return np.where(data > data.median(), 1, -1)


def fit(x: np.ndarray):
    """Posterior of couplings with a regularised horseshoe (Piironen and Vehtari 2017)."""
    n = x.shape[1]
    i, j = np.triu_indices(n, 1)
    names = list(ANSWERS.values())
    ties = [f"{names[a]} - {names[b]}" for a, b in zip(i, j, strict=True)]
    with pm.Model(coords={"answer": names, "tie": ties}):
        field = pm.Normal("field", 0, 1, dims="answer")
        everywhere = pm.HalfStudentT("everywhere", 3, 0.05)
        local = pm.HalfStudentT("local", 3, 1, dims="tie")
        slab = pm.InverseGamma("slab", 4, 4)
        scale = everywhere * local / pm.math.sqrt(1 + (everywhere * local) ** 2 / slab)
        coupling = pm.Deterministic(
            "coupling", scale * pm.Normal("standard", dims="tie"), dims="tie"
        )
        pms.Ising("x", coupling, field, graph=np.column_stack([i, j]), observed=x)
        return pm.sample(
            400, tune=400, chains=2, target_accept=0.9, random_seed=1, progressbar=False,
            quiet=True,
        )  # fmt: skip


def draw(dt) -> None:
    """Ties as lines: as wide as their mean is large, as dark as their sign is certain."""
    names = list(ANSWERS.values())
    coupling = dt.posterior["coupling"]
    mean = coupling.mean(("chain", "draw")).values
    certain = np.abs(2 * (coupling > 0).mean(("chain", "draw")).values - 1)
    place = nx.circular_layout(range(len(names)))
    pairs = zip(*np.triu_indices(len(names), 1), strict=True)
    _, ax = plt.subplots(figsize=(7, 6.5))
    for (a, b), m, c in zip(pairs, mean, certain, strict=True):
        ax.plot(
            *np.transpose([place[a], place[b]]), lw=12 * abs(m), alpha=c**4,
            color="C0" if m > 0 else "C3", solid_capstyle="round", zorder=1,
        )  # fmt: skip
    for k, name in enumerate(names):
        ax.text(
            *place[k], name, ha="center", va="center", zorder=2,
            bbox={"boxstyle": "round", "fc": "white", "ec": "0.6"},
        )  # fmt: skip
    ax.set_title("What goes together given all else\n(blue: alike, red: unlike; pale: may be 0)")
    ax.axis("off")
    ax.margins(0.15)
    plt.tight_layout()
    plt.savefig("attitudes.png", dpi=120)


def main() -> None:
    x = load()
    dt = fit(x)
    coupling = dt.posterior["coupling"]
    sure = np.abs(2 * (coupling > 0).mean(("chain", "draw")) - 1) > 0.99
    print(f"{len(x)} voters: the sign of {int(sure.sum())} of {sure.size} ties is certain")
    strongest = coupling.mean(("chain", "draw")).to_series().sort_values(key=abs)[::-1][:6]
    spread = coupling.std(("chain", "draw")).to_series()
    for tie, mean in strongest.items():
        print(f"  {tie:28} {mean:5.2f} +- {spread[tie]:.2f}")
    draw(dt)


if __name__ == "__main__":
    main()
