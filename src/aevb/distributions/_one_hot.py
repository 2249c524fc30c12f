"""One-hot distributions without checks of their parameters."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Categorical, Distribution, OneHotCategorical


def one_hot(logits: Tensor) -> OneHotCategorical:
    """The one-hot distribution of logits, which need not be finite: such a step is skipped.

    The constructor of ``OneHotCategorical`` checks its logits even with ``validate_args=False``,
    which it does not pass on.

    Args:
        logits: Logits ``[*batch, categories]``.

    Returns:
        The distribution with batch shape ``[*batch]``.
    """
    inner = Categorical(logits=logits, validate_args=False)
    distribution = OneHotCategorical.__new__(OneHotCategorical)
    distribution._categorical = inner
    Distribution.__init__(
        distribution, inner.batch_shape, inner.param_shape[-1:], validate_args=False
    )
    return distribution
