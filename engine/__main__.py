"""`python -m engine pack | calibrate | generate | plan | bench | perplexity`: see `--help` of each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.errors import CorruptPack, EngineError
from engine.files import MANIFEST
from engine.generate import Engine
from engine.memory import parse_size
from engine.request import Request, Segment

if TYPE_CHECKING:
    from engine.expected import Expected
    from engine.ladder import StepRow
    from engine.manifest import Calibration, Manifest
    from engine.plan import Plan

# What a command needs beyond these is imported in its function: `generate` waits beside the engine's process, and numpy alone is 20 MB.
DEFAULT_PACK = "smollm2-135m-instruct.pack"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with one line on standard error otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], Any] = options.run
    try:
        value = run(options)
    except (EngineError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(value, ensure_ascii=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Run language models larger than memory.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, help="folder of the library, whose models/ are known by name")
    shared.add_argument("--json", action="store_true", help="print one JSON value")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", help="pack folder, or the name of one in HOME/models (default: the model that set-up installed)")
    model.add_argument("--memory", type=_size, default="700MB", metavar="SIZE", help="budget, such as 700MB (default) or 1.5GB")
    model.add_argument("--mode", choices=("exact", "balanced"), default="exact")

    command = commands.add_parser("pack", parents=[shared], help="make a pack of a GGUF file or a checkpoint folder")
    command.add_argument("source", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--format", choices=("q4", "q8", "f16"), help="for checkpoints of floats; default q8")
    command.set_defaults(run=_pack)
    command = commands.add_parser("calibrate", parents=[shared], help="make a pack ready for balanced mode, with a text in view")
    command.add_argument("pack", type=Path)
    command.add_argument(
        "--text", type=Path, action="append", metavar="FILE", help="text like what it will read; may be repeated (ReLU models need one)"
    )
    command.add_argument("--tokens", type=int, default=8192, help="how much of the text is used (default 8192)")
    command.set_defaults(run=_calibrate)
    command = commands.add_parser("describe", parents=[shared], help="what a checkpoint is, without loading it")
    command.add_argument("source", type=Path)
    command.set_defaults(run=_describe)
    command = commands.add_parser("generate", parents=[shared, model], help="answer a prompt")
    command.add_argument("--prompt", required=True)
    command.add_argument("--max-tokens", type=int, default=256)
    command.add_argument("--temperature", type=float, default=0.0, help="0 (default) always takes the likeliest token")
    command.add_argument("--top-p", type=float, default=1.0)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end the answer before this text; may be repeated")
    command.add_argument("--raw", action="store_true", help="go on with the prompt as it is, without the model's chat form")
    command.add_argument("--no-drafts", action="store_true", help="a token for each pass, for measuring; the answer is the same")
    command.set_defaults(run=_generate)
    command = commands.add_parser("plan", parents=[shared, model], help="what a budget would be spent on")
    command.set_defaults(run=_plan)
    command = commands.add_parser(
        "bench", parents=[shared, model], help="measure speed and reads, step by step, against what the machine can give"
    )
    command.add_argument("--tokens", type=int, default=64)
    command.set_defaults(run=_bench)
    command = commands.add_parser("perplexity", parents=[shared, model], help="perplexity of a text file")
    command.add_argument("file", type=Path)
    command.set_defaults(run=_perplexity)
    return parser


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _pack_path(options: argparse.Namespace) -> Path:
    if options.model is None:
        return _installation() / "share" / "flashkb" / DEFAULT_PACK
    given = Path(options.model)
    home = options.home or platformdirs.user_data_path("flashkb")
    for path in (given, home / "models" / options.model):
        if (path / MANIFEST).is_file():
            return path
    known = home / "models"
    raise CorruptPack(f"there is no pack {options.model!r}, neither as a path nor in {known}; make one with `python -m engine pack`")


def _installation() -> Path:
    """Set-up puts the default model beside the packages: into this environment, or the project's when another interpreter runs."""
    project = Path(__file__).resolve().parent.parent / ".venv"
    return Path(sys.prefix) if (Path(sys.prefix) / "share" / "flashkb").is_dir() else project


