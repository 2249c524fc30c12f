"""Metrics of samples, reconstructions and codes.

Each number equals its formula, is exact where the truth is known, and its interval covers.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

import aevb
from aevb import VAE, likelihoods, metrics, networks, objectives, posteriors, priors
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError, MissingExtraError
from aevb.metrics import _features as features
from aevb.metrics import _intervals as ranged
from aevb.objectives._ssim import ssim

FIRST = features.pixel_features()  # a single object, because functions compare by identity
EXACT = 1e-9  # float64, sums of some thousand numbers of size 1


def normal(rows, dimensions, seed=0, shift=0.0):
    return (
        torch.randn(
            rows, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        + shift
    )


def covering(interval, truth):
    return interval.low <= truth <= interval.high


def onnx_product(weight, outside=False):
    """``Flatten(x) @ weight`` as the bytes of an ONNX file.

    With ``outside``, the weights are stored in a separate file.
    """

    def number(value):
        head = b""
        while value > 127:
            head, value = head + bytes([value & 127 | 128]), value >> 7
        return head + bytes([value])

    def part(field, content):  # of protobuf: a number, or bytes with their length
        return (
            number(field << 3) + number(content)
            if isinstance(content, int)
            else number(field << 3 | 2) + number(len(content)) + content
        )

    def text(field, *names):
        return b"".join(part(field, name.encode()) for name in names)

    def value(name, dimensions):  # ValueInfoProto: float32
        shape = b"".join(
            part(1, part(2, b"n") if size is None else part(1, size)) for size in dimensions
        )
        return text(1, name) + part(2, part(1, part(1, 1) + part(2, shape)))

    rows, columns = weight.shape
    place = (
        part(13, text(1, "location") + text(2, "weights.bin")) + part(14, 1)
        if outside
        else part(9, weight.numpy().tobytes())
    )
    tensor = part(1, rows) + part(1, columns) + part(2, 1) + text(8, "w") + place
    nodes = [
        text(1, "x") + text(2, "flat") + text(4, "Flatten"),
        text(1, "flat", "w") + text(2, "y") + text(4, "MatMul"),
    ]
    graph = b"".join(part(1, node) for node in nodes) + text(2, "net") + part(5, tensor)
    graph += part(11, value("x", (None, 2, 2))) + part(12, value("y", (None, columns)))
    return part(1, 8) + part(7, graph) + part(8, text(1, "") + part(2, 13))


class TestFrechet:
    """The distance of two Gaussians."""

    def test_published_value(self):
        a, b = (
            torch.tensor([[1.0, 0.0], [0.0, 4.0]]).double(),
            torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double(),
        )
        result = metrics.gaussian_frechet_distance(torch.zeros(2), a, torch.tensor([1.0, -1.0]), b)
        assert result == pytest.approx(3.27943376726955, abs=1e-12)
        assert metrics.gaussian_frechet_distance(
            torch.tensor([1.0, -1.0]), b, torch.zeros(2), a
        ) == pytest.approx(result, abs=1e-12)

    def test_one_dimensional_distance_has_the_closed_form(self):
        result = metrics.gaussian_frechet_distance(
            *(torch.tensor(x).double() for x in ([3.0], [[4.0]], [-1.0], [[0.25]]))
        )
        assert result == pytest.approx(4.0**2 + 1.5**2, abs=1e-12)

    def test_singular_covariances(self):
        """Two lines in space: the root of a projection is the projection, so the truth is known."""
        u, v = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]], dtype=torch.float64)
        result = metrics.gaussian_frechet_distance(
            torch.zeros(3), torch.outer(u, u), torch.zeros(3), torch.outer(v, v)
        )
        assert result == pytest.approx(1 + 1 - 2 * 0.6, abs=1e-12)

    def test_regular_covariances_agree_with_the_root_of_the_product(self):
        linalg = pytest.importorskip("scipy.linalg")
        a, b = normal(50, 4).T.cov(), normal(50, 4, seed=1).T.cov()
        root = np.trace(linalg.sqrtm((a @ b).numpy())).real
        expected = (a.trace() + b.trace()).item() - 2 * root
        assert metrics.gaussian_frechet_distance(
            torch.zeros(4), a, torch.zeros(4), b
        ) == pytest.approx(expected, abs=EXACT)

    def test_distance_of_data_equals_distance_of_moments(self):
        a, b = normal(60, 3), 2 * normal(45, 3, seed=1, shift=0.5)
        result = metrics.frechet_distance(a, b)
        # float32 rounding of values of size 3 changes a distance of size 5 by about 1e-6
        assert result.distance.value == pytest.approx(
            metrics.gaussian_frechet_distance(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()), abs=1e-5
        )

    @pytest.mark.parametrize(
        "dimensions", [3, 80]
    )  # 80 features of 60 rows: a covariance without full rank
    def test_identical_sets_are_at_distance_0(self, dimensions):
        x = normal(60, dimensions)
        assert metrics.frechet_distance(x, x).distance.value == pytest.approx(0, abs=1e-10)

    def test_jackknife_equals_recomputation_without_each_group(self):
        """The jackknife of four groups, written out."""
        a, b = normal(24, 2).float(), normal(24, 2, seed=1, shift=1.0).float()
        group = ranged.random_groups(24, 4, seed=0)
        whole = metrics.frechet_distance(a, b, groups=4)
        without = [
            metrics.frechet_distance(a[group != g], b[group != g], groups=4).distance.value
            for g in range(4)
        ]
        expected = ranged.jackknife(
            whole.distance.value, torch.tensor(without, dtype=torch.float64)
        )
        assert whole.bias_corrected.value == pytest.approx(expected.bias_corrected.value, abs=EXACT)
        assert (
            whole.distance.high == pytest.approx(expected.plug_in.high, abs=EXACT)
            and whole.distance.low == 0
        )

    def test_interval_covers_the_truth_and_bias_is_removed(self):
        shift, repeats, plain, corrected, inside = 0.5, 150, 0.0, 0.0, 0
        for seed in range(repeats):
            result = metrics.frechet_distance(
                normal(60, 4, 2 * seed), normal(60, 4, 2 * seed + 1, shift), groups=10
            )
            plain, corrected = (
                plain + result.distance.value / repeats,
                corrected + result.bias_corrected.value / repeats,
            )
            inside += covering(result.bias_corrected, 4 * shift**2)
        # one distance has a standard deviation of about 0.35, so that the mean of 150 is within
        # 5 * 0.03 of the truth; the bias of the plain distance is about 0.17, and the share of
        # intervals that cover is within five binomial standard deviations of 0.95
        assert abs(corrected - 1.0) < 0.15 and plain > corrected + 0.1
        assert inside / repeats > 0.95 - 5 * math.sqrt(0.95 * 0.05 / repeats)

    def test_bias_correction_is_refused_for_few_rows(self):
        """The bias of a covariance without full rank does not fall as one over the rows.

        Of equal Gaussians 11 would be left of it.
        """
        result = metrics.frechet_distance(normal(60, 80), normal(60, 80, seed=1))
        assert result.bias_corrected is None and result.notes[0].code == "frechet_bias_unknown"
        enough = metrics.frechet_distance(normal(100, 80), normal(100, 80, seed=1))
        assert covering(enough.bias_corrected, 0.0) and enough.notes[0].code == "frechet_bias"

    @pytest.mark.parametrize(
        "arguments, words",
        [
            (
                (torch.zeros(2), torch.eye(2), torch.zeros(1), torch.eye(2)),
                "`mean_b` has the shape",
            ),
            (
                (torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(2)),
                "`covariance_a` has the shape",
            ),
            (
                (torch.zeros(2), torch.eye(2), torch.zeros(2), -torch.eye(2)),
                "`covariance_b` has the eigenvalue -1",
            ),
        ],
    )
    def test_invalid_moments_are_refused(self, arguments, words):
        with pytest.raises(ArgumentError, match=words):
            metrics.gaussian_frechet_distance(*arguments)

    def test_constant_features_are_ignored_with_a_note(self):
        a, b = normal(50, 2), normal(50, 2, seed=1)
        wider = [torch.cat([x, torch.ones(50, 1)], 1) for x in (a, b)]
        result, narrow = metrics.frechet_distance(*wider), metrics.frechet_distance(a, b)
        assert result.distance.value == pytest.approx(narrow.distance.value, abs=EXACT)
        assert result.notes[-1].data == {"constant": 1, "features": 3} and not narrow.notes
        with pytest.raises(DataError, match=r"each of the 2 features.*constant"):
            metrics.frechet_distance(torch.ones(9, 2), torch.zeros(9, 2))


class TestKernelDistance:
    """The maximum mean discrepancy."""

    def test_distance_equals_the_sum_over_pairs(self):
        a, b = normal(12, 3).float(), normal(9, 3, seed=1).float()

        def kernel(x, y):
            return (x.double() @ y.double().T / 3 + 1) ** 3

        within = sum(
            (kernel(x, x).sum() - kernel(x, x).diagonal().sum()) / (len(x) * (len(x) - 1))
            for x in (a, b)
        )
        expected = (within - 2 * kernel(a, b).mean()).item()
        assert metrics.kernel_distance(a, b).distance.value == pytest.approx(expected, abs=EXACT)

    def test_estimate_is_unbiased(self):
        result = torch.tensor(
            [
                metrics.kernel_distance(normal(20, 2, s), normal(20, 2, 1000 + s)).distance.value
                for s in range(100)
            ]
        )
        assert abs(result.mean()) < 5 * result.std() / 10  # five standard errors of the mean of 100

    def test_interval_covers_the_expected_distance(self):
        """Against the mean over many pairs of sets, since the truth has no short formula."""
        result = [
            metrics.kernel_distance(
                normal(50, 2, 2 * s), normal(50, 2, 2 * s + 1, 1.0), groups=10
            ).distance
            for s in range(100)
        ]
        truth = sum(each.value for each in result) / 100
        assert sum(covering(each, truth) for each in result) / 100 > 0.95 - 5 * math.sqrt(
            0.95 * 0.05 / 100
        )


class TestPrecisionRecall:
    """Precision and recall of two point sets."""

    @pytest.mark.parametrize(
        "x", [normal(60, 3), (normal(60, 3) > 0).double()], ids=["distinct", "copies"]
    )
    def test_identical_sets(self, x):
        result = metrics.precision_recall(x, x, repeats=2)
        assert [result.precision.value, result.recall.value, result.coverage.value] == [1, 1, 1]
        assert (
            result.density.value == 1 or len(x.unique(dim=0)) < 60
        )  # copies lie inside of each other's balls

    def test_clouds_far_apart(self):
        result = metrics.precision_recall(normal(40, 3), normal(40, 3, shift=100.0), repeats=2)
        assert [
            result.precision.value,
            result.recall.value,
            result.density.value,
            result.coverage.value,
        ] == [0, 0, 0, 0]

    def test_samples_of_one_mode_are_precise_and_miss_the_other(self):
        real = torch.cat([normal(100, 2), normal(100, 2, seed=1, shift=50.0)])
        result = metrics.precision_recall(real, normal(200, 2, seed=2))
        assert (
            result.precision.value > 0.9
            and result.recall.value < 0.6
            and result.coverage.value < 0.6
        )

    def test_scores_equal_their_definitions(self):
        a, b, k = normal(15, 2).float().tolist(), normal(14, 2, seed=1).float().tolist(), 3
        ball = {
            name: [sorted(math.dist(p, q) for q in rows)[k] for p in rows]
            for name, rows in (("a", a), ("b", b))
        }
        inside = [[math.dist(p, q) < ball["a"][i] for q in b] for i, p in enumerate(a)]
        precision = sum(any(row[j] for row in inside) for j in range(14)) / 14
        recall = sum(any(math.dist(p, q) < ball["b"][j] for j, q in enumerate(b)) for p in a) / 15
        density = sum(map(sum, inside)) / (k * 14)
        result = metrics.precision_recall(torch.tensor(a), torch.tensor(b), neighbours=k, repeats=2)
        assert [result.precision.value, result.recall.value] == pytest.approx(
            [precision, recall], abs=1e-12
        )
        assert [result.density.value, result.coverage.value] == pytest.approx(
            [density, sum(map(any, inside)) / 15], abs=1e-12
        )

    def test_the_interval_of_random_halves_covers(self):
        result = [
            metrics.precision_recall(normal(60, 2, 2 * s), normal(60, 2, 2 * s + 1, 1.0)).density
            for s in range(60)
        ]
        truth = sum(each.value for each in result) / 60
        assert sum(covering(each, truth) for each in result) / 60 > 0.95 - 5 * math.sqrt(
            0.95 * 0.05 / 60
        )


class TestIntervals:
    """Intervals whose truth has a formula."""

    def test_the_jackknife_of_a_mean_is_its_standard_error(self):
        x = normal(30, 1)[:, 0]
        without = torch.stack([x[torch.arange(30) != i].mean() for i in range(30)])
        result = ranged.jackknife(x.mean().item(), without)
        assert (result.plug_in.high - result.plug_in.value) / ranged.student_t_quantile(
            29
        ) == pytest.approx(x.std().item() / math.sqrt(30), abs=EXACT)
        assert result.bias_corrected.value == pytest.approx(x.mean().item(), abs=EXACT)

    def test_jackknife_removes_the_bias_of_a_variance(self):
        x = normal(30, 1)[:, 0]
        without = torch.stack([x[torch.arange(30) != i].var(correction=0) for i in range(30)])
        assert ranged.jackknife(
            x.var(correction=0).item(), without
        ).bias_corrected.value == pytest.approx(x.var().item(), abs=EXACT)

    @pytest.mark.parametrize("rows", [40, 41])
    def test_random_halves_of_a_mean_give_its_standard_error(self, rows):
        x = normal(rows, 1)[:, 0]
        result = ranged.half_sample_interval(
            lambda part, seed: x[part].mean().item(), rows, repeats=4000, seed=0, bounds=(-9, 9)
        )
        # a deviation of 4000 draws is itself off by 1/sqrt(8000) = 1.1 %; five of these
        assert (result.high - result.value) / ranged.student_t_quantile(3999) == pytest.approx(
            x.std().item() / math.sqrt(rows), rel=0.056
        )

    @pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
    def test_wilson_covers_a_share(self, share):
        """Exactly, by summing over every outcome of 60 rows.

        Between 92 and 98 %, as the discreteness of 60 allows.
        """
        total = 0.0
        for hits in range(61):
            inside = covering(ranged.proportion_interval(torch.arange(60) < hits), share)
            total += inside * math.comb(60, hits) * share**hits * (1 - share) ** (60 - hits)
        assert 0.92 < total < 0.98

    def test_an_interval_over_seeds_covers(self):
        result = [
            metrics.interval_over_seeds(normal(3, 1, seed)[:, 0].tolist()) for seed in range(400)
        ]
        assert abs(sum(covering(each, 0.0) for each in result) / 400 - 0.95) < 5 * math.sqrt(
            0.95 * 0.05 / 400
        )
        with pytest.raises(DataError, match="at least 2"):
            metrics.interval_over_seeds([1.0])

    @pytest.mark.parametrize(
        "degrees, truth",
        [(1, 12.7062), (3, 3.1824), (5, 2.5706), (9, 2.2622), (19, 2.0930), (100, 1.9840)],
    )
    def test_student_quantiles_agree_with_tables(self, degrees, truth):
        assert ranged.student_t_quantile(degrees) == pytest.approx(
            truth, rel=0.002
        )  # what the series leaves out at 5 degrees


class TestFeatures:
    """Feature extractors for comparing samples."""

    def test_feature_network_is_identified_by_its_weights(self):
        first, second = nn.Linear(3, 2), nn.Linear(3, 2)
        digests = [features.function_features(net).digest for net in (first, first, second)]
        assert digests[0] == digests[1] != digests[2]
        assert features.function_features(torch.relu).digest is None

    def test_feature_network_is_in_evaluation_mode(self):
        net = nn.Sequential(nn.Linear(3, 200), nn.Dropout(0.5))
        result = features.function_features(net)
        assert (
            torch.equal(result(torch.ones(4, 3)), result(torch.ones(4, 3)))
            and net.training
            and net[1].training
        )

    def test_principal_components_keep_distances_where_all_are_kept(self):
        x = normal(20, 4)
        result = features.pca_features(x)(x)
        assert torch.allclose(
            torch.cdist(result, result), torch.cdist(x, x), atol=1e-5
        )  # float32 data
        assert metrics.frechet_distance(x, x + 1, "pca").distance.value == pytest.approx(
            4.0, abs=1e-4
        )

    def test_table_columns_are_standardised(self):
        x = normal(100, 2) * torch.tensor([1.0, 1e6])
        assert metrics.frechet_distance(
            x, x + torch.tensor([0.0, 1e6]), "standardised"
        ).distance.value == pytest.approx(1.0, abs=0.3)

    def test_an_encoder(self):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        )
        x = (normal(30, 6) > 0).float()
        result = metrics.frechet_distance(x, 1 - x, features.encoder_features(model))
        assert (
            result.dimensions == 2
            and result.features.digest == features.encoder_features(model).digest
        )

    def test_a_program_of_torch_export(self, tmp_path):
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh()).eval()
        program = torch.export.export(
            net, (torch.zeros(3, 3, 4),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.export.save(program, tmp_path / "net.pt2")
        x = normal(30, 12).float().reshape(30, 3, 4)
        result = features.load_features(tmp_path / "net.pt2")
        assert torch.allclose(result(x), net(x).double(), atol=1e-6) and len(result.digest) == 12
        assert (
            metrics.frechet_distance(x, x, str(tmp_path / "net.pt2")).features.digest
            == result.digest
        )

    @pytest.mark.parametrize(
        "content, words", [(b"no archive", "cannot be read as a program"), (None, "cannot be read")]
    )
    def test_unreadable_network_files_are_refused(self, tmp_path, content, words):
        path = tmp_path / "net.pt2"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            features.load_features(path)

    def test_pickled_parts_are_refused(self, tmp_path):
        import zipfile

        path = tmp_path / "net.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/models/model.json", "{}")
            archive.writestr(
                "net/data/weights/model_weights_config.json",
                '{"config": {"w": {"use_pickle": true}}}',
            )
        with pytest.raises(DataError, match="pickled parts"):
            features.load_features(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/models/model.json", '{"sizes": [{"expr_str": "__import__(1)"}]}')
        with pytest.raises(DataError, match="no arithmetic"):
            features.load_features(path)

    def test_onnx_needs_its_extra(self, tmp_path, monkeypatch):
        (tmp_path / "net.onnx").write_bytes(b"")
        monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
        with pytest.raises(MissingExtraError, match=r"aevb\[onnx\]"):
            features.load_features(tmp_path / "net.onnx")

    def test_an_onnx_network_with_its_weights_inside(self, tmp_path):
        pytest.importorskip("onnxruntime")
        weight, x = normal(4, 3).float(), normal(30, 4, seed=1).float().reshape(30, 2, 2)
        path = tmp_path / "net.onnx"
        path.write_bytes(onnx_product(weight))
        result = features.load_features(path)
        assert (
            torch.allclose(result(x), x.flatten(1).double() @ weight.double(), atol=1e-5)
            and len(result.digest) == 12
        )
        with pytest.raises(DataError, match=r"rows of shape \(30, 5\).*any size"):
            result(normal(30, 5))
        path.write_bytes(onnx_product(weight, outside=True))
        with pytest.raises(DataError, match="external_data=False"):
            features.load_features(path)

    def test_networks_that_differ_have_other_hashes(self):
        layer = nn.Linear(3, 3)
        digests = {
            features.function_features(nn.Sequential(layer, after)).digest
            for after in (nn.Tanh(), nn.ReLU())
        }
        assert len(digests) == 2 and features.function_features(nn.Flatten()).digest is None

    @pytest.mark.parametrize(
        "function",
        [nn.Linear(7, 2), lambda x: x @ torch.ones(9), lambda x: x.sum()],
        ids=["net", "product", "number"],
    )
    def test_error_names_an_incompatible_feature_function(self, function):
        with pytest.raises(DataError, match=r"`real`: features.*(any size|one row for each)"):
            metrics.frechet_distance(normal(9, 2), normal(9, 2), function)

    def test_sets_of_other_shapes_are_refused(self):
        with pytest.raises(DataError, match=r"shape \(3, 8, 8\).*shape \(8, 8, 3\)"):
            metrics.frechet_distance(torch.zeros(9, 3, 8, 8), torch.zeros(9, 8, 8, 3))

    @pytest.mark.parametrize(
        "argument, error, words",
        [
            ("pixel", ArgumentError, '"pixels", "standardised", "pca"'),
            (lambda x: x[:1], DataError, "one row for each"),
            (
                lambda x: x * math.nan,
                DataError,
                "`real`.*NaN or infinite for 9 rows, the first of them row 0",
            ),
        ],
    )
    def test_invalid_arguments_are_refused(self, argument, error, words):
        with pytest.raises(error, match=words):
            metrics.frechet_distance(torch.ones(9, 2), torch.ones(9, 2), argument)


@pytest.mark.parametrize(
    "measure, least",
    [
        (metrics.frechet_distance, 4),
        (metrics.kernel_distance, 4),
        (metrics.precision_recall, 12),
        (metrics.classifier_test, 20),
    ],
)
def test_too_few_rows(measure, least):
    with pytest.raises(DataError, match=f"at least {least}"):
        measure(torch.zeros(least - 1, 2), normal(30, 2))


@pytest.mark.parametrize(
    "measure", [metrics.frechet_distance, metrics.kernel_distance, metrics.precision_recall]
)
def test_global_generator_is_left_unchanged(measure):
    before = torch.get_rng_state()
    first, second = (measure(normal(30, 2), normal(30, 2, seed=1), FIRST) for _ in range(2))
    assert first == second and torch.equal(before, torch.get_rng_state())


class TestReconstruction:
    """Reconstruction metrics."""

    def test_reconstruction_metrics_equal_their_formulas(self):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(64, [8]), 2),
            likelihoods.DiscretisedLogistic(networks.MLP(2, [8]), (8, 8), levels=17),
        )
        x = (normal(20, 64).abs() * 5).clamp(max=16).round().float().reshape(20, 8, 8)
        reconstructed, result = (
            model.reconstruct(x),
            metrics.reconstruction_quality(model, x, data_range=16.0),
        )
        squared = (x - reconstructed).square().flatten(1).mean(1)
        assert result.squared_error.value == pytest.approx(
            squared.mean().item(), rel=1e-5
        )  # float32
        assert result.psnr.value == pytest.approx(
            (10 * (256 / squared).log10()).mean().item(), rel=1e-5
        )
        assert result.ssim.value == pytest.approx(
            ssim(x[:, None], reconstructed[:, None], 16.0).mean().item(), rel=1e-5
        )
        assert metrics.reconstruction_quality(model, x).data_range == x.max() - x.min()
        with pytest.raises(ArgumentError, match="`data_range` is 0"):
            metrics.reconstruction_quality(model, torch.ones(3, 8, 8))

    def test_columns_are_measured_in_their_own_units(self):
        """Means in place of data cost 1 in units of the columns' deviations, whatever those are."""
        model = VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(3, [4]), 1),
            likelihoods.Normal(networks.MLP(1, [4]), (3,)),
        )
        x = (normal(400, 3) * torch.tensor([1.0, 1e3, 1e-3]) + 1).float()
        with torch.no_grad():
            for parameter in model.likelihood.parameters():
                parameter.zero_()
            model.likelihood.noise.heads.head.bias.copy_(x.mean(0))
        result = metrics.reconstruction_quality(model, x, units=x.std(0, correction=0))
        assert (
            result.squared_error.value == pytest.approx(1, abs=1e-4)
            and result.psnr is None
            and result.ssim is None
        )
        with pytest.raises(ArgumentError, match=r"`units` has the shape \(2,\)"):
            metrics.reconstruction_quality(model, x, units=torch.ones(2))

    def test_empty_rows_are_ignored(self):
        likelihood = likelihoods.Missing(likelihoods.Normal(networks.MLP(1, [4]), (3,)))
        model = VAE(
            priors.Normal(1),
            posteriors.Normal(networks.FillMissing(networks.MLP(6, [4])), 1),
            likelihood,
        )
        x = normal(20, 3).float()
        holed = torch.cat([x, torch.full((5, 3), math.nan)])
        result, whole = (metrics.reconstruction_quality(model, rows) for rows in (holed, x))
        for ours, theirs in (
            (result.squared_error, whole.squared_error),
            (result.psnr, whole.psnr),
        ):
            # 25 rows are multiplied in another order than 20, in float32
            assert (ours.value, ours.low, ours.high) == pytest.approx(
                (theirs.value, theirs.low, theirs.high), rel=1e-5
            )
        assert result.data_range == whole.data_range
        with pytest.raises(DataError, match="all cells of `x` are missing"):
            metrics.reconstruction_quality(model, holed[20:], data_range=1.0)


