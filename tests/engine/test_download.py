from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.download import describe, download
from engine.errors import DiskFull, DownloadFailed, Stopped, UnknownArchitecture, UnusableSource
from engine.source import describe as describe_source
from engine.source import open_source


class Hub:
    """The two endpoints of the hub that a download needs, over a folder of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.names: list[str] | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.requests.append((self.path, self.headers.get("Range")))
                if self.path.startswith("/api/models/owner/model"):
                    self._send(200, hub.info(), "application/json")
                elif self.path.startswith("/owner/model/resolve/abc123/"):
                    self._send_file((hub.folder / self.path.rsplit("/", 1)[1]).read_bytes())
                else:
                    self._send(404, b"{}", "application/json")

            def _send_file(self, data: bytes) -> None:
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                body = data[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if hub.break_after is not None and len(body) > hub.break_after:
                    body = body[: hub.break_after]
                    self.close_connection = True
                self.wfile.write(body)

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def info(self) -> bytes:
        files = [file for file in sorted(self.folder.iterdir()) if self.names is None or file.name in self.names]
        siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in files]
        siblings += [{"rfilename": "modeling_evil.py", "size": 10}, {"rfilename": "../outside.safetensors", "size": 10}]
        value = {"id": "owner/model", "sha": "abc123", "siblings": siblings, "cardData": {"license": "apache-2.0"}}
        return json.dumps(value).encode()


@pytest.fixture
def hub(checkpoint: Callable[..., Path]) -> Iterator[Hub]:
    made = Hub(checkpoint("llama"))
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def fetched(hub: Hub) -> list[str]:
    return [path.rsplit("/", 1)[1] for path, _ in hub.requests if "resolve" in path]


def test_a_description_says_size_licence_and_least_memory_and_fetches_no_weights(hub: Hub) -> None:
    remote = describe("owner/model", hub.endpoint)
    here = describe_source(hub.folder)
    assert remote.licence == "apache-2.0"
    assert remote.size_bytes == sum(file.stat().st_size for file in hub.folder.iterdir())
    assert (remote.architecture, remote.parameters, remote.least_bytes) == (here.architecture, here.parameters, here.least_bytes)
    assert fetched(hub) == ["config.json"]


def test_a_model_that_the_engine_cannot_run_is_refused_before_the_download(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(hub.folder, folder)
    hub.folder = folder
    values = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(values | {"model_type": "mamba"}), "utf-8")
    with pytest.raises(UnknownArchitecture, match="mamba"):
        describe("owner/model", hub.endpoint)
    (folder / "config.json").write_text("not json", "utf-8")
    with pytest.raises(UnusableSource, match="not JSON"):
        describe("owner/model", hub.endpoint)


def test_a_download_is_a_checkpoint_without_code(hub: Hub, tmp_path: Path) -> None:
    shares: list[float] = []
    folder = download("owner/model", tmp_path / "model", lambda share, stage: shares.append(share), endpoint=hub.endpoint)
    assert open_source(folder).shapes == open_source(hub.folder).shapes
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in hub.folder.iterdir())
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_download_that_broke_off_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = 100_000
    with pytest.raises(DownloadFailed, match="again"):
        download("owner/model", tmp_path / "model", endpoint=hub.endpoint)
    hub.break_after = None
    folder = download("owner/model", tmp_path / "model", endpoint=hub.endpoint)
    assert any(wanted == "bytes=100000-" for _, wanted in hub.requests)
    assert (folder / "model.safetensors").read_bytes() == (hub.folder / "model.safetensors").read_bytes()
    before = len(fetched(hub))
    download("owner/model", tmp_path / "model", endpoint=hub.endpoint)
    assert fetched(hub)[before:] == ["config.json"]


def test_a_download_can_be_stopped(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        download("owner/model", tmp_path / "model", should_stop=lambda: True, endpoint=hub.endpoint)


def test_a_download_that_does_not_fit_the_disk_is_not_begun(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    with pytest.raises(DiskFull):
        download("owner/model", tmp_path / "model", endpoint=hub.endpoint)
    assert fetched(hub) == ["config.json"]


def test_an_unknown_repository_an_odd_name_and_a_silent_server_are_explained(hub: Hub) -> None:
    for name, endpoint in (("owner/other", hub.endpoint), ("not a name", hub.endpoint), ("owner/model", "http://127.0.0.1:9")):
        with pytest.raises(DownloadFailed, match="check the name and the network"):
            describe(name, endpoint)


def test_a_repository_without_safetensors_is_refused(hub: Hub) -> None:
    hub.names = ["config.json"]
    with pytest.raises(UnusableSource, match="no safetensors"):
        describe("owner/model", hub.endpoint)