def _show_progress(share: float, stage: str) -> None:
    print(f"\r{share:4.0%} {stage:<50}", end="", file=sys.stderr, flush=True)


def _pack(options: argparse.Namespace) -> dict[str, Any]:
    from engine.pack import pack

    try:
        packed = pack(options.source, options.out, options.format, _show_progress)
    finally:
        print(file=sys.stderr)
    summary = pack_summary(packed, options.out)
    if not options.json:
        print(f"{summary['pack']}: {packed.name}, {packed.config.architecture}, {packed.pack_bytes / 1e6:.0f} MB")
    return summary


def pack_summary(manifest: Manifest, out: Path) -> dict[str, Any]:
    """What the command prints of a new pack."""
    return {
        "pack": str(out),
        "name": manifest.name,
        "architecture": manifest.config.architecture,
        "parameters": manifest.parameters,
        "layers": manifest.config.layers,
        "format": manifest.format,
        "licence": manifest.licence,
        "source": manifest.source_name,
        "source_sha256": manifest.source_sha256,
        "source_bytes": manifest.source_bytes,
        "pack_bytes": manifest.pack_bytes,
        "resident_bytes": manifest.resident_bytes,
        "ffn_bytes": manifest.ffn_bytes,
        "tile_bytes": manifest.layers[0].stride,
        "context": manifest.config.context,
    }


def _calibrate(options: argparse.Namespace) -> dict[str, Any]:
    from engine import calibrate as calibration
    from engine.manifest import load

    texts = [path.read_text("utf-8", errors="replace") for path in options.text or ()]
    text = "\n".join(texts)
    try:
        if not load(options.pack).config.neuron_wise:
            return _balance(options, text if texts else None)
        if not texts:
            raise ValueError("a ReLU model learns from a text like what it will read; name files with --text")
        made = calibration.calibrate(options.pack, text, calibration.CalibrationSettings(tokens=options.tokens), _show_progress)
    finally:
        print(file=sys.stderr)
    assert made.calibration is not None
    facts = asdict(made.calibration)
    if not options.json:
        _print_calibration(made.calibration)
    return {name: value for name, value in facts.items() if name != "tensors"}


def _balance(options: argparse.Namespace, text: str | None) -> dict[str, Any]:
    from engine.balanced import BalanceSettings, balance

    made = balance(options.pack, text, BalanceSettings(tokens=options.tokens), _show_progress)
    facts = made.balanced
    assert facts is not None
    smaller = sum(layer.size for layer in facts.layers)
    summary = {"bytes": smaller, "exact_bytes": made.ffn_bytes, "tokens": list(facts.tokens), "loss": facts.loss}
    if not options.json:
        print(f"\n{smaller / 1e6:.0f} MB for {made.ffn_bytes / 1e6:.0f} MB, perplexity {facts.loss:+.1%} over {facts.tokens[1]} tokens")
    return {**summary, "perplexity_exact": facts.perplexity_exact, "perplexity_balanced": facts.perplexity_balanced}


def _print_calibration(facts: Calibration) -> None:
    print(f"{'layer':>5}{'rank':>6}{'active':>8}{'wanted':>8}{'missed':>8}{'in vain':>9}")
    for number, layer in enumerate(facts.layers):
        shares = f"{layer.active:>8.1%}{layer.wanted:>8.1%}{layer.false_negatives:>8.1%}{layer.false_positives:>9.1%}"
        print(f"{number:>5}{layer.rank:>6}{shares}")
    print(f"a read brings {facts.run_length:.2f} neurons (before: {facts.run_length_before:.2f})")
    print(f"perplexity of held-out text {facts.perplexity_exact:.3f} exact, {facts.perplexity_balanced:.3f} balanced")


def _describe(options: argparse.Namespace) -> dict[str, Any]:
    from engine.source import describe

    summary = asdict(describe(options.source))
    if not options.json:
        for name, value in summary.items():
            print(f"{name:<14}{value}")
    return summary


