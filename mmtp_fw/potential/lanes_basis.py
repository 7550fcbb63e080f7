"""Chebyshev polynomials of a number known when the code is compiled: they stay in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mmtp_fw.potential.lanes import ARITHMETIC, LLVM_LANES, W, broadcast, doubles, lanes

# The (padded) size of the radial basis with code of its own: the default of new potentials, and MLIP's.
SIZE = 8
_TUPLE = types.UniTuple(lanes, SIZE)


def _number(value: float) -> Any:
    return ir.Constant(LLVM_LANES, [value] * W)


def _values(builder: Any, t: Any) -> list[Any]:
    """Return T_0 … of t: T_k = 2 t T_{k−1} − T_{k−2}."""
    twice = builder.fadd(t, t, flags=ARITHMETIC)
    found = [_number(1.0), t]
    while len(found) < SIZE:
        product = builder.fmul(twice, found[-1], flags=ARITHMETIC)
        found.append(builder.fsub(product, found[-2], flags=ARITHMETIC))
    return found


@intrinsic
def chebyshev(typingctx: Any, t: Any) -> Any:
    """Return T_0(t) … T_{SIZE−1}(t) as a tuple of vectors."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_tuple(builder, sig.return_type, _values(builder, args[0]))

    return _TUPLE(lanes), codegen


@intrinsic
def chebyshev_slopes(typingctx: Any, t: Any) -> Any:
    """Return T_0'(t) … T_{SIZE−1}'(t) as a tuple of vectors: T_k' = 2 t T_{k−1}' + 2 T_{k−1} − T_{k−2}'."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        t = args[0]
        twice = builder.fadd(t, t, flags=ARITHMETIC)
        values = _values(builder, t)
        found = [_number(0.0), _number(1.0)]
        for k in range(2, SIZE):
            first = builder.fmul(twice, found[-1], flags=ARITHMETIC)
            second = builder.fmul(_number(2.0), values[k - 1], flags=ARITHMETIC)
            total = builder.fadd(first, second, flags=ARITHMETIC)
            found.append(builder.fsub(total, found[-2], flags=ARITHMETIC))
        return context.make_tuple(builder, sig.return_type, found)

    return _TUPLE(lanes), codegen


@intrinsic
def dot(typingctx: Any, values: Any, base: Any, index: Any) -> Any:
    """Return Σ_k values[k] · base[index + k] for a tuple of vectors and numbers behind a pointer."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.gep(args[1], [args[2]])
        total = None
        for k in range(SIZE):
            number = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), k)]))
            term = builder.fmul(builder.extract_value(args[0], k), broadcast(builder, number), flags=ARITHMETIC)
            total = term if total is None else builder.fadd(total, term, flags=ARITHMETIC)
        return total

    return lanes(_TUPLE, doubles, types.intp), codegen
