"""Sparse matrices of counts, which no step makes dense as a whole."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import aevb
from aevb.data import Rows, load, load_as
from aevb.data._fingerprints import find_duplicates, fingerprint
from aevb.data._sparse_rows import SparseRows
from aevb.data._statistics import moments
from aevb.errors import DataError
from aevb.networks import Condition
from aevb.runs import Run

sparse = pytest.importorskip("scipy.sparse")


def counts(n=120, d=30, seed=0):
    """Return counts of which about a tenth is not 0, one column full and one empty."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(0.3, 0.3, d), (n, d))
    x[:, 0], x[:, 1] = rng.integers(1, 400, n), 0
    return x


@dataclass
class Annotated:
    """The parts of an ``AnnData`` object."""

    X: object
    obs: dict
    var: object
    var_names: list
    layers: dict


def annotated(x, names=None):
    """Return cells of two batches."""
    names = [f"g{i}" for i in range(x.shape[1])] if names is None else names
    obs = {"batch": np.array(["a", "b"] * (len(x) // 2), dtype=object)}
    return Annotated(sparse.csr_matrix(x), obs, None, names, {"twice": sparse.csc_matrix(2 * x)})


class TestSparseRows:
    @pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
    @pytest.mark.parametrize(
        "index", [slice(3, 9), slice(0, 0), slice(None, None, -2), [5, 2, 2], [], "mask", "last"]
    )
    def test_selection_equals_that_of_the_dense_array(self, kind, index):
        x = counts().astype(np.float32)
        index = {"mask": x[:, 3] > 0, "last": np.array([-1])}.get(str(index), index)
        index = np.array(index, int) if isinstance(index, list) else index
        rows = SparseRows.from_scipy(getattr(sparse, f"{kind}_matrix")(x))
        np.testing.assert_array_equal(np.asarray(rows[index]), x[index])

    def test_cells_in_several_parts_are_summed(self):
        matrix = sparse.csr_matrix((np.ones(3), np.array([1, 1, 0]), np.array([0, 3])), (1, 2))
        np.testing.assert_array_equal(np.asarray(SparseRows.from_scipy(matrix)), [[1, 2]])
        assert matrix.nnz == 3, "the matrix of the user stays as it is"

    def test_rows_are_those_of_the_dense_array(self):
        x = counts()
        dense = Rows.from_array(x.astype(np.float32))
        rows = Rows.from_array(sparse.csr_matrix(x)).to("cpu")
        index = torch.tensor([7, 0, 7])
        assert isinstance(rows.stored_values, SparseRows)
        assert torch.equal(rows.batch(index).x, dense.batch(index).x)
        assert torch.equal(rows.subset(index)[1:], dense.subset(index)[1:])
        assert torch.equal(rows.with_offset((1.0,)).tensor(), dense.tensor().double())
        assert fingerprint([rows.subset([3, 1]), rows.subset([0])]) == fingerprint(
            [dense.subset([0, 1, 3])]
        )
        assert find_duplicates(dense.subset([4]), rows).tolist() == [True]


class TestLoading:
    @pytest.mark.parametrize("likelihood", ["negative_binomial", "normal"])
    def test_numbers_of_a_run_are_those_of_the_dense_array(self, likelihood):
        x = counts()
        histories = []
        for source in (x, sparse.csc_matrix(x)):
            data = load(source, likelihood=likelihood)
            torch.manual_seed(0)
            recipe = aevb.presets.vae(data.spec, latent=2, hidden=[8])
            result = aevb.fit(recipe, data, epochs=3, batch_size=16, progress=False)
            histories.append([epoch.target for epoch in result.history])
        assert isinstance(data.train.stored_values, SparseRows)
        assert histories[0] == histories[1]

    def test_moments_are_those_of_the_dense_array(self):
        x, index = counts(seed=1) * 1.5, np.arange(0, 120, 2)
        rows = SparseRows.from_scipy(sparse.csr_matrix(x))
        for by_column in (True, False):
            found, expected = (moments(each, index, by_column) for each in (rows, x))
            for name in ("mean", "deviation", "low", "high"):
                np.testing.assert_allclose(getattr(found, name), getattr(expected, name), 1e-12)

    def test_no_step_makes_the_set_dense(self, monkeypatch):
        sizes = []
        for name in ("tensor", "__array__"):
            original = getattr(SparseRows, name)

            def recorded(self, *arguments, original=original, **options):
                sizes.append(len(self))
                return original(self, *arguments, **options)

            monkeypatch.setattr(SparseRows, name, recorded)
        monkeypatch.setattr("aevb._memory.MAX_ELEMENTS_PER_BLOCK", 4000)
        monkeypatch.setattr("aevb.data._statistics.CHUNK_ELEMENTS", 4000)
        monkeypatch.setattr("aevb.data._temporal_order.MAX_NEIGHBOUR_CELLS", 4000)
        monkeypatch.setattr("aevb.data._table_faults.MAX_ELEMENTS", 4000)
        data = load(sparse.csr_matrix(counts(6000, 40)), likelihood="negative_binomial")
        recipe = aevb.presets.vae(data.spec, latent=2, hidden=[4])
        result = aevb.fit(recipe, data, epochs=1, batch_size=500, progress=False)
        assert max(sizes) <= 1024, "rows that a model is initialised with; other blocks are smaller"
        Run.from_fit(result, data).data_notes(data.test, data.test)
        assert max(sizes) <= 1024

    def test_filled_matrices_become_dense(self):
        assert load(sparse.csr_matrix(counts() + 1)).train.is_dense

    def test_precise_full_columns_keep_their_digits(self):
        x = counts().astype(float)
        x[:, 0] = 1.7e9 + np.arange(120)
        found = load(sparse.csr_matrix(x), order="time").train.tensor()
        np.testing.assert_array_equal(found.numpy(), x[:96])

    @pytest.mark.parametrize("value", [-1.0, 0.5])
    def test_other_numbers_than_counts_are_refused(self, value):
        x = counts().astype(float)
        x[5, 5] = value
        with pytest.raises(DataError) as caught:
            load(sparse.csr_matrix(x), likelihood="negative_binomial")
        assert caught.value.argument == "likelihood"

    def test_missing_cells_are_named(self):
        x = counts().astype(float)
        x[7, 4] = np.nan
        with pytest.raises(DataError, match="row 7, column 4"):
            load(sparse.csr_matrix(x))

    def test_an_index_outside_is_refused(self):
        matrix = sparse.csr_matrix(counts())
        matrix.indices[3] = 99
        with pytest.raises(DataError):
            load(matrix)


class TestAnnotatedMatrices:
    def test_parts_are_read(self):
        x = counts()
        data = load(annotated(x), condition="batch", order="time", likelihood="poisson")
        assert data.spec.columns == tuple(f"g{i}" for i in range(30))
        assert data.train.context[:2].tolist() == [[1, 0], [0, 1]]
        np.testing.assert_array_equal(data.train.tensor().numpy(), x[:96])
        doubled = load(annotated(x), key="twice", labels="batch", order="time")
        assert doubled.spec.class_names == ("a", "b")
        np.testing.assert_array_equal(doubled.train.tensor().numpy(), 2 * x[:96])

    def test_columns_are_matched_by_name(self):
        x = counts()
        spec = load(annotated(x)).spec
        names = [f"g{i}" for i in range(30)]
        found = load_as(annotated(x[:, ::-1], names[::-1]), spec)
        np.testing.assert_array_equal(found.tensor().numpy(), x)
        with pytest.raises(DataError, match="g0"):
            load_as(annotated(x[:, 1:], names[1:]), spec)

    @pytest.mark.parametrize("argument", ["key", "labels", "condition"])
    def test_unknown_names_are_refused(self, argument):
        with pytest.raises(DataError) as caught:
            load(annotated(counts()), **{argument: "colour"})
        assert caught.value.argument == argument

    def test_an_object_without_a_matrix_is_refused(self):
        source = SimpleNamespace(X=None, obs={}, var=None, var_names=[], layers={})
        with pytest.raises(DataError):
            load(source)


class TestLibrarySize:
    BATCH = np.array(["a", "b"] * 60)

    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
    def test_it_is_the_total_of_the_row(self, convert):
        x = counts()
        condition = {"batch": self.BATCH, "library_size": None}
        data = load(convert(x), likelihood="poisson", condition=condition, order="time")
        train = x[:96].sum(1)
        reference = data.spec.condition[1].reference
        assert reference == pytest.approx(np.exp(np.log(train).mean()))
        np.testing.assert_allclose(
            data.train.context[:, 2], np.log(train / reference), atol=1e-6
        )  # float32
        later = load_as(convert(x), data.spec, condition=self.BATCH)
        labelled = Rows.from_array(convert(x)).with_label(Condition(data.spec.condition), "a")
        assert torch.allclose(later.context[:, 2], labelled.context[:, 2])

    def test_rows_without_counts_are_noted(self):
        x = counts()
        x[3] = 0
        spec = load(sparse.csr_matrix(x), likelihood="poisson", condition="library_size").spec
        (note,) = [note for note in spec.notes if note.code == "empty_rows"]
        assert note.data == {"rows": 1}

    @pytest.mark.parametrize("value", [-1.0, 0.5])
    def test_other_numbers_than_counts_have_none(self, value):
        x = counts().astype(float)
        x[5, 5] = value
        with pytest.raises(DataError) as caught:
            load(sparse.csr_matrix(x), condition="library_size")
        assert caught.value.argument == "condition"

    def test_an_unseen_batch_is_refused(self):
        condition = {"batch": self.BATCH, "library_size": None}
        spec = load(counts(), likelihood="poisson", condition=condition).spec
        with pytest.raises(DataError, match="new"):
            load_as(counts()[:1], spec, condition=np.array(["new"]))

    def test_a_column_may_be_the_library_size(self):
        source = annotated(counts())
        source.obs["molecules"] = np.full(120, 900)
        spec = load(source, likelihood="poisson", condition="molecules:library").spec
        assert spec.condition[0].reference == pytest.approx(900)
        assert spec.has_library_size
