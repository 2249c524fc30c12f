"""Laws that every part obeys, as functions to call on your own parts."""

from ._checks import (
    PRIOR_LAWS,
    check_columns,
    check_distribution,
    check_likelihood,
    check_network,
    check_posterior,
    check_prior,
)
from ._objective_laws import check_objective
from ._subject import LawReport

__all__ = [
    "PRIOR_LAWS",
    "LawReport",
    "check_columns",
    "check_distribution",
    "check_likelihood",
    "check_network",
    "check_objective",
    "check_posterior",
    "check_prior",
]
