"""The experiments of `examples/` support the theory; `docs/experiments.md` shows the records."""

import importlib.util
import sys
from pathlib import Path

import pytest

import aevb

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples"


@pytest.fixture(scope="module")
def script():
    """Imports an example without running it."""

    def load(name):
        spec = importlib.util.spec_from_file_location(
            f"example_{name.replace('/', '_')}", FOLDER / f"{name}.py"
        )
        # a dataclass looks for its annotations in sys.modules
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield load


@pytest.fixture(scope="module")
def terms(script):
    """The numbers of three models with three objectives after a few epochs."""
    module = script("terms")
    digits = module.digits()
    return {
        name: module.measure(model, digits)
        for name, model in module.train(digits, epochs=30, hidden=64).items()
    }


def test_kl_alone_leaves_no_information_in_latents(terms):
    alone = terms["divergence only"]
    # near 0; it is the sum of mutual information and aggregate divergence
    assert alone["divergence"]["mean"] < 0.02
    # an estimate from 719 draws scatters around 0 with a standard error of the same size
    information = alone["mutual_information"]
    assert abs(information["mean"]) < 0.02 + 5 * information["standard_error"]
    assert alone["accuracy_of_neighbours"]["low"] < 0.15  # chance is 0.1


def test_reconstruction_alone_leaves_latents_far_from_the_prior(terms):
    alone, both = terms["reconstruction only"], terms["both"]
    assert alone["aggregate_divergence"]["mean"] > 3 * both["aggregate_divergence"]["mean"] > 0
    assert alone["mutual_information"]["mean"] > both["mutual_information"]["mean"] > 1
    assert alone["divergence"]["mean"] > 2 * both["divergence"]["mean"]


def test_both_terms_keep_information_near_the_prior(terms):
    both = terms["both"]
    assert both["accuracy_of_neighbours"]["low"] > 0.2  # chance is 0.1
    assert both["aggregate_divergence"]["mean"] < 1
    remainder = (
        both["divergence"]["mean"]
        - both["mutual_information"]["mean"]
        - both["aggregate_divergence"]["mean"]
    )
    # the rate is the sum of the two; one draw per datum leaves some hundredths of a nat
    assert abs(remainder) < 0.25


def test_neighbours_on_the_manifold_are_alike_along_each_axis(script):
    """At half the distance squared differences fall to a quarter; of jumps they would to a half."""
    module = script("manifold")
    model = module.train(aevb.data.load("digits"), epochs=30, hidden=64)
    coarse, fine = (module.smoothness(model, n) for n in (12, 24))
    for axis in ("first", "second"):
        assert fine[axis] < 0.02  # two pictures of the grid at random: 1
        # percentiles of a normal distribution get closer more slowly at the edge
        assert fine[axis] / coarse[axis] < 0.4


def test_decoded_neighbours_help_where_labels_are_very_few(script):
    """One label per class; three seeds give the mean gain to 0.01."""
    module = script("augmentation")
    digits = aevb.data.load("digits", split=(0.5, 0.1, 0.4))
    gain = module.measure(module.train(digits, seeds=3, epochs=40, hidden=100), digits, labels=10)[
        "gain"
    ]
    assert gain["neighbours"]["logistic regression"]["value"] > 0.02
    assert abs(gain["copies"]["logistic regression"]["value"]) < 0.02  # more rows alone do not help


@pytest.mark.slow  # six models need many epochs: autoencoders lose their gaps late
def test_a_vae_is_nearer_to_digits_halfway_between_two_of_them(script):
    """Two latent variables, three seeds; the record has five, with intervals."""
    module = script("smoothness")
    digits = aevb.data.load("digits", split=(0.4, 0.2, 0.4))
    result = module.measure(
        {kind: module.train(kind, digits, seeds=3, epochs=150, latent=2) for kind in module.KINDS},
        digits,
    )
    # measured: -82 with these seeds, -94 with five
    assert result["difference"]["distance"]["value"] < -40
    assert result["difference"]["entropy"]["value"] < 0


def test_recorded_midpoints_of_a_vae_are_nearer_to_digits(script):
    """With two latent variables: the distance with its interval, the entropy on average."""
    difference = script("common/document").load_record("smoothness")["2"]["difference"]
    assert difference["distance"]["high"] < 0
    assert difference["entropy"]["value"] < 0


def test_walks_end_at_reconstructions_and_the_geodesic_is_the_shortest(script):
    module = script("interpolation")
    digits = aevb.data.load("digits")
    model = module.train(digits, epochs=10, latent=4, hidden=64)
    start, end = (module.picture_of_class(digits, name) for name in ("2", "6"))
    paths = module.measure(model, start, end)
    others = min(paths["linear"]["length"], paths["spherical"]["length"])
    assert 1 <= paths["geodesic"]["length"] < others  # 1 is the distance of the ends
    assert paths["geodesic"]["unevenness"] < 0.05 < paths["linear"]["unevenness"]


def test_the_page_is_rendered_from_the_records(script):
    assert script("common/document").render_page() == (ROOT / "docs" / "experiments.md").read_text(
        encoding="utf-8"
    )


def test_pictures_of_the_page_exist(script):
    page = script("common/document").render_page()
    names = [part.split(")")[0] for part in page.split("](pictures/")[1:]]
    assert names
    assert not [name for name in names if not (ROOT / "docs" / "pictures" / name).is_file()]
