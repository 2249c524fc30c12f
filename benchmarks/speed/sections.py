"""Results as Markdown, one function per script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from rounds import format_interval

CONTENDER_NOTES = {
    "PyOD's VAE": "PyOD's loss is the mean squared error plus the KL divergence, which has a "
    "gradient only with `capacity`; here it has.",
    "NumPyro SVI": "NumPyro samples the KL divergence (`Trace_ELBO`); the others compute it in "
    "closed form.",
}


def grid(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table."""
    names = list(header)
    lines = [names, ["---"] * len(names), *([str(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def where(result: dict[str, Any]) -> str:
    """The machine, the number of rounds, and the control."""
    machine, threads = result["machine"], result["threads"]
    parts = [f"{threads} thread{'s' if threads > 1 else ''}"]
    parts += [f"{result['rounds']} rounds"] if "rounds" in result else []
    parts += [
        f"{machine['processor']}, family {machine['family']}, {machine['cores']} cores "
        f"({', '.join(machine['flags'])})"
    ]
    parts += [f"measured on {machine['date']}"] if "date" in machine else []
    parts += [f"control {format_interval(result['control'])}"] if "control" in result else []
    return "; ".join(parts) + ".\n\n"


def contenders(result: dict[str, Any]) -> str:
    """The table of all contenders."""
    header = [
        "contender",
        "samples per second",
        "95 % interval",
        f"ms per {result['batch']}",
        f"times {result['reference']}",
    ]
    return grid(header, (contender(name, entry) for name, entry in result["contenders"].items()))


def contender(name: str, entry: dict[str, Any]) -> list[str]:
    """The row of a contender."""
    span = entry.get("samples_per_second_interval")
    speed = "" if span is None else f"{span[0]:,.0f} to {span[1]:,.0f}"
    return [
        name,
        f"{entry['samples_per_second']:,.0f}",
        speed,
        f"{entry['ms_per_batch']:.3g}",
        format_interval(entry["ratio"]),
    ]


def training(result: dict[str, Any]) -> str:
    """Training speed."""
    notes = [note for name, note in CONTENDER_NOTES.items() if name in result["contenders"]]
    return "\n\n".join(
        [where(result) + contenders(result).strip(), *notes, *against(result), *shares(result)]
    )


def against(result: dict[str, Any]) -> list[str]:
    """`aevb` over a second reference, in the same rounds."""
    return [
        f"Times {name}, in the same rounds: "
        + "; ".join(f"{ours} {format_interval(ratio)}" for ours, ratio in ratios.items())
        + "."
        for name, ratios in result.get("against", {}).items()
    ]


def shares(result: dict[str, Any]) -> list[str]:
    """The share of matrix products of PyTorch's own library in a step."""
    times = {name: entry["ms_per_batch"] for name, entry in result["contenders"].items()}
    pairs = {
        p: (times.get(f"matrix products {p}"), times.get(f"aevb compiled {p}"))
        for p in ("float32", "bfloat16")
    }
    rows = [
        f"{precision}: {products:.2f} ms of products, {step:.2f} ms for the step, "
        f"share {products / step:.2f}"
        for precision, (products, step) in pairs.items()
        if products is not None and step is not None
    ]
    return (
        [
            "Matrix products of PyTorch's own library alone, and the whole step: "
            + "; ".join(rows)
            + "."
        ]
        if rows
        else []
    )


def many(result: dict[str, Any]) -> str:
    """Many models."""
    rows = (
        [
            name,
            f"{result['steps_per_second_per_model'][name]:,.0f}",
            f"{entry['ms_per_batch']:.3g}",
            format_interval(entry["ratio"]),
        ]
        for name, entry in result["contenders"].items()
    )
    table = grid(
        [
            "way",
            "steps per second and model",
            "ms per step and model",
            f"times {result['reference']}",
        ],
        rows,
    )
    ratio = f"Stack over one by one, both compiled: {format_interval(result['side_by_side'])}.\n"
    return f"{result['models']} models. {where(result)}{table}\n{ratio}"


def convolution(result: dict[str, Any]) -> str:
    """The convolutional model and its layers."""
    better = ", ".join(
        f"{name.split(', ')[0]} in {precision}" for precision, name in result["better"].items()
    )
    ours = grid(
        ["ours", "times the better loop"],
        ([name, format_interval(ratio)] for name, ratio in result["to_better"].items()),
    )
    layout = grid(
        ["contender", "channels_last over contiguous"],
        ([name, format_interval(ratio)] for name, ratio in result["layout"].items()),
    )
    texts = [where(result) + contenders(result), f"The better loop: {better}.\n", ours, layout]
    return "\n".join(
        [
            *texts,
            "Each convolution alone, forward and backward, in milliseconds:\n",
            layers(result["layers"]),
        ]
    )


def layers(found: dict[str, Any]) -> str:
    """The convolutions alone."""
    first = next(iter(found.values()))
    gains = [f"channels_last over contiguous, {precision}" for precision in first["layout"]]
    rows = (
        [
            layer["layer"],
            *(f"{ms:.2f}" for ms in layer["ms"].values()),
            *map(format_interval, layer["layout"].values()),
        ]
        for layer in found.values()
    )
    sums = [f"{sum(layer['ms'][way] for layer in found.values()):.2f}" for way in first["ms"]]
    return grid(["layer", *first["ms"], *gains], [*rows, ["all", *sums, *[""] * len(gains)]])


def evaluation(result: dict[str, Any]) -> str:
    """Importance sampling."""
    rows = []
    for name, micro in result["microseconds_per_pair"].items():
        value = result["log_likelihood"].get(name.removeprefix("aevb "))
        rows.append(
            [
                name,
                f"{micro:.2f}",
                format_interval(result["ratio"][name]),
                "" if value is None else f"{value:.4f}",
            ]
        )
    table = grid(
        [
            "way",
            "microseconds per pair of datum and sample",
            "times one datum at a time",
            "log p(x), same draws",
        ],
        rows,
    )
    return where(result) + table + "".join(whole(*each) for each in result.get("full", {}).items())


def whole(name: str, found: dict[str, float]) -> str:
    """A full evaluation."""
    return (
        f"\n5000 samples for each of 10,000 images, {name}: {found['seconds']:.0f} s, log p(x) "
        f"{found['log_likelihood']:.3f} ± {found['standard_error']:.3f}, "
        f"peak memory {found['peak_mib']:.0f} MiB.\n"
    )


def growth(result: dict[str, Any]) -> str:
    """Growth of the cost."""
    axes = [(kind, axis) for kind in ("training", "evaluation") for axis in result[kind].values()]
    rows = (
        [
            kind,
            axis["title"],
            f"{axis['sizes'][0]:,} to {axis['sizes'][-1]:,}",
            *ends(axis),
            format_interval(axis["slope"]),
            format_interval(axis["last_decade"]),
        ]
        for kind, axis in axes
    )
    table = grid(
        [
            "of",
            "size",
            "from",
            "cost of the smallest",
            "of the largest",
            "exponent",
            "in the last decade",
        ],
        rows,
    )
    steps = "compiled" if result["compiled"] else "eager"
    ranks = "Ranks (data parallel): not measured; this machine has one processor.\n"
    return f"Training steps are {steps}, float32. {where(result)}{table}\n{ranks}"


def ends(axis: dict[str, Any]) -> list[str]:
    """The cost at the smallest and the largest size."""
    return [
        f"{seconds * 1e3:.3g} ms per {axis['unit']}"
        for seconds in (axis["seconds"][0], axis["seconds"][-1])
    ]


def steady(result: dict[str, Any]) -> str:
    """Long runs."""
    header = ["run", "steps", "ms per step", "change over the run", "memory", "change over the run"]
    return where(result) + grid(header, map(steady_run, result["runs"].values()))


def steady_run(run: dict[str, Any]) -> list[str]:
    """The row of a long run."""
    middle = float(np.median(run["milliseconds"]))
    relative = {name: 100 * value / middle for name, value in run["change"]["milliseconds"].items()}
    memory = f"{run['mebibytes'][0]:.0f} to {run['mebibytes'][-1]:.0f} MiB"
    grown = format_interval(run["change"]["mebibytes"])
    return [
        run["title"],
        f"{run['steps']:,}",
        f"{middle:.3f}",
        f"{format_interval(relative)} %",
        memory,
        f"{grown} MiB",
    ]


def overheads(result: dict[str, Any]) -> str:
    """Overheads around the steps."""
    start = (
        [f"`{name}`", format_interval(found)] for name, found in result["start"]["seconds"].items()
    )
    stop = (
        [f"`aevb fit {name}`", format_interval(found)]
        for name, found in result["interrupt"].items()
    )
    steps = (
        [
            net["title"],
            way,
            format_interval(found, 1),
            format_interval(net["first_step"][way], 1),
            even(net["break_even_steps"], way),
        ]
        for net in result["first_step"].values()
        for way, found in net["to_first_step"].items()
    )
    first = grid(
        [
            "net",
            "way",
            "seconds to the end of the first step",
            "of which in the step",
            "break-even, steps",
        ],
        steps,
    )
    tables = [
        grid(["process", "seconds"], start),
        first,
        grid(["Ctrl-C to", "seconds until all is saved"], stop),
    ]
    return where(result) + "\n".join(tables)


def even(found: dict[str, float] | None, way: str) -> str:
    """Steps until compilation has paid off."""
    if not way.startswith("compiled"):
        return ""
    return "not measured" if found is None else f"{found[way]:,.0f}"


def memory(result: dict[str, Any]) -> str:
    """Memory of a step."""
    by_batch = (
        [
            title,
            f"{batch:,}",
            f"{net['plain']['mebibytes'][i]:.0f}",
            bounded(net, lambda found, i=i: f"{found['mebibytes'][i]:.0f}"),
        ]
        for title, net in result["nets"].items()
        for i, batch in enumerate(net["batches"])
    )
    per_row = (
        [
            title,
            f"{net['plain']['kibibytes_per_row']:.1f}",
            bounded(net, lambda found: f"{found['kibibytes_per_row']:.1f}"),
        ]
        for title, net in result["nets"].items()
    )
    asked = f"Bounded by `{result['bounded']}`. " if result["bounded"] else ""
    tables = [
        grid(["net", "batch", "MiB of a step", "bounded"], by_batch),
        grid(["net", "KiB per row of the batch", "bounded"], per_row),
    ]
    return asked + where(result) + "\n".join(tables)


def bounded(net: dict[str, Any], text: Any) -> str:
    """The text of a run with bounded memory."""
    return text(net["bounded"]) if "bounded" in net else "not measured"


def quality(result: dict[str, Any]) -> str:
    """Quality of fast runs."""
    found = result["contenders"]
    bounds = list(next(iter(found.values()))["reached"])
    header = [
        "contender",
        "test ELBO, nats",
        "minus eager float32",
        "seconds in all",
        *(f"seconds to {bound}" for bound in bounds),
    ]
    first = {
        name: entry["first_epoch_difference"]
        for name, entry in found.items()
        if name.startswith("aevb compiled")
    }
    differ = "; ".join(f"{name} {value:.4f}" for name, value in first.items())
    seeds = f"{result['seeds']} seed{'s' if result['seeds'] > 1 else ''}"
    return (
        f"{result['epochs']} epochs, {seeds}: mean ± standard error. {where(result)}"
        f"{grid(header, (quality_row(name, entry) for name, entry in found.items()))}\n"
        "Largest difference from eager float32 in the validation ELBO after one epoch, nats: "
        f"{differ}.\n"
    )


def quality_row(name: str, entry: dict[str, Any]) -> list[str]:
    """The row of a contender."""
    times = (
        "not reached" if at is None else plus_minus(at, ".0f") for at in entry["reached"].values()
    )
    return [
        name,
        plus_minus(entry["test"], ".2f"),
        plus_minus(entry["difference"], "+.3f"),
        f"{entry['seconds']['mean']:.0f}",
        *times,
    ]


def plus_minus(found: dict[str, float | None], form: str) -> str:
    """A mean with its standard error; a single seed has none."""
    error = found["standard_error"]
    return f"{found['mean']:{form}}" + ("" if error is None else f" ± {error:{form.lstrip('+')}}")


def data_path(result: dict[str, Any]) -> str:
    """Batches and files."""
    return where(result) + "\n".join(
        [*map(ways, result["groups"], result["groups"].values()), file_memory(result["memory"])]
    )


def ways(title: str, group: dict[str, Any]) -> str:
    """The table of a group."""
    rows = (
        [name, f"{ms:.3f}", format_interval(group["ratio"][name])]
        for name, ms in group["ms_per_batch"].items()
    )
    return grid(
        [
            f"{title} (control {format_interval(group['control'])})",
            "ms per 128 rows",
            f"times {group['reference']}",
        ],
        rows,
    )


def file_memory(found: dict[str, Any]) -> str:
    """Memory of a large file."""
    rows = (
        [way, f"{value['before_mib']:.0f}", f"{value['peak_mib']:.0f}"]
        for way, value in found.items()
        if way != "file_mib"
    )
    return grid(
        [
            f"file of {found['file_mib']:.0f} MiB left on the disk",
            "peak MiB with a small file",
            "with this one besides",
        ],
        rows,
    )


def encode(result: dict[str, Any]) -> str:
    """A million rows."""
    inside = (
        [name, format_interval(found), format_interval(result["ratio"][name])]
        for name, found in result["seconds"].items()
    )
    outside = (
        [f"`{name}`", format_interval(found["wall"]), format_interval(found["processor"])]
        for name, found in result["commands"].items()
    )
    table = grid(["in one process", "seconds", f"times {result['reference']}"], inside)
    commands = grid(["as a command", "seconds", "of the processor"], outside)
    return (
        f"{result['rows']:,} rows of 20 columns, a 20-64-4 net. {where(result)}{table}\n{commands}"
    )


def products(result: dict[str, Any]) -> str:
    """Matrix products."""
    rows = (
        [
            name,
            " x ".join(map(str, found["shape"])),
            *(f"{value:.0f}" for value in found["gigaflops"].values()),
            format_interval(found["ratio"]),
        ]
        for name, found in result["shapes"].items()
    )
    table = grid(["product", "shape", "MKL, GFLOP/s", "oneDNN, GFLOP/s", "oneDNN over MKL"], rows)
    return f"{where(result)}{table}\n`aevb` takes {result['taken']} on this processor.\n"
