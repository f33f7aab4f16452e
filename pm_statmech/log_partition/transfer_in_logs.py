"""The passes of `transfer_matrix` on logarithms, for potentials of any strength; and draws.

Slower by the exponentials, with the same steps and the same order of digits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.frontier import EDGE, EDGE_TO_LAST, ENTERS, FROM, LEAVES, PLACE, TO


@njit(cache=True)
def shape(step, size, q):
    """Length of the last digit, of the leaving one, of the entering one, and stride."""
    n_enters = q if step[ENTERS] >= 0 else 1
    n_leaves = q if step[LEAVES] >= 0 else 1
    stride = q ** step[PLACE] if step[LEAVES] >= 0 else 1
    # the last digit is apart unless it is what leaves
    n_last = q if size > 1 and not (step[LEAVES] >= 0 and stride * q == size) else 1
    return n_last, n_leaves, n_enters, stride


@njit(cache=True)
def factors(theta, K, G, step, n_last, n_leaves, n_enters):
    """Exponents (n_last, n_leaves, n_enters) of a step, see `transfer_matrix`."""
    L = np.zeros((n_last, n_leaves, n_enters))
    v = step[ENTERS]
    for c in range(n_last):
        for a in range(n_leaves):
            for s in range(n_enters):
                if v >= 0:
                    L[c, a, s] = theta[v, s]
                if step[EDGE] >= 0:
                    L[c, a, s] += K[step[EDGE]] * G[a, s]
                if step[EDGE_TO_LAST] >= 0:
                    L[c, a, s] += K[step[EDGE_TO_LAST]] * G[c, s]
    return L


@njit(cache=True)
def beginnings(sizes, q):
    """Where each table begins, and the end of the last (T + 2,)."""
    begins = np.zeros(len(sizes) + 1, dtype=np.int64)
    for t in range(len(sizes)):
        begins[t + 1] = begins[t] + q ** sizes[t]
    return begins


@njit(cache=True)
def _log_sum(values):
    top = np.max(values)
    return top if np.isinf(top) else top + np.log(np.sum(np.exp(values - top)))


@njit(cache=True)
def _add(table, F, stride, q):
    """table[s, hi, a, lo] += F[a, s]."""
    block = len(table) // q
    for k in range(len(table)):
        table[k] += F[(k % block) // stride % q, k // block]


@njit(cache=True)
def forth(theta, K, G, steps, further, sizes):
    """Log tables alpha in one array, and where each begins; the last entry is log Z."""
    q = G.shape[0]
    begins = beginnings(sizes, q)
    alphas = np.empty(begins[-1])
    alphas[0] = 0.0
    for t in range(len(steps)):
        old, new = alphas[begins[t] : begins[t + 1]], alphas[begins[t + 1] : begins[t + 2]]
        n_last, n_leaves, n_enters, stride = shape(steps[t], len(old), q)
        L = factors(theta, K, G, steps[t], n_last, n_leaves, n_enters)
        rest, block = len(old) // n_leaves, len(new) // n_enters
        terms = np.empty(n_leaves)
        for s in range(n_enters):
            for k in range(rest):
                c = k // (rest // n_last)
                for a in range(n_leaves):
                    terms[a] = old[(k // stride * n_leaves + a) * stride + k % stride] + L[c, a, s]
                new[s * block + k] = _log_sum(terms)
        for x in range(steps[t, FROM], steps[t, TO]):
            _add(new, K[further[x, 0]] * G, q ** further[x, 1], q)
    return alphas, begins


@njit(cache=True)
def forth_and_back(theta, K, G, steps, further, sizes):
    """Log Z, the probabilities (n, q) of all states, and the mean interactions (m,)."""
    q = G.shape[0]
    alphas, begins = forth(theta, K, G, steps, further, sizes)
    log_z = alphas[-1]
    marginals, means = np.zeros(theta.shape), np.zeros(len(K))
    table = np.zeros(1)
    for t in range(len(steps) - 1, -1, -1):
        old, new = alphas[begins[t] : begins[t + 1]], alphas[begins[t + 1] : begins[t + 2]]
        n_last, n_leaves, n_enters, stride = shape(steps[t], len(old), q)
        L = factors(theta, K, G, steps[t], n_last, n_leaves, n_enters)
        rest, block = len(old) // n_leaves, len(new) // n_enters
        for x in range(steps[t, FROM], steps[t, TO]):
            edge, digit = further[x, 0], q ** further[x, 1]
            for k in range(len(new)):
                p = np.exp(new[k] + table[k] - log_z)
                means[edge] += p * G[(k % block) // digit % q, k // block]
        for x in range(steps[t, FROM], steps[t, TO]):
            _add(table, K[further[x, 0]] * G, q ** further[x, 1], q)
        out, terms = np.empty(len(old)), np.empty(n_enters)
        for k in range(rest):
            c = k // (rest // n_last)
            for a in range(n_leaves):
                place = (k // stride * n_leaves + a) * stride + k % stride
                for s in range(n_enters):
                    terms[s] = table[s * block + k] + L[c, a, s]
                    p = np.exp(old[place] + terms[s] - log_z)
                    if steps[t, ENTERS] >= 0:
                        marginals[steps[t, ENTERS], s] += p
                    if steps[t, EDGE] >= 0:
                        means[steps[t, EDGE]] += p * G[a, s]
                    if steps[t, EDGE_TO_LAST] >= 0:
                        means[steps[t, EDGE_TO_LAST]] += p * G[c, s]
                out[place] = _log_sum(terms)
        table = out
    return log_z, marginals, means


@njit(cache=True)
def draws(theta, K, G, steps, further, sizes, u):
    """States (N, n) by uniform numbers u (N, T)."""
    alphas, begins = forth(theta, K, G, steps, further, sizes)
    return draws_back(alphas, begins, theta, K, G, steps, u)


@njit(cache=True)
def draws_back(alphas, begins, theta, K, G, steps, u):
    """The same from log tables, up to a constant each: from the last who leaves to the first."""
    q = G.shape[0]
    drawn = np.zeros((len(u), len(theta)), dtype=np.int64)
    place = np.zeros(len(u), dtype=np.int64)
    for t in range(len(steps) - 1, -1, -1):
        old = alphas[begins[t] : begins[t + 1]]
        n_last, n_leaves, n_enters, stride = shape(steps[t], len(old), q)
        L = factors(theta, K, G, steps[t], n_last, n_leaves, n_enters)
        rest, block = len(old) // n_leaves, (begins[t + 2] - begins[t + 1]) // n_enters
        terms = np.empty(n_leaves)
        for i in range(len(u)):
            s, k = place[i] // block, place[i] % block
            c = k // (rest // n_last)
            first = k // stride * n_leaves * stride + k % stride
            for a in range(n_leaves):
                terms[a] = old[first + a * stride] + L[c, a, s]
            top = np.max(terms)
            left = u[i, t] * np.sum(np.exp(terms - top))
            chosen = 0
            while chosen < n_leaves - 1:
                left -= np.exp(terms[chosen] - top)
                if left < 0.0:
                    break
                chosen += 1
            if steps[t, LEAVES] >= 0:
                drawn[i, steps[t, LEAVES]] = chosen
            place[i] = first + chosen * stride
    return drawn
