"""What belongs to the compiled library alone: its instruction sets, threads, reads in flight, its build, and the sanitisers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.formats import FORMATS
from engine.kernels import aligned_buffer
from engine.native import build, place
from engine.native.build import CannotCompile, compile_to, compilers
from engine.native.library import Native
from engine.native.place import library_path
from engine.native.twin import Twin
from tests.engine.blocks import HALF_FLOATS, TINY_SCALES, random_floats, random_rows, some_columns

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("scalar", "avx2", "avx512vnni", "neon", "neon-dot")


@pytest.fixture(params=PATHS)
def native(request: pytest.FixtureRequest) -> Iterator[Native]:
    """The library on one of its paths; the machine's best is chosen again afterwards."""
    best = built().name.removeprefix("native ")
    try:
        yield Native(path=request.param)
    except ValueError as missing:
        pytest.skip(str(missing))
    Native(path=best)


def built() -> Native:
    if not library_path().exists():
        pytest.skip("the native library is not built; run `python -m engine.native.build`")
    return Native()


@pytest.mark.parametrize("name", FORMATS)
def test_every_path_agrees_with_the_twin(native: Native, name: str) -> None:
    twin = Twin()
    for columns in some_columns(name):
        for rows in (1, 4, 7):
            weights, x, coefficients = random_rows(name, rows, columns), random_floats(10, columns, seed=1), random_floats(2, rows)
            expected = twin.matmul(name, weights, x)
            assert np.abs(native.matmul(name, weights, x) - expected).max() <= 1e-5 * np.abs(expected).max()
            sums = twin.weighted_sum(name, weights, coefficients)
            assert np.abs(native.weighted_sum(name, weights, coefficients) - sums).max() <= 1e-5 * np.abs(sums).max()


@pytest.mark.parametrize("name", FORMATS)
def test_every_path_gives_a_token_the_same_bits_alone_and_among_others(native: Native, name: str) -> None:
    columns = some_columns(name)[-1]
    weights, x = random_rows(name, 9, columns), random_floats(17, columns, seed=1)
    together = native.matmul(name, weights, x)
    assert all(np.array_equal(native.matmul(name, weights, x[t : t + 1])[0], together[t]) for t in range(17))


def test_extreme_quants_do_not_overflow(native: Native) -> None:
    """The largest weights meet the largest activations, where sums in sixteen bits are nearest to their limit."""
    for name in FORMATS:
        entry = FORMATS[name]
        if not entry.group_columns:
            continue
        weights = np.full((5, entry.row_bytes(256)), 255, np.uint8)
        blocks = weights.reshape(-1, entry.block_bytes)
        for start in HALF_FLOATS.get(name, ()):
            blocks[:, start : start + 2] = np.array([0.5], "<f2").view(np.uint8)
        if name in TINY_SCALES:
            blocks[:, 0] = 0x70  # 0.5
        if name == "q8_0":
            blocks[:, 2:] = 0x80  # -128
        if name == "q6_k":
            blocks[:, 192:208] = 0x7F
        for sign in (1, -1):
            x = np.full((9, 256), sign * 3, np.float32)
            expected = Twin().matmul(name, weights, x)
            for n in (1, 9):
                assert np.allclose(native.matmul(name, weights, x[:n]), expected[:n], rtol=1e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    best = built()
    weights, down, x = random_rows("q4_1", 700, 576), random_rows("q4_0", 300, 576), random_floats(9, 576)
    products = []
    for threads in (1, 2, 3, 8):
        kernels = Native(threads=threads)
        assert kernels.threads == threads
        products.append((kernels.matmul("q4_1", weights, x), kernels.weighted_sum("q4_0", down, random_floats(2, 300))))
    Native(threads=best.threads)
    assert all(np.array_equal(a[0], products[0][0]) and np.array_equal(a[1], products[0][1]) for a in products)


def test_the_pool_survives_many_calls_from_many_threads() -> None:
    kernels = built()
    weights, x = random_rows("q8_0", 300, 256), random_floats(8, 256)
    expected = kernels.matmul("q8_0", weights, x)
    wrong: list[int] = []

    def call() -> None:
        for turn in range(300):
            n = 1 + turn % 8
            if not np.array_equal(kernels.matmul("q8_0", weights, x[:n]), expected[:n]):
                wrong.append(turn)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_many_batches_in_a_row_and_at_once_read_what_is_there(tmp_path: Path) -> None:
    kernels = built()
    content = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8)
    (tmp_path / "file").write_bytes(content.tobytes())
    wrong: list[int] = []

    def read(seed: int) -> None:
        random = np.random.default_rng(seed)
        for turn in range(20):
            offsets = random.integers(0, 240, 50) * 4096
            into = aligned_buffer(50 * 4096)
            kernels.read_batch(file, offsets, np.full(50, 4096), into, np.arange(50) * 4096)
            if not all(np.array_equal(into[i * 4096 :][:4096], content[offset:][:4096]) for i, offset in enumerate(offsets)):
                wrong.append(turn)

    with kernels.open_direct(tmp_path / "file") as file:
        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert wrong == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system in memory, which refuses direct I/O")
