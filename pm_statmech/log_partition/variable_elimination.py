r"""Networks by summing out node after node along a tree: log Z, means, and exact draws.

With bag C = {v} and its separator S (see `elimination`), tables of logarithms go up the tree,

.. math:: t_C(x_v, x_S) = \theta_v(x_v) + \sum_{e = (v, w)} K_e\, G(x_v, x_w)
          + \sum_{\text{children}} m(x), \qquad
          m(x_S) = \log \sum_{x_v} e^{t_C(x_v, x_S)}

and the message of the last is log Z. Probabilities go down: given its separator, v has

.. math:: P(x_v \mid x_S) = e^{t_C(x_v, x_S) - m(x_S)}, \qquad
          P(x_C) = P(x_S)\, P(x_v \mid x_S)

with the separator's own from the parent's bag. Nothing vanishes, however strong the couplings.

Sources: Lauritzen and Spiegelhalter (1988), JRSS B 50, 157-224; Dawid (1992), Statistics and
Computing 2, 25-36, for draws.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction
from pm_statmech.log_partition.transfer_matrix import NetworkMoments

# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 1


@njit(cache=True)
def _table_begins(begins, q):
    """Where the tables of all bags begin (n + 1,)."""
    n = len(begins) - 1
    found = np.zeros(n + 1, dtype=np.int64)
    for k in range(n):
        found[k + 1] = found[k] + q ** (begins[k + 1] - begins[k])
    return found


@njit(cache=True)
def _in_separator(where, size_of_parent, places, q):
    """Entry of the message by the entry of the parent's table: where (q^parent,) <- that."""
    where[0] = 0
    length = 1
    for place in range(size_of_parent):
        stride, step = 0, 1
        for d in range(len(places)):
            if places[d] == place:
                stride = step
            step *= q
        for s in range(1, q):
            for k in range(length):
                where[s * length + k] = where[k] + s * stride
        length *= q


