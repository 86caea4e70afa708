"""What a memory budget is spent on: decided before anything is loaded, and kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine import manifest as manifests
from engine.architecture import Config
from engine.errors import BudgetTooSmall
from engine.formats import find
from engine.layout import layer_layout
from engine.manifest import PREDICTOR, VOCABULARY, Balanced, Calibration, LayerLayout, Manifest
from engine.pack import resident_bytes, resident_formats
from engine.request import Mode
from engine.source import Described, Source

RUN_BYTES = 4 << 20
"""Streamed tiles are read in runs of about this size: large enough for the disk's full speed, small enough to wait for."""
STREAM_DEPTH = 4
PREFILL_TOKENS = 128
LEAST_PREFILL_TOKENS = 16
WANTED_CONTEXT = 1024
"""Of a model that is read for every token; a resident one gets what memory is left."""
LEAST_CONTEXT = 512
WANTED_SAVED_TOKENS = 512
MOST_SAVED_TOKENS = 4096
LEAST_WINDOW_SHARE = 0.08
"""Of a ReLU model's neurons; below that the window would be emptied within a token."""
_INTERPRETER_BYTES = 44_000_000
_VOCABULARY_BYTES_PER_TOKEN, _LIBRARY_BYTES_PER_TOKEN = 30, 600
"""Of a compiled vocabulary and of one in the `tokenizers` library, measured on 49,000 and 152,000 tokens."""
_SCRATCH_BYTES = 6_000_000
"""What kernels and numpy take for a moment beside the arrays counted here."""
_BLOCK_TOKENS, _LANES = 64, 8
"""Of the native library: tokens of which the neurons are worked on at once, and partial sums of an output."""


STRATEGIES = ("streaming", "window", "predicted", "resident")
"""Each reads less per token than the one before."""


@dataclass(frozen=True)
class Plan:
    """How the budget is spent, in bytes, and what follows from it.

    A separate embedding of `embedding_bytes` is held where all else fits too; with 0 its rows are read one by one.
    `strategy`: "resident" reads nothing after loading; "streaming" reads all but the pinned tiles for every pass; "window" (ReLU
    models) keeps every up row and reads the down columns of neurons that fire and are not in the window; "predicted" (calibrated ReLU
    models, balanced) reads whole bundles, and only of neurons that the predictor names. A window has `window_neurons` slots in each
    layer, of which `pinned_neurons` are filled for good. `form` "balanced" reads the tiles of the pack's second, smaller form.
    """

    model: str
    mode: Mode
    strategy: Literal["resident", "streaming", "window", "predicted"]
    memory_bytes: int
    least_bytes: int
    process_bytes: int
    resident_bytes: int
    embedding_bytes: int
    pinned_bytes: int
    stream_bytes: int
    kv_bytes: int
    saved_kv_bytes: int
    activation_bytes: int
    context_tokens: int
    saved_tokens: int
    prefill_tokens: int
    pinned_tiles: tuple[int, ...]
    window_neurons: int
    expected_bytes_read_per_token: int
    pinned_neurons: int = 0
    form: Mode = "exact"

    @property
    def arithmetic(self) -> Mode:
        """How the model is computed: a balanced mode computes exactly where all fits, and where the pack was not calibrated."""
        return "balanced" if self.form == "balanced" or self.strategy == "predicted" else "exact"

    def on_flash(self, config: Config) -> frozenset[str]:
        """The matrices whose rows are read one by one."""
        return frozenset() if config.tied or self.embedding_bytes else frozenset({"embedding.weight"})

    def to_json(self) -> dict[str, Any]:
        """For the command line."""
        return asdict(self)


@dataclass(frozen=True)
class Model:
    """What a plan needs to know of a model, packed or not yet; `embedding_bytes` are those of an embedding apart from the head."""

    name: str
    config: Config
    layers: tuple[LayerLayout, ...]
    resident_bytes: int
    embedding_bytes: int = 0
    calibration: Calibration | None = None
    predictor_bytes: int = 0
    balanced: Balanced | None = None
    compiled_vocabulary: bool = True


def model_of(manifest: Manifest) -> Model:
    """From a pack's manifest."""
    stored = manifest.tensors["embedding.weight"]
    apart = 0 if manifest.config.tied else stored.rows * find(stored.format).row_bytes(stored.columns)
    learnt = manifest.calibration, manifest.file_bytes.get(PREDICTOR, 0), manifest.balanced
    return Model(
        manifest.name, manifest.config, manifest.layers, manifest.resident_bytes - apart, apart, *learnt, VOCABULARY in manifest.file_bytes
    )


def plan(pack: Path, memory_bytes: int, mode: Mode = "exact") -> Plan:
    """The plan that an engine on this pack would follow.

    Raises:
        BudgetTooSmall: says the least.
        CorruptPack: the pack is damaged.
    """
    return plan_model(model_of(manifests.load(pack)), memory_bytes, mode)


