"""The file of a rebuildable index: one line of facts in JSON, then its bytes, which the facts vouch for by length and hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class DamagedIndex(Exception):
    """The index file is cut short, altered or of another encoder: it is built again."""


def write(file: Path, facts: Mapping[str, Any], payload: bytes) -> bool:
    """Write beside the file's place and put it there at once; False, with a warning, where the disk does not let it.

    Losing the race to another process is no harm.
    """
    vouched = {**facts, "bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    aside = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as content:
            content.write(json.dumps(vouched).encode("ascii") + b"\n")
            content.write(payload)
        os.replace(aside, file)
    except OSError as error:
        log.warning("the search index was not saved (%s); it will be built again when needed", error)
        return False
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return True


def read(file: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a file and the facts saved with them.

    Raises:
        FileNotFoundError: there is none.
        DamagedIndex: the file is cut short or altered.
    """
    with file.open("rb") as content:
        line = content.readline(10_000)
        payload = content.read()
    try:
        facts = json.loads(line)
        intact = facts["bytes"] == len(payload) and facts["sha256"] == hashlib.sha256(payload).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedIndex(f"its first line is not readable ({error})") from error
    if not intact:
        raise DamagedIndex("it is cut short or altered")
    return payload, facts
