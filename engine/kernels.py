"""The arithmetic and the reads of the engine behind one Protocol: a native library, and a numpy twin that serves where it is not built."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.formats import Bytes, Floats, Halves

Integers = NDArray[np.int64]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu", "relu2"]
DIRECT_ALIGNMENT = 4096
"""Offsets, sizes and addresses at multiples of this are read without a copy by every system's direct I/O."""


class WeightFile(Protocol):
    """A file opened for positional reads; a context manager that closes it. `direct` is True when the page cache is bypassed."""

    path: Path
    size: int
    direct: bool

    def close(self) -> None: ...
    def __enter__(self) -> WeightFile: ...
    def __exit__(self, *_: object) -> None: ...


class PartialProduct(Protocol):
    """A product whose columns come part by part, with the same bits as if they had come together."""

    def add(self, weights: Bytes, x: Floats) -> None:
        """The next columns of every row, and of x [n, columns]. Every part but the last has a multiple of 256 columns."""
        ...

    def finish(self) -> Floats:
        """What all parts make: [n, rows]."""
        ...


class Kernels(Protocol):
    """Both implementations give the same values to about 1e-5 relative, and each gives the same bits for a token alone or among others.

    Quantised weights meet activations in int8 with a scale for every 32 columns; integers are summed exactly, groups in float32.
    Plain float formats (f32, f16, bf16) meet float32 activations. NaN and infinite activations give NaN.
    """

    name: str
    """What runs, for reports: "native avx2", "native neon", "native scalar" or "numpy twin"."""

    def matmul(self, format: str, weights: Bytes, x: Floats) -> Floats:
        """x [n, columns] times the rows of `weights` uint8 [rows, row_bytes] -> [n, rows].

        The rows may lie a stride apart (a view of a larger array); the bytes of one row are contiguous.
        """
        ...

    def begin_product(self, format: str, rows: int, n: int) -> PartialProduct:
        """`matmul` for weights that are not in memory all at once. Until it is finished it holds up to 64 bytes for each row and token."""
        ...

    def weighted_sum(
        self, format: str, weights: Bytes, coefficients: Floats, order: Integers | None = None, onto: Floats | None = None
    ) -> Floats:
        """coefficients [n, rows] times `weights` uint8 [rows, row_bytes] -> [n, columns]: the down projection, neuron-major.

        Rows may lie a stride apart. Coefficients stay in float32; a row whose coefficient is 0 for every n is skipped. Rows are added one
        after the other as they lie or in `order` (places in `weights`, each once), to `onto` [n, columns] where it is given, which is
        changed and returned: rows that come in parts, or lie in another order, give the same bits as all of them in one call.
        """
        ...

    def normalise(self, x: Floats, weight: Floats, bias: Floats | None, epsilon: float) -> Floats:
        """Each row of x [n, columns] normed: RMS norm without `bias`, layer norm with it."""
        ...

    def activate(self, kind: Activation, up: Floats, gate: Floats | None) -> Floats:
        """What each neuron gives, [n, neurons]: up * f(gate), or f(up) where there is no gate; f is named by `kind`.

        "silu" x / (1 + exp(-x)); "gelu" with the error function; "gelu_tanh" its approximation; "relu"; "relu2" its square.
        """
        ...

    def attention(self, query: Floats, keys: Halves, values: Halves) -> Floats:
        """Causal attention of a sequence's last n positions.

        query [n, heads, dim]; keys and values half floats [kv_heads, length, dim], a view of a larger cache allowed; -> [n, heads, dim].
        """
        ...

    def open_direct(self, path: Path) -> WeightFile:
        """Open for `read_batch`, past the page cache where the system and the file system have direct I/O, plainly elsewhere."""
        ...

    def read_batch(self, file: WeightFile, offsets: Integers, sizes: Integers, into: Bytes, places: Integers) -> None:
        """Read `sizes[i]` bytes at `offsets[i]` of the file to `into[places[i]:]`, many at a time; returns when all are there.

        `into` is contiguous uint8 [length]. Any offset and size is allowed; multiples of `DIRECT_ALIGNMENT` (512 on most disks) in a
        buffer of `aligned_buffer` spare a copy. Raises OSError when a read fails and EOFError when the file ends before a piece does.
        """
        ...


def aligned_buffer(size: int) -> Bytes:
    """Zeroed uint8 [size] whose address is a multiple of `DIRECT_ALIGNMENT`; untouched pages take no memory yet."""
    room = np.zeros(size + DIRECT_ALIGNMENT, np.uint8)
    start = -room.ctypes.data % DIRECT_ALIGNMENT
    return room[start : start + size]


def load(prefer: Literal["native", "twin"] = "native", threads: int | None = None) -> Kernels:
    """The native library where set-up has built it for this machine, otherwise (or on wish) the numpy twin.

    `threads` work on each product, the caller's included; None takes the machine's cores.
    """
    from engine.native.place import library_path

    if prefer == "native" and library_path().exists():
        from engine.native.library import Native

        return Native(threads=threads)
    from engine.native.twin import Twin

    return Twin()
