r"""The beta at which the mean energy is close to minus the log evidence: 1 / log n."""

from __future__ import annotations

import numpy as np
import pymc as pm
import xarray as xr

from pm_statmech.calibration.matching import label_of
from pm_statmech.calibration.results import Calibration
from pm_statmech.errors import CalibrationError
from pm_statmech.tempering import tempered_model


def wbic_beta(
    model: pm.Model | None = None, *, n_observations: int | None = None, tempered=None
) -> Calibration:
    r"""Watanabe's beta, at which U estimates minus log Z(1) to the order of log log n.

    .. math:: \beta = \frac{1}{\log n}, \qquad
              U(\beta) = -\log Z(1) + O_p\bigl(\sqrt{\log n}\bigr)

    It is no temperature for a posterior: it is far too hot for one.

    Parameters
    ----------
    model
        by default the one in context; of likelihoods.
    n_observations
        n, by default the entries of the tempered data.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        to be given to `sample_tempered` as ``target_beta``, or read off a ladder by `wbic`.

    Raises
    ------
    CalibrationError
        fewer than 3 observations, of which 1 / log n would be above one; a loss.

    Notes
    -----
    Source: Watanabe (2013), A widely applicable Bayesian information criterion, JMLR 14, 867-897.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu")
    ...     y = pm.Normal("y", mu, 1.0, observed=np.zeros(100))
    ...     found = pms.calibration.wbic_beta()
    >>> round(found.beta, 4)
    0.2171
    """
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    losses = [t.name for t in split.terms if t.kind != "likelihood"]
    if losses:
        raise CalibrationError(
            f"{losses} are no likelihoods: 1 / log n is a power of a likelihood, and has no unit."
        )
    n = split.n_observations if n_observations is None else int(n_observations)
    if n < 3:
        raise CalibrationError(f"{n} observations: 1 / log n is a beta below one from 3 on.")
    sizes = np.unique(np.round(n * np.geomspace(max(0.01, 3 / n), 100.0, 40)))
    path = xr.Dataset(
        {"beta": ("n", 1 / np.log(sizes))},
        coords={"n": sizes},
        attrs={"x": "n", "criteria": "beta", "n_observations": n, "at": float(n)},
    )
    return Calibration(
        float(1 / np.log(n)), np.nan, label_of(split)[0], "1",
        f"WBIC, 1 / log n of {n} observations",
        ("it serves to estimate the evidence, not to report a posterior",), "nothing", path,
    )  # fmt: skip
