"""Distributions and divergences that ``torch.distributions`` lacks."""

from ._affine import Affine
from ._autoregressive import Autoregressive
from ._autoregressive_image import AutoregressiveImage
from ._bernoulli_tree import BernoulliTree
from ._chain import Chain, analytic_kl_mask, hierarchy_terms
from ._class_and_latent import ClassAndLatent, ClassConditional
from ._columns import ColumnsDistribution
from ._continuous_bernoulli import ContinuousBernoulli
from ._counts import NegativeBinomial, Poisson
from ._detach import detach_distribution
from ._dirac import Dirac
from ._discretised_logistic import DiscretisedLogistic, discretised_logistic
from ._double import Beta, Dirichlet, Gamma, LowRankNormal
from ._equal_weight_mixture import EqualWeightMixture
from ._families import Kumaraswamy, Logistic, Weibull, gaussian, log_normal
from ._fixed_cells import FixedCells
from ._flow import Flow
from ._flow_steps import PlanarStep, RadialStep, SylvesterStep
from ._hmc import (
    HMCSamples,
    HMCState,
    HMCTransition,
    PhasePoint,
    hmc_state_fn,
    hmc_transition,
    leapfrog,
    sample_hmc,
    tune_step_size,
)
from ._integer_categorical import IntegerCategorical
from ._kl import KLDivergence, analytic_kl, elementwise_kl, has_analytic_kl, kl_divergence
from ._linear_transform import LinearTransform
from ._logistic_normal import LogisticNormal
from ._marginal import Marginal
from ._members import MemberAndLatent, MemberSelection
from ._moments import cell_log_prob, covariance, given_cells, marginals
from ._normal_mixture import FullNormalMixture, NormalMixture
from ._open_interval import OpenIntervalDistribution
from ._ordinal import ordinal
from ._output_maps import (
    from_scale,
    from_scale_tril,
    soft_clip,
    to_concentration,
    to_moderate_scale,
    to_rate,
    to_scale,
    to_scale_tril,
)
from ._partially_observed import PartiallyObserved
from ._poincare_ball import WrappedNormal
from ._product import Product
from ._quantised import (
    BaseCodebook,
    CodebookDistribution,
    GridCodebook,
    QuantisedDirac,
    TableCodebook,
)
from ._reparameterised_mixture import ReparameterisedNormalMixture
from ._softplus import compiled_softplus_sum, softplus_sum
from ._sphere import PowerSpherical, UniformSphere, VonMisesFisher
from ._student_t import StudentT
from ._tempered_leapfrog import TemperedLeapfrogFlow
from ._von_mises import VonMises
from ._zero_inflated import ZeroInflated

__all__ = [
    "Affine",
    "Autoregressive",
    "AutoregressiveImage",
    "BaseCodebook",
    "BernoulliTree",
    "Beta",
    "Chain",
    "ClassAndLatent",
    "ClassConditional",
    "CodebookDistribution",
    "ColumnsDistribution",
    "ContinuousBernoulli",
    "Dirac",
    "Dirichlet",
    "DiscretisedLogistic",
    "EqualWeightMixture",
    "FixedCells",
    "Flow",
    "FullNormalMixture",
    "Gamma",
    "GridCodebook",
    "HMCSamples",
    "HMCState",
    "HMCTransition",
    "IntegerCategorical",
    "KLDivergence",
    "Kumaraswamy",
    "LinearTransform",
    "Logistic",
    "LogisticNormal",
    "LowRankNormal",
    "Marginal",
    "MemberAndLatent",
    "MemberSelection",
    "NegativeBinomial",
    "NormalMixture",
    "OpenIntervalDistribution",
    "PartiallyObserved",
    "PhasePoint",
    "PlanarStep",
    "Poisson",
    "PowerSpherical",
    "Product",
    "QuantisedDirac",
    "RadialStep",
    "ReparameterisedNormalMixture",
    "StudentT",
    "SylvesterStep",
    "TableCodebook",
    "TemperedLeapfrogFlow",
    "UniformSphere",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "WrappedNormal",
    "ZeroInflated",
    "analytic_kl",
    "analytic_kl_mask",
    "cell_log_prob",
    "compiled_softplus_sum",
    "covariance",
    "detach_distribution",
    "discretised_logistic",
    "elementwise_kl",
    "from_scale",
    "from_scale_tril",
    "gaussian",
    "given_cells",
    "has_analytic_kl",
    "hierarchy_terms",
    "hmc_state_fn",
    "hmc_transition",
    "kl_divergence",
    "leapfrog",
    "log_normal",
    "marginals",
    "ordinal",
    "sample_hmc",
    "soft_clip",
    "softplus_sum",
    "to_concentration",
    "to_moderate_scale",
    "to_rate",
    "to_scale",
    "to_scale_tril",
    "tune_step_size",
]
