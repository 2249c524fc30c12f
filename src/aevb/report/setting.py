"""What was there before the first picture: the data, the model, the training."""

from __future__ import annotations

from .. import plots
from ..data.labels import labels_said
from ..data.words import count, sides
from ..networks import Condition
from ..plots.curves import available
from . import parts
from .html import Section, bullets, pairs, paragraph, side_by_side, text
from .story import Story

PICTURES = {"bound": "bound", "log_likelihood": "log-likelihood", "kl": "kl-curve"}


def data(story: Story) -> Section:
    """What was read, and what was decided about it."""
    spec, split = story.spec, story.data
    measured = "all test rows" if len(story.rows) == len(split.test) else f"{len(story.rows):,} test rows, evenly spread"
    rows = [
        ("name", spec.name),
        ("shape", (f"{sides(spec.event_shape)}: " if spec.image else "") + f"{count(story.dimensions, 'number')} per {story.one}"),
        ("rows", f"{len(split.train):,} train, {len(split.validation):,} validation, {len(split.test):,} test"),
        ("measured on", measured),
    ]
    if spec.classes:
        rows.append(("classes", f"{labels_said(spec.classes)}{'' if story.labels_told else '; the model has not seen them'}"))
    if spec.condition:
        what = "the model infers it where it is not told" if Condition(spec.condition).optional else "every number is of p(x) given it"
        rows.append(("told of each datum", f"{', '.join(factor.name for factor in spec.condition)}; {what}"))
    return Section("data", "The data", pairs(rows) + bullets((*_foreign(story), *spec.said)) + _binarised(story))


def _foreign(story: Story) -> tuple[str, ...]:
    """Whose data these are, where they are not those of training."""
    trained = story.saved.spec
    if trained is None or trained.name == story.spec.name:
        return ()
    return (f'The model was trained on "{trained.name}"; this report measures it on "{story.spec.name}".',)


def curves(story: Story) -> Section | None:
    """How training went."""
    if len(story.history) < 2:
        return None
    drawn = [
        story.album.add(name, plots.curves(story.history, [quantity]), f"{name} against epochs, training and validation.")
        for quantity, name in PICTURES.items()
        if quantity in available(story.history)
    ]
    best = parts.best_epoch(story.history)
    kept = f"Training was judged on validation rows, and the weights of epoch {best.epoch} were kept." if best else ""
    scale = "The steep first tenth of the epochs does not set the scale." if len(story.history) >= 10 else ""
    return Section("training", "Training", paragraph(kept, scale) + side_by_side(*drawn))


def model(story: Story) -> Section:
    """What was built, how it was trained, and how to take it up again."""
    rows = parts.architecture(story.model) + parts.training(story.saved.training, story.history)
    shape = ", ".join(map(str, (10, *story.spec.event_shape)))
    condition = story.model.condition
    told = "" if condition is None or condition.optional else f", {condition.example}"
    use = f"model.sample(10{told})  # [{shape}]" if story.model.posterior.density else f"model.reconstruct(x)  # x: [N, {shape[4:]}]"
    code = f'import aevb\n\nmodel = aevb.load("{story.saved.path.name}")\n{use}'
    return Section("model", "The model", pairs(rows) + f"<pre>{text(code)}</pre>")


def _binarised(story: Story) -> str:
    if story.spec.binarisation is None:
        return ""
    how = "afresh at every epoch of training" if story.spec.binarisation == "dynamic" else "once, before training"
    return paragraph(
        f"Binarisation: {story.spec.binarisation}. Grey values were made 0 or 1 at random, {how}; held-out rows once.",
        "Likelihoods are those of the binary images, and compare only with numbers of the same binarisation.",
    )
