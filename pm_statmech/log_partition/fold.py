r"""Coupled spins by a multilinear fold: log Z and all pair moments of up to some 24, exactly.

.. math:: Z(h, J) = \sum_{s \in \{-1, 1\}^n}
          \exp\Big(\sum_i h_i s_i + \sum_{i < j} J_{ij} s_i s_j\Big)

The spins are split in two halves, s = (a, b), and the second again, b = (c, d). For each state a
of the first half the sum over b

.. math:: \sum_{c, d} w(c, d)\, u_a(c)\, v_a(d), \qquad w = e^{E_B}, \quad
          u_a(c) = \prod_{j \in c} e^{c_j f_j(a)}, \quad f_j(a) = \sum_i J_{ij} a_i

is a bilinear form of one fixed matrix of 2^{n/2} numbers, and no exponential stands in the inner
loop. Its sums along either side, folded spin by spin, give the mean of every b_j, and the sum of
u_a v_a over all a gives the pairs within b: three multiplications a state. Everything is relative
to its largest possible entry; where that bound is so loose that a form vanishes, its entries are
computed from their energies.

Source: the split is that of Horowitz and Sahni (1974), J. ACM 21(2), for subset sums; folding it
is ours.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


@njit(cache=True)
def _spin(state, i):
    """Spin i of a state: +1 where its bit is set."""
    return 1.0 if (state >> i) & 1 else -1.0


@njit(cache=True)
def _energies(h, J, first, n):
    """Exponents (2^n,) of the n spins from `first` on, by themselves."""
    energies = np.empty(1 << n)
    energies[0] = 0.0
    for i in range(n):
        energies[0] -= h[first + i]
        for j in range(i):
            energies[0] += J[first + j, first + i]
    # setting bit i of a state whose higher bits are clear
    for i in range(n):
        for state in range(1 << i):
            field = h[first + i]
            for j in range(n):
                if j != i:
                    low, high = min(i, j), max(i, j)
                    field += J[first + low, first + high] * _spin(state, j)
            energies[state | (1 << i)] = energies[state] + 2.0 * field
    return energies


@njit(cache=True)
def _fields_on(J, n_a):
    """Fields (2^n_a, n - n_a) on the second half in every state of the first."""
    n_b = J.shape[0] - n_a
    fields = np.zeros((1 << n_a, n_b))
    for i in range(n_a):
        fields[0] -= J[i, n_a:]
    for i in range(n_a):
        for a in range(1 << i):
            for j in range(n_b):
                fields[a | (1 << i), j] = fields[a, j] + 2.0 * J[i, n_a + j]
    return fields


@njit(cache=True)
def _products(fields, table):
    """Write prod_j exp(s_j f_j - |f_j|) of every state into a table."""
    table[0] = 1.0
    # doubled in length by one spin after another
    for j in range(len(fields)):
        lesser = np.exp(-2.0 * abs(fields[j]))
        up, down = (1.0, lesser) if fields[j] > 0.0 else (lesser, 1.0)
        half = 1 << j
        for b in range(half):
            table[half + b] = table[b] * up
            table[b] *= down


@njit(cache=True, fastmath={"reassoc", "contract"})
def _differences(table, sums):
    """Write sum_b b_j table[b] for each spin j into sums; the table is folded up."""
    for j in range(len(sums) - 1, -1, -1):
        half = 1 << j
        difference = 0.0
        for b in range(half):
            difference += table[half + b] - table[b]
            table[b] += table[half + b]
        sums[j] = difference


@njit(cache=True)
def _exact_form(energy, of_b, fields, entries):
    """Write exp(energy + E_B + f . b - bound) of every b into entries, and return the bound."""
    size_c, size_d = entries.shape
    bound = -np.inf
    for c in range(size_c):
        for d in range(size_d):
            b = c * size_d + d
            entries[c, d] = energy + of_b[b]
            for j in range(len(fields)):
                entries[c, d] += fields[j] * _spin(b, j)
            bound = max(bound, entries[c, d])
    for c in range(size_c):
        for d in range(size_d):
            entries[c, d] = np.exp(entries[c, d] - bound)
    return bound


# sums in any order, so that the compiler can make many of them at once
@njit(cache=True, fastmath={"reassoc", "contract"})
def fold_spins(h, J):
    """Log Z, means (n,) and pair means (n, n), symmetric with ones on the diagonal.

    Parameters
    ----------
    h
        (n,) fields.
    J
        (n, n) couplings, of which only those above the diagonal are read.
    """
    n = h.shape[0]
    n_a = n // 2
    n_b = n - n_a
    n_c = n_b // 2
    n_d = n_b - n_c
    size_a, size_c, size_d = 1 << n_a, 1 << n_c, 1 << n_d
    of_a = _energies(h, J, 0, n_a)
    of_b = _energies(h, J, n_a, n_b)
    top_b = np.max(of_b)
    weights = np.exp(of_b - top_b).reshape(size_c, size_d)
    fields = _fields_on(J, n_a)
    u, v = np.empty(size_c), np.empty(size_d)
    along_c, along_d = np.empty(size_c), np.empty(size_d)
    # sums over a of u v, which the weights still multiply, and of forms computed exactly
    left, left_exact = np.zeros((size_c, size_d)), np.zeros((size_c, size_d))
    entries = np.empty((size_c, size_d))
    sums, shares = np.empty(n_b), np.zeros(size_a)
    first_means, cross = np.zeros(n_b), np.zeros((n_a, n_b))
    # everything summed so far is relative to exp(top)
    top, total = -np.inf, 0.0
    for a in range(size_a):
        bound = of_a[a] + top_b + np.sum(np.abs(fields[a]))
        # a state of the first half of less than 1e-20 of the sum adds nothing
        if bound + n_b * np.log(2.0) < top + np.log(total) - 46.0:
            continue
        # the lower bits of b are d
        _products(fields[a, :n_d], v)
        _products(fields[a, n_d:], u)
        along_d[:] = 0.0
        partial = 0.0
        for c in range(size_c):
            of_c, row = u[c], 0.0
            for d in range(size_d):
                row += weights[c, d] * v[d]
                along_d[d] += weights[c, d] * of_c
            along_c[c] = row * of_c
            partial += along_c[c]
        vanished = not partial > 1e-200
        if vanished:
            bound = _exact_form(of_a[a], of_b, fields[a], entries)
            along_c[:] = np.sum(entries, axis=1)
            partial = np.sum(along_c)
        log_partial = bound + np.log(partial)
        if log_partial > top:
            shrink = np.exp(top - log_partial)
            total *= shrink
            left *= shrink
            left_exact *= shrink
            shares *= shrink
            first_means *= shrink
            cross *= shrink
            top = log_partial
        share = np.exp(log_partial - top)
        total += share
        shares[a] = share
        scale = share / partial
        if vanished:
            left_exact += scale * entries
            along_d[:] = np.sum(entries, axis=0)
        else:
            for c in range(size_c):
                of_c = scale * u[c]
                for d in range(size_d):
                    left[c, d] += of_c * v[d]
            along_d *= v
        _differences(along_d, sums[:n_d])
        _differences(along_c, sums[n_d:])
        for j in range(n_b):
            first_means[j] += scale * sums[j]
        for i in range(n_a):
            signed = scale * _spin(a, i)
            for j in range(n_b):
                cross[i, j] += signed * sums[j]
    of_pairs = (left * weights + left_exact).ravel()
    means, pairs = np.empty(n), np.eye(n)
    for i in range(n_a):
        mean = 0.0
        for a in range(size_a):
            mean += shares[a] * _spin(a, i)
        means[i] = mean / total
        for k in range(i):
            both = 0.0
            for a in range(size_a):
                both += shares[a] * _spin(a, i) * _spin(a, k)
            pairs[i, k] = pairs[k, i] = both / total
        for j in range(n_b):
            pairs[i, n_a + j] = pairs[n_a + j, i] = cross[i, j] / total
    for j in range(n_b):
        means[n_a + j] = first_means[j] / total
        for k in range(j):
            both = 0.0
            for b in range(size_c * size_d):
                both += of_pairs[b] * _spin(b, j) * _spin(b, k)
            pairs[n_a + j, n_a + k] = pairs[n_a + k, n_a + j] = both / total
    return top + np.log(total), means, pairs


@njit(cache=True, fastmath={"reassoc", "contract"})
def fold_tangent(h, J, log_z, means, pairs, dh, dJ):
    r"""Derivatives of the means (n,) and pair means (n, n) along (dh, dJ).

    .. math:: \dot{E}[T] = \operatorname{Cov}(T, \tau), \qquad
              \tau = \sum_i \dot h_i s_i + \sum_{i<j} \dot J_{ij} s_i s_j

    Parameters
    ----------
    h, J
        as in `fold_spins`; log_z, means, pairs : what it gave.
    dh, dJ
        (n,), (n, n) the direction, of which only what is above the diagonal is read.
    """
    n = h.shape[0]
    n_a = n // 2
    n_b = n - n_a
    size_a, size_b = 1 << n_a, 1 << n_b
    of_a, of_b = _energies(h, J, 0, n_a), _energies(h, J, n_a, n_b)
    tau_a, tau_b = _energies(dh, dJ, 0, n_a), _energies(dh, dJ, n_a, n_b)
    mean_tau = 0.0
    for i in range(n):
        mean_tau += dh[i] * means[i]
        for j in range(i):
            mean_tau += dJ[j, i] * pairs[j, i]
    energy, tau, left = np.empty(size_b), np.empty(size_b), np.zeros(size_b)
    shares = np.zeros(size_a)
    first_means, cross = np.zeros(n_b), np.zeros((n_a, n_b))
    for a in range(size_a):
        energy[0] = tau[0] = 0.0
        for j in range(n_b):
            field, slope = 0.0, 0.0
            for i in range(n_a):
                field += J[i, n_a + j] * _spin(a, i)
                slope += dJ[i, n_a + j] * _spin(a, i)
            half = 1 << j
            for b in range(half):
                energy[half + b] = energy[b] + field
                energy[b] -= field
                tau[half + b] = tau[b] + slope
                tau[b] -= slope
        partial = 0.0
        for b in range(size_b):
            weight = np.exp(of_a[a] + of_b[b] + energy[b] - log_z)
            tau[b] = weight * (tau_a[a] + tau_b[b] + tau[b] - mean_tau)
            left[b] += tau[b]
            partial += tau[b]
        shares[a] = partial
        for j in range(n_b - 1, -1, -1):
            half = 1 << j
            difference = 0.0
            for b in range(half):
                difference += tau[half + b] - tau[b]
                tau[b] += tau[half + b]
            first_means[j] += difference
            for i in range(n_a):
                cross[i, j] += _spin(a, i) * difference
    d_means, d_pairs = np.zeros(n), np.zeros((n, n))
    for i in range(n_a):
        for a in range(size_a):
            d_means[i] += shares[a] * _spin(a, i)
        for k in range(i):
            both = 0.0
            for a in range(size_a):
                both += shares[a] * _spin(a, i) * _spin(a, k)
            d_pairs[i, k] = d_pairs[k, i] = both
        for j in range(n_b):
            d_pairs[i, n_a + j] = d_pairs[n_a + j, i] = cross[i, j]
    for j in range(n_b):
        d_means[n_a + j] = first_means[j]
        for k in range(j):
            both = 0.0
            for b in range(size_b):
                both += left[b] * _spin(b, j) * _spin(b, k)
            d_pairs[n_a + j, n_a + k] = d_pairs[n_a + k, n_a + j] = both
    return d_means, d_pairs


class SpinFold(CompiledFunction):
    """Log Z, means and pair means of coupled spins, see `fold_spins`."""

    gufunc_signature = "(n),(n,n)->(),(n),(n,n)"
    kernel = staticmethod(fold_spins)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Means and pair means for log Z; the covariance of both along their own cotangents."""
        h, J = inputs
        log_z, means, pairs = outputs
        of_log_z, of_means, of_pairs = cotangents
        to_h, to_J = pt.zeros_like(h), pt.zeros_like(J)
        with_log_z, with_means, with_pairs = connected(cotangents)
        if with_log_z:
            to_h = to_h + of_log_z * means
            to_J = to_J + of_log_z * pt.triu(pairs, 1)
        if with_means or with_pairs:
            dh = of_means if with_means else pt.zeros_like(h)
            # pair means are symmetric: both entries move with J_ij
            dJ = of_pairs + of_pairs.T if with_pairs else pt.zeros_like(J)
            d_means, d_pairs = SpinFoldTangent()(h, J, log_z, means, pairs, dh, dJ)
            to_h = to_h + d_means
            to_J = to_J + pt.triu(d_pairs, 1)
        return [to_h, to_J]


class SpinFoldTangent(CompiledFunction):
    """Derivatives of the moments of coupled spins along a direction, see `fold_tangent`."""

    gufunc_signature = "(n),(n,n),(),(n),(n,n),(n),(n,n)->(n),(n,n)"
    kernel = staticmethod(fold_tangent)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Third derivatives are not offered."""
        return self.no_derivatives(inputs, "third derivatives of log Z of spins")
