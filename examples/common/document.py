"""Write docs/experiments.md from the figures that the experiments left in benchmarks/results/. Takes a second."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "experiments.md"

HEAD = """# The theory in pictures

Written by `examples/common/document.py` from `benchmarks/results/`; do not edit. Each section is one script:
`python examples/NAME.py` makes the picture and prints the figures, on one core in the time that it says.
Intervals, in brackets, are 95 %; ± is one standard error; log-probabilities are in nats.
"""


def kept(name: str) -> dict[str, Any]:
    """What an experiment recorded."""
    return json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )


def mean(found: dict[str, float], digits: int = 2) -> str:
    return f"{found['mean']:.{digits}f} ± {found['standard_error']:.{digits}f}"


def between(found: dict[str, float], digits: int = 2, sign: str = "") -> str:
    return f"{found['value']:{sign}.{digits}f} ({found['low']:{sign}.{digits}f} to {found['high']:{sign}.{digits}f})"


def table(*rows: list[str]) -> str:
    """Rows of cells, the first of them the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def terms() -> str:
    found = kept("terms")
    names = ["reconstruction only", "divergence only", "both"]
    measures = {
        "reconstruction": "E log p(x given z)",
        "divergence": "KL(q, prior)",
        "mutual_information": "I(x; z)",
        "aggregate_divergence": "KL of all codes together to the prior",
    }
    rows = [[said, *(mean(found[name][key]) for name in names)] for key, said in measures.items()]
    accuracy = [
        "digits named by 5 neighbours of a drawn code",
        *(between(found[name]["accuracy_of_neighbours"]) for name in names),
    ]
    return f"""## What each term of the bound does

![Maps of held-out digits' codes: reconstruction only, divergence only, both](pictures/terms.png)

`examples/terms.py`: three models with two latent variables that share networks, first weights, order of the data and draws, and differ in
what they climb. One draw of the code for each of {found["rows"]:,} held-out digits; the circles hold 50 % and 95 % of the prior.

{table(["", *names], *rows, accuracy)}

Without the divergence, codes lie wherever they like: draws from the prior are decoded from places where no digit is. Without the
reconstruction every posterior is the prior, and codes say nothing. With both, codes fill the prior and tell digits apart, and held-out
digits are reconstructed no worse. I(x; z) is at most the logarithm of the number of digits, {math.log(found["rows"]):.2f}, and what it
lacks is in the line below.
"""


def reconstructions() -> str:
    return """## Reconstructions

Every report of a run (`aevb report RUN`) shows held-out data above their reconstructions, and how much of the fine detail is left
(`plots.high_frequency_ratio`): less than 1, since the mean of what a code may stand for is smoother than any of it.
"""


def manifold() -> str:
    found = kept("manifold")
    rows = []
    for name, sizes in found.items():
        for size, axes in sizes.items():
            rows.append([name, f"{size} x {size}", f"{axes['first']:.4f}", f"{axes['second']:.4f}"])
    faces = "\n![The same of faces](pictures/manifold_faces.png)\n" if "faces" in found else ""
    return f"""## The plane of two latent variables

![Digits at equally spaced percentiles of the prior](pictures/manifold.png)
{faces}
`examples/manifold.py`: what is expected at equally spaced percentiles of the prior. Equal areas are equally probable, and pictures change
smoothly along each axis: the mean squared difference of neighbours, over that of any two pictures of the grid, falls
to about a third when
the grid is twice as fine.

{table(["", "grid", "along the first variable", "along the second"], *rows)}
"""


def interpolation() -> str:
    found = kept("interpolation")
    rows = []
    for name, pairs in found.items():
        for place, pair in enumerate(pairs):
            label = "2 to 6" if name == "digits" else f"{name[:-1]} {place + 1}"
            rows.append(
                [label, *(f"{way['length']:.3f}; {way['unevenness']:.3f}" for way in pair.values())]
            )
    return f"""## Between two pictures

![From a 2 to a 6, and between drawings of one character, on three paths](pictures/interpolation.png)

`examples/interpolation.py`: from a held-out 2 to a 6, and between two held-out drawings of one character (Omniglot; nobody who drew these
was seen in training). The ends are the reconstructions. `linear` is straight between the codes; `spherical` keeps the distance from the
origin; `geodesic` is the shortest path as measured in the decoded pictures (`aevb interpolate --path geodesic`).
Each cell holds the length of the
path in the pictures, over the distance of its ends, and the deviation of its steps, over their mean.

{table(["", "linear", "spherical", "geodesic"], *rows)}

The geodesic is the shortest and its steps are even. It is not the path of the most digit-like pictures: the shortest
way between two pictures fades
one into the other, and the metric of the decoder's mean does not know where data are. The arc stays where codes of digits are.
"""


