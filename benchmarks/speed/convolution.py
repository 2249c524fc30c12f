"""A convolutional VAE on 32 x 32 photographs against a hand-written loop. Takes about 20 minutes.

The network is that of `aevb fit cifar10` (channels 32 and 64, 64 latent variables, discretised
logistic), batch 128. The hand-written loop has the same layers and the same density, eager, in
contiguous and in channels_last layout: the faster of the two is the reference. `aevb` runs in both
layouts as well (`fit` selects channels_last). The script also times every convolution alone,
forward and backward, in both layouts and both precisions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rounds import (
    Contender,
    PairedTimes,
    format_interval,
    interval,
    machine,
    measure,
    per_sample,
    print_result,
    time_in_rounds,
)
from script import make_parser, parse_options, write_record
from torch import Tensor, nn

import aevb
from aevb._random import seed_scope

NET = ("--net", "photographs")
BATCH, CHANNELS, LATENT = 128, [32, 64], 64
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def contenders(options: argparse.Namespace) -> list[Contender]:
    """The loops, and `aevb` in the layout that `fit` selects and in the contiguous one."""
    loops = [
        Contender(
            f"PyTorch loop {layout}, {precision}",
            "torch_loop.py",
            (*NET, "--layout", layout, "--precision", precision),
        )
        for precision in PRECISIONS
        for layout in LAYOUTS
    ]
    ours = [
        Contender(
            f"{name} {layout}, {precision}",
            "aevb_fit.py",
            (*NET, "--precision", precision, *compiled, *on),
        )
        for precision in PRECISIONS
        for name, compiled in (
            {"aevb": ()} | ({} if options.quick else {"aevb compiled": ("--compiled",)})
        ).items()
        for layout, on in {"contiguous": ("--contiguous",), "channels_last": ()}.items()
    ]
    return loops + ours


def overall(options: argparse.Namespace) -> dict[str, Any]:
    """Whole steps of `aevb` over the better loop per precision, and the effect of the layout."""
    running = contenders(options)
    found = measure(
        running, running[0], options.rounds, options.threads, BATCH, quick=options.quick
    )
    times = {c.name: per_sample(c) for c in running}
    speed = {name: entry["samples_per_second"] for name, entry in found["contenders"].items()}  # type: ignore[attr-defined]
    better = {
        p: max((f"PyTorch loop {layout}, {p}" for layout in LAYOUTS), key=lambda name: speed[name])
        for p in PRECISIONS
    }
    ours = [name for name in times if name.startswith("aevb")]
    found["better"] = better
    found["to_better"] = {
        name: interval(times[better[name.split(", ")[1]]], times[name]) for name in ours
    }
    found["layout"] = {
        name: interval(times[name], times[name.replace("contiguous", "channels_last")])
        for name in times
        if "contiguous" in name
    }
    print_result(found, "a convolutional VAE, 32 x 32")
    for name, ratio in found["to_better"].items():
        print(
            f"  {name}: x{format_interval(ratio)} of the better loop, {better[name.split(', ')[1]]}"
        )
    for name, ratio in found["layout"].items():
        print(f"  {name}: channels_last is x{format_interval(ratio)} as fast")
    return found


def convolutions() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """The convolutions of the model by place, each with the shape of its input."""
    data = aevb.data.load("cifar10")
    with seed_scope(0):
        model = aevb.presets.vae(data.spec, latent=LATENT, hidden=CHANNELS).model
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    }

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: found.update(
            {name: (module, (BATCH, *inputs[0].shape[1:]))}
        )

    handles = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    model.probe()
    for handle in handles:
        handle.remove()
    return found


def step(layer: nn.Module, x: Tensor, back: Tensor) -> None:
    """Forward and backward once."""
    layer(x).backward(back)


def prepared(
    layer: nn.Module, shape: tuple[int, ...], first: bool, precision: str, layout: str
) -> Callable[[], None]:
    """Forward and backward of one layer; the first layer has no gradient by its input."""
    form, dtype = LAYOUTS[layout], PRECISIONS[precision]
    moved = type(layer)(*arguments_of(layer)).to(dtype).to(memory_format=form)
    x = torch.randn(shape, dtype=dtype).contiguous(memory_format=form).requires_grad_(not first)
    return partial(step, moved, x, torch.randn_like(moved(x).detach()))


def arguments_of(layer: nn.Module) -> tuple[Any, ...]:
    """The arguments of a layer."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)


def per_layer(rounds: int, quick: bool) -> dict[str, Any]:
    """Milliseconds of each convolution in every layout and precision."""
    found: dict[str, Any] = {}
    for name, (layer, shape) in convolutions().items():
        ways = {
            f"{layout}, {precision}": prepared(
                layer, (8, *shape[1:]) if quick else shape, not found, precision, layout
            )
            for precision in PRECISIONS
            for layout in LAYOUTS
        }
        times = time_in_rounds(ways, rounds, at_least=0.0 if quick else 0.2)
        found[name] = row(layer, shape, times)
        print(
            f"  {found[name]['layer']:34} "
            + "  ".join(f"{way} {value:6.2f} ms" for way, value in found[name]["ms"].items())
        )
    return found


def row(layer: nn.Module, shape: tuple[int, ...], times: PairedTimes) -> dict[str, Any]:
    """The record of a layer."""
    inputs, outputs, kernel, stride, _ = arguments_of(layer)
    return {
        "layer": f"{type(layer).__name__}({inputs}, {outputs}, {kernel[0]}, stride {stride[0]}) "
        f"of {shape[-2]} x {shape[-1]}",
        "ms": {way: times.median(way) * 1e3 for way in times.seconds},
        "layout": {p: times.ratio(f"channels_last, {p}", f"contiguous, {p}") for p in PRECISIONS},
        "control": times.control,
    }


def main() -> None:
    """Run both parts and write the record."""
    parser = make_parser(__doc__, rounds=15, threads=[2])
    parser.add_argument(
        "--layers-only",
        action="store_true",
        help="only the convolutions alone: 2 minutes, nothing is written",
    )
    options = parse_options(parser)
    torch.set_num_threads(options.threads)
    print(f"Convolutions alone, forward and backward, batch {BATCH}, {options.threads} thread(s)")
    layers = per_layer(options.rounds, options.quick)
    if options.layers_only:
        return
    found = overall(options)
    write_record(
        "convolution", found | {"layers": layers, "machine": machine()}, quick=options.quick
    )


if __name__ == "__main__":
    main()
