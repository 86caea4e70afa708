"""The ladder of a set-up: steps that know what they were made from, so that only what changed runs again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FAILED = "failed: "


@dataclass(frozen=True)
class Step:
    """One step. It is due when its `fingerprint` is not the one it last ran with, or when `exists` says its product is gone.

    `run` raises SetupFailed. A step that is not `needed` may fail: the user is warned, and it is tried again by an explicit set-up only.
    """

    name: str
    title: str
    fingerprint: str
    run: Callable[[], None]
    exists: Callable[[], bool] = lambda: True
    needed: bool = True


def due(steps: Sequence[Step], stamp: Path, retry: bool = False) -> list[Step]:
    """The steps that have to run; `retry` counts the ones that failed and were not needed as due."""
    done = _read(stamp)
    return [step for step in steps if _is_due(step, done.get(step.name, ""), retry)]


def _is_due(step: Step, last: str, retry: bool) -> bool:
    if last == FAILED + step.fingerprint:
        return retry
    return last != step.fingerprint or not step.exists()


def run(steps: Sequence[Step], stamp: Path, say: Callable[[str], None] = print) -> None:
    """Run the steps in order, stamping each as it ends, so that an interrupted set-up goes on where it stopped.

    Raises:
        SetupFailed: a needed step failed; the ones before it stay done.
    """
    from launcher.installation import SetupFailed

    for number, step in enumerate(steps, 1):
        say(f"[{number}/{len(steps)}] {step.title}")
        started = time.monotonic()
        try:
            step.run()
        except SetupFailed as problem:
            if step.needed:
                raise SetupFailed(f"Step {number} of {len(steps)} ({step.title}) failed.\n{problem}") from problem
            say(f"      Warning: {problem}")
            _write(stamp, step.name, FAILED + step.fingerprint)
            continue
        _write(stamp, step.name, step.fingerprint)
        say(f"      done in {time.monotonic() - started:.0f} s")


def forget(stamp: Path, keep: Sequence[str]) -> None:
    """Make every step due again but those named in `keep`."""
    if stamp.is_file():
        kept = {name: value for name, value in _read(stamp).items() if name in keep}
        _replace(stamp, kept)


def _read(stamp: Path) -> dict[str, str]:
    try:
        done = json.loads(stamp.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # absent, or cut short by a full disk: everything is due
        return {}
    return done if isinstance(done, dict) else {}


def _write(stamp: Path, name: str, value: str) -> None:
    _replace(stamp, _read(stamp) | {name: value})


def _replace(stamp: Path, done: dict[str, str]) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    aside = stamp.with_name(stamp.name + ".part")
    aside.write_text(json.dumps(done, indent=1), encoding="utf-8")
    os.replace(aside, stamp)