class TestClassifierTest:
    """Two-sample test by a classifier."""

    def test_few_rows_are_enough_where_sets_are_far_apart(self):
        """Twenty rows of each: leaves as large as scikit-learn's would never be split."""
        result = metrics.classifier_test(normal(20, 3), normal(20, 3, seed=1, shift=100.0))
        assert result.accuracy.value == 1 and result.n_rows == 20

    def test_chance_is_one_half(self):
        """Equal sets of 50: with halves drawn from both together the mean of 60 accuracies was
        0.477, eight of its errors too low.
        """
        result = torch.tensor(
            [
                metrics.classifier_test(
                    normal(50, 2, 2 * s), normal(50, 2, 2 * s + 1), seed=s
                ).accuracy.value
                for s in range(60)
            ]
        )
        assert abs(result.mean() - 0.5) < 4 * result.std() / math.sqrt(60)

    def test_classifier_separates_different_data_only(self):
        same = metrics.classifier_test(normal(200, 3), normal(200, 3, seed=1))
        other = metrics.classifier_test(normal(200, 3), normal(200, 3, seed=2, shift=2.0))
        assert (
            covering(same.accuracy, 0.5) and same.p_value > 0.001
        )  # of this seed: a thousandth of seeds fail
        assert other.accuracy.low > 0.8 and other.p_value < 1e-9 and other.n_rows == 200


