"""Run by the environment's Python at the end of a set-up: what the app needs is there and loads."""

from __future__ import annotations

import importlib
import sqlite3
import sys

LIBRARIES = (
    "streamlit",
    "torch",
    "faiss",
    "onnxruntime",
    "sentence_transformers",
    "pypdfium2",
    "docx",
    "lxml",
    "tokenizers",
    "safetensors",
)


def main() -> int:
    """0 when everything loads; else the first thing that does not, on stderr."""
    sqlite3.connect(":memory:").execute("CREATE VIRTUAL TABLE t USING fts5(x)")
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            print(f"{name} does not load: {error}", file=sys.stderr)
            if sys.platform == "win32":
                print("Install the Microsoft Visual C++ Redistributable (x64) and set up again.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
