"""Sizes in words, and how much memory this process holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_STATUS = Path("/proc/self/status")


def parse_size(text: str) -> int:
    """Bytes of a size such as "700MB" (MB = 10^6), "1.5 GB", "512MiB" or "800000000"; ValueError names what is accepted."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write for example 700MB or 1.5GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def resident_bytes() -> int:
    """Physical memory that this process holds now."""
    if _STATUS.exists():
        return _status_bytes("VmRSS")
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """The most physical memory that this process ever held."""
    if _STATUS.exists():
        return _status_bytes("VmHWM")
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def _status_bytes(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text("ascii"), re.MULTILINE)
    assert match
    return int(match[1]) * 1024
