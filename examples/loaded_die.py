"""From Boltzmann to Gibbs with one die: what is improbable happens in the least improbable way.

A fair die is thrown n times and its mean comes out at 4.5 or more. How improbable is that
(Sanov, Cramer, Bahadur and Rao), what does one throw look like given that it happened (Gibbs),
and which forecast of a throw is safest for somebody who knows the mean alone (Jaynes, Grunwald and
Dawid)? The three answers are one distribution, the projection of the fair die, and the larger n is
the less else there is. It draws ``loaded_die.png``. Run it with ``python examples/loaded_die.py``.
"""

import matplotlib.pyplot as plt
import numpy as np

from pm_statmech import concentration as co

FACES, MEAN = np.arange(1, 7), 4.5
FAIR = co.Atoms(FACES)


def main() -> None:
    loaded = co.i_projection(FACES, statistics=lambda x: [x], moments=[MEAN])
    rate = co.rate_function(FAIR, MEAN)
    print(
        f"rate {float(rate.value.eval()):.6f}, relative entropy {loaded.relative_entropy:.6f} nats"
    )

    print(
        "    n   log P(mean >= 4.5)   Bahadur-Rao   -n rate   distance of one throw from the limit"
    )
    conditioned = {}
    for n in (2, 10, 100, 1000):
        conditioned[n] = co.gibbs_conditioning(FAIR, n=n, threshold=MEAN)
        exact, refined = conditioned[n].log_probability, co.bahadur_rao(FAIR, n=n, threshold=MEAN)
        distance = conditioned[n].total_variation
        exponent = -n * loaded.relative_entropy
        print(f"{n:5d} {exact:20.4f} {refined:13.4f} {exponent:9.3f} {distance:12.5f}")

    game = co.minimax_log_loss(FACES, statistics=lambda x: [x], moments=[MEAN])
    print(f"the safest forecast loses {game.value:.6f} nats at worst, the largest entropy that a")
    print(f"die with mean {MEAN} has; a linear programme finds no worse die within {game.gap:.0e}")

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for n, shade in ((2, "0.75"), (10, "0.5"), (100, "0.25"), (1000, "0.0")):
        sums = np.arange(n, 6 * n + 1)
        log_p = [co.log_mean_probability(FAIR, n=n, mean=s / n) for s in sums[:: max(1, n // 50)]]
        at = sums[:: max(1, n // 50)] / n
        left.plot(at, -np.array(log_p) / n, color=shade, label=f"n = {n}")
    grid = np.linspace(1.001, 5.999, 200)
    left.plot(grid, co.rate_function(FAIR, grid).value.eval(), "C1--", label="rate function")
    left.axvline(MEAN, color="C0", lw=0.8)
    left.set(xlabel="mean of n throws", ylabel="-log P / n in nats", title="Sanov and Cramer")
    left.legend()

    width = 0.2
    for k, n in enumerate((2, 10, 100)):
        middle.bar(FACES + (k - 1) * width, conditioned[n].law, width, color=str(0.75 - 0.25 * k),
                   label=f"given a mean of n = {n}")  # fmt: skip
    middle.plot(FACES, loaded.probabilities, "C1o--", label="projection")
    middle.set(xlabel="face", ylabel="probability of one throw", title="Gibbs")
    middle.legend()

    loss = -np.log(loaded.probabilities)
    right.plot(FACES, loss, "C1o--", label="log loss of the safest forecast")
    right.axhline(np.log(6), color="0.5", lw=0.8, label="log loss of the fair one")
    right.plot(MEAN, game.value, "C0s", label="every die of mean 4.5 pays this")
    right.set(xlabel="face", ylabel="nats", title="Jaynes: a straight line in the statistic")
    right.legend(loc="lower left")
    figure.savefig("loaded_die.png", dpi=120)


if __name__ == "__main__":
    main()
