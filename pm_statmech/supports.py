r"""Sets that an exponential family lives on: finite ones, all integers on a side, intervals.

Each knows how many states it has and says symbolically whether a value is one of them; finite ones
list them. A state is a number, shape (), or a vector of n, shape (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Protocol

import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import SupportError


class Support(Protocol):
    """What a `Family` asks of a set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a state."""

    @property
    def dtype(self) -> str:
        """Of a state."""

    @property
    def n_states(self) -> float:
        """How many there are, which may be infinite."""

    @property
    def example(self) -> np.ndarray:
        """One of them, (*shape) in float64."""

    def contains(self, x):
        """Whether x (..., *shape) is a state, symbolically (...)."""


class FiniteSupport(Support, Protocol):
    """A set that can be listed."""

    def states(self, first: int, last: int) -> np.ndarray:
        """States number first to last - 1, (last - first, *shape), in float64."""


class _Listed:
    """What follows from a list of states."""

    @property
    def example(self) -> np.ndarray:
        """The first of them."""
        return self.states(0, 1)[0]  # type: ignore[attr-defined]


def _digits(first: int, last: int, sizes: tuple[int, ...]) -> np.ndarray:
    """Digits (last - first, n) of numbers in mixed radix, the last digit running fastest."""
    return np.stack(np.unravel_index(np.arange(first, last), sizes), axis=-1)


@dataclass(frozen=True)
class Finite(_Listed):
    """A list of numbers (S,), or of vectors (S, n).

    Raises
    ------
    SupportError
        no state, one that is not finite, or one that is there twice.
    """

    values: tuple

    def __init__(self, values) -> None:
        array = np.asarray(values, dtype=np.float64)
        if array.ndim not in (1, 2) or array.size == 0:
            raise SupportError(f"Finite takes (S,) numbers or (S, n) vectors, not {array.shape}.")
        if not np.all(np.isfinite(array)):
            raise SupportError("a state of Finite is not finite.")
        if len(np.unique(array, axis=0)) < len(array):
            raise SupportError("Finite has a state twice: its weight would count twice.")
        rows = array.tolist()
        object.__setattr__(self, "values", tuple(map(tuple, rows) if array.ndim == 2 else rows))

    @property
    def shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return np.shape(self.values)[1:]

    @property
    def dtype(self) -> str:
        """Integers where all states are."""
        array = np.asarray(self.values)
        return "int64" if np.all(array == np.round(array)) else "float64"

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.values)

    def states(self, first: int, last: int) -> np.ndarray:
        """Some of the list."""
        return np.asarray(self.values[first:last], dtype=np.float64)

    def contains(self, x):
        """Equal to one of them."""
        states = pt.constant(self.states(0, self.n_states))
        if not self.shape:
            return pt.any(pt.eq(x[..., None], states), axis=-1)
        return pt.any(pt.all(pt.eq(x[..., None, :], states), axis=-1), axis=-1)


@dataclass(frozen=True)
class Integers:
    """The integers from low to high, both included; either may be infinite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if not (float(end).is_integer() or np.isinf(end)):
                raise SupportError(f"Integers({self.low}, {self.high}): the ends are integers.")
        if not (self.low <= self.high and self.low < np.inf and self.high > -np.inf):
            raise SupportError(f"Integers({self.low}, {self.high}) is empty.")

    @property
    def shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def dtype(self) -> str:
        """int64."""
        return "int64"

    @property
    def n_states(self) -> float:
        """High - low + 1."""
        infinite = np.isinf(self.low) or np.isinf(self.high)
        return np.inf if infinite else int(self.high) - int(self.low) + 1

    @property
    def example(self) -> np.ndarray:
        """The finite end, or 0."""
        ends = [end for end in (self.low, self.high) if np.isfinite(end)]
        return np.asarray(ends[0] if ends else 0.0, dtype=np.float64)

    def states(self, first: int, last: int) -> np.ndarray:
        """Counting from low."""
        return int(self.low) + np.arange(first, last, dtype=np.float64)

    def contains(self, x):
        """An integer between the ends."""
        return pt.ge(x, self.low) & pt.le(x, self.high) & pt.eq(x, pt.floor(x))


