"""Fetching a checkpoint from the Hugging Face hub, when the user asks for it: weights as safetensors, and tokenizer files; no code."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.architecture import Config
from engine.errors import DiskFull, DownloadFailed, Stopped, UnusableSource
from engine.huggingface import config_from_hugging_face
from engine.plan import least_bytes
from engine.source import expected_shapes

OnProgress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]
_WANTED_NAMES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "model.safetensors.index.json",
    "README.md",
)
_TIMEOUT_S = 30.0
_PARTIAL_CONTENT = 206
_REPORT_BYTES = 1 << 20
"""Progress is told, and whether to stop is asked, once for so many bytes."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of the repository that would be fetched."""

    name: str
    size: int


@dataclass(frozen=True)
class Remote:
    """A model on the hub: `revision` is the commit that will be fetched; `licence` None when the hub states none.

    `least_bytes` is the least memory budget with which its pack will run, reckoned from its configuration.
    """

    repository: str
    revision: str
    licence: str | None
    files: tuple[RemoteFile, ...]
    architecture: str
    parameters: int
    least_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.files)


def describe(repository: str, endpoint: str | None = None) -> Remote:
    """Ask the hub (or another server that speaks its language, at `endpoint`) about "owner/name"; only config.json is fetched.

    Raises:
        DownloadFailed: there is no network, no such repository, or it needs an agreement that was not given.
        UnusableSource: the repository holds no safetensors weights, or no usable config.json.
        UnknownArchitecture: the engine cannot run it.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True, timeout=_TIMEOUT_S)
    except Exception as error:  # the hub client raises its own errors, its HTTP library's and plain ValueError
        raise DownloadFailed(f"{repository} cannot be reached: {_first_line(error)}; check the name and the network") from error
    files = tuple(RemoteFile(entry.rfilename, int(entry.size or 0)) for entry in info.siblings or [] if _is_wanted(entry.rfilename))
    if not any(file.name.endswith(".safetensors") for file in files):
        raise UnusableSource(f"{repository} has no safetensors weights; choose a repository that has")
    card: Any = info.card_data or {}
    licence = card.get("license")
    announced = _Announced(_config(repository, str(info.sha), endpoint))
    return Remote(
        repository,
        str(info.sha),
        None if licence is None else str(licence),
        files,
        architecture=announced.config.architecture,
        parameters=sum(math.prod(shape) for shape in announced.shapes.values()),
        least_bytes=least_bytes(announced, "q8"),
    )


@dataclass(frozen=True)
class _Announced:
    """A checkpoint of which only config.json is known: tensors of 16 bits, in the shapes that its architecture needs."""

    config: Config

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return expected_shapes(self.config)

    def format(self, tensor: str) -> str:
        return "bf16"


def _config(repository: str, revision: str, endpoint: str | None) -> Config:
    from httpx2 import HTTPError
    from huggingface_hub import get_session, hf_hub_url

    url = hf_hub_url(repository, "config.json", revision=revision, endpoint=endpoint)
    try:
        reply = get_session().get(url, headers=_authorised({}), follow_redirects=True, timeout=_TIMEOUT_S)
        reply.raise_for_status()
        values = reply.json()
    except HTTPError as error:
        raise DownloadFailed(f"config.json of {repository} cannot be fetched: {_first_line(error)}") from error
    except ValueError as error:
        raise UnusableSource(f"config.json of {repository} is not JSON; the checkpoint is damaged") from error
    if not isinstance(values, dict):
        raise UnusableSource(f"config.json of {repository} is no JSON object; the checkpoint is damaged")
    return config_from_hugging_face(values)


def _authorised(headers: dict[str, str]) -> dict[str, str]:
    """With the token of a user who logged in with the hub's own command; it is not handed on to another host."""
    from huggingface_hub import get_token

    token = get_token()
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def download(
    repository: str,
    folder: Path,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch a model into `folder` and return it. Files that are there already in full are kept, half-fetched ones gone on with.

    Raises:
        DownloadFailed, UnusableSource: see `describe`; what was fetched stays for another try.
        DiskFull: there is no room for it.
        Stopped: `should_stop` said so.
    """
    remote = describe(repository, endpoint)
    folder.mkdir(parents=True, exist_ok=True)
    missing = sum(file.size for file in remote.files) - sum(_held(folder, file) for file in remote.files)
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise DiskFull(folder, missing, free)
    transfer = _Transfer(remote, folder, on_progress or (lambda share, stage: None), should_stop or (lambda: False), endpoint)
    for file in remote.files:
        transfer.fetch(file)
    return folder


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return len(path.parts) == 1 and (name in _WANTED_NAMES or (path.suffix == ".safetensors" and not name.startswith(".")))


def _part(folder: Path, file: RemoteFile) -> Path:
    return folder / f"{file.name}.part"


def _held(folder: Path, file: RemoteFile) -> int:
    """Bytes of the file that are here already."""
    for path in (folder / file.name, _part(folder, file)):
        if path.is_file():
            return min(path.stat().st_size, file.size)
    return 0


class _Transfer:
    """Fetches file after file and reports the share of all bytes."""

    def __init__(self, remote: Remote, folder: Path, on_progress: OnProgress, should_stop: ShouldStop, endpoint: str | None) -> None:
        self._endpoint = endpoint
        self._remote = remote
        self._folder = folder
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._done = 0
        self._received = 0

    def fetch(self, file: RemoteFile) -> None:
        """Bring one file, going on where an earlier try ended."""
        target = self._folder / file.name
        if target.is_file() and target.stat().st_size == file.size:
            self._count(file.size, file)
            return
        part = _part(self._folder, file)
        self._receive(file, part)
        if part.stat().st_size != file.size:
            part.unlink()
            raise DownloadFailed(f"{file.name} of {self._remote.repository} arrived with the wrong length; try again")
        part.replace(target)

    def _receive(self, file: RemoteFile, part: Path) -> None:
        from httpx2 import HTTPError
        from huggingface_hub import get_session, hf_hub_url

        held = part.stat().st_size if part.is_file() else 0
        if held == file.size:
            self._count(held, file)
            return
        headers = _authorised({"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {}))
        url = hf_hub_url(self._remote.repository, file.name, revision=self._remote.revision, endpoint=self._endpoint)
        try:
            with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as reply:
                reply.raise_for_status()
                resumed = reply.status_code == _PARTIAL_CONTENT
                self._count(held if resumed else 0, file)
                with part.open("ab" if resumed else "wb") as out:
                    for piece in reply.iter_raw():
                        out.write(piece)
                        self._received += len(piece)
                        if self._received >= _REPORT_BYTES:
                            self._report_received(file)
                self._report_received(file)
        except HTTPError as error:
            raise DownloadFailed(f"{file.name} of {self._remote.repository} broke off: {_first_line(error)}; try again to go on") from error

    def _report_received(self, file: RemoteFile) -> None:
        received, self._received = self._received, 0
        self._count(received, file)

    def _count(self, more: int, file: RemoteFile) -> None:
        if self._should_stop():
            raise Stopped("the download was stopped; it goes on from here when started again")
        self._done += more
        self._on_progress(min(self._done / max(self._remote.size_bytes, 1), 1.0), f"fetching {file.name}")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
