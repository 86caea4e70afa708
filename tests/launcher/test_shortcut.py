"""The launchers on the desktop start what they should, whatever the folder is called."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import shortcut
from launcher.installation import Installation

PRINT = "import sys; print(sys.argv[1:])"


@pytest.mark.skipif(sys.platform != "linux", reason="desktop entries are Linux's")
def test_on_linux_the_launcher_lies_on_the_desktop_and_in_the_menu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "user-dirs.dirs").write_text('XDG_DESKTOP_DIR="$HOME/Schreibtisch"\n', encoding="utf-8")
    expected = "Schreibtisch" if shutil.which("xdg-user-dir") else "Desktop"
    paths = shortcut.make(Installation(tmp_path / "Flash KB"), ["--port", "9000"])
    assert [path.parent for path in paths] == [tmp_path / expected, tmp_path / ".local" / "share" / "applications"]
    text = paths[0].read_text(encoding="utf-8")
    assert f'Exec="{shortcut.interpreter()}" "{tmp_path}/Flash KB/launch.py" "--port" "9000"\n' in text
    assert "Terminal=true\n" in text
    if shutil.which("desktop-file-validate"):
        subprocess.run(["desktop-file-validate", paths[0]], check=True)


def test_signs_with_a_meaning_in_a_desktop_entry_are_escaped(tmp_path: Path) -> None:
    path = shortcut.write_desktop_entry(tmp_path, ["python", 'a "b" $c `d` 100%'], tmp_path)
    assert r'Exec="python" "a \\"b\\" \\$c \\`d\\` 100%%"' in path.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_command_file_of_macos_hands_over_its_words(tmp_path: Path) -> None:
    path = shortcut.write_command(tmp_path / "my desk", [sys.executable, "-c", PRINT, "it's", "a b", "$HOME"])
    assert subprocess.run([path], capture_output=True, encoding="utf-8", check=True).stdout == "[\"it's\", 'a b', '$HOME']\n"


@pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")
def test_on_windows_a_link_or_a_batch_file_is_made(tmp_path: Path) -> None:
    path = shortcut._windows(tmp_path, [sys.executable, "launch.py"], tmp_path)
    assert path.is_file()


def test_a_windows_link_survives_blanks_and_apostrophes() -> None:
    script = shortcut.link_script(Path("FlashKB.lnk"), ["C:/Python/python.exe", "C:/Ann's files/launch.py", "--port", "9000"], Path("C:/x"))
    assert "$l.TargetPath = 'C:/Python/python.exe'; " in script
    assert "$l.Arguments = '\"C:/Ann''s files/launch.py\" --port 9000'; " in script
    assert script.endswith("$l.Save()")


def test_a_batch_file_shows_an_error_before_its_window_closes(tmp_path: Path) -> None:
    path = shortcut.write_batch(tmp_path, ["C:/Python/python.exe", "C:/100% mine/launch.py"])
    lines = path.read_bytes().decode().split("\r\n")
    assert lines[2:4] == ['C:/Python/python.exe "C:/100%% mine/launch.py"', "if errorlevel 1 pause"]
