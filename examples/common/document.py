"""Write docs/experiments.md from the records in benchmarks/results/. Takes a second."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "experiments.md"

PAGE_HEAD = """# The theory in pictures

Written by `examples/common/document.py` from `benchmarks/results/`; do not edit. Each section is
one script: `python examples/NAME.py` makes the picture and prints the numbers, on one core in the
stated time. Intervals, in brackets, are 95 %; ± is one standard error; log-probabilities are in
nats.
"""


def load_record(name: str) -> dict[str, Any]:
    """The record of an experiment."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def format_estimate(record: dict[str, float], digits: int = 2) -> str:
    """A mean with its standard error."""
    return f"{record['mean']:.{digits}f} ± {record['standard_error']:.{digits}f}"


def format_interval(record: dict[str, float], digits: int = 2, sign: str = "") -> str:
    """A value with its interval."""
    value, low, high = (f"{record[key]:{sign}.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def table(*rows: list[str]) -> str:
    """A table; the first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def terms() -> str:
    """The section on the terms of the bound."""
    record = load_record("terms")
    names = ["reconstruction only", "divergence only", "both"]
    quantities = {
        "reconstruction": "E log p(x given z)",
        "divergence": "KL(q, prior)",
        "mutual_information": "I(x; z)",
        "aggregate_divergence": "KL of the aggregate posterior to the prior",
    }
    rows = [
        [label, *(format_estimate(record[name][key]) for name in names)]
        for key, label in quantities.items()
    ]
    accuracy = [
        "accuracy of 5 nearest neighbours of a draw of z",
        *(format_interval(record[name]["accuracy_of_neighbours"]) for name in names),
    ]
    return f"""## The terms of the bound

![Latent maps of held-out digits: reconstruction only, divergence only, both](pictures/terms.png)

`examples/terms.py`: three models with two latent variables share networks, first weights, the order
of the data and all draws, and differ in the objective. The maps show one draw of z for each of
{record["rows"]:,} held-out digits; the circles contain 50 % and 95 % of the prior.

{table(["", *names], *rows, accuracy)}

Without the divergence, latent variables lie anywhere: draws from the prior are decoded where no
digit is. Without the reconstruction, every posterior is the prior and z carries no information.
With both, z fills the prior and separates digits, and held-out digits are reconstructed no worse.
I(x; z) is at most the logarithm of the number of digits, {math.log(record["rows"]):.2f}; the line
below has the rest of the divergence.
"""


def reconstructions() -> str:
    """The section on reconstructions."""
    return """## Reconstructions

Every report of a run (`aevb report RUN`) shows held-out data above their reconstructions, and the
share of fine detail that is left (`plots.high_frequency_ratio`). It is below 1, because the mean of
p(x|z) averages over all data that z may stand for.
"""


def manifold() -> str:
    """The section on the latent plane."""
    rows = [
        [name, f"{size} x {size}", f"{axes['first']:.4f}", f"{axes['second']:.4f}"]
        for name, sizes in load_record("manifold").items()
        for size, axes in sizes.items()
    ]
    has_faces = any(row[0] == "faces" for row in rows)
    faces = "\n![The latent plane of faces](pictures/manifold_faces.png)\n" if has_faces else ""
    return f"""## The latent plane

![Digits at equally spaced percentiles of the prior](pictures/manifold.png)
{faces} `examples/manifold.py`: the mean of p(x|z) at equally spaced percentiles of the prior. Equal
areas are equally probable, and pictures change smoothly along each axis: the mean squared
difference of neighbours, over that of any two pictures of the grid, falls to about a third on a
grid of half the spacing.

{table(["", "grid", "along the first variable", "along the second"], *rows)}
"""


def interpolation() -> str:
    """The section on paths between two pictures."""
    rows = []
    for name, pairs in load_record("interpolation").items():
        for number, pair in enumerate(pairs, 1):
            label = "2 to 6" if name == "digits" else f"{name[:-1]} {number}"
            cells = [f"{path['length']:.3f}; {path['unevenness']:.3f}" for path in pair.values()]
            rows.append([label, *cells])
    return f"""## Interpolation

![From a 2 to a 6, and between drawings of a character, on three paths](pictures/interpolation.png)

`examples/interpolation.py`: from a held-out 2 to a 6, and between two held-out drawings of one
character (Omniglot; the writers are not in the training data). The ends are the reconstructions.
`linear` is straight in latent space; `spherical` keeps the distance from the origin; `geodesic` is
the shortest path as measured in the decoded pictures (`aevb interpolate --path geodesic`). Each
cell has the length of the path in the pictures, over the distance of its ends, and the standard
deviation of its steps, over their mean.

{table(["", "linear", "spherical", "geodesic"], *rows)}

The geodesic is the shortest path and its steps are even. It is not the path of the most digit-like
pictures: the shortest way between two pictures fades one into the other, and the metric of the
decoder's mean does not know where data are. The arc stays where the latent variables of digits are.
"""


SMOOTHNESS_ROWS = (
    ("distance_of_ends", "Fréchet distance of the ends", 0),
    ("distance", "… of midpoints", 0),
    ("further_distance", "… of midpoints, beyond the ends", 0),
    ("entropy_of_ends", "entropy of the ends", 2),
    ("entropy", "… of midpoints", 2),
    ("further_entropy", "… of midpoints, beyond the ends", 2),
)


def smoothness() -> str:
    """The section on midpoints of a VAE and an autoencoder."""
    record = load_record("smoothness")
    rows = [
        [
            f"{label}, {latent} latent variables",
            *(format_interval(result[kind][key], digits) for kind in ("autoencoder", "VAE")),
            format_interval(result["difference"][key], digits, "+"),
        ]
        for latent, result in record.items()
        for key, label, digits in SMOOTHNESS_ROWS
    ]
    two = record["2"]
    return f"""## Midpoints of a VAE and an autoencoder

![Paths of an autoencoder above paths of a VAE](pictures/smoothness.png)

`examples/smoothness.py`: decoded midpoints in latent space between {two["pairs"]} pairs of held-out
digits, and the reconstructions of the ends, of five autoencoders and five VAEs with the same
networks, seed by seed. The Fréchet distance is to other held-out digits, in 16 principal
components; the entropy is of a classifier that has not seen the training data. Digits themselves
have {two["digits"]["distance"]:.0f} (0 up to the noise of so few rows: the bias is removed) and
{two["digits"]["entropy"]:.2f} nats; averages of the pixels of two digits
{two["pixels_between"]["distance"]:.0f} and {two["pixels_between"]["entropy"]:.2f}. The picture
shows paths of the first autoencoder (above) and the first VAE (below) with two latent variables.

{table(["", "autoencoder", "VAE", "VAE minus autoencoder"], *rows)}

{conclusion(record)}
"""


def conclusion(record: dict[str, Any]) -> str:
    """The differences whose interval excludes 0, in words."""
    sentences = []
    for latent, result in record.items():
        signs = {key: _sign(result["difference"][key]) for key, *_ in SMOOTHNESS_ROWS}
        sentences.append(
            f"With {latent} latent variables the VAE's midpoints are "
            f"{DISTANCE_WORDS[signs['distance']]} digits, its reconstructions are "
            f"{DISTANCE_WORDS[signs['distance_of_ends']]} digits, and the loss of midpoints beyond "
            f"that of the ends is {LEVEL_WORDS[signs['further_distance']]}. The entropy of "
            f"midpoints is {LEVEL_WORDS[signs['entropy']]}."
        )
    return "\n".join(sentences)


DISTANCE_WORDS = {
    -1: "nearer to",
    0: "not significantly nearer to or further from",
    1: "further from",
}
LEVEL_WORDS = {-1: "smaller", 0: "not significantly different", 1: "larger"}


def _sign(interval: dict[str, float]) -> int:
    """The sign of an interval; 0 if it contains 0."""
    return -1 if interval["high"] < 0 else 1 if interval["low"] > 0 else 0


def augmentation() -> str:
    """The section on augmentation."""
    record = load_record("augmentation")
    kinds = ["nearest neighbour", "logistic regression"]
    rows = []
    for labels in ("10", "50"):
        accuracy, gains = record[labels]["accuracy"], record[labels]["gain"]
        alone = [format_interval(accuracy[kind], 3) for kind in kinds]
        rows.append([f"accuracy with {labels} labelled digits", *alone])
        rows += [
            [f"gain by {name}", *(format_interval(gain[kind], 3, "+") for kind in kinds)]
            for name, gain in gains.items()
        ]
    return f"""## Augmentation of a small training set

![Labelled digits, and decoded neighbours below](pictures/augmentation.png)

`examples/augmentation.py`: {record["copies"]} decoded neighbours of each labelled digit
(`inference.augment`, from a VAE with four latent variables, trained on all training digits without
labels) join the training set of a classifier. The table shows the accuracy on {record["held_out"]}
held-out digits over {record["seeds"]} seeds, and the gain seed by seed; the same number of plain
copies and of noisy copies of the digits is there for comparison.

{table(["", *kinds], *rows)}

With one label per class, neighbours help both classifiers. Noise in the pixels gives most of the
gain of the regression as well; the nearest neighbour gains from decoded neighbours alone. With five
labels per class they help neither classifier and harm the regression.
"""


def further_experiments() -> str:
    """Links to experiments on other pages."""
    return """## Further experiments

- The share of approximation and of amortisation in the gap of the bound: `metrics.inference_gaps`.
- The variance of score-function and pathwise gradients against the number of latent variables:
  `benchmarks/gradient_variance.py`, [picture](pictures/gradient_variance.svg).
- The separation of classes in latent space: `metrics.class_separation`, in every report of labelled
  data.
"""


def render_page() -> str:
    """The text of the page."""
    sections = (
        terms,
        reconstructions,
        manifold,
        interpolation,
        smoothness,
        augmentation,
        further_experiments,
    )
    return "\n".join([PAGE_HEAD, *(section() for section in sections)])


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
    print(PAGE)
