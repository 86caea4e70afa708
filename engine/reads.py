"""What is counted of reads, and how large files are cut for them."""

from __future__ import annotations

from dataclasses import dataclass

READ_BYTES = 1 << 20
"""A large file is read in pieces of this size, many at a time."""


@dataclass
class ReadCounts:
    """What was read since the counts were last taken; `stall_s` is time that arithmetic waited for reads."""

    bytes: int = 0
    reads: int = 0
    stall_s: float = 0.0

    def __add__(self, other: ReadCounts) -> ReadCounts:
        return ReadCounts(self.bytes + other.bytes, self.reads + other.reads, self.stall_s + other.stall_s)
