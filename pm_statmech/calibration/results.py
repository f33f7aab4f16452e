"""What a calibration finds: a beta, how sure it is, and what it assumed."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Calibration:
    """An inverse temperature for a loss, and where it comes from.

    Parameters
    ----------
    beta
        the inverse temperature, which multiplies the summed loss.
    standard_error
        how far off the method may be, NaN where it does not say: of the data for the plug-in forms
        of information matching, and only of what was drawn for those that resample or simulate
        (see each of them). Two of different kinds are no measure of which method is better.
    loss, unit
        the loss, and the unit of beta: 1 over the loss's.
    method
        in words.
    assumptions
        under which beta means what it says.
    cost
        what was computed for it.
    path
        the quantities that beta was read from.
    """

    beta: float
    standard_error: float
    loss: str
    unit: str
    method: str
    assumptions: tuple[str, ...]
    cost: str
    path: xr.Dataset = field(repr=False, compare=False)

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        if not self.unit:
            return f"beta = {self.beta:.4g}, {self.method}"
        error = "" if np.isnan(self.standard_error) else f" +- {self.standard_error:.1g}"
        return f"beta = {self.beta:.4g}{error}{unit} for {self.loss}, by {self.method}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in self.assumptions)
        told = html.escape(f"{self}; {self.cost}. It assumes:")
        return f"<p>{told}</p><ul>{items}</ul>"


def inverse_unit(unit: str) -> str:
    """Unit of beta for a loss in the given one.

    Examples
    --------
    >>> inverse_unit("y^2"), inverse_unit("1")
    ('per y^2', '1')
    """
    return "1" if unit in ("1", "nats") else f"per {unit}"
