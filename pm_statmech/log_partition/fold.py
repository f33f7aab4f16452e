r"""Coupled spins by a multilinear fold: log Z and all pair moments of up to some 24, exactly.

.. math:: Z(h, J) = \sum_{s \in \{-1, 1\}^n}
          \exp\Big(\sum_i h_i s_i + \sum_{i < j} J_{ij} s_i s_j\Big)

The spins are split in two halves, s = (a, b). For each state a of the first half the sum over b

.. math:: \sum_b w(b) \prod_j e^{b_j f_j(a)}, \qquad w(b) = e^{E_B(b)}, \quad
          f_j(a) = \sum_i J_{ij} a_i

is one table of 2^{n/2} numbers scaled by the f_j one spin at a time, so that no exponential
stands in the inner loop; folding the table spin by spin gives the sum and the mean of every b_j,
and what is left of the table, summed over a, gives the pairs within b. Each a costs some six
operations a state. Tables are relative to their largest possible entry; where that bound is so
loose that they vanish, the entries are recomputed from their energies.

Source: the split is that of Horowitz and Sahni (1974), J. ACM 21(2), for subset sums; folding it
is ours.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 1


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
    size_a, size_b = 1 << n_a, 1 << n_b
    of_a = _energies(h, J, 0, n_a)
    of_b = _energies(h, J, n_a, n_b)
    top_b = np.max(of_b)
    weights = np.exp(of_b - top_b)
    table, left = np.empty(size_b), np.zeros(size_b)
    fields, sums = np.empty(n_b), np.empty(n_b)
    shares = np.zeros(size_a)
    first_means, cross = np.zeros(n_b), np.zeros((n_a, n_b))
    # everything summed so far is relative to exp(top)
    top, total = -np.inf, 0.0
    for a in range(size_a):
        bound = of_a[a] + top_b
        for j in range(n_b):
            field = 0.0
            for i in range(n_a):
                field += J[i, n_a + j] * _spin(a, i)
            fields[j] = field
            bound += abs(field)
        # table[b] = w(b) prod_j e^{b_j f_j - |f_j|}, doubled in length by one spin after another
        table[0] = 1.0
        for j in range(n_b):
            lesser = np.exp(-2.0 * abs(fields[j]))
            up, down = (1.0, lesser) if fields[j] > 0.0 else (lesser, 1.0)
            half = 1 << j
            for b in range(half):
                table[half + b] = table[b] * up
                table[b] *= down
        partial = 0.0
        for b in range(size_b):
            table[b] *= weights[b]
            partial += table[b]
        if not partial > 1e-200:
            bound = -np.inf
            for b in range(size_b):
                energy = of_a[a] + of_b[b]
                for j in range(n_b):
                    energy += fields[j] * _spin(b, j)
                table[b] = energy
                bound = max(bound, energy)
            partial = 0.0
            for b in range(size_b):
                table[b] = np.exp(table[b] - bound)
                partial += table[b]
        log_partial = bound + np.log(partial)
        if log_partial > top:
            shrink = np.exp(top - log_partial)
            total *= shrink
            left *= shrink
            shares *= shrink
            first_means *= shrink
            cross *= shrink
            top = log_partial
        share = np.exp(log_partial - top)
        total += share
        shares[a] = share
        # a state of the first half of less than 1e-20 of the sum adds nothing
        if share < 1e-20 * total:
            continue
        scale = share / partial
        for b in range(size_b):
            left[b] += scale * table[b]
        for j in range(n_b - 1, -1, -1):
            half = 1 << j
            difference = 0.0
            for b in range(half):
                difference += table[half + b] - table[b]
                table[b] += table[half + b]
            sums[j] = scale * difference
        for j in range(n_b):
            first_means[j] += sums[j]
            for i in range(n_a):
                cross[i, j] += _spin(a, i) * sums[j]
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
            for b in range(size_b):
                both += left[b] * _spin(b, j) * _spin(b, k)
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


class SpinFold(Op):
    """Log Z, means and pair means of coupled spins, see `fold_spins`."""

    __props__ = ()
    gufunc_signature = "(n),(n,n)->(),(n),(n,n)"

    def make_node(self, h, J):
        """Apply to fields and couplings, of float64."""
        h, J = pt.cast(h, "float64"), pt.cast(J, "float64")
        n = h.type.shape[0]
        outputs = [pt.scalar(dtype="float64"), pt.vector(shape=(n,), dtype="float64"),
                   pt.matrix(shape=(n, n), dtype="float64")]  # fmt: skip
        return Apply(self, [h, J], outputs)

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        h, J = (np.ascontiguousarray(value) for value in inputs)
        for storage, value in zip(output_storage, fold_spins(h, J), strict=True):
            storage[0] = np.asarray(value)

    def infer_shape(self, node, shapes):
        """Shapes from the fields'."""
        n = shapes[0][0]
        return [(), (n,), (n, n)]

    def pullback(self, inputs, outputs, cotangents):
        """Means and pair means for log Z; the covariance of both along their own cotangents."""
        h, J = inputs
        log_z, means, pairs = outputs
        of_log_z, of_means, of_pairs = cotangents
        to_h, to_J = pt.zeros_like(h), pt.zeros_like(J)
        if not isinstance(of_log_z.type, DisconnectedType):
            to_h = to_h + of_log_z * means
            to_J = to_J + of_log_z * pt.triu(pairs, 1)
        connected = [not isinstance(v.type, DisconnectedType) for v in (of_means, of_pairs)]
        if any(connected):
            dh = of_means if connected[0] else pt.zeros_like(h)
            # pair means are symmetric: both entries move with J_ij
            dJ = of_pairs + of_pairs.T if connected[1] else pt.zeros_like(J)
            d_means, d_pairs = SpinFoldTangent()(h, J, log_z, means, pairs, dh, dJ)
            to_h = to_h + d_means
            to_J = to_J + pt.triu(d_pairs, 1)
        return [to_h, to_J]


