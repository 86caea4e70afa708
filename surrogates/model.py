"""What training leaves in a home: adapter.safetensors and model.json, written aside and renamed; nothing in them is ever executed.

The JSON names the encoder and the hash of the adapter, so that a file of another encoder or a damaged one is set aside with a
message and the built-in head serves until the next training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from surrogates.adapter import Adapter
from surrogates.confidence import BUILT_IN, Head
from surrogates.threshold import FLOORS, Certificate, certificates

FOLDER = "surrogates"
ADAPTER = "adapter.safetensors"
MODEL = "model.json"
VERSION = 1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A trained surrogate, or the built-in one. `adapter` None leaves vectors as they are; `problem` says why a trained one is not used."""

    encoder: str
    adapter: Adapter | None = None
    head: Head = BUILT_IN
    certificates: tuple[Certificate, ...] = field(default_factory=lambda: tuple(certificates([])))
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    fingerprint: str = "built-in"
    """Hash of the file that it was read from."""


def current(home: Path, encoder: str) -> Model:
    """The home's model for this encoder; read again whenever the file changes."""
    file = home / FOLDER / MODEL
    try:
        stamp = file.stat().st_mtime_ns
    except FileNotFoundError:
        return _untrained(encoder)
    return _read(file, stamp, encoder)


def save(home: Path, model: Model) -> None:
    """Write the model: the adapter first, then the JSON that names it, each by rename."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = None
    if model.adapter is not None:
        from safetensors.numpy import save as to_bytes

        content = to_bytes({"weight": model.adapter.weight})
        sha256 = hashlib.sha256(content).hexdigest()
        _replace(folder / ADAPTER, content)
    value = {
        "version": VERSION,
        "encoder": model.encoder,
        "adapter_sha256": sha256,
        "head": asdict(model.head),
        "certificates": [certificate.to_json() for certificate in model.certificates],
        "facts": model.facts,
    }
    _replace(folder / MODEL, json.dumps(value, indent=1).encode("utf-8"))


@lru_cache(maxsize=8)
def _untrained(encoder: str) -> Model:
    """One object, so that whoever holds it sees that nothing changed."""
    return Model(encoder)


@lru_cache(maxsize=8)
def _read(file: Path, stamp: int, encoder: str) -> Model:
    try:
        content = file.read_bytes()
        value = json.loads(content)
        if value["version"] != VERSION:
            return _set_aside(encoder, f"it has layout {value['version']}, this program reads {VERSION}")
        if value["encoder"] != encoder:
            return _set_aside(encoder, f"it was trained for {value['encoder']}, the encoder is {encoder}")
        return Model(
            encoder,
            _adapter(file.parent / ADAPTER, value["adapter_sha256"]),
            Head(tuple(value["head"]["weights"]), value["head"]["bias"]),
            tuple(_raised(Certificate(**certificate)) for certificate in value["certificates"]),
            value["facts"],
            fingerprint=hashlib.sha256(content).hexdigest()[:16],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _set_aside(encoder, f"it cannot be read ({error})")


def _raised(certificate: Certificate) -> Certificate:
    """At least at its level's floor of now: the teacher's agreement may raise a level, and floors may have risen since the training."""
    return replace(certificate, accept_at=max(certificate.accept_at, FLOORS[certificate.level - 1]))


def _adapter(file: Path, sha256: str | None) -> Adapter | None:
    if sha256 is None:
        return None
    from safetensors.numpy import load

    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file.name} is damaged or of another training")
    return Adapter(load(content)["weight"])


def _set_aside(encoder: str, why: str) -> Model:
    problem = f"the trained surrogate is not used: {why}; run training again"
    log.warning(problem)
    return Model(encoder, problem=problem)


def _replace(file: Path, content: bytes) -> None:
    aside = file.with_name(file.name + ".new")
    with aside.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(aside, file)