@dataclass(frozen=True)
class Interval:
    """The real numbers from low to high; either end may be infinite.

    Parameters
    ----------
    breakpoints
        numbers between, in order, at which a statistic or the base jumps or has a kink: integrals
        are taken piece by piece.

    Raises
    ------
    SupportError
        an empty interval, or breakpoints outside it or out of order.
    """

    low: float
    high: float
    breakpoints: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.low < np.inf and self.high > -np.inf):
            raise SupportError(f"Interval({self.low}, {self.high}) is empty.")
        object.__setattr__(self, "breakpoints", tuple(float(b) for b in self.breakpoints))
        points = (self.low, *self.breakpoints, self.high)
        if not all(a < b for a, b in pairwise(points)):
            raise SupportError(
                f"breakpoints {self.breakpoints} must lie between {self.low} and {self.high}, in "
                "increasing order."
            )

    def __repr__(self) -> str:
        cuts = f", breakpoints={self.breakpoints}" if self.breakpoints else ""
        return f"Interval({self.low:g}, {self.high:g}{cuts})"

    @property
    def shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def dtype(self) -> str:
        """float64."""
        return "float64"

    @property
    def n_states(self) -> float:
        """Infinite."""
        return np.inf

    @property
    def example(self) -> np.ndarray:
        """The middle, or a unit from the finite end, or 0."""
        low, high = self.low, self.high
        if np.isfinite(low) and np.isfinite(high):
            return np.asarray(low + 0.5 * (high - low))
        if np.isfinite(low):
            return np.asarray(low + 1.0)
        return np.asarray(high - 1.0 if np.isfinite(high) else 0.0)

    def contains(self, x):
        """Between the ends, which have no probability of their own."""
        return pt.ge(x, self.low) & pt.le(x, self.high)


@dataclass(frozen=True)
class Product(_Listed):
    """Vectors whose i-th entry is a state of the i-th support, each of numbers."""

    parts: tuple[FiniteSupport, ...]

    def __init__(self, *parts: FiniteSupport) -> None:
        if not parts or any(part.shape or np.isinf(part.n_states) for part in parts):
            raise SupportError("Product takes one or more finite supports of numbers.")
        object.__setattr__(self, "parts", parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (len(self.parts),)

    @property
    def dtype(self) -> str:
        """Integers where all parts are."""
        return "int64" if all(part.dtype == "int64" for part in self.parts) else "float64"

    @property
    def n_states(self) -> int:
        """Product of the parts' numbers."""
        return prod(int(part.n_states) for part in self.parts)

    def states(self, first: int, last: int) -> np.ndarray:
        """The last entry runs fastest."""
        digits = _digits(first, last, tuple(int(part.n_states) for part in self.parts))
        columns = [
            part.states(0, int(part.n_states))[digits[:, i]] for i, part in enumerate(self.parts)
        ]
        return np.stack(columns, axis=-1)

    def contains(self, x):
        """Each entry in its part."""
        inside = [part.contains(x[..., i]) for i, part in enumerate(self.parts)]
        return pt.all(pt.stack(inside, axis=-1), axis=-1)


@dataclass(frozen=True)
class Spins(_Listed):
    """Vectors of n spins, each -1 or +1."""

    n: int

    def __post_init__(self) -> None:
        _check_length(self.n, "Spins")

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (self.n,)

    @property
    def dtype(self) -> str:
        """int64."""
        return "int64"

    @property
    def n_states(self) -> int:
        """2^n."""
        return 2**self.n

    def states(self, first: int, last: int) -> np.ndarray:
        """The last spin runs fastest, from -1 to +1."""
        return 2.0 * _digits(first, last, (2,) * self.n) - 1.0

    def contains(self, x):
        """Every entry -1 or +1."""
        return pt.all(pt.eq(x, -1) | pt.eq(x, 1), axis=-1)


@dataclass(frozen=True)
class Binary(_Listed):
    """Vectors of n entries, each 0 or 1."""

    n: int

    def __post_init__(self) -> None:
        _check_length(self.n, "Binary")

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (self.n,)

    @property
    def dtype(self) -> str:
        """int64."""
        return "int64"

    @property
    def n_states(self) -> int:
        """2^n."""
        return 2**self.n

    def states(self, first: int, last: int) -> np.ndarray:
        """The last entry runs fastest, from 0 to 1."""
        return _digits(first, last, (2,) * self.n).astype(np.float64)

    def contains(self, x):
        """Every entry 0 or 1."""
        return pt.all(pt.eq(x, 0) | pt.eq(x, 1), axis=-1)


def _check_length(n: int, name: str) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise SupportError(f"{name}({n}): the number of entries is a positive integer.")
