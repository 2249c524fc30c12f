"""Single cells: variational autoencoders of ``AnnData`` objects, under the names of the field.

``fit`` gives a ``Run``, with everything that a run can do; the functions here write into the object
and compare groups of cells. AnnData need not be installed: an object with its attributes ``X``,
``obs``, ``var``, ``var_names``, ``layers`` and ``obsm`` is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from . import inference, presets
from ._random import seed_scope
from .data import Dataset, load
from .data._formatting import format_list, suggest_nearest
from .data._matrices import get_array, is_annotated
from .data._model_defaults import find_noncount
from .data._sparse_rows import SparseRows, is_sparse_matrix
from .errors import ArgumentError, DataError, check_choice
from .inference import DifferenceMode
from .networks import Labels
from .notes import Argument, message
from .runs import Run
from .training import fit as train

Dispersion = Literal["gene", "gene-batch", "gene-cell"]
CountLikelihood = Literal["negative_binomial", "zero_inflated_negative_binomial", "poisson"]
EXPRESSION_BLOCK = 1024  # cells whose expression of all genes is in memory together
_LIKELIHOODS = ("negative_binomial", "zero_inflated_negative_binomial", "poisson")

__all__ = ["differential_expression", "embed", "fit", "normalised_expression", "predict_labels"]


def fit(
    adata: Any,
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    labels_key: str | None = None,
    unlabelled: str = "Unknown",
    likelihood: CountLikelihood = "negative_binomial",
    library_size: bool = True,
    dispersion: Dispersion = "gene",
    n_latent: int = 10,
    hidden: int | tuple[int, ...] = 128,
    dropout: float = 0.1,
    seed: int = 0,
    **training: Any,
) -> Run:
    """Fit a variational autoencoder to the counts of cells.

    Without labels this is the model of Lopez et al. (2018): ``presets.count_vae``. With
    ``labels_key`` it is the semi-supervised model M2 of Kingma et al. (2014), which scANVI (Xu et
    al. 2021) builds on: ``presets.semi_supervised_vae``; it knows neither batch nor library size.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018). Xu et al.,
    Probabilistic harmonization and annotation of single-cell transcriptomics data with deep
    generative models (2021).

    Args:
        adata: An ``AnnData`` object with counts; a sparse matrix stays sparse.
        layer: The layer of the counts; by default ``X``.
        batch_key: The column of ``obs`` with the batch of each cell.
        labels_key: The column of ``obs`` with the types of some cells.
        unlabelled: The value of that column for cells whose type is not known.
        likelihood: The family of the counts.
        library_size: Whether the total of a cell is given to the model, which then describes the
            shares of the genes in it.
        dispersion: Whether the concentration of the counts is that of a gene, of a gene in a batch,
            or of a gene in a cell; with labels that of a gene.
        n_latent: Number of latent variables.
        hidden: Widths of the layers of encoder and decoder.
        dropout: Share of features that are left out in each training step.
        seed: Seed of split, weights, order and draws.
        **training: Further arguments of ``aevb.fit``, such as ``epochs``, ``device`` or ``out``.

    Returns:
        The run: ``encode``, ``normalised_expression``, ``evaluate``, ``save`` ...

    Raises:
        DataError: The matrix holds no counts, or ``obs`` has no such column.
        ArgumentError: A setting that no model can use.

    Example:
        >>> from types import SimpleNamespace
        >>> import pandas
        >>> rng = np.random.default_rng(0)
        >>> adata = SimpleNamespace(
        ...     X=rng.poisson(2.0, (60, 5)),
        ...     layers={},
        ...     obsm={},
        ...     var=None,
        ...     var_names=[f"gene {place}" for place in range(5)],
        ...     obs=pandas.DataFrame({"batch": ["a", "b"] * 30}),
        ... )
        >>> run = fit(adata, batch_key="batch", n_latent=2, hidden=8, epochs=1, progress=False)
        >>> embed(run, adata).shape, list(adata.obsm)
        ((60, 2), ['X_vae'])
    """
    check_choice("likelihood", likelihood, _LIKELIHOODS)
    if labels_key is not None and dispersion != "gene":
        raise ArgumentError(
            "the model of cells with labels has one for each gene",
            argument="dispersion",
            value=dispersion,
            suggestions=(message("Write {gene}", gene=Argument("dispersion", "gene")),),
        )
    _check_annotated(adata)
    _check_cell_counts(adata, layer)
    data = (
        _load_counts(adata, layer, batch_key, likelihood, library_size, seed)
        if labels_key is None
        else _load_labelled(adata, layer, labels_key, unlabelled, likelihood, seed)
    )
    options: dict[str, Any] = {
        "latent": n_latent,
        "hidden": (hidden,) if isinstance(hidden, int) else hidden,
        "dropout": dropout,
    }
    with seed_scope(seed):
        recipe = (
            presets.count_vae(data.spec, dispersion=dispersion, **options)
            if labels_key is None
            else presets.semi_supervised_vae(data.spec, **options)
        )
    return Run.from_fit(train(recipe, data, seed=seed, **training), data)


def embed(run: Run, adata: Any, *, key: str = "X_vae", layer: str | None = None) -> np.ndarray:
    """Write the latent variables of cells into ``adata.obsm``.

    Args:
        run: The run of ``fit``.
        adata: Cells with the genes of the training, in any order.
        key: The name of the latent variables.
        layer: The layer of the counts; by default ``X``.

    Returns:
        The means of the posterior, float32 ``[cells, n_latent]``.

    Raises:
        DataError: The model cannot take the cells.
    """
    latent = run.encode(adata, key=layer).flatten(1).numpy()
    adata.obsm[key] = latent
    return latent


def normalised_expression(
    run: Run,
    adata: Any,
    genes: Sequence[str] | None = None,
    *,
    library_size: float | Literal["observed"] = 1e4,
    transform_batch: str | Sequence[str] | None = None,
    n_samples: int = 16,
    layer: str | None = None,
    seed: int = 0,
) -> Any:
    """Estimate the expression of each gene in each cell at one library size.

    Args:
        run: The run of ``fit``.
        adata: Cells with the genes of the training.
        genes: Names of genes; all by default.
        library_size: The sum of a cell over all genes; ``"observed"``: its own, so that the result
            is its denoised counts.
        transform_batch: Decode all cells as if they were of this batch, or the mean over several;
            by default of their own.
        n_samples: Draws of the latent of a cell.
        layer: The layer of the counts; by default ``X``.
        seed: Seed of the draws.

    Returns:
        A frame ``[cells, genes]`` of the library of ``adata.obs``.

    Raises:
        DataError: The model cannot take the cells.
        ArgumentError: A gene or a batch is not known.
    """
    rows, names = run.rows(adata, key=layer), _gene_names(run, adata)
    places = {name: place for place, name in enumerate(names)}
    chosen = list(places) if genes is None else list(genes)
    for name in chosen:
        if name not in places:
            near = suggest_nearest(name, names, "genes")
            raise ArgumentError("no such gene", argument="genes", value=name, suggestions=near)
    observed = library_size == "observed"
    library = 1.0 if observed else float(library_size)
    found = torch.zeros(len(rows), len(chosen))
    labels = _batch_labels(run, transform_batch)
    for start in range(0, len(rows), EXPRESSION_BLOCK):
        place = slice(start, start + EXPRESSION_BLOCK)
        block = rows.subset(place)
        for label in labels:
            own = run.normalised_expression(
                block, library=library, label=label, samples=n_samples, seed=seed
            )
            found[place] += own[:, [places[name] for name in chosen]] / len(labels)
        if observed:
            found[place] *= block.tensor().sum(1, keepdim=True)
    values = found.numpy()
    frame = _frame_like(adata.obs, {name: values[:, i] for i, name in enumerate(chosen)})
    if hasattr(adata.obs, "index"):  # pandas
        frame.index = adata.obs.index
    return frame


def predict_labels(
    run: Run, adata: Any, *, key: str = "predicted", layer: str | None = None
) -> np.ndarray:
    """Write the most probable type of each cell and its probability into ``adata.obs``.

    Args:
        run: A run of ``fit`` with ``labels_key``.
        adata: Cells with the genes of the training.
        key: The name of the column of types; ``"{key}_probability"`` is that of probabilities.
        layer: The layer of the counts; by default ``X``.

    Returns:
        Probabilities ``[cells, types]``, types in the order of ``run.spec.class_names``.

    Raises:
        IncompatibleError: The model does not infer labels.
        DataError: The model cannot take the cells.
    """
    prediction = run.predict(run.rows(adata, key=layer))
    probabilities = prediction.probabilities.numpy()
    adata.obs[key] = np.array(prediction.predicted_names, dtype=object)
    adata.obs[f"{key}_probability"] = probabilities.max(1)
    return probabilities


def differential_expression(
    run: Run,
    adata: Any,
    groupby: str,
    group: Any,
    reference: Any = None,
    *,
    mode: DifferenceMode = "change",
    delta: float = 0.25,
    false_discovery_rate: float = 0.05,
    pairs: int = 5000,
    correct_batches: bool = True,
    layer: str | None = None,
    seed: int = 0,
) -> Any:
    """Find the genes that differ between two groups of cells.

    Args:
        run: The run of ``fit``.
        adata: Cells with the genes of the training.
        groupby: The column of ``obs`` with the groups.
        group: The value of the first group.
        reference: The value of the second group; by default all other cells.
        mode: ``"change"``: a log2 fold change beyond ``delta`` in the more probable direction;
            ``"vanilla"``: a larger share in the first group.
        delta: The smallest log2 fold change that matters.
        false_discovery_rate: The expected share of false genes among those that are ``found``.
        pairs: Number of pairs of posterior draws.
        correct_batches: Whether both cells of a pair are decoded as of one batch, each batch for as
            many pairs.
        layer: The layer of the counts; by default ``X``.
        seed: Seed of pairs and draws.

    Returns:
        A frame of the library of ``adata.obs`` with a row per gene, the most probable first:
        ``gene``, ``probability``, ``bayes_factor`` (natural log), ``log2_fold_change``,
        ``deviation``, ``found``, and mean count and share of cells with a count in both groups.

    Raises:
        DataError: ``obs`` has no such column, or the model cannot take the cells.
        ArgumentError: A group has no cells, or a setting is out of range.
    """
    groups = _column(adata, groupby, "groupby")
    first = _members(groups, group, "group")
    second = ~first if reference is None else _members(groups, reference, "reference")
    rows = run.rows(adata, key=layer)
    found = inference.differential_expression(
        run,
        rows,
        torch.from_numpy(first),
        torch.from_numpy(second),
        mode=mode,
        delta=delta,
        pairs=pairs,
        batches=_batches(run) if correct_batches else None,
        seed=seed,
    )
    matrix = adata.X if layer is None else adata.layers[layer]
    counts = [_Counts.of(matrix[np.flatnonzero(each)]) for each in (first, second)]
    order = torch.argsort(found.probability, descending=True, stable=True).numpy()
    columns: dict[str, np.ndarray] = {
        "gene": np.array(_gene_names(run, adata), dtype=str),
        "probability": found.probability.numpy(),
        "bayes_factor": found.bayes_factor.numpy(),
        "log2_fold_change": found.log2_fold_change.numpy(),
        "deviation": found.deviation.numpy(),
        "found": found.found(false_discovery_rate).numpy(),
    }
    places = _places(adata, columns["gene"])
    for number, each in enumerate(counts, 1):
        columns[f"mean_{number}"] = each.mean[places]
        columns[f"detected_{number}"] = each.detected[places]
    return _frame_like(adata.obs, {name: each[order] for name, each in columns.items()})


@dataclass(frozen=True)
class _Counts:
    """Mean count and share of cells with a count of each gene, ``[D]`` each."""

    mean: np.ndarray
    detected: np.ndarray

    @classmethod
    def of(cls, matrix: Any) -> _Counts:
        """Those of a matrix, which may be sparse."""
        mean, detected = (np.asarray(part.mean(0)).ravel() for part in (matrix, matrix > 0))
        return cls(mean, detected)


@dataclass(frozen=True)
class _Annotated:
    """What ``load`` reads of an ``AnnData`` object."""

    X: Any
    obs: Mapping[str, Any]
    var_names: Any
    layers: Mapping[str, Any]
    var: Any = None


def _load_counts(
    adata: Any,
    layer: str | None,
    batch_key: str | None,
    likelihood: str,
    library_size: bool,
    seed: int,
) -> Dataset:
    """The counts, under the condition of batch and library size."""
    if batch_key is not None:
        _column(adata, batch_key, "batch_key")
    condition = [name for name in (batch_key, "library_size" if library_size else None) if name]
    return load(adata, key=layer, likelihood=likelihood, condition=condition or None, seed=seed)


def _load_labelled(
    adata: Any, layer: str | None, labels_key: str, unlabelled: str, likelihood: str, seed: int
) -> Dataset:
    """The counts with the types of some cells."""
    labels = np.asarray(_column(adata, labels_key, "labels_key")).astype(object)
    known = np.array([None if each == unlabelled else each for each in labels], dtype=object)
    if all(each is None for each in known):
        raise DataError(
            f'all cells are "{unlabelled}"',
            argument="labels_key",
            value=labels_key,
            suggestions=("Leave it out", "Label some cells"),
        )
    cells = _Annotated(adata.X, {labels_key: known}, adata.var_names, adata.layers)
    return load(
        cells,
        key=layer,
        likelihood=likelihood,
        labels=labels_key,
        condition="label",
        allow_missing_labels=True,
        seed=seed,
    )


def _check_annotated(adata: Any) -> None:
    if not is_annotated(adata):
        raise DataError(
            f"`adata` is a {type(adata).__name__}",
            argument="adata",
            suggestions=("Give an AnnData object", "Use `aevb.fit` for other data"),
        )


def _check_cell_counts(adata: Any, layer: str | None) -> None:
    """Refuse numbers that are no counts.

    Raises:
        DataError: There are some, or there is no such layer.
    """
    matrix = adata.X
    if layer is not None:
        matrix = get_array(adata.layers, "layer", layer, "the AnnData object")
    matrix = matrix.to_memory() if hasattr(matrix, "to_memory") else matrix
    if matrix is None:
        return
    sparse = is_sparse_matrix(matrix)
    wrong = find_noncount(SparseRows.from_scipy(matrix) if sparse else np.asarray(matrix))
    if wrong is not None:
        raise DataError(
            f"it holds {wrong:g}, which is no count: the numbers are normalised or scaled",
            argument="layer",
            value="X" if layer is None else layer,
            suggestions=("Name the layer with the raw counts",),
        )


def _column(adata: Any, name: str, argument: str) -> np.ndarray:
    """A column of ``obs``."""
    names = [str(each) for each in adata.obs]
    if name not in names:
        raise DataError(
            "`obs` has no such column",
            argument=argument,
            value=name,
            suggestions=suggest_nearest(name, names, argument),
        )
    return np.asarray(adata.obs[name])


def _members(groups: np.ndarray, value: Any, argument: str) -> np.ndarray:
    """The cells of a group."""
    found = groups == value
    if not found.any():
        known = [str(each) for each in dict.fromkeys(groups.tolist())]
        raise ArgumentError(
            "no cell is of this group",
            argument=argument,
            value=value,
            suggestions=suggest_nearest(str(value), known, argument),
        )
    return found


def _batches(run: Run) -> list[dict[str, Any]] | None:
    """The classes of the variables that the model is conditioned on; ``None`` without."""
    found = [
        each
        for each in run.spec.condition or ()
        if isinstance(each, Labels) and each.labelled_fraction == 1
    ]
    return [{found[0].name: each} for each in found[0].categories] if len(found) == 1 else None


def _gene_names(run: Run, adata: Any) -> list[str]:
    """The genes of the model."""
    return [str(name) for name in run.spec.columns or adata.var_names]


def _batch_labels(run: Run, batches: str | Sequence[str] | None) -> Sequence[dict[str, Any] | None]:
    """What cells are decoded under, ``None`` for their own batch."""
    if batches is None:
        return [None]
    known = {str(name): each for each in _batches(run) or () for name in each.values()}
    names = [batches] if isinstance(batches, str) else list(batches)
    for name in names:
        if name not in known:
            raise ArgumentError(
                f"the batches of the model are {format_list(known) or 'none'}",
                argument="transform_batch",
                value=name,
            )
    return [known[name] for name in names]


def _places(adata: Any, genes: np.ndarray) -> np.ndarray:
    """The places of genes in the object."""
    places = {str(name): place for place, name in enumerate(adata.var_names)}
    return np.array([places[name] for name in genes.tolist()])


def _frame_like(obs: Any, columns: dict[str, np.ndarray]) -> Any:
    """A frame of the library of ``obs``."""
    import narwhals

    backend = narwhals.from_native(obs, eager_only=True).implementation
    return narwhals.from_dict(columns, backend=backend).to_native()
