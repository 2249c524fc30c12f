"""Likelihoods: distributions ``p(x|z)`` of a row of data given its latent.

Subclass ``Likelihood`` to add a likelihood and register the class where it is defined:

    @register(LikelihoodRegistration(kinds=("count",), scaling="mean", use_when="...", ...))
    class Geometric(Likelihood): ...

The name of a likelihood then works in Python, on the command line and in the documentation. Code
that chooses a likelihood for some data reads the register and no table of its own:

    entry = LikelihoodRegistration.find("negative_binomial")  # ArgumentError with the nearest name
    LikelihoodRegistration.buildable()                        # all that are built by name
    entry.title, entry.kinds, entry.values, entry.measure     # what the likelihood is for
    entry.accepts(low, high, whole)                           # whether data with this range fit
    entry.scaling, entry.rescales, entry.has_levels           # how the data are scaled
    entry.options                                             # keywords, such as "scale"
    entry.from_network(network, event_shape, levels=..., unit=..., latent_rank=..., **options)
"""

from ._affine import Scaled
from ._autoregressive import Autoregressive
from ._bayesian import Bayesian
from ._bernoulli import Bernoulli
from ._bernoulli_tree import BernoulliTree
from ._beta import Beta
from ._categorical import Categorical
from ._columns import Columns
from ._constant_cells import ConstantCells
from ._continuous_bernoulli import ContinuousBernoulli
from ._discretised_logistic import DiscretisedLogistic
from ._gamma import Gamma
from ._laplace import Laplace
from ._likelihood import Likelihood
from ._log_normal import LogNormal
from ._logistic_mixture import LogisticMixture
from ._missing import Missing
from ._negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from ._normal import Normal
from ._ordinal import Ordinal
from ._pixel import Pixel
from ._poisson import Poisson
from ._product import Product
from ._registration import LikelihoodRegistration
from ._student_t import StudentT
from ._top_down import TopDown
from ._von_mises import VonMises
from ._whitened import Whitened

__all__ = [
    "Autoregressive",
    "Bayesian",
    "Bernoulli",
    "BernoulliTree",
    "Beta",
    "Categorical",
    "Columns",
    "ConstantCells",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gamma",
    "Laplace",
    "Likelihood",
    "LikelihoodRegistration",
    "LogNormal",
    "LogisticMixture",
    "Missing",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Pixel",
    "Poisson",
    "Product",
    "Scaled",
    "StudentT",
    "TopDown",
    "VonMises",
    "Whitened",
    "ZeroInflatedNegativeBinomial",
]
