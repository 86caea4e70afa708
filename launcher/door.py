"""The command line of launch.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from launcher import bundle, setup, shortcut, start, testing
from launcher.installation import Installation, SetupFailed
from launcher.instance import PortTaken

DESCRIPTION = "Sets FlashKB up when needed, starts it and opens the browser."


def main(words: Sequence[str] | None = None, installation: Installation | None = None) -> int:
    """Carry out one command; returns the exit code. `words` None are the command line's."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an old Windows console cannot show every file name
    parser = _parser()
    choice, rest = parser.parse_known_args(words)
    if rest and choice.command != "test":
        parser.error(f"unknown: {' '.join(rest)}")
    try:
        return _run(installation or Installation(), choice, rest)
    except (SetupFailed, start.CannotStart, PortTaken) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except OSError as problem:  # a full disk or a locked file, outside of the commands that have their own words for it
        print(f"\n{problem}. Free space, close what uses this folder, and run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again; it goes on where it stopped.", file=sys.stderr)
        return 130


def _run(installation: Installation, choice: argparse.Namespace, rest: list[str]) -> int:
    options = setup.Options(choice.bundle, choice.torch_index, tests=choice.command == "test", retry=choice.command == "setup")
    if choice.command == "bundle":
        bundle.make(installation, choice.folder, options)
        print(f"The bundle is in {choice.folder}; HOW-TO.txt in it says how to use it.")
        return 0
    if choice.command == "shortcut":
        for path in shortcut.make(installation, _start_words(choice)):
            print(path)
        return 0
    did = setup.ensure(installation, options)
    if choice.command == "setup":
        print("FlashKB is set up. Open it with: python launch.py" if did else "FlashKB is set up already. Open it with: python launch.py")
        return 0
    if choice.command == "test":
        return testing.run(installation, choice.slow, rest)
    return start.start(installation, start.Options(choice.home, choice.port, choice.browser))


def _start_words(choice: argparse.Namespace) -> list[str]:
    """The options of a start, as a shortcut repeats them."""
    words = [] if choice.home is None else ["--home", str(choice.home.expanduser().absolute())]
    words += [] if choice.port is None else ["--port", str(choice.port)]
    return words + ([] if choice.browser else ["--no-browser"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launch.py", description=DESCRIPTION, parents=[_shared(top=True)], allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="[setup | test | shortcut | bundle]")
    about = {"setup": "set up and stop", "test": "set up what tests need and run them", "shortcut": "put a launcher on the desktop"}
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text, parents=[_shared(top=False)], allow_abbrev=False)
        if name == "test":
            command.add_argument("--slow", action="store_true", help="the slow tests as well; further words go to pytest")
    text = "write packages, models and app for a computer without network"
    command = commands.add_parser("bundle", help=text, description=text, parents=[_shared(top=False)], allow_abbrev=False)
    command.add_argument("folder", type=Path, metavar="DIR")
    return parser


def _shared(top: bool) -> argparse.ArgumentParser:
    """Options that may stand before or after the command; only the first parser sets defaults, so that the second unsets none."""
    options = argparse.ArgumentParser(add_help=False, argument_default=None if top else argparse.SUPPRESS, allow_abbrev=False)
    options.add_argument("--home", type=Path, metavar="DIR", help="folder of the library (default: the user's data folder)")
    options.add_argument("--port", type=_port, metavar="N", help="port on 127.0.0.1 (default: the first free one from 8501 on)")
    default = True if top else argparse.SUPPRESS
    options.add_argument("--no-browser", dest="browser", action="store_false", default=default, help="print the address, open nothing")
    options.add_argument("--from", dest="bundle", type=Path, metavar="DIR", help="set up from a bundle, without network")
    options.add_argument("--torch-index", metavar="URL", help="package index to take torch from, such as its CPU index on Linux")
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, expected 1 to 65535")
    return int(text)
