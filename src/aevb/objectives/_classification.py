"""Cross-entropy of the known classes, for a classifier that is part of a posterior."""

from __future__ import annotations

from .._registry import register
from ..distributions import ClassConditional
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..notes import Argument, message
from ..types import Terms
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm, check_non_negative
from ._schedules import Schedule


@register(
    PenaltyRegistration(
        paper="Kingma et al. 2014",
        objective="ELBO()",
        use_when="some rows have a label and the posterior has a classifier",
    )
)
class Classification(Penalty):
    """Cross-entropy of known classes: ``-weight * E[log q(y|x)]`` over the labelled rows.

    The bound of labelled rows does not train the classifier of ``posteriors.Labelled``; this
    penalty does. Its value is logged as ``classification``, in nats.

    Args:
        weight: Weight of the mean cross-entropy, a number or a schedule; 0.1 in the paper.
        labelled_fraction: Share of training rows with a label, so that the mean over batches is the
            mean over labelled rows.

    Raises:
        ArgumentError: ``weight`` is negative, or ``labelled_fraction`` is outside (0, 1].
        IncompatibleError: The posterior has no classifier.

    Example:
        >>> Classification(labelled_fraction=0.07).metric_names
        ('classification',)

    References:
        Kingma et al., Semi-supervised learning with deep generative models (2014), equation 9.
    """

    takes_weights = True

    def __init__(self, weight: float | Schedule = 0.1, labelled_fraction: float = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(classification=weight)
        if not 0 < labelled_fraction <= 1:
            raise ArgumentError(
                "give the share of rows with a label, above 0 and at most 1",
                argument="labelled_fraction",
                value=labelled_fraction,
            )
        self.labelled_fraction = labelled_fraction

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        assert isinstance(terms.q, ClassConditional)
        log_probs, label = terms.q.class_log_probs, terms.batch.context
        if label is None:
            return PenaltyTerm((log_probs.new_zeros(()),))
        cross_entropy = -(label.nan_to_num() * log_probs).sum(-1)  # 0 for rows without a label
        return PenaltyTerm((terms.batch.mean(cross_entropy) / self.labelled_fraction,))

    def check(self, model: VAE) -> None:
        if not isinstance(model.probe()[1], ClassConditional):
            raise IncompatibleError(
                "`objectives.Classification` trains the classifier of `posteriors.Labelled`, got "
                f"`posteriors.{type(model.posterior).__name__}`",
                suggestions=(
                    message("Use {preset}", preset=Argument("preset", "semi_supervised_vae")),
                ),
            )