def test_a_file_system_without_direct_reads_is_read_plainly() -> None:
    kernels = built()
    path = Path(f"/dev/shm/flashkb-test-{os.getpid()}")
    path.write_bytes(bytes(range(256)) * 40)
    try:
        with kernels.open_direct(path) as file:
            into = np.zeros(300, np.uint8)
            kernels.read_batch(file, np.array([5]), np.array([300]), into, np.array([0]))
        assert into[:3].tolist() == [5, 6, 7]
    finally:
        path.unlink()


def test_a_read_that_the_system_refuses_is_an_oserror(tmp_path: Path) -> None:
    kernels = built()
    with pytest.raises(OSError, match=r"directory|denied|Access"), kernels.open_direct(tmp_path) as folder:
        kernels.read_batch(folder, np.array([0]), np.array([10]), np.zeros(10, np.uint8), np.array([0]))


def test_reading_from_a_closed_file_is_refused(tmp_path: Path) -> None:
    kernels = built()
    (tmp_path / "file").write_bytes(b"x")
    file = kernels.open_direct(tmp_path / "file")
    file.close()
    file.close()
    with pytest.raises(ValueError, match="not open"):
        kernels.read_batch(file, np.array([0]), np.array([1]), np.zeros(1, np.uint8), np.array([0]))


def test_rows_of_another_width_are_refused_before_the_library_sees_them() -> None:
    kernels = built()
    with pytest.raises(ValueError, match=r"uint8 \[rows, 40\]"):
        kernels.matmul("q4_1", np.zeros((3, 39), np.uint8), random_floats(1, 64))
    with pytest.raises(ValueError, match=r"uint8 \[rows, 40\]"):
        kernels.matmul("q4_1", np.zeros((3, 80), np.uint8)[:, ::2], random_floats(1, 64))
    with pytest.raises(ValueError, match="5 coefficients for 3 rows"):
        kernels.weighted_sum("q4_1", np.zeros((3, 40), np.uint8), random_floats(1, 5))


def test_orders_and_sums_that_would_lead_outside_are_refused() -> None:
    kernels, rows, ones = built(), random_rows("q4_1", 3, 64), np.ones((1, 3), np.float32)
    with pytest.raises(ValueError, match="outside the 3 rows"):
        kernels.weighted_sum("q4_1", rows, ones, np.array([0, 1, 3]))
    with pytest.raises(ValueError, match="order of 2"):
        kernels.weighted_sum("q4_1", rows, ones, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"onto contiguous float32 \[1, 64\]"):
        kernels.weighted_sum("q4_1", rows, ones, onto=np.zeros((1, 32), np.float32))
    with pytest.raises(ValueError, match="2 rows and 1 tokens"):
        kernels.begin_product("q4_1", 3, 1).add(rows[:2], random_floats(1, 64))


def test_a_path_that_the_machine_lacks_is_named() -> None:
    built()
    with pytest.raises(ValueError, match="no 'altivec' kernels"):
        Native(path="altivec")


