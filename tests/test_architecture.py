"""The rules that hold the house together: arrows, imports without effects, sizes, requirements, and a README whose commands exist."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "app": {"pages", "surrogates", "kb"},
    "pages": {"surrogates", "kb"},
    "surrogates": {"kb", "engine"},
    "kb": set(),
    "engine": set(),
    "launch": {"launcher"},
    "launcher": set(),
    "benchmarks": {"surrogates", "kb", "engine"},
}
EXCEPTIONS = {("launcher/serve.py", "kb")}  # runs in the environment, and refuses a bad home before Streamlit starts
LAUNCHER_IN_ENVIRONMENT = {"launcher/serve.py", "launcher/check.py"}
TOP_LEVEL = {
    *("app.py", "kb", "engine", "surrogates", "pages", "launch.py", "launcher", "benchmarks", "tests", "docs", "requirements.txt"),
    *(
        "requirements-dev.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        ".streamlit",
        ".ci",
        ".gitignore",
        ".gitattributes",
    ),
}
NOT_IMPORTED = {"lxml"}  # named to beautifulsoup4 as its parser
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

IMPORT_EVERYTHING = """
import importlib, json, os, pkgutil, sys, threading
root, names = sys.argv[1], sys.argv[2:]
seen = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
DEEDS = ("sqlite3.connect", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename")

def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.fsdecode(args[0])
        data = path.startswith(root + os.sep) and os.sep + ".venv" + os.sep not in path and not path.endswith((".py", ".pyc"))
        writes = isinstance(args[2], int) and args[2] & WRITING and "__pycache__" not in path and path != os.devnull
        if data or writes:
            seen.append(f"open {path}")
    elif event in DEEDS:
        seen.append(f"{event} {args[0]!r}")

sys.path.insert(0, root)
sys.addaudithook(hook)
for name in names:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
heavy = sorted({"torch", "faiss", "onnxruntime", "streamlit", "transformers", "sentence_transformers"} & set(sys.modules))
print(json.dumps({"deeds": seen, "threads": [t.name for t in threading.enumerate()], "heavy": heavy}))
"""


def sources(*tops: str) -> Iterator[Path]:
    """The Python files of these top-level entries."""
    for top in tops:
        file = ROOT / f"{top}.py"
        yield from [file] if file.is_file() else sorted((ROOT / top).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def short(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    """What git tracks; skipped in a copy without git."""
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if result.returncode:
        pytest.skip("not a git checkout")
    return [name for name in result.stdout.split("\0") if name]


@pytest.mark.parametrize("top", ARROWS)
def test_arrows_between_packages_point_one_way(top: str) -> None:
    wrong = [
        f"{short(file)} imports {name}"
        for file in sources(top)
        for name in sorted(imported(file) & set(ARROWS) - ARROWS[top] - {top})
        if (short(file), name) not in EXCEPTIONS
    ]
    assert wrong == []


def test_the_launcher_needs_nothing_but_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"launcher"}
    files = [file for file in sources("launch", "launcher") if short(file) not in LAUNCHER_IN_ENVIRONMENT]
    assert {short(file): imported(file) - allowed for file in files if imported(file) - allowed} == {}


def test_launch_py_can_be_read_by_a_python_that_is_too_old() -> None:
    ast.parse((ROOT / "launch.py").read_text(encoding="ascii"), feature_version=(3, 4))


def test_importing_a_package_touches_no_file_network_device_or_thread() -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORT_EVERYTHING, str(ROOT), "kb", "engine", "surrogates", "launcher"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found == {"deeds": [], "threads": ["MainThread"], "heavy": []}


def test_the_top_level_holds_nothing_unexpected() -> None:
    assert {name.split("/")[0] for name in tracked()} - TOP_LEVEL == set()


@pytest.mark.parametrize("top", [*ARROWS, "tests"])
def test_modules_and_functions_stay_short(top: str) -> None:
    long: list[str] = []
    for file in sources(top):
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST_MODULE:
            long.append(f"{short(file)} has {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                long.append(f"{short(file)}: {node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines")
    assert long == []


def required(name: str) -> set[str]:
    """The packages that a requirements file pins, in their normal spelling."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "every requirement is pinned with =="
    return {normal(pin.split("==")[0]) for pin in pins}


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def used(*tops: str) -> set[str]:
    """The distributions that these parts of the project import."""
    owners = importlib.metadata.packages_distributions()
    names = {name for file in sources(*tops) if "kb/samples/" not in short(file) for name in imported(file)}
    outside = names - set(sys.stdlib_module_names) - set(ARROWS) - {"tests"}
    unknown = {name for name in outside if name not in owners}
    assert unknown == set(), f"imported but not installed: {unknown}"
    return {normal(owners[name][0]) for name in outside}


def test_requirements_name_exactly_what_the_app_imports() -> None:
    assert used("app", "pages", "surrogates", "kb", "engine", "launcher") == required("requirements.txt") - NOT_IMPORTED


def test_requirements_of_the_tests_cover_what_they_import() -> None:
    assert used("tests", "benchmarks") <= required("requirements.txt") | required("requirements-dev.txt")


def test_no_tracked_file_names_a_place_on_this_machine() -> None:
    places = [f"{ROOT}{os.sep}", f"{Path.home()}{os.sep}"]
    found = []
    for name in tracked():
        if Path(name).suffix in {".py", ".md", ".toml", ".txt", ".c", ".h", ".cfg", ".yml"} and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            found += [f"{name}: {place}" for place in places if place in text]
    assert found == []


def documented_commands() -> list[tuple[str, ...]]:
    """The commands in the README's code blocks and inline code: `python launch.py X` and `python -m package X`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"\bpython (launch\.py|-m [\w.]+)(?: ([a-z]+)\b)?", text)
    return sorted({(*program.split(), *([word] if word else [])) for program, word in found})


@pytest.mark.parametrize("command", documented_commands(), ids=" ".join)
def test_every_command_of_the_readme_exists(command: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout


def links() -> list[tuple[str, str]]:
    """[(page, target)] of every link within the project in the README and docs."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [(page, target) for page in pages for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))]
    return [(short(page), target) for page, target in found if "://" not in target]


def test_every_link_of_the_documents_leads_somewhere() -> None:
    assert [(page, target) for page, target in links() if not (ROOT / page).parent.joinpath(target).exists()] == []