MEASURES = (
    ("distance_of_ends", "Frechet distance of the ends", 0),
    ("distance", "… of midpoints", 0),
    ("further_distance", "… of midpoints, beyond the ends", 0),
    ("entropy_of_ends", "entropy of the ends", 2),
    ("entropy", "… of midpoints", 2),
    ("further_entropy", "… of midpoints, beyond the ends", 2),
)


def smoothness() -> str:
    found = kept("smoothness")
    rows = []
    for latent, each in found.items():
        for key, said, digits in MEASURES:
            cells = [between(each[kind][key], digits) for kind in ("autoencoder", "VAE")]
            rows.append(
                [
                    f"{said}, {latent} latent variables",
                    *cells,
                    between(each["difference"][key], digits, "+"),
                ]
            )
    two = found["2"]
    return f"""## A VAE and an autoencoder, halfway

![Walks of an autoencoder above those of a VAE](pictures/smoothness.png)

`examples/smoothness.py`: what is decoded halfway between the codes of {two["pairs"]} pairs of held-out digits, and the reconstructions of
the ends, by five autoencoders and five VAEs of the same networks, seed by seed. The Frechet distance is that to other held-out digits, in
16 principal components; the entropy is that of a classifier that saw none of the models' data. Digits themselves have
{two["digits"]["distance"]:.0f} (0, up to the noise of so few rows: its bias is taken off) and
{two["digits"]["entropy"]:.2f} nats, averages of two digits' pixels {two["pixels_between"]["distance"]:.0f} and
{two["pixels_between"]["entropy"]:.2f}. In the picture, walks of the first autoencoder (above) and the first VAE (below) with two latent
variables.

{table(["", "autoencoder", "VAE", "VAE less autoencoder"], *rows)}

{verdict(found)}
"""


def verdict(found: dict[str, Any]) -> str:
    """Which differences are there, and which are none, in words."""
    said = []
    for latent, each in found.items():
        told = {key: _sign(each["difference"][key]) for key, *_ in MEASURES}
        nearer, ends, further = (
            told[key] for key in ("distance", "distance_of_ends", "further_distance")
        )
        said.append(
            f"With {latent} latent variables the VAE's midpoints are {WORDS[nearer]} digits; its reconstructions are {WORDS[ends]} them, "
            f"and what midpoints lose beyond that is {LOST[further]}. Entropies of midpoints are {LEVEL[told['entropy']]}."
        )
    return " ".join(said)


WORDS = {-1: "nearer to", 0: "not told apart in their distance to", 1: "further from"}
LOST = {-1: "less, too", 0: "not told apart", 1: "more"}
LEVEL = {-1: "lower", 0: "not told apart", 1: "higher"}


def _sign(found: dict[str, float]) -> int:
    """On which side of 0 the whole interval lies; 0 where it holds it."""
    return -1 if found["high"] < 0 else 1 if found["low"] > 0 else 0


def augmentation() -> str:
    found = kept("augmentation")
    kinds = ["nearest neighbour", "logistic regression"]
    rows = []
    for labels in ("10", "50"):
        each = found[labels]
        rows.append(
            [
                f"{labels} labelled digits alone",
                *(between(each["accuracy"][kind], 3) for kind in kinds),
            ]
        )
        rows += [
            [f"gain by {name}", *(between(gain[kind], 3, "+") for kind in kinds)]
            for name, gain in each["gain"].items()
        ]
    return f"""## A small training set, augmented

![Labelled digits, and decoded neighbours below](pictures/augmentation.png)

`examples/augmentation.py`: {found["copies"]} decoded neighbours of each labelled digit (`inference.augment`, from a
VAE of four latent variables that learned from
all training digits without labels) join it in the training set of a classifier. Accuracy on {found["held_out"]}
held-out digits over {found["seeds"]} seeds, and
what is gained seed by seed; plain copies and noisy copies of the digits, as many, are there to be compared with.

{table(["", *kinds], *rows)}

With one label of each class neighbours help both classifiers. Of what the regression gains, noise in the pixels gives most, too; the
nearest neighbour gains from decoded neighbours alone. With five labels of each class they help neither, and harm the
regression.
"""


def elsewhere() -> str:
    return """## Elsewhere

- How far the approximation and how far the amortisation leave the bound from the truth: `metrics.gaps`.
- The variance of score-function and pathwise gradients against the number of latent variables: `benchmarks/gradient_variance.py`,
  [picture](pictures/gradient_variance.svg).
- How well codes separate classes: `metrics.separation`, in every report of labelled data.
"""


def written() -> str:
    """The page."""
    sections = (
        terms,
        reconstructions,
        manifold,
        interpolation,
        smoothness,
        augmentation,
        elsewhere,
    )
    return "\n".join([HEAD, *(section() for section in sections)])


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
    print(PAGE)
