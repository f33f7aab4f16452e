r"""Finite supports as tables: every statistic and the base at every state.

.. math:: A(\eta) = \log \sum_x h(x)\, e^{\eta \cdot T(x)}

a `logsumexp` over states, in PyTensor's own operations, so that it differentiates to any order
and runs wherever PyTensor does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import vectorize_graph
from pytensor.scalar import autocast_float_as

from pm_statmech.errors import FamilyError
from pm_statmech.supports import FiniteSupport, Interval, Support

CHUNK = 16_384
MOST_CELLS = 2**24


class Table(NamedTuple):
    """States (S, *shape), and their statistics with the log base as the last column (S, K + 1)."""

    states: np.ndarray
    statistics: np.ndarray

    def log_partition(self, weights):
        """A (...) for weights (..., K + 1): eta, and the power of the base, which is 1."""
        return pt.logsumexp(self.exponents(weights), axis=-1)

    def exponents(self, weights):
        """Unnormalised log probability of each state (..., S)."""
        return pt.dot(weights, pt.constant(self.statistics.T))


def statistics_and_base(statistics: Callable, log_base: Callable | None, support: Support, x):
    """T(x) and log h(x) as the K + 1 entries of a vector, of one symbolic state x.

    Raises
    ------
    FamilyError
        statistics that are not a list of tensors, or a log base that is not a number a state.
    """
    # PyTensor would make a Python float that fits into single precision a number of that kind
    with autocast_float_as("float64"):
        listed = statistics(x)
        base = pt.constant(0.0) if log_base is None else pt.as_tensor_variable(log_base(x))
    if not isinstance(listed, list | tuple) or not listed:
        raise FamilyError(
            "statistics takes x and returns a list of tensors, such as "
            f"lambda x: [x, x**2]; it returned {type(listed).__name__}."
        )
    if base.type.ndim != 0:
        raise FamilyError(
            f"log_base gives {base.type.ndim} dimensions at one state, where it must be a number."
        )
    pieces = [pt.cast(pt.flatten(pt.as_tensor_variable(t)), "float64") for t in listed]
    return pt.concatenate([*pieces, pt.cast(base, "float64")[None]])


def over_states(joined, x, states):
    """The same of many states (..., *shape): (..., K + 1)."""
    # adding 0 x makes batches of constants as well
    return vectorize_graph(joined + 0.0 * pt.sum(x), {x: states})


def evaluator(statistics: Callable, log_base: Callable | None, support: Support) -> Callable:
    """Function of states (n, *shape) -> statistics (n, K) and log base (n,)."""
    x = pt.tensor("x", shape=support.shape, dtype="float64")
    joined = statistics_and_base(statistics, log_base, support, x)
    batch = pt.tensor("states", shape=(None, *support.shape), dtype="float64")
    # each state is seen once: compiling to native code would take longer
    function = pytensor.function([batch], over_states(joined, x, batch), mode="FAST_COMPILE")

    def evaluate(states):
        found = function(states)
        return found[:, :-1], found[:, -1]

    return evaluate


def check_statistics(evaluate: Callable, support: Interval) -> None:
    """Raise FamilyError where a statistic or the base is NaN inside an interval."""
    low, high = support.low, support.high
    inside = np.linspace(0.0, 1.0, 67)[1:-1]
    if np.isfinite(low) and np.isfinite(high):
        x = low + (high - low) * inside
    else:
        far = np.sinh(np.linspace(-10.0, 10.0, 64))
        x = far if np.isinf(low) and np.isinf(high) else np.abs(far)
        x = x if np.isinf(low) and np.isinf(high) else low + x if np.isfinite(low) else high - x
    T, log_h = evaluate(x)
    wrong = np.any(np.isnan(T), axis=1) & (log_h > -np.inf) | np.isnan(log_h)
    if np.any(wrong):
        raise FamilyError(
            f"a statistic or log_base is NaN at x = {x[int(np.argmax(wrong))]:.6g}, inside "
            f"{support}. Mend it, or take a narrower interval."
        )


def chunks(
    evaluate: Callable, support: FiniteSupport
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """States, statistics and log base of all states, some at a time.

    Raises
    ------
    FamilyError
        a statistic that is not finite, or a log base that is NaN or +inf, with the state.
    """
    for first in range(0, int(support.n_states), CHUNK):
        states = support.states(first, min(first + CHUNK, int(support.n_states)))
        T, log_h = evaluate(states)
        wrong = ~np.all(np.isfinite(T), axis=1) & (log_h > -np.inf)
        if np.any(wrong):
            at = states[int(np.argmax(wrong))]
            raise FamilyError(
                f"a statistic is not finite at x = {at}, where the base is not 0. Leave that state "
                "out of the support, or give it log_base = -inf."
            )
        if np.any(np.isnan(log_h) | (log_h == np.inf)):
            at = states[int(np.argmax(np.isnan(log_h) | (log_h == np.inf)))]
            raise FamilyError(f"log_base is NaN or infinite at x = {at}; only -inf is allowed.")
        yield states, T, log_h


def tabulate(evaluate: Callable, support: FiniteSupport, n_statistics: int) -> Table:
    """All states with a positive base.

    Raises
    ------
    FamilyError
        more than 16 million numbers, or no state.
    """
    cells = int(support.n_states) * n_statistics
    if cells > MOST_CELLS:
        raise FamilyError(
            f"a sum over {support.n_states} states of {n_statistics} statistics takes a table of "
            f"{8 * cells / 2**20:.0f} MiB, above {8 * MOST_CELLS / 2**20:.0f} MiB. Of exact "
            "engines only the fold reaches further, for statistics of Spins or Binary that are "
            "sums over entries and pairs of entries."
        )
    parts = list(chunks(evaluate, support))
    states, T, log_h = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = log_h > -np.inf
    if not np.any(kept):
        raise FamilyError("the base is 0 at every state of the support.")
    return Table(states[kept], np.column_stack([T, log_h])[kept])
