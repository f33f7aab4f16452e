r"""Networks by a transfer matrix, node by node: log Z, means, and exact draws.

With x_F the states of the frontier (see `frontier`) after t nodes have entered,

.. math:: \alpha_t(x_F) = \sum_{x_\text{past}} e^{-E_\text{past}}, \qquad
          \beta_t(x_F) = \sum_{x_\text{future}} e^{-E_\text{future}}, \qquad
          P(x_F) = \alpha_t(x_F)\, \beta_t(x_F) / Z

alpha goes forth and beta back. Where node v enters with state s while u leaves with state a, and
c is the state of whoever entered last,

.. math:: \alpha'(s, c, \dots) = \sum_a \alpha(c, \dots, a)\, e^{\theta_v(s) + K_{uv} G(a, s)
          + K_{cv} G(c, s)}

is one pass; so is its transpose, which on the way sums the joint probabilities of (c, a, s), from
which all means come. Further edges multiply the table. Tables are relative to their sums. Where
potentials are so strong that entries which matter might vanish next to others, the same passes
run on logarithms.

Sources: Kramers and Wannier (1941), Phys. Rev. 60, 252-262; Baum, Petrie, Soules, Weiss (1970),
Ann. Math. Statist. 41, 164-171, for forth and back; draws go back as theirs do.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numba import njit

from pm_statmech.log_partition import transfer_in_logs
from pm_statmech.log_partition.frontier import EDGE, EDGE_TO_LAST, ENTERS, FROM, LEAVES, TO
from pm_statmech.log_partition.operations import CompiledFunction, connected
from pm_statmech.log_partition.transfer_in_logs import beginnings, factors, shape

# bound on the range of the entries of a table within which none that matters vanishes
SAFE_RANGE = 600.0
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


@njit(cache=True, fastmath={"reassoc", "contract"})
def _enter(old, new, E, stride, first, block):
    """new[first + s block + (hi, lo)] = sum_a old[hi, a, lo] E[a, s]; return the sum of all."""
    n_leaves, n_enters = E.shape
    rest = len(old) // n_leaves
    total = 0.0
    if n_leaves == 2 and n_enters == 2 and stride == 1:
        # what a square lattice does most
        up, down = new[first : first + rest], new[first + block : first + block + rest]
        aa, ab, ba, bb = E[0, 0], E[0, 1], E[1, 0], E[1, 1]
        for k in range(rest):
            x, y = old[2 * k], old[2 * k + 1]
            p, m = x * aa + y * ba, x * ab + y * bb
            up[k], down[k] = p, m
            total += p + m
        return total
    for s in range(n_enters):
        for hi in range(rest // stride):
            to = first + s * block + hi * stride
            for a in range(n_leaves):
                of, factor = (hi * n_leaves + a) * stride, E[a, s]
                if a == 0:
                    for lo in range(stride):
                        new[to + lo] = old[of + lo] * factor
                else:
                    for lo in range(stride):
                        new[to + lo] += old[of + lo] * factor
            for lo in range(stride):
                total += new[to + lo]
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _leave(table, alpha, out, E, stride, first, block, joint):
    """out[hi, a, lo] = sum_s E[a, s] table[s, hi, lo]; joint[a, s] = alpha[a] E[a, s] table[s]."""
    n_leaves, n_enters = E.shape
    rest = len(out) // n_leaves
    if n_leaves == 2 and n_enters == 2 and stride == 1:
        up, down = table[first : first + rest], table[first + block : first + block + rest]
        aa, ab, ba, bb = E[0, 0], E[0, 1], E[1, 0], E[1, 1]
        saa = sab = sba = sbb = 0.0
        for k in range(rest):
            x, y, p, m = alpha[2 * k], alpha[2 * k + 1], up[k], down[k]
            out[2 * k], out[2 * k + 1] = aa * p + ab * m, ba * p + bb * m
            saa += x * p
            sab += x * m
            sba += y * p
            sbb += y * m
        joint[0, 0], joint[0, 1] = saa * aa, sab * ab
        joint[1, 0], joint[1, 1] = sba * ba, sbb * bb
        return
    out[:] = 0.0
    for a in range(n_leaves):
        for s in range(n_enters):
            factor, total = E[a, s], 0.0
            for hi in range(rest // stride):
                of, to = first + s * block + hi * stride, (hi * n_leaves + a) * stride
                for lo in range(stride):
                    out[to + lo] += factor * table[of + lo]
                    total += alpha[to + lo] * table[of + lo]
            joint[a, s] = factor * total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _multiply(table, F, stride):
    """table[s, hi, a, lo] *= F[a, s]; return the sum of all."""
    q = F.shape[0]
    block = len(table) // q
    total = 0.0
    for s in range(q):
        for hi in range(block // (q * stride)):
            for a in range(q):
                first, factor = s * block + (hi * q + a) * stride, F[a, s]
                for lo in range(stride):
                    table[first + lo] *= factor
                    total += table[first + lo]
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _pairs(alpha, table, stride, joint):
    """joint[a, s] = sum alpha[s, hi, a, lo] table[s, hi, a, lo]."""
    q = joint.shape[0]
    block = len(table) // q
    for s in range(q):
        for a in range(q):
            total = 0.0
            for hi in range(block // (q * stride)):
                first = s * block + (hi * q + a) * stride
                for lo in range(stride):
                    total += alpha[first + lo] * table[first + lo]
            joint[a, s] = total


@njit(cache=True)
def _forth(theta, K, G, steps, further, sizes):
    """Tables alpha in one array, relative to their sums; where each begins; the sums; log Z."""
    n_steps, q = len(steps), G.shape[0]
    begins = beginnings(sizes, q)
    alphas = np.empty(begins[-1])
    sums = np.ones(n_steps + 1)
    alphas[0] = 1.0
    log_z = 0.0
    for t in range(n_steps):
        old, new = alphas[begins[t] : begins[t + 1]], alphas[begins[t + 1] : begins[t + 2]]
        n_last, n_leaves, n_enters, stride = shape(steps[t], len(old), q)
        L = factors(theta, K, G, steps[t], n_last, n_leaves, n_enters)
        shift = np.max(L)
        log_z += shift
        E = np.exp(L - shift) / sums[t]
        part = len(old) // n_last
        block, total = len(new) // n_enters, 0.0
        for c in range(n_last):
            segment = old[c * part : (c + 1) * part]
            total += _enter(segment, new, E[c], stride, c * (part // n_leaves), block)
        for x in range(steps[t, FROM], steps[t, TO]):
            F = K[further[x, 0]] * G
            shift = np.max(F)
            log_z += shift
            total = _multiply(new, np.exp(F - shift), q ** further[x, 1])
        sums[t + 1] = total
        log_z += np.log(total)
    return alphas, begins, sums, log_z


@njit(cache=True)
def _range(theta, K, G, edges, steps):
    """Bound on the range of the exponents that the states of a frontier make a difference of."""
    of_nodes = np.empty(len(theta))
    for v in range(len(theta)):
        of_nodes[v] = np.max(theta[v]) - np.min(theta[v])
    for e in range(len(K)):
        for v in edges[e]:
            of_nodes[v] += abs(K[e]) * (np.max(G) - np.min(G))
    most, now = 0.0, 0.0
    for t in range(len(steps)):
        if steps[t, ENTERS] >= 0:
            now += of_nodes[steps[t, ENTERS]]
        # not less than before somebody left
        most = max(most, now)
        if steps[t, LEAVES] >= 0:
            now -= of_nodes[steps[t, LEAVES]]
    return most


@njit(cache=True)
def _forth_and_back(theta, K, G, steps, further, sizes):
    n_steps, q = len(steps), G.shape[0]
    alphas, begins, sums, log_z = _forth(theta, K, G, steps, further, sizes)
    marginals, means = np.zeros(theta.shape), np.zeros(len(K))
    widest = 1
    for t in range(n_steps + 1):
        widest = max(widest, begins[t + 1] - begins[t])
    table, other = np.empty(widest), np.empty(widest)
    table[0] = 1.0 / sums[n_steps]
    pair = np.empty((q, q))
    for t in range(n_steps - 1, -1, -1):
        old, new = alphas[begins[t] : begins[t + 1]], alphas[begins[t + 1] : begins[t + 2]]
        n_last, n_leaves, n_enters, stride = shape(steps[t], len(old), q)
        L = factors(theta, K, G, steps[t], n_last, n_leaves, n_enters)
        shift = np.max(L)
        E = np.exp(L - shift) / sums[t]
        here = table[: len(new)]
        for x in range(steps[t, FROM], steps[t, TO]):
            _pairs(new, here, q ** further[x, 1], pair)
            means[further[x, 0]] = np.sum(pair * G)
        for x in range(steps[t, FROM], steps[t, TO]):
            F = K[further[x, 0]] * G
            _multiply(here, np.exp(F - np.max(F)), q ** further[x, 1])
        part, block = len(old) // n_last, len(new) // n_enters
        joint = np.empty((n_leaves, n_enters))
        for c in range(n_last):
            segment = slice(c * part, (c + 1) * part)
            _leave(
                here, old[segment], other[segment], E[c], stride, c * (part // n_leaves), block,
                joint,
            )  # fmt: skip
            for a in range(n_leaves):
                for s in range(n_enters):
                    if steps[t, ENTERS] >= 0:
                        marginals[steps[t, ENTERS], s] += joint[a, s]
                    if steps[t, EDGE] >= 0:
                        means[steps[t, EDGE]] += G[a, s] * joint[a, s]
                    if steps[t, EDGE_TO_LAST] >= 0:
                        means[steps[t, EDGE_TO_LAST]] += G[c, s] * joint[a, s]
        table, other = other, table
    return log_z, marginals, means


@njit(cache=True)
def transfer(theta, K, G, edges, steps, further, sizes):
    """Log Z, the probabilities (n, q) of all states, and the mean interactions E[G] (m,).

    Parameters
    ----------
    theta
        (n, q) potentials; K : (m,) couplings; G : (q, q); edges : (m, 2); steps, further, sizes :
        of a `frontier.Sweep`.
    """
    if _range(theta, K, G, edges, steps) < SAFE_RANGE:
        return _forth_and_back(theta, K, G, steps, further, sizes)
    return transfer_in_logs.forth_and_back(theta, K, G, steps, further, sizes)


@njit(cache=True)
def draws(theta, K, G, edges, steps, further, sizes, u):
    """States (N, n) by uniform numbers u (N, T); other parameters as for `transfer`."""
    if _range(theta, K, G, edges, steps) < SAFE_RANGE:
        alphas, begins, _, _ = _forth(theta, K, G, steps, further, sizes)
        return transfer_in_logs.draws_back(np.log(alphas), begins, theta, K, G, steps, u)
    return transfer_in_logs.draws(theta, K, G, steps, further, sizes, u)


class NetworkMoments(CompiledFunction):
    """Log Z, probabilities (n, q) and mean interactions (m,) of potentials and couplings."""

    said: ClassVar[str]

    def pullback(self, inputs, outputs, cotangents):
        """Probabilities for theta and mean interactions for K; second derivatives by neither."""
        _, marginals, means = outputs
        if any(connected(cotangents)[1:]):
            return self.no_derivatives(inputs, f"second derivatives of {self.said}")
        of_log_z = cotangents[0]
        constants = self.no_derivatives(inputs, "the network is a constant")[2:]
        return [of_log_z * marginals, of_log_z * means, *constants]


class TransferMatrix(NetworkMoments):
    """The same by `transfer`."""

    gufunc_signature = "(n,q),(m),(q,q),(m,e),(t,c),(x,e),(s)->(),(n,q),(m)"
    kernel = staticmethod(transfer)
    version = VERSION
    said = "a transfer matrix"


class TransferDraws(CompiledFunction):
    """States of a network by uniform numbers, see `draws`."""

    gufunc_signature = "(n,q),(m),(q,q),(m,e),(t,c),(x,e),(s),(k,t)->(k,n)"
    kernel = staticmethod(draws)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