class TestCodes:
    """Class information in codes."""

    def test_nearest_neighbours_agree_with_scikit_learn(self):
        neighbours = pytest.importorskip("sklearn.neighbors")
        codes, labels, queries = normal(200, 3), torch.arange(200) % 4, normal(50, 3, seed=1)
        truth = (
            neighbours.KNeighborsClassifier(5)
            .fit(codes.numpy(), labels.numpy())
            .predict(queries.numpy())
        )
        assert metrics.knn_accuracy(codes, labels, queries, truth).value == 1

    def test_separated_classes_score_high_and_mixed_classes_at_chance(self):
        labels = torch.arange(300) % 3
        apart, mixed = normal(300, 2) + 20 * labels[:, None], normal(300, 2)
        for codes, low, high in ((apart, 1.0, 1.0), (mixed, 0.2, 0.5)):
            for measure in (metrics.knn_accuracy, metrics.linear_probe_accuracy):
                assert (
                    low
                    <= measure(codes[:200], labels[:200], codes[200:], labels[200:]).value
                    <= high
                )
        assert metrics.clustering(apart, labels).adjusted_mutual_information.value > 0.5
        assert abs(metrics.clustering(mixed, labels).adjusted_rand_index.value) < 0.05

    def test_single_class_is_refused(self):
        codes = normal(20, 2)
        for measure in (metrics.knn_accuracy, metrics.linear_probe_accuracy):
            with pytest.raises(DataError, match="one class"):
                measure(codes, torch.ones(20), codes, torch.ones(20))
        with pytest.raises(DataError, match="one class"):
            metrics.clustering(codes, torch.ones(20))
        with pytest.raises(DataError, match="20 rows and 3 labels"):
            metrics.knn_accuracy(codes, [0, 1, 2], codes, [0, 1, 2])

    def test_interval_accounts_for_few_labelled_codes(self):
        """Thirty labelled codes, 400 queries.

        The accuracy varies more with the choice of the thirty than with the queries.
        """

        def measure_once(seed):
            codes, labels = normal(430, 2, seed), torch.arange(430) % 2
            codes = codes + 1.2 * labels[:, None]
            return metrics.knn_accuracy(codes[:30], labels[:30], codes[30:], labels[30:])

        result = [measure_once(seed) for seed in range(100)]
        truth = sum(each.value for each in result) / 100
        assert sum(covering(each, truth) for each in result) / 100 > 0.95 - 5 * math.sqrt(
            0.95 * 0.05 / 100
        )

    @pytest.mark.parametrize(
        "codes, labels, words",
        [
            (torch.full((20, 2), math.nan), torch.arange(20) % 2, "NaN or infinity"),
            (torch.ones(20, 2), torch.arange(20) / 3, "whole numbers"),
            (torch.ones(20, 2), torch.arange(20) - 1, "a label is -1"),
            (torch.ones(20, 2), ["a", "b"] * 10, "class numbers"),
            (torch.ones(0, 2), [], "no rows"),
        ],
    )
    def test_invalid_codes_and_classes_are_refused(self, codes, labels, words):
        for measure in (metrics.knn_accuracy, metrics.linear_probe_accuracy):
            with pytest.raises(DataError, match=words):
                measure(codes, labels, codes, labels)
        with pytest.raises(DataError, match="2 latent variables and `held_out_z` 3"):
            metrics.knn_accuracy(
                torch.ones(20, 2), torch.arange(20) % 2, torch.ones(4, 3), [0, 1, 0, 1]
            )
        with pytest.raises(ArgumentError, match="`clusters` is 100"):
            metrics.clustering(torch.ones(20, 2), torch.arange(20) % 2, clusters=100)

    def test_rows_without_labels_are_refused(self):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        )
        with pytest.raises(DataError, match="`train` has no labels"):
            metrics.class_separation(
                model, Rows.from_array(torch.ones(9, 6)), Rows.from_array(torch.ones(9, 6))
            )


