"""The one table of presets."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..objectives._objective import BoundKind
from . import _basic as basic
from . import _bounds as bounds
from . import _conditional as conditional
from . import _discrete as codes
from . import _hierarchical as hierarchies
from . import _inference as free
from . import _learned_priors as learned
from . import _likelihoods as likelihood
from . import _penalised as penalised
from . import _posterior_families as families
from . import _two_stage as after


@dataclass(frozen=True)
class Preset:
    """A published model."""

    name: str
    build: Callable[..., Recipe]
    paper: str
    composition: str  # model, objective, gradient
    use_when: str
    kind: BoundKind = "lower bound"  # of what its training reports
    label_requirement: Literal["", "each", "few"] = (
        ""  # whether it is told the label of each datum, or of a few, where nobody says of what
    )

    @property
    def options(self) -> tuple[str, ...]:
        """The keywords it takes."""
        return tuple(inspect.signature(self.build).parameters)[1:]

    @property
    def default_latent(self) -> int:
        """How many latent variables it has where nobody says."""
        return inspect.signature(self.build).parameters["latent"].default

    def check(self, options: Iterable[str]) -> None:
        """Raise ``ArgumentError`` for an option that it does not take."""
        unknown = [option for option in options if option not in self.options]
        if unknown:
            raise ArgumentError(
                f"preset `{self.name}` takes no `{unknown[0]}`; it takes {', '.join(self.options)}."
            )


_ALL_PRESETS = (
    Preset(
        "autoencoder",
        basic.autoencoder,
        "Rumelhart et al. 1986",
        "Dirac posterior, Reconstruction(), Pathwise()",
        "a deterministic baseline",
        "reconstruction",
    ),
    Preset(
        "vae",
        basic.vae,
        "Kingma and Welling 2014",
        "Normal posterior, ELBO(), Pathwise()",
        "the place to start",
    ),
    Preset(
        "beta_vae",
        basic.beta_vae,
        "Higgins et al. 2017",
        "Normal posterior, ELBO(beta=4), Pathwise()",
        "fewer, more independent latent variables",
    ),
    Preset(
        "iwae",
        basic.iwae,
        "Burda et al. 2016",
        "Normal posterior, IWAE(5), DoublyReparameterised()",
        "the best likelihood for more time",
    ),
    Preset(
        "capacity_vae",
        bounds.capacity_vae,
        "Burgess et al. 2018",
        "Normal posterior, ELBO(beta=30, capacity=Linear(0, 25)), Pathwise()",
        "as beta_vae, with the information in the codes said in nats instead of by a weight",
    ),
    Preset(
        "sigma_vae",
        bounds.sigma_vae,
        "Rybkin et al. 2021",
        'Normal posterior, Normal likelihood with scale="optimal", ELBO(), Pathwise()',
        "real-valued data whose noise nobody knows: no weight to tune",
    ),
    Preset(
        "stl_vae",
        bounds.stl_vae,
        "Roeder et al. 2017",
        "Normal posterior, ELBO(), DoublyReparameterised()",
        "the ELBO where the posterior can be exact: its gradient falls silent there",
    ),
    Preset(
        "dreg_iwae",
        bounds.dreg_iwae,
        "Tucker et al. 2019",
        "Normal posterior, IWAE(50), DoublyReparameterised()",
        "as iwae, with as many samples as there is time for",
    ),
    Preset(
        "renyi_vae",
        bounds.renyi_vae,
        "Li and Turner 2016",
        "Normal posterior, Renyi(0.5, 5), DoublyReparameterised()",
        "between vae and iwae: less noise in the posterior's gradient than iwae, a looser bound",
    ),
    Preset(
        "miwae",
        bounds.miwae,
        "Rainforth et al. 2018",
        "Normal posterior, MIWAE(8, 8), Pathwise()",
        "to be compared with: dreg_iwae mends what it is for, at the tighter bound",
    ),
    Preset(
        "piwae",
        bounds.piwae,
        "Rainforth et al. 2018",
        "Normal posterior, PIWAE(8, 8), Pathwise()",
        "many samples with a plain gradient: the model climbs all of them, the posterior a quieter bound",
    ),
    Preset(
        "ciwae",
        bounds.ciwae,
        "Rainforth et al. 2018",
        "Normal posterior, CIWAE(0.05, 64), Pathwise()",
        "as piwae, with one bound for both",
    ),
    Preset(
        "rloo_vae",
        bounds.rloo_vae,
        "Kool et al. 2019",
        "Bernoulli posterior, ELBO(4), LeaveOneOut()",
        "discrete codes: the place to start",
    ),
    Preset(
        "vimco",
        bounds.vimco,
        "Mnih and Rezende 2016",
        "Bernoulli posterior, IWAE(5), LeaveOneOut()",
        "discrete codes and the best likelihood",
    ),
    Preset(
        "rebar_vae",
        bounds.rebar_vae,
        "Tucker et al. 2017",
        "Bernoulli posterior, ELBO(), REBAR()",
        "discrete codes where a single draw must do; about as quiet as rloo_vae for the same time",
    ),
    Preset(
        "gumbel_softmax_vae",
        bounds.gumbel_softmax_vae,
        "Jang et al. 2017",
        "Categorical posterior, ELBO(), Relaxed()",
        "discrete codes of several categories, fast; biased, and no bound of the discrete model while training",
        "neither",
    ),
    Preset(
        "wake_sleep",
        bounds.wake_sleep,
        "Hinton et al. 1995",
        "Bernoulli posterior, ELBO(), WakeSleep()",
        "a sigmoid belief net as it was first trained; reweighted_wake_sleep ends nearer",
    ),
    Preset(
        "reweighted_wake_sleep",
        bounds.reweighted_wake_sleep,
        "Bornschein and Bengio 2015",
        "Bernoulli posterior, IWAE(5), ReweightedWakeSleep()",
        "discrete codes whose posterior should cover all explanations, with many samples",
    ),
    Preset(
        "vamp_vae",
        learned.vamp_vae,
        "Tomczak and Welling 2018",
        "Vamp prior, Normal posterior, ELBO(beta=Linear()), Pathwise()",
        "the best likelihood of one layer of latent variables, for two to three times the time of vae",
    ),
    Preset(
        "mixture_vae",
        learned.mixture_vae,
        "Dilokthanakul et al. 2016",
        "Mixture prior, Normal posterior, ELBO(beta=Linear()), Pathwise()",
        "codes that fall into clusters",
    ),
    Preset(
        "mnist",
        learned.mnist,
        "Tomczak and Welling 2018",
        "Vamp prior, Normal posterior, gated layers, ELBO(beta=Linear()), Pathwise()",
        "the best likelihood of binarized MNIST for minutes of two cores",
    ),
    Preset(
        "full_covariance_vae",
        families.full_covariance_vae,
        "Kingma and Welling 2019",
        "Normal posterior with full covariance, ELBO(), Pathwise()",
        "few latent variables that the decoder entangles: closes the gap that a diagonal leaves",
    ),
    Preset(
        "planar_vae",
        families.planar_vae,
        "Rezende and Mohamed 2015",
        "Planar posterior, ELBO(), Pathwise()",
        "posteriors that bend, with few parameters; iaf_vae bends them further",
    ),
    Preset(
        "iaf_vae",
        families.iaf_vae,
        "Kingma et al. 2016",
        "Flow posterior, ELBO(), Pathwise()",
        "posteriors of any shape: the tightest bound of one layer, for one masked network more",
    ),
    Preset(
        "maf_vae",
        families.maf_vae,
        "Papamakarios et al. 2017",
        "Flow posterior, ELBO(), Pathwise()",
        "as iaf_vae where the density of other points matters; draws take a pass per latent variable",
    ),
    Preset(
        "spline_vae",
        families.spline_vae,
        "Durkan et al. 2019",
        "Flow posterior, ELBO(), Pathwise()",
        "posteriors in several pieces, draws and densities in one pass each",
    ),
    Preset(
        "flow_prior_vae",
        families.flow_prior_vae,
        "Chen et al. 2017",
        "Flow prior, Normal posterior, ELBO(), Pathwise()",
        "a prior that learns what the codes look like: better samples than vae; slower draws",
    ),
    Preset(
        "spherical_vae",
        families.spherical_vae,
        "Davidson et al. 2018",
        "VonMisesFisher posterior, Sphere prior, ELBO(), Pathwise()",
        "codes that are directions: compared by angle, no empty middle",
    ),
    Preset(
        "poincare_vae",
        families.poincare_vae,
        "Mathieu et al. 2019",
        "WrappedNormal posterior and prior, ELBO(), Pathwise()",
        "data that branch like a tree, in few latent variables",
    ),
    Preset(
        "vq_vae",
        codes.vq_vae,
        "van den Oord et al. 2017",
        "VectorQuantised posterior, Codebook prior, ELBO() and CodebookUsage(), Pathwise()",
        "data as a few symbols, for a model of symbols to go on with; the ELBO is a bound, and there is no better estimate of log p(x)",
    ),
    Preset(
        "residual_vq_vae",
        codes.residual_vq_vae,
        "Lee et al. 2022",
        "ResidualQuantised posterior, Codebook prior, ELBO() and CodebookUsage(), Pathwise()",
        "as vq_vae, with many more vectors from small codebooks: symbols from coarse to fine",
    ),
    Preset(
        "fsq_vae",
        codes.fsq_vae,
        "Mentzer et al. 2023",
        "FiniteScalar posterior, Codebook prior, ELBO() and CodebookUsage(), Pathwise()",
        "as vq_vae, with nothing to learn in the codebook and nothing to tune: all of it is used",
    ),
    Preset(
        "gumbel_vae",
        codes.gumbel_vae,
        "Maddison et al. 2017",
        'Categorical posterior, IWAE(5), Relaxed(Exponential(1, 0.5), "discrete")',
        "as gumbel_softmax_vae, with several samples: a better likelihood for more time",
        "neither",
    ),
    Preset(
        "darn",
        codes.darn,
        "Gregor et al. 2014",
        "Autoregressive prior, posterior and likelihood, ELBO(2), LeaveOneOut()",
        "binary codes that depend on each other, and the best likelihood of small discrete data; draws take a step per element",
    ),
    Preset(
        "ladder_vae",
        hierarchies.ladder_vae,
        "Sonderby et al. 2016",
        "Chain prior, Ladder posterior, ELBO(beta=Linear(), free_bits=0.05), Pathwise()",
        "several layers of latent variables, the upper ones for what is far from the pixels",
    ),
    Preset(
        "top_down_vae",
        hierarchies.top_down_vae,
        "Child 2021",
        "TopDown prior, posterior and likelihood, ELBO(beta=Linear()), Pathwise()",
        "images: latent images at every size, the best likelihood where there is time for convolutions",
    ),
    Preset(
        "hamiltonian_vae",
        hierarchies.hamiltonian_vae,
        "Caterini et al. 2018",
        "Hamiltonian posterior, ELBO(), Pathwise()",
        "a posterior that follows the decoder's own slope, with hardly a parameter more; several decoder passes a step",
    ),
    Preset(
        "two_stage_vae",
        after.two_stage_vae,
        "Dai and Wipf 2019",
        "TwoStage prior, Normal posterior, ExPost(ELBO()), Pathwise()",
        "better samples than vae from the same codes: a second model learns where they are",
    ),
    Preset(
        "pixel_vae",
        after.pixel_vae,
        "Gulrajani et al. 2017",
        "Normal posterior, Pixel likelihood, ELBO(beta=Linear()), Pathwise()",
        "images whose fine grain no code should hold: sharp draws, far better likelihood, one pass per pixel for each draw",
    ),
    Preset(
        "beta_tcvae",
        penalised.beta_tcvae,
        "Chen et al. 2018",
        "Normal posterior, ELBO() and TotalCorrelation(beta=6), Pathwise()",
        "independent latent variables at a smaller price in likelihood than beta_vae asks",
    ),
    Preset(
        "dip_vae",
        penalised.dip_vae,
        "Kumar et al. 2018",
        "Normal posterior, ELBO() and DIP(), Pathwise()",
        "uncorrelated latent variables, by moments alone: cheap with many of them",
    ),
    Preset(
        "info_vae",
        penalised.info_vae,
        "Zhao et al. 2019",
        "Normal posterior, ELBO(beta=0.5) and MMD(weight=9.5), Pathwise()",
        "codes that keep more of the data, with the codes of all data together still like the prior",
    ),
    Preset(
        "wae_mmd",
        penalised.wae_mmd,
        "Tolstikhin et al. 2018",
        "Dirac posterior, Reconstruction() and MMD(weight=100), Pathwise()",
        "an autoencoder whose prior can be sampled; no likelihood",
        "reconstruction",
    ),
    Preset(
        "factor_vae",
        penalised.factor_vae,
        "Kim and Mnih 2018",
        "Normal posterior, ELBO() and FactorCritic(), Pathwise()",
        "as beta_tcvae, for posteriors without a formula or small batches; a critic to train",
    ),
    Preset(
        "adversarial_ae",
        penalised.adversarial_ae,
        "Makhzani et al. 2015",
        "Dirac posterior, Reconstruction() and PriorCritic(), Pathwise()",
        "as wae_mmd, for priors that kernels tell badly apart; a critic to train",
        "reconstruction",
    ),
    Preset(
        "vae_gan",
        penalised.vae_gan,
        "Larsen et al. 2016",
        "Normal posterior, Rate(likelihood=0.01) and DataCritic(), Pathwise()",
        "sharper images; no likelihood to compare, and a critic to train",
    ),
    Preset(
        "rae_l2",
        penalised.rae_l2,
        "Ghosh et al. 2020",
        "Dirac posterior, Reconstruction(), LatentNorm() and DecoderNorm(), Pathwise()",
        "a smooth autoencoder; samples need a density fitted to the codes",
        "reconstruction",
    ),
    Preset(
        "rae_gp",
        penalised.rae_gp,
        "Ghosh et al. 2020",
        "Dirac posterior, Reconstruction(), LatentNorm() and DecoderGradient(), Pathwise()",
        "as rae_l2, smooth where the codes are rather than everywhere",
        "reconstruction",
    ),
    Preset(
        "msssim_vae",
        penalised.msssim_vae,
        "Snell et al. 2017",
        "Normal posterior, Rate(likelihood=0.01) and MSSSIM(), Pathwise()",
        "images judged by structure instead of pixels; no likelihood to compare",
    ),
    Preset(
        "mcem",
        free.mcem,
        "Kingma and Welling 2014",
        "Normal posterior, ELBO(), MonteCarloEM()",
        "few data and the best decoder for them: no bound in what it learns, at the cost of ten decoder passes a step",
    ),
    Preset(
        "svi",
        free.svi,
        "Hoffman et al. 2013",
        "Free posterior, ELBO(), Pathwise()",
        "few data, which are all there will ever be: no encoder, and nothing lost to one; new rows need inference.refine",
    ),
    Preset(
        "bayesian_vae",
        free.bayesian_vae,
        "Kingma and Welling 2014",
        "Normal posterior, Bayesian likelihood, ELBO(), Pathwise()",
        "few data, on which a decoder of fixed weights would overfit",
    ),
    Preset(
        "cvae",
        conditional.cvae,
        "Sohn et al. 2015",
        "Normal posterior, networks told the condition, ELBO(), Pathwise()",
        "data to be made for a class, or for given numbers: condition= says which, the label where nothing is said",
        label_requirement="each",
    ),
    Preset(
        "semi_supervised_vae",
        conditional.semi_supervised_vae,
        "Kingma et al. 2014",
        "Labelled posterior and prior, ELBO() and Classification(), EnumerateLabels()",
        "many rows and few labels: the others are inferred; --set labels=N says how many of them are used, 100 where nobody does",
        label_requirement="few",
    ),
    Preset(
        "student_vae",
        likelihood.student_vae,
        "Takahashi et al. 2018",
        "Normal posterior, StudentT likelihood, ELBO(), Pathwise()",
        "real numbers with outliers, which a Normal likelihood would bend to",
    ),
    Preset(
        "count_vae",
        likelihood.count_vae,
        "Lopez et al. 2018",
        "Normal posterior, NegativeBinomial likelihood, ELBO(), Pathwise()",
        "counts, as of words, genes or events",
    ),
)
PRESETS: dict[str, Preset] = {entry.name: entry for entry in _ALL_PRESETS}


def preset(name: str, spec: Spec, **options: Any) -> Recipe:
    """The recipe of that name for data of this kind. Raises ``ArgumentError`` for an unknown name or an option it does not take."""
    entry = find_preset(name)
    entry.check(options)
    recipe = entry.build(spec, **options)
    if spec.condition is not None and recipe.model.condition is None:
        raise ArgumentError(
            f"preset `{entry.name}` can be told nothing of its data; leave condition out, or use preset=cvae."
        )
    return recipe


def find_preset(name: str) -> Preset:
    """The preset of that name, written with ``_`` or ``-``. Raises ``ArgumentError`` where there is none."""
    name = name.replace("-", "_")
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ArgumentError(
            f"there is no preset `{name}`; {hint}The presets are {', '.join(PRESETS)}."
        )
    return PRESETS[name]
