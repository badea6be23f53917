"""Dot products of 64 bytes by the processor's own instruction.

The instruction of x86 (VNNI) multiplies unsigned by signed bytes. Numbers are therefore stored with an offset of 128,
and 128 times the sum of the query's numbers is subtracted again. The instruction of ARM (dot product) and the plain
SIMD of older processors take signed bytes. The kind is chosen here: LLVM finds neither instruction in a plain loop.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .._support.simd import splat
from ._packing import GROUP, LANES


@lru_cache(1)
def offset() -> int:
    """Return the offset of stored numbers that the processor's instruction needs."""
    return 128 if _kind(cpu_target.target_context) == "vnni" else 0


def _kind(context: Any) -> str:
    """Return the dot product of the target processor: vnni, sdot, or plain if it has none."""
    triple, _, features = context.codegen().magic_tuple()
    if "+avx512vnni" in features and "+avx512f" in features:
        return "vnni"
    if triple.startswith(("aarch64", "arm64")) and "+dotprod" in features:
        return "sdot"
    return "plain"


def _pick(builder: Any, vector: Any, lanes: list[int]) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


def to_bits(builder: Any, flags: Any) -> Any:
    """Convert a group's flags to the bits of a number, the first flag lowest."""
    return builder.zext(builder.bitcast(flags, ir.IntType(GROUP)), ir.IntType(32))


# Each function adds the products of a group's four bytes per feature with four bytes of a query to `total`, 16 int32.


def multiply_vnni(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    wide = ir.VectorType(ir.IntType(32), GROUP)
    kind = ir.FunctionType(wide, [wide, wide, wide])
    step = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(step, [total, builder.bitcast(entries, wide), splat(builder, query, GROUP)])


def multiply_sdot(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    wide, narrow = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(8), 16)
    kind = ir.FunctionType(wide, [wide, narrow, narrow])
    step = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.neon.sdot.v4i32.v16i8")
    numbers = builder.bitcast(splat(builder, query, 4), narrow)
    parts = []
    for i in range(0, GROUP, 4):
        four = _pick(builder, total, [*range(i, i + 4)])
        parts.append(builder.call(step, [four, _pick(builder, entries, [*range(4 * i, 4 * i + 16)]), numbers]))
    return _join(builder, _join(builder, *parts[:2]), _join(builder, *parts[2:]))


def _join(builder: Any, one: Any, two: Any) -> Any:
    lanes = 2 * one.type.count
    return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [*range(lanes)]))


def multiply_plain(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    """Add pairs of products, a pattern that LLVM compiles to pmaddwd."""
    pairs, short = ir.VectorType(ir.IntType(32), 2 * GROUP), ir.VectorType(ir.IntType(16), 4 * GROUP)
    numbers = builder.bitcast(splat(builder, query, GROUP), ir.VectorType(ir.IntType(8), 4 * GROUP))
    e, q = builder.sext(entries, short), builder.sext(numbers, short)
    products = []
    for first in (0, 1):
        lanes = list(range(first, 4 * GROUP, 2))
        products.append(builder.mul(*(builder.sext(_pick(builder, v, lanes), pairs) for v in (e, q))))
    both = builder.add(*products)
    halves = (_pick(builder, both, list(range(first, 2 * GROUP, 2))) for first in (0, 1))
    return builder.add(total, builder.add(*halves))


@intrinsic
def multiply_group(_: Any, group: Any, queries: Any, begins: Any, count: Any, out: Any) -> Any:
    """Write the dot products of `count` queries, 64 signed bytes each, with a group's 16 features to `out`, int32.

    The arguments are addresses; `begins`, int32, cancel the offset of the stored numbers.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> None:
        four, wide, narrow = ir.IntType(32), ir.VectorType(ir.IntType(32), GROUP), ir.VectorType(ir.IntType(8), 64)
        multiply = {"vnni": multiply_vnni, "sdot": multiply_sdot, "plain": multiply_plain}[_kind(context)]

        def load(base: Any, offset: Any, kind: Any) -> Any:
            address = builder.add(base, offset if isinstance(offset, ir.Value) else ir.Constant(base.type, offset))
            return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)

        def times(index: Any, size: int) -> Any:
            return builder.mul(index, ir.Constant(index.type, size))

        entries = [load(args[0], 4 * GROUP * i, narrow) for i in range(LANES // 4)]
        with cgutils.for_range(builder, args[3]) as loop:
            begin = load(args[2], times(loop.index, 4), four)
            totals = [
                splat(builder, begin, GROUP),
                ir.Constant(wide, [0] * GROUP),
            ]  # two sums: each waits for its own last step only
            query = builder.add(args[1], times(loop.index, LANES))
            for i, numbers in enumerate(entries):
                totals[i % 2] = multiply(builder, totals[i % 2], numbers, load(query, 4 * i, four))
            to = builder.inttoptr(builder.add(args[4], times(loop.index, 4 * GROUP)), wide.as_pointer())
            builder.store(builder.add(*totals), to, align=4)

    return types.void(group, queries, begins, count, out), generate