def test_total_correlation_of_a_gaussian():
    """``-1/2 log(1 - 0.8^2)``: codes whose sample covariance is reconstructed exactly that."""
    white = normal(400, 2)
    white = (white - white.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(white.T.cov())).T
    codes = (
        white @ torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)).T
    )
    result = metrics.total_correlation(codes)
    assert result.plug_in.value == pytest.approx(0.5108256237659907, abs=1e-12)
    assert metrics.total_correlation(
        torch.cat([codes * 3, torch.ones(400, 1)], 1)
    ).plug_in.value == pytest.approx(result.plug_in.value, abs=1e-12)
    with pytest.raises(DataError, match="needs 8"):
        metrics.total_correlation(codes[:7])


@pytest.mark.parametrize("rows, latent, truth", [(100, 2, 0.5108256237659907), (180, 40, 0.0)])
def test_the_interval_of_a_total_correlation_covers(rows, latent, truth):
    """Also of 40 variables from 180 rows, where chance alone gives 5.4 nats."""
    covariance = torch.eye(latent, dtype=torch.float64)
    if truth:
        covariance[0, 1] = covariance[1, 0] = 0.8
    factor = torch.linalg.cholesky(covariance)
    result = [
        metrics.total_correlation(normal(rows, latent, seed) @ factor.T).bias_corrected
        for seed in range(100)
    ]
    assert sum(covering(each, truth) for each in result) / 100 > 0.95 - 5 * math.sqrt(
        0.95 * 0.05 / 100
    )
    values = torch.tensor([each.value for each in result])
    assert abs(values.mean() - truth) < 4 * values.std() / 10  # four standard errors
    with pytest.raises(DataError, match="NaN"):
        metrics.total_correlation(torch.full((50, 2), math.nan))


