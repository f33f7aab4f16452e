r"""Log Z along one inverse temperature, interpolated from a tempered run.

Between two temperatures of which log Z and its slope -U are known, log Z is the cubic with both,

.. math:: \log Z(\beta) \approx h_{00} A_0 + h_{10}\, \Delta A'_0 + h_{01} A_1
          + h_{11}\, \Delta A'_1, \qquad A' = -U, \quad \Delta = \beta_1 - \beta_0

with Hermite's polynomials in (beta - beta_0) / Delta. It is continuous with its derivative, so that
gradients at the temperatures are the measured mean energies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.network_engines import NetworkEngine, Problem


@dataclass(frozen=True, eq=False)
class LogPartitionCurve:
    r"""Log Z at inverse temperatures of a run, as a function of beta for models.

    Parameters
    ----------
    betas
        (K,) increasing; log_z : (K,) relative to Z(0); mean_energy : (K,) U, minus the slope.
    mcse
        (K,) standard error of log Z.
    networks
        {name: digest} of the networks that were tempered, see `networks.natural_digest`.

    Raises
    ------
    ValueError
        fewer than two temperatures, not increasing, or values that are not finite.

    Notes
    -----
    A call gives a tensor, NaN outside the temperatures: bound the prior of beta by them.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_statmech.log_partition import LogPartitionCurve
    >>> # one spin: log cosh beta
    >>> b = np.linspace(0, 1, 11)
    >>> curve = LogPartitionCurve(b, np.log(np.cosh(b)), -np.tanh(b), np.zeros(11))
    >>> bool(abs(curve(0.55).eval(mode="FAST_COMPILE") - np.log(np.cosh(0.55))) < 1e-6)
    True
    """

    betas: np.ndarray
    log_z: np.ndarray
    mean_energy: np.ndarray
    mcse: np.ndarray
    networks: dict[str, str] | None = None

    def __repr__(self) -> str:
        return (
            f"LogPartitionCurve(log Z at {len(self.betas)} betas from {self.betas[0]:g} to "
            f"{self.betas[-1]:g})"
        )

    def __post_init__(self) -> None:
        if len(self.betas) < 2 or np.any(np.diff(self.betas) <= 0):
            raise ValueError(f"betas = {self.betas}: two or more are needed, increasing.")
        values = np.stack([self.log_z, self.mean_energy, self.mcse])
        if not np.all(np.isfinite(values)):
            at = self.betas[~np.all(np.isfinite(values), axis=0)][0]
            raise ValueError(f"log Z, U or their error is not finite at beta = {at:.3g}.")

    def _piece(self, beta):
        beta = pt.cast(pt.as_tensor_variable(beta), "float64")
        knots = pt.constant(np.asarray(self.betas, dtype=np.float64))
        k = pt.clip(pt.searchsorted(knots, beta, side="right") - 1, 0, len(self.betas) - 2)
        width = knots[k + 1] - knots[k]
        inside = pt.ge(beta, knots[0]) & pt.le(beta, knots[-1])
        return k, width, (beta - knots[k]) / width, inside

    def __call__(self, beta):
        """Log Z (...) at beta (...), a tensor."""
        k, width, t, inside = self._piece(beta)
        A = pt.constant(np.asarray(self.log_z, dtype=np.float64))
        slope = pt.constant(-np.asarray(self.mean_energy, dtype=np.float64))
        s = 1.0 - t
        found = (
            s**2 * (1.0 + 2.0 * t) * A[k] + t**2 * (1.0 + 2.0 * s) * A[k + 1]
            + width * (t * s**2 * slope[k] - s * t**2 * slope[k + 1])
        )  # fmt: skip
        return pt.switch(inside, found, np.nan)

    def error(self, beta):
        """Standard error of log Z (...), interpolated linearly."""
        k, _, t, inside = self._piece(beta)
        mcse = pt.constant(np.asarray(self.mcse, dtype=np.float64))
        return pt.switch(inside, (1.0 - t) * mcse[k] + t * mcse[k + 1], np.nan)


def tabulated(curve: LogPartitionCurve) -> NetworkEngine:
    r"""Log Z of a network beyond exact reach, of which a tempered run gave log Z(beta).

    .. math:: \log Z(\beta) = n \log q + A(\beta)

    Parameters
    ----------
    curve
        of `log_partition_curve`, from a run with that network as its only tempered term.

    Returns
    -------
    NetworkEngine
        for ``log_partition=``: beta may be anything inside the run's temperatures; potentials and
        couplings must be those of the run, and numbers. Its error is the run's, which ``explain``
        shows; N observed rows take log Z, with that error, N times.

    Raises
    ------
    NetworkError
        a run of none or of several networks, or, where it is used, of another one.

    Examples
    --------
    >>> import networkx as nx, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     s = pms.Ising("s", 1.0, graph=nx.cycle_graph(6), beta=0.8)
    ...     dt = pms.sample_tempered(500, tempered=["s"], random_seed=1, quiet=True)
    >>> engine = pms.log_partition.tabulated(pms.log_partition_curve(dt))
    >>> with pm.Model() as model:
    ...     beta = pm.Uniform("beta", 0, 0.8)
    ...     x = pms.Ising(
    ...         "x", 1.0, graph=nx.cycle_graph(6), beta=beta, observed=[1, 1, 1, 1, -1, 1],
    ...         log_partition=engine)
    >>> bool(model.compile_logp(mode="FAST_COMPILE")(model.initial_point()) < 0)
    True
    """
    tabled = curve.networks or {}
    if len(tabled) != 1:
        raise NetworkError(
            f"the curve is one of {len(tabled)} networks: temper one alone, no batch of them, on "
            "which no Potential and no untempered observed variable depends, by "
            "sample_tempered(tempered=[name])."
        )
    [(name, digest)] = tabled.items()

    def at_beta(problem: Problem, beta):
        return curve(beta) + problem.network.n * np.log(problem.network.q)

    def of_natural(problem: Problem, theta, K):
        raise NetworkError("a table of log Z(beta) has no derivatives in potentials or couplings.")

    return NetworkEngine(
        f"a table of {len(curve.betas)} temperatures of {name}", lambda problem: (100.0, 0.0),
        lambda problem: None, of_natural, exact=False, at_beta=at_beta, error=curve.error,
        digest=digest,
    )  # fmt: skip
