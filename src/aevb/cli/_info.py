"""``aevb info``: installed versions, devices and extras."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from typing import Any

from .. import __version__
from ._console import ConsoleOutput
from ._options import CommonOptions, Json

EXTRAS = {  # purpose, and the distribution of each module
    "tables": ("reading and writing csv and parquet", {"polars": "polars"}),
    "images": ("folders of images, png files", {"PIL": "pillow"}),
    "formats": (
        ".xlsx, .h5ad, .mat, sparse .npz and .zst files",
        {"fastexcel": "fastexcel", "h5py": "h5py", "scipy": "scipy"},
    ),
    "plot": ("pictures and the report", {"matplotlib": "matplotlib"}),
    "sklearn": ("scikit-learn estimators, probes, clusters and tests", {"sklearn": "scikit-learn"}),
    "onnx": ("features of samples by a network in an .onnx file", {"onnxruntime": "onnxruntime"}),
}
CORE_DEPENDENCIES = ("torch", "numpy", "safetensors", "zuko", "narwhals", "cyclopts", "rich")


def info(*, json: Json = False, common: CommonOptions = CommonOptions()) -> None:
    """Versions, devices, and extras, with the line that installs a missing extra."""
    console = ConsoleOutput(common.quiet, json)
    found = environment_record()
    if json:
        console.print_json(found)
        return
    console.print_table(
        [
            ("aevb", __version__),
            ("python", found["python"]),
            *((name, found["versions"][name] or "missing") for name in CORE_DEPENDENCIES),
        ]
    )
    console.print_table(
        [("devices", ", ".join(f"{name} ({about})" for name, about in found["devices"].items()))]
    )
    for name, extra in found["extras"].items():
        state = (
            ", ".join(extra["versions"])
            if extra["installed"]
            else f'missing: pip install "aevb[{name}]"'
        )
        console.print_table([(f"[{name}]".ljust(10), f"{extra['purpose']}: {state}")])


def environment_record() -> dict[str, Any]:
    """Versions, devices and extras."""
    versions = {name: installed_version(name) for name in CORE_DEPENDENCIES}
    extras = {name: _extra_record(purpose, modules) for name, (purpose, modules) in EXTRAS.items()}
    return {
        "aevb": __version__,
        "python": platform.python_version(),
        "versions": versions,
        "devices": devices(),
        "extras": extras,
    }


def devices() -> dict[str, str]:
    """The devices that torch can use, each with a description."""
    import torch

    found = {"cpu": f"{torch.get_num_threads()} of {os.cpu_count()} threads"}
    found |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return found | ({"mps": "Apple"} if torch.backends.mps.is_available() else {})


def installed_version(distribution: str) -> str | None:
    """The installed version; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _extra_record(purpose: str, modules: dict[str, str]) -> dict[str, Any]:
    installed = all(importlib.util.find_spec(module) for module in modules)
    return {
        "purpose": purpose,
        "installed": installed,
        "versions": [
            f"{name} {installed_version(name)}"
            for name in modules.values()
            if installed_version(name)
        ],
    }
