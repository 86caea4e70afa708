"""Run by the environment's Python: Streamlit with the app, ending when standard input does, so that it never outlives the launcher."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from pathlib import Path

from launcher.installation import ROOT

ORDERLY_S = 8.0


def main(port: str, home: str) -> None:
    """Serve until the launcher goes; `home` is handed to app.py after `--`."""
    from streamlit.web import cli

    _refuse_bad_home(Path(home))
    threading.Thread(target=_end_with_input, name="end with input", daemon=True).start()
    server = ["--server.port", port, "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    sys.argv = ["streamlit", "run", str(ROOT / "app.py"), *server, "--", "--home", home]
    cli.main()


def _refuse_bad_home(home: Path) -> None:
    """A home on a network drive, or one that cannot be written, ends the start with its sentence."""
    from kb.database import UnusableHome, connect

    try:
        connect(home).close()
    except UnusableHome as problem:
        sys.exit(str(problem))


def _end_with_input() -> None:
    """Ask Streamlit to stop as Ctrl-C would; a page that hangs does not keep the process alive."""
    while os.read(0, 4096):
        pass
    threading.Timer(ORDERLY_S, os._exit, (1,)).start()
    _thread.interrupt_main(signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
