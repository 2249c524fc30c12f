"""Writes docs/speed.md and its picture from the results that the other scripts left. Takes a second.

Usage: python benchmarks/speed/document.py
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
TITLES = {
    "mnist": "Training the 784-400-20 net on binarized MNIST",
    "table": "Training the 16-64-4 net on a table",
}
HEAD = """# Speed

Written by `benchmarks/speed/document.py` from `benchmarks/speed/results/`; do not edit. `make bench` measures again.

In each round every contender runs one block (an epoch), in an order that is reversed from round to round; each is a process of its own
that waits while the others run. Ratios are medians over rounds of paired ratios, with a bootstrap 95 % interval; above 1 is faster than
the reference. The control is the reference against itself: what lies inside its interval is noise. Absolute times are for orientation,
and hold for this machine on this day only.

"""


def table(result: dict) -> str:
    control = result["control"]
    machine = result["machine"]
    lines = [
        f"## {TITLES[result['workload']]}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}\n",
        f"{result['rounds']} rounds. {machine['processor']}, family {machine['family']}, {machine['cores']} cores, "
        f"{', '.join(machine['flags'])}. Control: {control['median']:.2f} [{control['low']:.2f}, {control['high']:.2f}].\n",
        f"| contender | samples per second | ms per {result['batch']} | times {result['reference']} | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for name, entry in result["contenders"].items():
        ratio = entry["ratio"]
        lines.append(
            f"| {name} | {entry['samples_per_second']:,.0f} | {entry['ms_per_batch']:.2f} "
            f"| {ratio['median']:.2f} | {ratio['low']:.2f} to {ratio['high']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def shares(result: dict) -> str:
    """How much of a step its matrix products would take if PyTorch's own library did them."""
    times = {name: entry["ms_per_batch"] for name, entry in result["contenders"].items()}
    rows = [
        f"{products}: {times[f'matrix products {products}']:.2f} ms of products, {times[f'aevb compiled {products}']:.2f} ms for the step, "
        f"share {times[f'matrix products {products}'] / times[f'aevb compiled {products}']:.2f}"
        for products in ("float32", "bfloat16")
    ]
    return "\nMatrix products alone, by PyTorch's own choice of library, beside the whole step: " + "; ".join(rows) + ".\n"


def evaluation(result: dict) -> str:
    lines = [
        f"## Importance-weighted evaluation of the 784-400-20 net, {result['threads']} threads\n",
        "| way | microseconds per pair of datum and sample | times one datum at a time | log p(x), same draws |",
        "|---|---|---|---|",
    ]
    for name, micro in result["microseconds_per_pair"].items():
        ratio = result["ratio"][name]
        value = result["log_likelihood"].get(name.removeprefix("aevb "))
        said = "" if value is None else f"{value:.4f}"
        lines.append(f"| {name} | {micro:.2f} | {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] | {said} |")
    for name, whole in result.get("full", {}).items():
        lines.append(
            f"\n5000 samples for each of 10,000 images, {name}: {whole['seconds']:.0f} s, log p(x) "
            f"{whole['log_likelihood']:.3f} ± {whole['standard_error']:.3f}, peak memory {whole['peak_mib']:.0f} MiB."
        )
    return "\n".join(lines) + "\n"


def picture(results: list[dict]) -> None:
    figure = Figure(figsize=(8, 1.2 + 0.32 * sum(len(result["contenders"]) for result in results)), layout="constrained")
    axes = figure.subplots(len(results), 1, height_ratios=[len(result["contenders"]) for result in results], squeeze=False)[:, 0]
    for ax, result in zip(axes, results, strict=True):
        names = list(result["contenders"])[::-1]
        values = [result["contenders"][name]["ratio"] for name in names]
        colours = ["#0072b2" if name.startswith("aevb") else "#999999" for name in names]
        ax.barh(names, [value["median"] for value in values], color=colours)
        ax.set_title(f"{TITLES[result['workload']]}, {result['threads']} thread(s): times {result['reference']}", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.axvline(1, color="black", linewidth=0.8)
    figure.savefig(ROOT / "docs" / "pictures" / "speed.png", dpi=110)


def main() -> None:
    trained = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("training_*.json"))]
    text = HEAD + "![Speed beside the references](pictures/speed.png)\n\n"
    for result in trained:
        text += table(result) + (shares(result) if result["workload"] == "mnist" else "") + "\n"
    for path in sorted(RESULTS.glob("evaluation_*.json")):
        text += evaluation(json.loads(path.read_text())) + "\n"
    text += "## On an accelerator\n\nNot measured.\n"
    (ROOT / "docs" / "speed.md").write_text(text)
    picture(trained)
    print(text)


if __name__ == "__main__":
    main()