def _generate(options: argparse.Namespace) -> dict[str, Any]:
    request = Request(
        (Segment(options.prompt, None if options.raw else "user"),),
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        stop=tuple(options.stop),
        seed=options.seed,
        drafting=not options.no_drafts,
    )
    with Engine(_pack_path(options), options.memory, options.mode) as engine:
        result, kernels = engine.generate(request, None if options.json else _print_piece), engine.kernels_name
    if not options.json:
        read = f", {result.bytes_read_per_token / 1e6:.1f} MB read a token" if result.bytes_read_per_token else ""
        print(f"\n[{result.tokens} tokens, {result.tokens_per_second:.1f} a second{read}; {kernels}]", file=sys.stderr)
    return {**asdict(result), "kernels": kernels}


def _print_piece(text: str) -> None:
    print(text, end="", flush=True)


def _plan(options: argparse.Namespace) -> dict[str, Any]:
    from engine import kernels as kernel_library
    from engine import manifest as manifests
    from engine.curves import measured
    from engine.expected import expect
    from engine.plan import plan

    pack = _pack_path(options)
    found, kernels = plan(pack, options.memory, options.mode), kernel_library.load()
    expected = expect(found, manifests.load(pack), measured(pack / manifests.FFN, kernels))
    if not options.json:
        _print_plan(found, expected)
    return {**found.to_json(), "expected": asdict(expected), "kernels": kernels.name}


def _print_plan(found: Plan, expected: Expected) -> None:
    print(f"{found.model} in {found.memory_bytes / 1e6:.0f} MB: {found.strategy} (least {found.least_bytes / 1e6:.0f} MB)")
    for name in ("process", "resident", "pinned", "stream", "kv", "saved_kv", "activation"):
        print(f"  {name:<12}{getattr(found, name + '_bytes') / 1e6:8.1f} MB")
    print(f"  context of {found.context_tokens} tokens, {found.expected_bytes_read_per_token / 1e6:.1f} MB read a token")
    rate = (
        ""
        if expected.tokens_per_second is None
        else f"at most {expected.tokens_per_second:.1f} tokens a second, bound by {expected.bound_by}"
    )
    print(f"  {rate or 'tokens a second not known before it is calibrated'}: the disk gives {expected.disk_mb_per_second:.0f} MB/s")
    print(f"  {expected.why}")
    if found.mode == "balanced":
        print(f"  computed in the {found.arithmetic} form{_why_exact(found)}")


def _why_exact(found: Plan) -> str:
    if found.arithmetic == "balanced":
        return ""
    return ": all fits" if found.strategy == "resident" else ": the pack is not calibrated, `python -m engine calibrate` does it"


def _bench(options: argparse.Namespace) -> dict[str, Any]:
    from engine.bench import ladder

    heads = (("s/token", 9), ("p99", 8), ("tokens/s", 10), ("MB", 9), ("reads", 8), ("MB/s", 7), ("wait", 8), ("keep", 8), ("peak MB", 9))
    if not options.json:
        print(f"{'':<22}" + "".join(f"{name:>{width}}" for name, width in heads))
    found = ladder(_pack_path(options), options.memory, options.mode, options.tokens, None if options.json else _print_step)
    if not options.json:
        limit = f"{found.limit_token_s:.4f} s a token, {found.share_of_the_limit:.0%} of that speed is reached"
        print(f"this machine's limit: {limit}")
    return found.to_json()


def _print_step(row: StepRow) -> None:
    times = f"{row.token_s:>9.4f}{row.p99_s:>8.4f}{row.tokens_per_second:>10.2f}"
    reads = f"{row.bytes_per_token / 1e6:>9.2f}{row.reads_per_token:>8.0f}{row.read_mb_per_second:>7.0f}"
    print(f"{row.name:<22}{times}{reads}{row.waiting_s:>8.4f}{row.keeping_s:>8.4f}{row.peak_bytes / 1e6:>9.0f}", flush=True)


def _perplexity(options: argparse.Namespace) -> dict[str, Any]:
    from engine.perplexity import perplexity

    text = options.file.read_text("utf-8", errors="replace")
    with Engine(_pack_path(options), options.memory, options.mode) as engine:
        found = perplexity(engine, text)
    if not options.json:
        print(f"perplexity {found.perplexity:.3f} over {found.tokens} tokens")
    return {**asdict(found), "mode": options.mode}


if __name__ == "__main__":
    sys.exit(main())
