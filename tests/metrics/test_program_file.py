"""Networks in files: layers of every kind are read, and nothing that is no layer is run."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aevb._sandbox import landlock_version, run_without_writing
from aevb.errors import DataError
from aevb.metrics._program_file import is_known_operator, load_program


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


class Functions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, size=(12, 12), mode="bilinear", antialias=True)
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-5)
        y = torch.cat([x, x.abs().sqrt(), x.clamp(0, 1)], 1).view(x.shape[0], -1)
        y = torch.einsum("bi,bi->bi", y, y)
        return torch.softmax(y, 1).topk(3).values + y.argmax(1, keepdim=True).float()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Hardswish(),
        nn.ConvTranspose2d(4, 4, 2),
        nn.GroupNorm(2, 4),
        nn.ReflectionPad2d(1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(4, 3),
        nn.GELU(),
        nn.LayerNorm(3),
    ),
    "attention": Attention,
    "functions": Functions,
}


def export(network: nn.Module, path: Path) -> Path:
    program = torch.export.export(
        network.eval(),
        (torch.randn(4, 3, 16, 16),),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_every_kind_compute_what_the_network_computes(tmp_path, name):
    network = NETWORKS[name]()
    load = load_program(export(network, tmp_path / "net.pt2"))
    x = torch.randn(5, 3, 16, 16)
    assert torch.allclose(load(x), network(x), atol=1e-5)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return export(
        nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), tmp_path_factory.mktemp("a") / "n.pt2"
    )


def changed(
    source: Path, target: Path, change: Callable[[dict[str, Any]], None], **options
) -> Path:
    """A program with its description changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("models/model.json"):
                record = json.loads(content)
                change(record)
                content = json.dumps(record).encode()
            new.writestr(name, content)
    return target


def set_operator(name: str):
    def change(record):
        record["graph_module"]["graph"]["nodes"][0]["target"] = name

    return change


def rename(record):
    for node in record["graph_module"]["graph"]["nodes"]:
        node["name"] = 'x"\nimport os\nos.abort()\n#'


def other_structure(record):
    call = record["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps({"default_factory_module": "antigravity", "default_factory_name": "fly"})
    inner = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    call["in_spec"] = json.dumps([1, inner])


@pytest.mark.parametrize(
    "operator",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.os.system",
        "torch.load",
        "torch.hub.load",
        "torch.ops.load_library",
        "torch.ops.aten.empty.memory_format",
        "torch.ops.aten.set_.source_Storage_storage_offset",
        "torch.ops.aten._print.default",
        "torch.ops.profiler._record_function_enter.default",
        "_operator.methodcaller",
        "#custom",
        3,
    ],
)
def test_operators_that_are_no_layers_are_refused(program, tmp_path, operator):
    with pytest.raises(DataError):
        load_program(changed(program, tmp_path / "net.pt2", set_operator(operator)))


@pytest.mark.parametrize("change", [rename, other_structure])
def test_names_and_structures_that_become_code_are_refused(program, tmp_path, change):
    with pytest.raises(DataError):
        load_program(changed(program, tmp_path / "net.pt2", change))


def test_code_of_guards_is_not_run(program, tmp_path):
    victim = tmp_path / "victim"
    code = f"().__class__.__base__.__subclasses__() and open({str(victim)!r}, 'w')"

    def change(record):
        record["guards_code"] = [code]

    network = load_program(changed(program, tmp_path / "net.pt2", change))
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 2) and not victim.exists()


def test_compressed_parts_are_refused(program, tmp_path):
    path = changed(program, tmp_path / "n.pt2", dict.copy, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError):
        load_program(path)


def test_operators_that_touch_files_or_processes_are_not_on_the_list():
    names = [name for name in dir(torch.ops.aten) if "file" in name or "print" in name]
    names += ["from_file", "set_data", "_resize_output", "resize_", "_debug_has_internal_overlap"]
    assert not [name for name in names if is_known_operator(f"torch.ops.aten.{name}.default")]


@pytest.mark.skipif(not landlock_version(), reason="the system has no Landlock")
def test_a_thread_without_rights_writes_no_file_and_others_do(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(16))

    def overwrite() -> None:
        torch.from_file(str(victim), shared=True, size=4, dtype=torch.float32).fill_(1)

    for attempt in (
        overwrite,
        lambda: victim.write_bytes(b""),
        victim.unlink,
        lambda: (tmp_path / "new").touch(),
        lambda: victim.rename(tmp_path / "moved"),
    ):
        with pytest.raises((OSError, RuntimeError)):
            run_without_writing(attempt)
    assert victim.read_bytes() == bytes(16) and list(tmp_path.iterdir()) == [victim]
    assert run_without_writing(victim.read_bytes) == bytes(16)
    assert not run_without_writing(torch.is_grad_enabled)
    overwrite()
    assert victim.read_bytes() != bytes(16)
