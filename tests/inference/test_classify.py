"""Classes that a model infers."""

import pytest
import torch

from aevb import VAE, Batch, data, inference, likelihoods, networks, posteriors, presets, priors
from aevb.errors import IncompatibleError
from aevb.inference import ClassPrediction


@pytest.fixture(scope="module")
def digits():
    return data.mask_labels(data.load("digits"))


def test_the_most_probable_class_is_predicted():
    found = ClassPrediction(
        torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.0, 0.1, 0.9]]), ("cat", "dog", "owl")
    )
    assert found.class_indices.tolist() == [1, 0, 2]
    assert found.predicted_names == ["dog", "cat", "owl"]


@pytest.mark.parametrize("block", [1, 3, 4, 10])
def test_probabilities_are_those_of_the_posterior(digits, block):
    """Known labels take no part."""
    model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model.eval()
    rows = digits.train.subset(range(4))
    with torch.no_grad():
        expected = model.infer(Batch(rows.tensor())).class_log_probs
    assert rows.context is not None
    found = inference.classify(model, rows, block_size=block)
    torch.testing.assert_close(found.probabilities, expected.exp())
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(4))
    assert found.class_names == model.condition.labels.class_names


@pytest.mark.parametrize(
    "variables",
    [
        None,
        [networks.Labels("kind", ["a", "b"])],
        [networks.Covariate("age")],
        [networks.Labels("kind", ["a", "b"], 0.5), networks.Covariate("age")],
    ],
    ids=["none", "known", "numbers", "mixed"],
)
def test_models_that_infer_no_class_are_refused(variables):
    encoder = decoder = networks.MLP(3, [4])
    if variables:
        condition = networks.Condition(variables)
        inner = networks.MLP(3, [4], context=condition.width)
        encoder = networks.ConditionedNetwork(inner, condition)
        decoder = networks.WithoutContext(decoder)
    model = VAE(priors.Normal(3), posteriors.Normal(encoder, 3), likelihoods.Normal(decoder, (3,)))
    with pytest.raises(IncompatibleError) as caught:
        inference.classify(model, torch.zeros(2, 3))
    assert caught.value.argument == "model"
