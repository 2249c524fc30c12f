"""The rule that chooses the sizes and the training of a model of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._recipe import TrainingDefaults
from ..data._spec import Spec
from ._builders import is_whitened

MANY_ROWS = 1000
MIN_STEPS, MAX_STEPS = 2000, 6000
BINARY_STEPS = 5000
MAX_LATENT = 256
COMPONENTS = 32
HIDDEN = 0.2
MAX_MIXTURE_COLUMNS = 32


@dataclass(frozen=True, kw_only=True)
class TableDefaults:
    """What ``table_vae`` is for a table, unless an argument says otherwise.

    The rule for complete tables of real numbers, measured by ``benchmarks/tables/density.py``:

    - *Latent*: one variable for each column that varies, so that the start is exact; fewer lose
      what columns have in common.
    - *Prior and start*: a mixture of up to 32 Gaussians with full covariances, fitted to the
      whitened training rows, of which every fifth chooses the number; a Gaussian where one is
      enough. More than 32 columns start at the Gaussian. The start stays where training does not
      improve it on the validation rows.
    - *Steps*: as many as there are training rows, from 2,000 to 6,000. Epochs are not counted: few
      rows need as many steps. There is no patience, since the best weights are kept.
    - *Learning rate*: 0.003 from 1,000 rows on, otherwise 0.001: fewer rows are overfitted sooner.

    Arrays of 0 and 1, measured by ``benchmarks/tables/binary.py``: up to 16 latent variables, at
    most one for two columns, two layers of 128, and 5,000 steps at a rate of 0.003, however few the
    rows; a patience ends the training of small sets.

    Other tables (several kinds of columns, empty cells) have up to 16 latent variables, two layers
    of 128 and the training of other presets.

    Args:
        latent: Number of latent variables.
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        scale: Scale of the numbers around their mean.
        components: Gaussians of the prior; 0 for the standard normal prior.
        training: Steps and learning rate.

    Example:
        >>> from aevb import data
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(300, 5))
        >>> found = TableDefaults.for_spec(data.load(rows).spec)
        >>> found.latent, found.training.lr
        (5, 0.001)
    """

    latent: int
    hidden: tuple[int, ...] = (64, 64)
    scale: str | None = None
    components: int = 0
    training: TrainingDefaults = field(default_factory=TrainingDefaults)

    @classmethod
    def for_spec(cls, spec: Spec) -> TableDefaults:
        """Choose by the number of rows and columns, and by whether all cells are real numbers.

        Args:
            spec: Description of the data.
        """
        many = spec.train_rows is None or spec.train_rows >= MANY_ROWS
        if spec.support == "binary":
            return cls(
                latent=max(1, min(16, spec.dimensions // 2)),
                hidden=(128, 128),
                training=TrainingDefaults(steps=BINARY_STEPS, max_epochs=None, lr=3e-3),
            )
        if not is_whitened(spec):
            return cls(latent=max(1, min(16, spec.dimensions)), hidden=(128, 128))
        size = spec.dimensions - sum(each is not None for each in spec.constants or ())
        return cls(
            latent=min(size, MAX_LATENT),
            scale="predicted",
            components=COMPONENTS if size <= MAX_MIXTURE_COLUMNS else 0,
            training=TrainingDefaults(
                steps=min(max(spec.train_rows or MAX_STEPS, MIN_STEPS), MAX_STEPS),
                min_epochs=1,
                max_epochs=None,
                lr=3e-3 if many else 1e-3,
                patience=None,
            ),
        )

    def starts_at_mixture(self, latent: int) -> bool:
        """Whether a model with this latent starts at a mixture."""
        return self.components > 0 and latent >= self.latent


@dataclass(frozen=True, kw_only=True)
class ImputationDefaults:
    """How ``table_imputation`` is trained, by the number of training rows.

    The rule, measured by ``benchmarks/tables/imputation.py``:

    - *Below 1,000 rows*: one of five cells is hidden from the encoder in each step, since what
      few rows have in common by chance is soon learned by heart; 4,000 steps however few rows
      there are, without patience, since the best weights are kept.
    - *From 1,000 rows on*: no cell is hidden, the scale of numbers is predicted, and there are
      6,000 steps at a rate of 0.003. Hiding cells there makes imputed cells worse, unless all
      rows are complete: the encoder would never have seen an empty cell.

    Args:
        hide: Share of the cells that are hidden from the encoder.
        scale: Scale of the numbers around their mean.
        training: Steps and learning rate.

    Example:
        >>> from aevb import data
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(300, 5))
        >>> ImputationDefaults.for_spec(data.load(rows).spec).hide
        0.2
    """

    hide: float
    scale: str
    training: TrainingDefaults

    @classmethod
    def for_spec(cls, spec: Spec) -> ImputationDefaults:
        """Choose by the number of training rows.

        Args:
            spec: Description of the data.
        """
        many = spec.train_rows is None or spec.train_rows >= MANY_ROWS
        training = TrainingDefaults(
            steps=6000 if many else 4000,
            min_epochs=1,
            max_epochs=None,
            lr=3e-3 if many else 1.5e-3,
            patience=None,
        )
        scale = "predicted" if many else "per_element"
        columns = () if spec.schema is None else spec.schema.modelled
        hide = 0.0 if many and any(column.missing for column in columns) else HIDDEN
        return cls(hide=hide, scale=scale, training=training)


def table_training(spec: Spec) -> TrainingDefaults:
    """How ``table_vae`` and ``not_miwae`` are trained on data.

    Args:
        spec: Description of the data.
    """
    return TableDefaults.for_spec(spec).training


def imputation_training(spec: Spec) -> TrainingDefaults:
    """How ``table_imputation`` is trained on data.

    Args:
        spec: Description of the data.
    """
    return ImputationDefaults.for_spec(spec).training