class SpinFoldTangent(Op):
    """Derivatives of the moments of coupled spins along a direction, see `fold_tangent`."""

    __props__ = ()
    gufunc_signature = "(n),(n,n),(),(n),(n,n),(n),(n,n)->(n),(n,n)"

    def make_node(self, *inputs):
        """Apply to fields, couplings, their moments, and a direction."""
        inputs = [pt.cast(pt.as_tensor_variable(v), "float64") for v in inputs]
        n = inputs[0].type.shape[0]
        outputs = [pt.vector(shape=(n,), dtype="float64"), pt.matrix(shape=(n, n), dtype="float64")]
        return Apply(self, inputs, outputs)

    def perform(self, node, inputs, output_storage):
        """Evaluate outside numba."""
        h, J, log_z, *rest = (np.asarray(value, order="C") for value in inputs)
        found = fold_tangent(h, J, float(log_z), *rest)
        for storage, value in zip(output_storage, found, strict=True):
            storage[0] = value

    def infer_shape(self, node, shapes):
        """Shapes from the fields'."""
        n = shapes[0][0]
        return [(n,), (n, n)]

    def pullback(self, inputs, outputs, cotangents):
        """Third derivatives are not offered."""
        return [
            grad_not_implemented(self, k, v, "third derivatives of log Z of spins")
            for k, v in enumerate(inputs)
        ]


@register_funcify_default_op_cache_key(SpinFold)
def _numba_spin_fold(op, node, **kwargs):
    @numba_basic.numba_njit
    def spin_fold(h, J):
        log_z, means, pairs = fold_spins(np.ascontiguousarray(h), np.ascontiguousarray(J))
        return np.array(log_z), means, pairs

    return spin_fold, VERSION


@register_funcify_default_op_cache_key(SpinFoldTangent)
def _numba_spin_fold_tangent(op, node, **kwargs):
    @numba_basic.numba_njit
    def spin_fold_tangent(h, J, log_z, means, pairs, dh, dJ):
        return fold_tangent(
            np.ascontiguousarray(h), np.ascontiguousarray(J), log_z.item(),
            np.ascontiguousarray(means), np.ascontiguousarray(pairs),
            np.ascontiguousarray(dh), np.ascontiguousarray(dJ),
        )  # fmt: skip

    return spin_fold_tangent, VERSION