@njit(cache=True)
def _add_coupling(table, F, stride):
    """table[hi, b, lo, a] += F[a, b], the digit a fastest and b at the stride."""
    q = F.shape[0]
    for hi in range(len(table) // (stride * q)):
        for b in range(q):
            at = (hi * q + b) * stride
            for lo in range(stride // q):
                for a in range(q):
                    table[at + lo * q + a] += F[a, b]


@njit(cache=True)
def _mean_coupling(belief, G, stride):
    """Sum of belief[hi, b, lo, a] G[a, b]."""
    q, total = G.shape[0], 0.0
    for hi in range(len(belief) // (stride * q)):
        for b in range(q):
            at = (hi * q + b) * stride
            for lo in range(stride // q):
                for a in range(q):
                    total += belief[at + lo * q + a] * G[a, b]
    return total


@njit(cache=True)
def up(theta, K, G, members, begins, parent, places, edges, edge_begins):
    """Tables and messages of all bags, where both begin, and log Z."""
    n, q = theta.shape
    tables_at = _table_begins(begins, q)
    widest = 1
    for k in range(n):
        widest = max(widest, tables_at[k + 1] - tables_at[k])
    tables, messages = np.zeros(tables_at[n]), np.empty(tables_at[n] // q)
    where = np.empty(widest, dtype=np.int64)
    log_z = 0.0
    for k in range(n):
        table = tables[tables_at[k] : tables_at[k + 1]]
        message = messages[tables_at[k] // q : tables_at[k + 1] // q]
        for j in range(len(message)):
            for s in range(q):
                table[j * q + s] += theta[members[begins[k]], s]
        for x in range(edge_begins[k], edge_begins[k + 1]):
            _add_coupling(table, K[edges[x, 0]] * G, q ** edges[x, 1])
        for j in range(len(message)):
            top, total = -np.inf, 0.0
            for s in range(q):
                top = max(top, table[j * q + s])
            for s in range(q):
                total += np.exp(table[j * q + s] - top)
            message[j] = top + np.log(total)
        if parent[k] < 0:
            log_z += message[0]
            continue
        of_parent = tables[tables_at[parent[k]] : tables_at[parent[k] + 1]]
        size = begins[parent[k] + 1] - begins[parent[k]]
        _in_separator(where, size, places[begins[k] + 1 : begins[k + 1]], q)
        for e in range(len(of_parent)):
            of_parent[e] += message[where[e]]
    return tables, messages, tables_at, log_z


@njit(cache=True)
def eliminate(theta, K, G, members, begins, parent, places, edges, edge_begins):
    """Log Z, the probabilities (n, q) of all states, and the mean interactions E[G] (m,).

    Parameters
    ----------
    theta
        (n, q) potentials; K : (m,) couplings; G : (q, q); others : of an
        `elimination.Elimination`.
    """
    n, q = theta.shape
    tables, messages, tables_at, log_z = up(
        theta, K, G, members, begins, parent, places, edges, edge_begins
    )
    marginals, means = np.zeros(theta.shape), np.zeros(len(K))
    # of the separators, which their parents fill
    separators = np.zeros(len(messages))
    widest = 1
    for k in range(n):
        widest = max(widest, tables_at[k + 1] - tables_at[k])
    where = np.empty(widest, dtype=np.int64)
    # children of a bag, in a list
    first, following = np.full(n, -1), np.full(n, -1)
    for k in range(n):
        if parent[k] >= 0:
            following[k] = first[parent[k]]
            first[parent[k]] = k
    for k in range(n - 1, -1, -1):
        table = tables[tables_at[k] : tables_at[k + 1]]
        message = messages[tables_at[k] // q : tables_at[k + 1] // q]
        separator = separators[tables_at[k] // q : tables_at[k + 1] // q]
        if parent[k] < 0:
            separator[0] = 1.0
        for j in range(len(message)):
            for s in range(q):
                p = separator[j] * np.exp(table[j * q + s] - message[j])
                table[j * q + s] = p
                marginals[members[begins[k]], s] += p
        for x in range(edge_begins[k], edge_begins[k + 1]):
            means[edges[x, 0]] = _mean_coupling(table, G, q ** edges[x, 1])
        child = first[k]
        while child >= 0:
            size = begins[k + 1] - begins[k]
            _in_separator(where, size, places[begins[child] + 1 : begins[child + 1]], q)
            into = separators[tables_at[child] // q : tables_at[child + 1] // q]
            for e in range(len(table)):
                into[where[e]] += table[e]
            child = following[child]
    return log_z, marginals, means


@njit(cache=True)
def draws_down(theta, K, G, members, begins, parent, places, edges, edge_begins, u):
    """States (N, n) by uniform numbers u (N, n); other parameters as for `eliminate`."""
    n, q = theta.shape
    tables, messages, tables_at, _ = up(
        theta, K, G, members, begins, parent, places, edges, edge_begins
    )
    x = np.zeros((len(u), n))
    for row in range(len(u)):
        for k in range(n - 1, -1, -1):
            j, step = 0, 1
            for d in range(begins[k] + 1, begins[k + 1]):
                j += step * int(x[row, members[d]])
                step *= q
            at = tables_at[k] + j * q
            left, s = u[row, k], 0
            while s < q - 1:
                left -= np.exp(tables[at + s] - messages[at // q])
                if left < 0.0:
                    break
                s += 1
            x[row, members[begins[k]]] = s
    return x


class VariableElimination(NetworkMoments):
    """Log Z, probabilities and mean interactions by `eliminate`."""

    gufunc_signature = "(n,q),(m),(q,q),(c),(b),(n),(c),(m,e),(b)->(),(n,q),(m)"
    kernel = staticmethod(eliminate)
    version = VERSION
    said = "variable elimination"


class EliminationDraws(CompiledFunction):
    """States of a network by uniform numbers, see `draws_down`."""

    gufunc_signature = "(n,q),(m),(q,q),(c),(b),(n),(c),(m,e),(b),(k,n)->(k,n)"
    kernel = staticmethod(draws_down)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
