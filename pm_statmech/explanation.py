"""Which normaliser each variable of a model has, how it is computed, and what that costs."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pm_statmech.distributions.bingham import FisherBinghamRV
from pm_statmech.distributions.family_variables import FamilyRV
from pm_statmech.distributions.layers import LayersRV
from pm_statmech.distributions.mean_field_spins import MagnetRV, MemoryRV
from pm_statmech.distributions.network_sums import SumsRV
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.distributions.spheres import ZonalRV
from pm_statmech.gibbs import GibbsLossRV, GibbsPotentialOp
from pm_statmech.log_partition.network_engines import NetworkEngine

REPEATS, LEAST_SECONDS = 7, 0.002
COLUMNS = ["normaliser", "number", "error", "microseconds", "MiB"]

# variables that say what their engine is
WITH_ENGINES = (
    FamilyRV, ZonalRV, FisherBinghamRV, NetworkRV, SumsRV, MemoryRV, MagnetRV, LayersRV,
)  # fmt: skip


def _microseconds(function, values) -> float:
    """Of one call, the least of some."""
    function(*values)
    start, calls = perf_counter(), 0
    while perf_counter() - start < LEAST_SECONDS:
        function(*values)
        calls += 1
    best = np.inf
    for _ in range(REPEATS):
        start = perf_counter()
        for _ in range(calls):
            function(*values)
        best = min(best, (perf_counter() - start) / calls)
    return 1e6 * best


def _of_family(op, params, values, mode) -> dict[str, Any]:
    """The row of a variable of a family at values of its parameters."""
    symbols = [pt.tensor(dtype="float64", shape=v.shape) for v in values]
    A = op.log_partition(*symbols)
    gradients: Any = pytensor.grad(pt.sum(A), symbols, disconnected_inputs="ignore")
    function = pytensor.function(symbols, [A, *gradients], mode=mode, on_unused_input="ignore")
    function.trust_input = True
    found = function(*values)[0]
    error = op.relative_error(*(pt.constant(v) for v in values))
    return {
        "normaliser": op.engine_said(),
        "number": int(np.size(found)),
        "error": float(np.max(error.eval(mode="FAST_COMPILE"))),
        "microseconds": _microseconds(function, values),
        "MiB": op.engine_bytes() / 2**20,
    }


def explain(model: pm.Model | None = None, *, mode: str = "NUMBA") -> pd.DataFrame:
    r"""How the normaliser of each variable is computed, whether exactly, and at what cost.

    Parameters
    ----------
    model
        by default the one around; mode : PyTensor's, in which costs are measured.

    Returns
    -------
    DataFrame, one row a variable or Potential

        - ``normaliser``: the engine, ``closed form`` of PyMC's distributions, or ``none``;
        - ``number``: normalisers in one evaluation, one for each row of parameters;
        - ``error``: estimated relative error at the initial point, 0 where exact to rounding;
        - ``microseconds``: of all of them with their gradients, measured;
        - ``MiB``: of the engine's tables, or of the points of one normaliser at most.

    Notes
    -----
    A loss or a Potential has no normaliser. That is right for a fixed beta, and for constraints; an
    energy with free parameters in a Potential is not a density of the data, and its parameters run
    away: take `ExponentialFamily` instead.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     eta = pm.Normal("eta", shape=2)
    ...     y = pms.ExponentialFamily("y", eta, statistics=lambda x: [x, x**2],
    ...         support=pms.Integers(0, 5), observed=[2, 3, 3])
    >>> list(pms.explain(model, mode="FAST_COMPILE")["normaliser"])
    ['closed form', 'table of 6 states']
    """
    model = pm.modelcontext(model)
    point = model.initial_point()
    rows: dict[str, dict[str, Any]] = {}
    for rv in model.basic_RVs:
        op = rv.owner.op
        engine = getattr(op, "engine", None)
        if isinstance(engine, NetworkEngine) and engine.missing is not None:
            rows[rv.name] = {"normaliser": "none: no exact engine reaches it"}
        elif isinstance(op, WITH_ENGINES):
            params = [pt.cast(p, "float64") for p in rv.owner.inputs[2:]]
            graphs = model.replace_rvs_by_values(params)
            evaluate = pytensor.function(
                model.value_vars, graphs, mode="FAST_COMPILE", on_unused_input="ignore"
            )
            values = [np.asarray(v) for v in evaluate(*(point[v.name] for v in model.value_vars))]
            rows[rv.name] = _of_family(op, params, values, mode)
        elif isinstance(op, GibbsLossRV):
            rows[rv.name] = {"normaliser": "none: a loss"}
        else:
            rows[rv.name] = {"normaliser": "closed form", "error": 0.0}
    for potential in model.potentials:
        owner = potential.owner
        tagged = owner is not None and isinstance(owner.op, GibbsPotentialOp)
        rows[potential.name] = {"normaliser": "none: an energy" if tagged else "none: a Potential"}
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