def plan_model(model: Model, memory_bytes: int, mode: Mode, pin: bool = True, process_bytes: int = 0) -> Plan:
    """As `plan`; `process_bytes` is what the process holds before it loads weights, where that is more than estimated.

    Without `pin` no tile stays in memory, whatever the budget. A balanced plan takes the pack's smaller form unless all fits without.
    """
    if mode == "exact" or model.balanced is None:
        return _planned(model, memory_bytes, mode, pin, process_bytes)
    small = replace(_planned(replace(model, layers=model.balanced.layers), memory_bytes, mode, pin, process_bytes), form="balanced")
    if small.strategy != "resident":
        return small
    try:
        exact = _planned(model, memory_bytes, mode, pin, process_bytes)
    except BudgetTooSmall:
        return small
    return exact if exact.strategy == "resident" else small


def _planned(model: Model, memory_bytes: int, mode: Mode, pin: bool, process_bytes: int) -> Plan:
    """The plan for one form of the feed-forward."""
    process = max(process_bytes, estimated_process_bytes(model))
    least = _spent(_frame(model, process, LEAST_PREFILL_TOKENS, LEAST_CONTEXT, 0))
    if least > memory_bytes:
        raise BudgetTooSmall(least, memory_bytes)
    shapes = (
        (PREFILL_TOKENS, WANTED_CONTEXT, WANTED_SAVED_TOKENS),
        (PREFILL_TOKENS // 2, WANTED_CONTEXT, 0),
        (LEAST_PREFILL_TOKENS, LEAST_CONTEXT, 0),
    )
    frames = [
        replace(frame, memory_bytes=memory_bytes, least_bytes=least, mode=mode)
        for frame in (_frame(model, process, *shape) for shape in shapes)
        if _spent(frame) <= memory_bytes
    ]
    # a long context is worth less than weights that need not be read; among equals the first, the longest, wins
    return max((_filled(model, frame) for frame in frames), key=_worth) if pin else frames[0]


def _worth(plan: Plan) -> tuple[int, int]:
    """More is better: the strategy, then, since a predicted plan's window takes what the context leaves, what a token reads."""
    return STRATEGIES.index(plan.strategy), -plan.expected_bytes_read_per_token if plan.strategy == "predicted" else 0


def least_bytes_of_source(source: Source) -> int:
    """The least budget with which a checkpoint's pack (in its default format) will run."""
    return least_bytes(source, "source" if source.path.is_file() else "q8")


def least_bytes(checkpoint: Described, wanted: str) -> int:
    """The least budget for a checkpoint packed in the format `wanted`, of which no more than the tensors' shapes need be known."""
    layers = tuple(layer_layout(checkpoint, number, wanted) for number in range(checkpoint.config.layers))
    formats = resident_formats(checkpoint, wanted)
    if not checkpoint.config.tied:
        formats.pop("embedding.weight")  # its rows are read one by one
    model = Model("", checkpoint.config, layers, resident_bytes(checkpoint, formats))
    return _spent(_frame(model, estimated_process_bytes(model), LEAST_PREFILL_TOKENS, LEAST_CONTEXT, 0))


def estimated_process_bytes(model: Model) -> int:
    """The interpreter, its libraries and the vocabulary."""
    per_token = _VOCABULARY_BYTES_PER_TOKEN if model.compiled_vocabulary else _LIBRARY_BYTES_PER_TOKEN
    return _INTERPRETER_BYTES + per_token * model.config.vocabulary


def _activation_bytes(config: Config, tokens: int) -> int:
    """Arrays of a pass over `tokens` positions, down projections that come in parts, and logits with what sampling makes of them."""
    attention = 3 * config.heads * config.head_dim
    block = min(tokens, _BLOCK_TOKENS) * max(attention, 2 * config.ffn)
    return 4 * (tokens * config.hidden * (6 + _LANES) + block) + 40 * config.vocabulary + _SCRATCH_BYTES


def _frame(model: Model, process: int, prefill: int, context: int, saved: int) -> Plan:
    """A plan in which nothing is pinned."""
    config = model.config
    context = min(context, config.context)
    largest = max(max(RUN_BYTES // layer.stride, 1) * layer.stride for layer in model.layers)
    whole = max(layer.size for layer in model.layers)
    return Plan(
        model=model.name,
        mode="exact",
        strategy="streaming",
        memory_bytes=0,
        least_bytes=0,
        process_bytes=process,
        resident_bytes=model.resident_bytes,
        embedding_bytes=0,
        pinned_bytes=0,
        stream_bytes=STREAM_DEPTH * min(largest, whole),
        kv_bytes=context * config.kv_bytes_per_token,
        saved_kv_bytes=saved * config.kv_bytes_per_token,
        activation_bytes=_activation_bytes(config, prefill),
        context_tokens=context,
        saved_tokens=saved,
        prefill_tokens=prefill,
        pinned_tiles=(0,) * len(model.layers),
        window_neurons=0,
        expected_bytes_read_per_token=sum(layer.size for layer in model.layers),
    )


def _spent(plan: Plan) -> int:
    return (
        plan.process_bytes
        + plan.resident_bytes
        + plan.embedding_bytes
        + plan.pinned_bytes
        + plan.stream_bytes
        + plan.kv_bytes
        + plan.saved_kv_bytes
        + plan.activation_bytes
    )


def _filled(model: Model, frame: Plan) -> Plan:
    """Spend what is left: on every tile if they fit, then on context; otherwise on as many tiles as fit, the same share of each layer."""
    all_bytes = sum(layer.size for layer in model.layers)
    without_stream = replace(frame, stream_bytes=0)
    if _spent(without_stream) + all_bytes <= frame.memory_bytes:
        resident = replace(
            without_stream,
            strategy="resident",
            pinned_bytes=all_bytes,
            pinned_tiles=tuple(layer.tiles for layer in model.layers),
            expected_bytes_read_per_token=0,
        )
        held = replace(resident, embedding_bytes=model.embedding_bytes)
        return _longer_context(model, held if _spent(held) <= held.memory_bytes else resident)
    if model.config.neuron_wise:
        predicted = _predicted(model, without_stream, model.calibration) if model.calibration and frame.mode == "balanced" else None
        windowed = predicted or _windowed(model, without_stream)
        if windowed is not None:
            return windowed
    return _pinned(model, frame)


def _pinned(model: Model, frame: Plan) -> Plan:
    """The same share of every layer, rounded down, then one tile more for layer after layer while there is room."""
    left = frame.memory_bytes - _spent(frame)
    share = left / sum(layer.size for layer in model.layers)
    tiles = [int(layer.tiles * share) for layer in model.layers]
    left -= sum(layer.stride * count for layer, count in zip(model.layers, tiles, strict=True))
    for number, layer in enumerate(model.layers):
        if tiles[number] < layer.tiles and layer.stride <= left:
            tiles[number] += 1
            left -= layer.stride
    pinned = sum(layer.stride * count for layer, count in zip(model.layers, tiles, strict=True))
    expected = frame.expected_bytes_read_per_token - pinned
    return replace(frame, pinned_bytes=pinned, pinned_tiles=tuple(tiles), expected_bytes_read_per_token=expected)


def _windowed(model: Model, frame: Plan) -> Plan | None:
    """Every up row in memory and a window of down columns; None when the rows alone do not leave room for a useful window."""
    ups = sum(layer.neurons * layer.part("up").size for layer in model.layers)
    down = sum(layer.stride - layer.part("down").offset for layer in model.layers)  # bytes of a slot in every layer
    left = frame.memory_bytes - _spent(frame) - ups - RUN_BYTES
    slots = min(left // down, model.config.ffn)
    if slots < LEAST_WINDOW_SHARE * model.config.ffn:
        return None
    return replace(frame, strategy="window", pinned_bytes=ups, stream_bytes=slots * down + RUN_BYTES, window_neurons=int(slots))


def _predicted(model: Model, frame: Plan, calibration: Calibration) -> Plan | None:
    """Predictors and a window of bundles; None when there is no room for what a token wants and half as much again."""
    per_slot = sum(layer.stride for layer in model.layers)
    masks = 6 * frame.prefill_tokens * model.config.ffn  # scores of one layer's neurons, and which of two layers' are wanted
    left = frame.memory_bytes - _spent(frame) - model.predictor_bytes - masks - 2 * RUN_BYTES
    slots = min(left // per_slot, model.config.ffn)
    if slots < 1.5 * max(layer.wanted for layer in calibration.layers) * model.config.ffn:
        return None
    _, pinned_share, loaded_share = min(calibration.loads, key=lambda entry: abs(entry[0] - slots / model.config.ffn))
    return replace(
        frame,
        strategy="predicted",
        resident_bytes=frame.resident_bytes + model.predictor_bytes,
        stream_bytes=slots * per_slot + masks + 2 * RUN_BYTES,
        window_neurons=int(slots),
        pinned_neurons=int(min(pinned_share * model.config.ffn, slots)),
        expected_bytes_read_per_token=int(loaded_share * sum(layer.size for layer in model.layers)),
    )


def _longer_context(model: Model, plan: Plan) -> Plan:
    """Memory that is left lengthens the context and lets more prompt beginnings be kept."""
    config = model.config
    per_token = config.kv_bytes_per_token
    more = max(min((plan.memory_bytes - _spent(plan)) // per_token, config.context - plan.context_tokens), 0)
    context = plan.context_tokens + more
    longer = replace(
        plan,
        context_tokens=context,
        kv_bytes=context * config.kv_bytes_per_token,
        activation_bytes=_activation_bytes(config, plan.prefill_tokens),
    )
    left = max(longer.memory_bytes - _spent(longer), 0)
    saved = min(longer.saved_tokens + left // config.kv_bytes_per_token, max(MOST_SAVED_TOKENS, longer.saved_tokens))
    return replace(longer, saved_tokens=saved, saved_kv_bytes=saved * config.kv_bytes_per_token)
