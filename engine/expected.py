"""What a plan will give on this machine, from its measured curves, and which way of reading is the quicker for each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.curves import Curves
from engine.manifest import LayerLayout, Manifest
from engine.plan import Plan

_TILE_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class LayerReads:
    """How a layer that is not all in memory is read for a token, with what either way would take; `neurons_s` None: not known."""

    layer: int
    way: Literal["nothing", "tiles", "neurons"]
    tiles_s: float
    neurons_s: float | None


@dataclass(frozen=True)
class Expected:
    """`tokens_per_second` is None for a ReLU model that was not calibrated: how many of its neurons fire is not known yet."""

    tokens_per_second: float | None
    bound_by: Literal["disk", "memory and arithmetic"] | None
    disk_mb_per_second: float
    memory_gb_per_second: float
    why: str
    layers: tuple[LayerReads, ...]


def expect(found: Plan, manifest: Manifest, curves: Curves) -> Expected:
    """Hold a plan against the curves of the disk that the pack lies on."""
    form = manifest.balanced.layers if found.form == "balanced" and manifest.balanced is not None else manifest.layers
    layers = tuple(_layer(found, manifest, curves, number, layout) for number, layout in enumerate(form))
    read_s = sum(_taken(layer) for layer in layers)
    rate = curves.memory_gb_per_s, curves.kernel_gb_per_s
    compute_s = _weight_bytes(found, manifest, form) / (min(rate) * 1e9)
    known = found.strategy != "window"
    longer = max(read_s, compute_s)
    return Expected(
        tokens_per_second=1 / longer if known else None,
        bound_by=("disk" if read_s > compute_s else "memory and arithmetic") if known else None,
        disk_mb_per_second=curves.disk_rate(_TILE_READ_BYTES) / 1e6,
        memory_gb_per_second=min(rate),
        why=_why(found, layers),
        layers=layers,
    )


def _layer(found: Plan, manifest: Manifest, curves: Curves, number: int, layout: LayerLayout) -> LayerReads:
    """Streaming a layer's tiles against reading the neurons that a token wants, one by one or in runs."""
    cold = layout.tiles if found.strategy in ("window", "predicted") else layout.tiles - found.pinned_tiles[number]
    tiles_s = cold * layout.stride / curves.disk_rate(_TILE_READ_BYTES)
    if found.strategy == "resident":
        return LayerReads(number, "nothing", 0.0, 0.0)
    if found.strategy == "streaming":  # every neuron of a gated model is wanted
        neuron_bytes = layout.stride / layout.tile_neurons
        return LayerReads(number, "tiles" if cold else "nothing", tiles_s, cold * layout.tile_neurons * curves.read_s(neuron_bytes))
    if found.strategy == "window" or manifest.calibration is None:
        return LayerReads(number, "neurons", tiles_s, None)
    run = manifest.calibration.run_length
    loaded = found.expected_bytes_read_per_token / len(manifest.layers) / layout.stride
    return LayerReads(number, "neurons", tiles_s, loaded / run * curves.read_s(run * layout.stride))


def _taken(layer: LayerReads) -> float:
    return (layer.neurons_s or 0.0) if layer.way == "neurons" else layer.tiles_s if layer.way == "tiles" else 0.0


def _weight_bytes(found: Plan, manifest: Manifest, form: tuple[LayerLayout, ...]) -> float:
    """Weights that a token's arithmetic goes through."""
    if found.strategy != "predicted" or manifest.calibration is None:
        return found.resident_bytes + sum(layout.size for layout in form)
    wanted = zip(form, manifest.calibration.layers, strict=True)
    return found.resident_bytes + sum(layout.size * layer.wanted for layout, layer in wanted)


def _why(found: Plan, layers: tuple[LayerReads, ...]) -> str:
    if found.strategy == "resident":
        return "all weights fit into memory, nothing is read"
    tiles_ms = sum(layer.tiles_s for layer in layers) * 1e3
    if found.strategy == "window":
        return "only what fires is read, neuron by neuron; `python -m engine calibrate` would tell beforehand how much that is"
    neurons_ms = sum(layer.neurons_s or 0.0 for layer in layers) * 1e3
    if found.strategy == "streaming":
        return f"every token wants every neuron: whole tiles take {tiles_ms:.0f} ms, single neurons would take {neurons_ms:.0f} ms"
    return f"a token wants few neurons: reading them takes {neurons_ms:.0f} ms, whole layers would take {tiles_ms:.0f} ms"
