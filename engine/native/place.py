"""Where the native library lies. Apart from the compiling, so that the engine's process loads no more than it needs."""

from __future__ import annotations

import platform
import zlib
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
FLAGS = ("-std=c11", "-O3", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno", "-shared")


def library_path(folder: Path | None = None) -> Path:
    """Where the library for these sources and this machine belongs, built or not."""
    machine = f"{platform.system()}-{platform.machine()}".lower()
    suffix = {"windows": ".dll", "darwin": ".dylib"}.get(platform.system().lower(), ".so")
    return (folder or Path(__file__).parent / "build" / machine) / f"flashkb-{source_checksum()}{suffix}"


def source_checksum() -> str:
    """CRC-32 over the sources and flags, eight hexadecimal digits. (hashlib would bring OpenSSL: 4 MB in the engine's process.)"""
    checksum = zlib.crc32(repr(FLAGS).encode())
    for file in sorted(SOURCES.iterdir()):
        checksum = zlib.crc32(file.name.encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n"), checksum)
    return f"{checksum:08x}"
