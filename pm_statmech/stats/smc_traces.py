r"""Log evidence as ``pm.sample_smc`` left it in its statistics, with an error from its chains.

.. math:: \hat Z = \frac1C \sum_c \hat Z_c, \qquad
          \mathrm{mcse}(\log \hat Z) = \frac{\mathrm{sd}(\hat Z_c)}{\sqrt C\, \hat Z}
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.errors import TreeError

DOUBT = (
    "pm.sample_smc reports no error: this one is the scatter of its chains, which does not see "
    "what all of them miss."
)


def is_smc_trace(dt: DataTree) -> bool:
    """Whether a tree has the statistics of ``pm.sample_smc``."""
    return "sample_stats" in dt.children and "log_marginal_likelihood" in dt["sample_stats"]


def last_finite(values) -> np.ndarray:
    """Last finite number of each chain, of rows that PyMC pads to a common length."""
    rows = [np.asarray(row, dtype=float).ravel() for row in values]
    return np.array([row[np.isfinite(row)][-1] for row in rows])


def smc_evidence(dt: DataTree) -> xr.Dataset:
    r"""Log evidence of a tree of ``pm.sample_smc``: the mean of its chains, and their scatter.

    Returns
    -------
    Dataset with ``log_evidence`` and ``mcse`` in nats, ``estimate`` over ``chain``, and the
    attributes of `log_evidence`.

    Raises
    ------
    TreeError
        a single chain, whose scatter is no number.
    """
    values = last_finite(dt["sample_stats"]["log_marginal_likelihood"].values)
    if len(values) < 2:
        raise TreeError(
            f"this tree of pm.sample_smc has one chain, log Z = {values[0]:.4g} without an error: "
            "run it with chains=4, or use sample_annealed, whose populations know their error."
        )
    mean = float(logsumexp(values) - np.log(len(values)))
    scatter = np.std(np.exp(values - mean), ddof=1) / np.sqrt(len(values))
    target = dt["loss"].attrs["target_beta"] if "loss" in dt.children else 1.0
    return xr.Dataset(
        {
            "log_evidence": mean,
            "mcse": scatter,
            "estimate": ("chain", values),
        },
        coords={"chain": dt["posterior"]["chain"].values},
        attrs={
            "method": f"the scatter of {len(values)} chains of pm.sample_smc",
            "doubts": DOUBT,
            "target_beta": float(target),
            "reference": "prior",
            "log_partition_zero": 0.0,
            "log_partition_zero_mcse": 0.0,
        },
    )