def test_without_a_working_compiler_the_build_says_which_failed(tmp_path: Path) -> None:
    with pytest.raises(CannotCompile, match="no-such-compiler did not run"):
        build.build(["no-such-compiler"], tmp_path)
    with pytest.raises(CannotCompile, match="failed with"):
        build.build([sys.executable, "-c", "raise SystemExit('broken')"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_sources_have_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = library_path(tmp_path)
    sources = tmp_path / "src"
    sources.mkdir()
    for file in place.SOURCES.iterdir():
        (sources / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(place, "SOURCES", sources)
    assert library_path(tmp_path) == before
    (sources / "pool.c").write_text("int changed;")
    assert library_path(tmp_path) != before


@pytest.mark.slow
def test_a_build_replaces_the_library_of_older_sources(tmp_path: Path) -> None:
    target = library_path(tmp_path)
    old = target.with_name(f"flashkb-000000000000{target.suffix}")
    old.write_bytes(b"old")
    made, how = build.build(folder=tmp_path)
    assert made == target and [file.name for file in tmp_path.iterdir()] == [target.name]
    assert how in {" ".join(command) for command in compilers()}
    assert build.build(folder=tmp_path) == (target, "already built")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("target", "system"),
    [("x86_64-windows-gnu", "Windows"), ("aarch64-linux-gnu", "Linux"), ("aarch64-macos", "Darwin"), ("x86_64-linux-gnu.2.17", "Linux")],
)
def test_the_sources_compile_for_other_systems(tmp_path: Path, target: str, system: str) -> None:
    pytest.importorskip("ziglang", reason="the ziglang wheel cross-compiles; install requirements.txt")
    compile_to(tmp_path / "library", [sys.executable, "-m", "ziglang", "cc", "-target", target], system=system)
    assert (tmp_path / "library").stat().st_size > 10_000


SANITISED = """
import sys
from pathlib import Path
import numpy as np
from engine.formats import FORMATS
from engine.kernels import aligned_buffer
from engine.lowbit import block_bytes
from engine.native.library import Native
from engine.native.rounding import round_block
from tests.engine.blocks import HALF_FLOATS, TINY_SCALES, random_floats, random_rows, some_columns
library, scratch = Path(sys.argv[1]), Path(sys.argv[2])
for path in ("scalar", "avx2", "avx512vnni", "neon", "neon-dot"):
    try:
        kernels = Native(library, 2, path)
    except ValueError:
        continue
    for name in FORMATS:
        for columns in some_columns(name):
            for rows in (1, 6, 130):
                weights = random_rows(name, rows, columns)
                for n in (1, 3, 17):
                    kernels.matmul(name, weights, random_floats(n, columns))
                    kernels.weighted_sum(name, weights, random_floats(n, rows))
                    product = kernels.begin_product(name, rows, n)
                    product.add(weights, random_floats(n, columns))
                    product.finish()
    for bits in (2, 3, 4):
        blocks = np.zeros((21, block_bytes(bits)), np.uint8)
        upper = np.triu(random_floats(64, 64) * 0.1) + np.eye(64, dtype=np.float32)
        round_block(kernels, bits, random_floats(64, 21), upper, np.ones(64, np.float32), blocks)
    for dim in (8, 12, 64):
        room = random_floats(2, 2, 100, dim).astype(np.float16)
        for length in (1, 9, 65, 100):
            kernels.attention(random_floats(1, 4, dim), room[0, :, :length], room[1, :, :length])
    kernels.normalise(random_floats(3, 37), random_floats(37), random_floats(37), 1e-5)
    for kind in ("silu", "gelu", "gelu_tanh", "relu", "relu2"):
        kernels.activate(kind, random_floats(3, 37), random_floats(3, 37))
        kernels.activate(kind, random_floats(3, 1100), None)
(scratch / "file").write_bytes(bytes(300_000))
with kernels.open_direct(scratch / "file") as file:
    into = aligned_buffer(200_000)
    kernels.read_batch(file, np.array([0, 4096, 100_001]), np.array([4096, 65_536, 99_999]), into, np.array([0, 4096, 80_001]))
    try:
        kernels.read_batch(file, np.array([299_999]), np.array([4096]), into, np.array([0]))
    except EOFError:
        print("sanitised")
"""


@pytest.fixture(scope="module")
def sanitised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The library with the address and undefined-behaviour sanitisers, and the environment in which Python loads it."""
    library = tmp_path_factory.mktemp("sanitised") / "library.so"
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
    for compiler in (["gcc"], ["clang"]):
        try:
            runtime = subprocess.run([*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
            compile_to(library, compiler, flags)
            break
        except (OSError, CannotCompile):
            continue
    if not library.exists() or not Path(runtime).is_absolute():
        pytest.skip("no compiler with the address and undefined-behaviour sanitisers")
    (library.parent / "with_sanitisers.py").write_text(PLUGIN.format(str(library)), "utf-8")
    paths = os.pathsep.join([str(library.parent), str(ROOT)])
    return library, os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": paths}


PLUGIN = """
from pathlib import Path
from engine.native import library, place
place.library_path = library.library_path = lambda *_: Path({!r})
"""


@pytest.mark.slow
def test_the_sanitisers_find_no_fault_in_memory_or_arithmetic(sanitised: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    library, environment = sanitised
    command = [sys.executable, "-c", SANITISED, str(library), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "sanitised\n"


@pytest.mark.slow
@pytest.mark.parametrize("modules", ["decoder stream rounding", "window sparse draft"])
def test_the_sanitisers_find_no_fault_where_whole_models_run(sanitised: tuple[Path, dict[str, str]], modules: str) -> None:
    files = [str(ROOT / "tests" / "engine" / f"test_{module}.py") for module in modules.split()]
    command = [sys.executable, "-m", "pytest", "-p", "with_sanitisers", "-p", "no:cacheprovider", "-m", "not slow", *files]
    done = subprocess.run(command, env=sanitised[1], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
