"""The classes that are known, for a classifier that is part of a posterior."""

from __future__ import annotations

from ..distributions import ClassConditional
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import Terms
from ._penalised import Penalty, PenaltyTerm, check_non_negative
from ._schedules import Schedule


class Classification(Penalty):
    """``-weight * E[log q(y|x)]`` over the data whose class is known: the bound of these does not train the classifier.

    ``known`` is their share of the training rows, so that a batch with few of them counts for little and the mean over batches is the
    mean over labelled rows. Logged is that cross-entropy, in nats. Kingma et al., Semi-supervised learning with deep generative models
    (2014), equation 9, with ``weight`` 0.1. Raises ``ArgumentError`` for a weight below 0 and a share outside (0, 1],
    ``IncompatibleError`` for another posterior than ``posteriors.Labelled``.

    >>> Classification(known=0.07).measures
    ('classification',)
    """

    def __init__(self, weight: float | Schedule = 0.1, labelled_fraction: float = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(classification=weight)
        if not 0 < labelled_fraction <= 1:
            raise ArgumentError(
                f"`known` is {labelled_fraction}; give the share of rows whose class is known, above 0 and at most 1."
            )
        self.labelled_fraction = labelled_fraction

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        assert isinstance(terms.q, ClassConditional)
        classified, label = terms.q.class_log_probs, terms.batch.context
        if label is None:
            return PenaltyTerm((classified.new_zeros(()),))
        missed = -(label.nan_to_num() * classified).sum(-1)  # 0 where the class is not known
        return PenaltyTerm((missed.mean() / self.labelled_fraction,))

    def check(self, model: VAE) -> None:
        if not isinstance(model.probe()[1], ClassConditional):
            name = type(model.posterior).__name__
            raise IncompatibleError(
                f"`objectives.Classification` trains the classifier of `posteriors.Labelled`, got `posteriors.{name}`."
            )