@pytest.fixture(scope="module")
def separation_by_model():
    """Class separation of digit models that differ only in latent size and objective."""
    data = aevb.data.load("digits")

    def measured(latent, objective, epochs):
        model = aevb.presets.preset("vae", data.spec, latent=latent, hidden=[128]).model
        result = aevb.fit(
            model,
            data,
            objective=objective,
            epochs=epochs,
            batch_size=32,
            device="cpu",
            progress=False,
        )
        return metrics.class_separation(result.model, data.train, data.test, full=False)

    return {
        "2": measured(2, objectives.ELBO(), 8),
        "16": measured(16, objectives.ELBO(), 14),
        "divergence alone": measured(16, objectives.Rate(), 4),
    }


def test_codes_separate_the_classes_of_digits(separation_by_model):
    """Classes are well separated in 16 dimensions, less in two, and not by a model trained on the
    KL divergence alone.
    """
    assert separation_by_model["16"].knn_accuracy.value >= 0.9
    assert (
        0.25
        < separation_by_model["2"].knn_accuracy.value
        < separation_by_model["16"].knn_accuracy.value
    )
    assert separation_by_model["16"].knn_accuracy_sampled.value > 0.5
    # chance is 0.1; of 180 rows five standard errors are 0.11
    assert separation_by_model["divergence alone"].knn_accuracy_sampled.value < 0.1 + 5 * math.sqrt(
        0.1 * 0.9 / 180
    )
