"""The laws of distributions and of the modules that return them.

Each law is a function that returns ``None`` if it holds and the reason if it cannot be tried. The
first line of its docstring is the statement of the law in error messages.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform

from .. import _persistence as persistence
from .._conditional import Conditional, detach_parameters, stop_gradient
from .._files import read_tensors, write_tensors
from .._random import seed_scope
from .._row_noise import RowNoise, share_moment_noise
from ..distributions import (
    ColumnsDistribution,
    Dirac,
    QuantisedDirac,
    analytic_kl,
    elementwise_kl,
    has_analytic_kl,
)
from ..distributions._base import expectation
from ..distributions._detach import map_tensors
from ..distributions._monte_carlo_moments import MOMENT_SAMPLES, MonteCarloMoments
from ..likelihoods import Columns
from ..likelihoods._likelihood import Likelihood
from ..networks import Heads, set_precision
from ._column_laws import column_masses
from ._quadrature import element_support, independent_cells, support_bounds, total_mass
from ._subject import LawViolation, Subject, cast_floating, expect, expect_close

LAW_SAMPLES = 8000
EXTREME_OUTPUT = 1e4
ROUNDING_OUTPUTS = (2.0, 5.0, 30.0)
ROUNDING_SAMPLES = 500


def sample_values(subject: Subject, *samples: int) -> Tensor:
    """Draw without a gradient, ``[*samples, *batch, *event]``."""
    return subject().sample(torch.Size(samples)).detach()


def check_normalisation(subject: Subject) -> str | None:
    """The density integrates to 1, or the probabilities sum to 1."""
    p = subject(*subject.row_inputs(0)) if subject.inputs else subject()
    if isinstance(subject.family, Columns) and isinstance(p, ColumnsDistribution):
        mass = column_masses(subject.family, p)
    else:
        mass = total_mass(p)
    if mass is None:
        return "no rule integrates over its support"
    error, worst = mass.error.max().item(), (mass.value - 1).abs().max().item()
    if error > 0.05:
        return f"the quadrature is known to {error:.2g} only"
    value = mass.value.flatten()[(mass.value - 1).abs().argmax()].item()
    expect(worst <= 1e-9 + error, f"it comes to {value:.10g}", f"1 to within {1e-9 + error:.1e}")
    return None


def check_moments(subject: Subject) -> str | None:
    """Mean and variance are those of its draws."""
    p = subject()
    draws = [p.sample(torch.Size((LAW_SAMPLES,)))]
    if p.has_rsample:
        draws.append(p.rsample(torch.Size((LAW_SAMPLES,))).detach())
    if subject.circular:
        for values in draws:
            _check_circular_moments(p, values)
        return None
    reference = MOMENT_SAMPLES if isinstance(p, MonteCarloMoments) else math.inf
    for values in draws:
        _check_moments_of_draws(values, expectation(p).detach(), p.variance.detach(), reference)
    return None


def _check_moments_of_draws(
    draws: Tensor, mean: Tensor, variance: Tensor, reference_draws: float
) -> None:
    """Within five standard errors; the moments may be estimates from ``reference_draws`` draws."""
    n = len(draws) / (1 + len(draws) / reference_draws)
    error_of_mean = draws.std(0) / math.sqrt(n)
    fourth = (draws - draws.mean(0)).pow(4).mean(0)
    error_of_variance = (fourth - draws.var(0) ** 2).clamp(min=0).sqrt() / math.sqrt(n) + (
        error_of_mean * 5
    ).square() / 5
    for name, sampled, stated, error in [
        ("mean", draws.mean(0), mean, error_of_mean),
        ("variance", draws.var(0), variance, error_of_variance),
    ]:
        exists = stated.isfinite() & sampled.isfinite()
        # 1e-9: the rounding of a variance that is a difference of sums
        errors = torch.where(
            exists, ((sampled - stated).abs() - 1e-9).clamp(min=0) / error.clamp(min=1e-12), 0.0
        )
        worst = errors.argmax()
        expect(
            errors.max() <= 5,
            f"the {name} of {len(draws):,} draws is {sampled.flatten()[worst]:.6g} and the stated "
            f"{name} {stated.flatten()[worst]:.6g}, {errors.max():.1f} standard errors away",
            "at most 5",
        )


def _check_circular_moments(p: Distribution, draws: Tensor) -> None:
    """The mean direction, and the distance of the mean of ``exp(i x)`` from the circle."""
    ahead, aside = (draws - p.mean).cos(), (draws - p.mean).sin()
    for name, values, stated in [
        ("length", ahead, 1 - p.variance),
        ("direction", aside, torch.zeros_like(p.mean)),
    ]:
        error = values.std(0) / math.sqrt(len(values))
        errors = ((values.mean(0) - stated).abs() / error).max()
        expect(
            errors <= 5,
            f"the {name} of the mean of {len(draws):,} draws is {errors:.1f} standard errors from "
            "the stated one",
            "at most 5",
        )


def check_support(subject: Subject) -> str | None:
    """Draws lie in the support, where their density is finite."""
    p = subject()
    x = sample_values(subject, 200)
    if p.support is not None:
        inside = p.support.check(x)
        expect(
            inside.all(), f"{(~inside).sum().item()} of {inside.numel()} draws lie outside", "none"
        )
    log_prob = p.log_prob(x)
    shape = (200, *p.batch_shape)
    expect(
        tuple(log_prob.shape) == shape,
        f"log_prob of draws has shape {tuple(log_prob.shape)}",
        f"{shape}, reduced over the event",
    )
    expect(
        log_prob.isfinite().all(),
        f"log_prob of {(~log_prob.isfinite()).sum().item()} draws is not finite",
        "finite numbers",
    )
    return None


def check_support_edges(subject: Subject) -> str | None:
    """At an edge of a closed support the density is its limit, possibly infinite, never NaN."""
    cells = independent_cells(subject())
    if cells is None or cells.event_shape or cells.support is None:
        return "its support has no edge that is known"
    low, high = support_bounds(cells.support)
    edge = [
        (end, side)
        for end, side in ((low, 1.0), (high, -1.0))
        if end is not None and math.isfinite(end)
    ]
    if cells.support.is_discrete or not edge or element_support(cells.support) is not cells.support:
        return "its support has no edge that is known"
    for end, side in edge:
        at = torch.full(cells.batch_shape, end, dtype=cells.mean.dtype)
        if cells.support.check(at).all():
            size = (high or math.inf) - (low or 0.0)
            steps = [side * min(size, 1.0) * step for step in (1e-6, 1e-9, 1e-12)]
            _check_edge_limit(
                cells.log_prob(at), [cells.log_prob(at + step) for step in steps], end
            )
    return None


def _check_edge_limit(edge_value: Tensor, nearby_values: list[Tensor], end: float) -> None:
    expect(
        not edge_value.isnan().any(), f"log_prob at {end:g} is NaN", "a number, or an infinite one"
    )
    far, middle, close = nearby_values
    rising, falling = (close > middle) & (middle > far), (close < middle) & (middle < far)
    right = torch.where(
        edge_value == math.inf,
        rising,
        torch.where(edge_value == -math.inf, falling, (close - edge_value).abs() <= 1e-6),
    )
    expect(
        right.all(),
        f"log_prob at {end:g} is {edge_value[~right][:1].tolist()} and next to it "
        f"{close[~right][:1].tolist()}",
        "the limit",
    )


def check_sample_gradients(subject: Subject) -> str | None:
    """Draws and densities have the gradients of finite differences in their inputs."""
    if not any(value.is_floating_point() for value in subject.inputs):
        return "it has no input to differentiate"
    subject = subject.requiring_gradients()
    x = sample_values(subject, 2)
    if has_density(subject):
        check_finite_differences(
            "log_prob", lambda *inputs: subject(*inputs).log_prob(x), subject.inputs
        )
    if not subject().has_rsample:
        return None
    if subject.implicit:
        return _check_implicit_gradients(subject)
    check_finite_differences(
        "rsample with the same noise",
        lambda *inputs: _seeded_rsample(subject, inputs),
        subject.inputs,
    )
    return None


def check_finite_differences(
    description: str, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> None:
    """Raise ``LawViolation`` unless autograd and finite differences agree."""
    try:
        gradcheck(function, inputs)
    except GradcheckError as error:
        text = " ".join(str(error).split())
        raise LawViolation(
            f"the gradients of {description} by autograd and by finite differences disagree "
            f"({text[:200]}); expected the same"
        ) from None


def _seeded_rsample(subject: Subject, inputs: tuple[Tensor, ...]) -> Tensor:
    with seed_scope(3):
        return subject(*inputs).rsample(torch.Size((3,)))


def _check_implicit_gradients(subject: Subject) -> None:
    """Draws by rejection or from mixtures have ``d E[z] = E[dz]``, and so for ``z^2``."""
    p = subject()
    weight = torch.linspace(-2.0, 1.0, p.event_shape.numel(), dtype=p.mean.dtype).reshape(
        p.event_shape
    )
    for name, exact, power in [("z", p.mean, 1), ("z^2", p.variance + p.mean.square(), 2)]:
        expected = torch.autograd.grad((exact * weight).sum(), subject.inputs, retain_graph=True)
        # 30 independent means: the standard error of their mean is right to an eighth
        means = [p.rsample(torch.Size((500,))).pow(power).mean(0) for _ in range(30)]
        slopes = [
            torch.autograd.grad((mean * weight).sum(), subject.inputs, retain_graph=True)
            for mean in means
        ]
        for exact_slope, *estimates in zip(expected, *slopes, strict=True):
            sampled = torch.stack(estimates)
            error = sampled.std(0) / math.sqrt(len(sampled))
            errors = (
                ((sampled.mean(0) - exact_slope).abs() - 1e-9).clamp(min=0) / error.clamp(min=1e-12)
            ).max()
            expect(
                errors <= 5,
                f"the gradient of E[{name}] by rsample is {errors:.1f} standard errors from that "
                "of the formula",
                "at most 5",
            )


def check_batch_consistency(subject: Subject) -> str | None:
    """A batch has the densities of its data one by one."""
    x = sample_values(subject, 3)
    together = subject().log_prob(x)
    if not subject.inputs:
        alone = torch.stack([subject().log_prob(each) for each in x])
    else:
        rows = range(len(subject.inputs[0]))
        alone = torch.cat(
            [subject(*subject.row_inputs(b)).log_prob(x[:, b : b + 1]) for b in rows], 1
        )
    expect(
        together.shape == alone.shape,
        f"log_prob has shape {tuple(together.shape)}",
        str(tuple(alone.shape)),
    )
    expect_close(together, alone, "the two", 1e-10, 1e-10)
    return None


def check_row_noise(subject: Subject) -> str | None:
    """Draws and moments of a row depend on the row, the seed and the number of the sample only."""
    with torch.no_grad(), share_moment_noise():
        if not subject.inputs or subject.inputs[0] is None:  # a prior: latents for rows
            shape, together, alone = (3,), subject(), subject()
        else:
            shape, together, alone = (), subject(), subject(*subject.row_inputs(1))
        n_rows = shape[0] if shape else together.batch_shape.numel()
        keys = torch.arange(n_rows)
        with RowNoise.from_keys(keys, seed=0).samples(5):
            draws = together.sample(torch.Size((5, *shape)))
        with RowNoise.from_keys(keys[1:2], seed=0).samples(2, start=3):
            repeated = alone.sample(torch.Size((2, *[1] * len(shape))))
        expect_close(repeated[:, 0], draws[3:, 1], "the draws of a row alone and in a batch", 1e-9)
        if not shape and together.mean.shape[:1] == (n_rows,):
            expect_close(alone.mean[0], together.mean[1], "the means of a row", 1e-9, 1e-9)
    return None


def check_single_precision(subject: Subject) -> str | None:
    """Single precision has the densities and variances of double precision, and draws inside."""
    x = sample_values(subject, 2).float().double()
    narrow = subject.clone(torch.float32)
    wide = subject if not isinstance(subject.family, nn.Module) else narrow.clone(torch.float64)
    exact, single = wide().log_prob(x), narrow().log_prob(x.float())
    expect(
        single.dtype == torch.float32,
        f"float32 inputs give densities in {single.dtype}",
        "torch.float32",
    )
    # some dozens of float32 operations, and the rounding of the inputs where the network is steep
    nearby = [value * (1 + 2**-22) if value.is_floating_point() else value for value in wide.inputs]
    sensitivity = (wide(*nearby).log_prob(x) - exact).abs()
    difference = (single.double() - exact).abs()
    excess = difference - 1e-4 * (1 + exact.abs()) - 30 * sensitivity.detach()
    expect(
        excess.max() <= 0,
        f"they differ by {difference.max().item():.3g} in densities of up to "
        f"{exact.abs().max().item():.3g}",
        "the rounding of float32",
    )
    _check_rounding(narrow(), "as it is")
    if isinstance(narrow.family, nn.Module) and _holds_tensors_only(narrow()):
        for size in ROUNDING_OUTPUTS:
            for pattern in ("+", "-", "mixed"):
                set_extreme_outputs(narrow.family, pattern, size)
                _check_rounding(narrow(), f"at outputs of {pattern.replace('mixed', '+-')}{size:g}")
    return None


def _check_rounding(p: Distribution, where: str) -> None:
    """Draws lie inside; density and variance are those of the same parameters in float64.

    A distribution that holds a network has no copy in float64: its draws alone are checked.
    """
    x = p.sample(torch.Size((ROUNDING_SAMPLES,))).clone()  # a flow stores the density of a draw
    inside = torch.ones(()) if p.support is None else p.support.check(x)
    expect(inside.all(), f"{(inside == 0).sum().item()} draws {where} lie outside", "none")
    if not _holds_tensors_only(p):
        return
    wide = map_tensors(_detach_to_double, p)
    if not isinstance(p, Dirac | QuantisedDirac):
        _check_density_rounding(p, wide, x, where)
    if not isinstance(p, MonteCarloMoments):
        _check_variance_rounding(p.variance.detach().double(), wide.variance, where)


def _detach_to_double(value: Tensor) -> Tensor:
    return cast_floating(value, torch.float64)


def _check_density_rounding(p: Distribution, wide: Distribution, x: Tensor, where: str) -> None:
    single = p.log_prob(x).detach().double()
    point = x.double().requires_grad_()
    exact = wide.log_prob(point)
    slope = torch.zeros_like(point)
    if exact.requires_grad and not (p.support is not None and p.support.is_discrete):
        (slope,) = torch.autograd.grad(exact.sum(), point)
    # the values are rounded, and rounded again where they are shifted and scaled
    sensitivity = (slope * point).abs().reshape(*exact.shape, -1).sum(-1)
    allowed = 1e-5 * (1 + exact.abs()) + 4 * 2**-24 * sensitivity
    excess = (single - exact).abs() - allowed
    worst = excess.argmax()
    expect(
        excess.max() <= 0,
        f"log_prob {where} is {single.flatten()[worst]:.7g} in float32 and "
        f"{exact.flatten()[worst]:.7g} in float64",
        "the rounding of float32",
    )


def _check_variance_rounding(single: Tensor, exact: Tensor, where: str) -> None:
    expect((single >= 0).all(), f"the variance {where} is {single.min().item():.3g}", "0 or more")
    # 1e-7: the variance of a bit, p (1 - p), knows 1 - p to this
    excess = (single - exact).abs() - 1e-4 * exact.abs() - 1e-7
    worst = excess.nan_to_num().argmax()
    expect(
        ((excess <= 0) | (single == exact)).all(),
        f"the variance {where} is {single.flatten()[worst]:.6g} in float32 and "
        f"{exact.flatten()[worst]:.6g} in float64",
        "the rounding of float32",
    )


def _holds_tensors_only(value: object) -> bool:
    """Whether a distribution is made of tensors and distributions alone, not of networks."""
    if isinstance(value, (list, tuple)):
        return all(map(_holds_tensors_only, value))
    if isinstance(value, (Distribution, Transform)):
        return all(map(_holds_tensors_only, vars(value).values()))
    return value is None or isinstance(value, (Tensor, int, float, str, constraints.Constraint))


def check_extreme_outputs(subject: Subject) -> str | None:
    """With network outputs and parameters of +-1e4, densities, draws and gradients are finite."""
    for dtype in (torch.float32, torch.float64):
        for pattern in ("+", "-", "mixed"):
            _check_extreme_pattern(
                subject.clone(dtype),
                pattern,
                f"at outputs of {pattern.replace('mixed', '+-')}1e4 in {str(dtype)[6:]}",
            )
    return None


def _check_extreme_pattern(subject: Subject, pattern: str, where: str) -> None:
    usual = sample_values(subject)
    module = subject.family
    assert isinstance(module, nn.Module)
    set_extreme_outputs(module, pattern)
    subject = subject.requiring_gradients()
    p = subject()
    draws = p.rsample() if p.has_rsample else p.sample()
    values = {
        "log_prob of usual values": p.log_prob(usual),
        "log_prob of its own draws": p.log_prob(draws),
        "mean": p.mean,
        "draws": draws,
    }
    for name, value in values.items():
        expect(not value.isnan().any(), f"{name} {where} is NaN", "numbers")
    inside = torch.ones((), dtype=torch.bool) if p.support is None else p.support.check(usual)
    whole = (
        inside.reshape(*inside.shape[: len(p.batch_shape)], -1).all(-1) if inside.dim() else inside
    )
    expect(
        values["log_prob of usual values"][whole.expand(p.batch_shape)].isfinite().all()
        if p.batch_shape
        else True,
        f"log_prob {where} of values inside the support is infinite",
        "finite numbers",
    )
    expect(
        values["log_prob of its own draws"].isfinite().all(),
        f"log_prob {where} of its own draws is infinite",
        "finite numbers",
    )
    del values["mean"]  # training differentiates densities and draws alone
    total = torch.stack([value.sum() for value in values.values()]).sum()
    if total.requires_grad:
        total.backward()
    for name, parameter in subject.parameters:
        expect(
            parameter.grad is None or parameter.grad.isfinite().all(),
            f"the gradient of {name} {where} is not finite",
            "finite numbers",
        )


def set_extreme_outputs(module: nn.Module, pattern: str, size: float = EXTREME_OUTPUT) -> None:
    """Set all heads to ``+size``, ``-size`` or both, and the parameters of the families as well.

    Where a family has built its last layers itself, all biases are set.
    """
    networks = {
        id(p)
        for part in module.modules()
        if not isinstance(part, Conditional)
        for p in part.parameters(recurse=False)
    }
    heads = [
        part.head for part in module.modules() if isinstance(part, Heads) and part.head is not None
    ]
    ends = ("raw", "logits") if heads else ("raw", "logits", "bias")
    free = {
        id(p)
        for name, p in module.named_parameters()
        if id(p) not in networks or name.endswith(ends)
    }
    with torch.no_grad():
        for head in heads:
            head.get_parameter("weight").zero_()
            free.add(id(head.get_parameter("bias")))
        for parameter in (p for p in module.parameters() if id(p) in free):
            signs = {
                "+": torch.ones_like(parameter),
                "-": -torch.ones_like(parameter),
                "mixed": torch.randn_like(parameter).sign(),
            }
            parameter.copy_(size * signs[pattern])


def check_parameter_gradients(subject: Subject) -> str | None:
    """Every parameter receives a gradient that is finite and not 0."""
    if not subject.parameters:
        return "it has no parameters"
    module = subject.family
    assert isinstance(module, nn.Module)
    module.train()
    divergence = None
    if isinstance(module, Likelihood):  # its weights may be random
        module.resample_weights()
        divergence = module.weight_kl()
    p = subject()
    # several draws: at a single one all units of a small network may be inactive
    total = (
        p.log_prob(p.sample(torch.Size((8,)))).sum()
        if has_density(subject)
        else p.mean.square().sum()
    )
    (total if divergence is None else total + divergence).backward()
    for name, parameter in subject.parameters:
        slope = parameter.grad
        expect(slope is not None, f"{name} receives no gradient", "one")
        expect(
            slope is not None and slope.isfinite().all(),
            f"the gradient of {name} is not finite",
            "finite numbers",
        )
        expect(
            slope is not None and bool(slope.abs().sum() > 0),
            f"the gradient of {name} is 0",
            "another number",
        )
    return None


def has_density(subject: Subject) -> bool:
    """Whether the conditional has a density."""
    return not isinstance(subject.family, Conditional) or subject.family.has_density


def check_low_precision(subject: Subject) -> str | None:
    """Networks in bfloat16 leave densities and draws in float32."""
    narrow = subject.clone(torch.float32)
    module = narrow.family
    heads = (
        [part for part in module.modules() if isinstance(part, Heads)]
        if isinstance(module, nn.Module)
        else []
    )
    if not isinstance(module, nn.Module) or not heads:
        return "none of its networks is in `networks.Heads`, which alone set_precision reaches"
    head_dtypes: list[torch.dtype] = []
    for part in heads:
        if part.head is not None:
            part.head.register_forward_hook(
                lambda module, inputs, output: head_dtypes.append(output.dtype)
            )
    set_precision(module, torch.bfloat16)
    p = narrow()
    x = p.sample()
    dtypes = {"draws": x.dtype, "densities": p.log_prob(x).dtype, "the mean": p.mean.dtype}
    expect(
        set(head_dtypes) <= {torch.bfloat16},
        f"a head runs in {sorted(map(str, set(head_dtypes)))}",
        "bfloat16 where set_precision asks for it",
    )
    for name, dtype in dtypes.items():
        expect(dtype == torch.float32, f"{name} are in {dtype}", "torch.float32")
    return None


def check_serialisation(subject: Subject) -> str | None:
    """Densities are the same after saving and loading, and after building again from the record."""
    module = subject.family
    assert isinstance(module, nn.Module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    _update_state(subject)
    x = sample_values(subject, 2)
    expected = subject().log_prob(x)
    others = [subject.clone()]
    for _, parameter in others[0].parameters:
        nn.init.zeros_(parameter)
    config = persistence.to_config(module)
    if "foreign" not in json.dumps(config):
        others.append(Subject(subject.name, _rebuild_module(config, subject), subject.inputs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        write_tensors(path, module.state_dict())
        for other in others:
            assert isinstance(other.family, nn.Module)
            other.family.load_state_dict(read_tensors(path)[0])
    for other in others:
        expect(
            bool((other().log_prob(x) == expected).all()),
            "log_prob differs after loading",
            "the same number to the bit",
        )
    return None


@torch.no_grad()
def _update_state(subject: Subject) -> None:
    """Update state that no gradient reaches, as training does."""
    module = subject.family
    assert isinstance(module, Conditional)
    module.train()
    p = subject()
    module.update_state(p, p.sample())
    module.eval()


def _rebuild_module(record: object, subject: Subject) -> nn.Module:
    """The module that the record describes, in double precision, with heads that are built."""
    module = persistence.from_config(json.loads(json.dumps(record))).eval()
    with torch.no_grad():
        module(*(cast_floating(value, torch.float32) for value in subject.inputs))
    return module.double()


def check_full_graph(subject: Subject) -> str | None:
    """Draw and density are traced into one graph and agree with eager mode."""
    if subject.eager:
        return "it is declared eager-only"
    narrow = subject.clone(torch.float32)
    x = sample_values(narrow, 2)

    def step(*inputs: Tensor) -> Tensor:
        p = narrow(*inputs)
        if not p.has_rsample:
            return p.log_prob(x)
        z = p.rsample(torch.Size((2,)))
        return p.log_prob(z) + z.reshape(*z.shape[: z.dim() - len(p.event_shape)], -1).sum(-1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer itself
        results = [
            _values_and_gradients(narrow, run)
            for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True))
        ]
    torch.compiler.reset()
    for name, eager, traced in zip(
        ["values", *(f"gradients of {name}" for name, _ in narrow.parameters)],
        *results,
        strict=True,
    ):
        # the same float32 operations in another order
        expect_close(traced, eager, f"{name}, traced and not,", 1e-4, 1e-3)
    return None


def _values_and_gradients(subject: Subject, run: Callable[..., Tensor]) -> list[Tensor]:
    module = subject.family
    if isinstance(module, nn.Module):
        module.zero_grad()
    with seed_scope(1):
        value = run(*subject.inputs)
    if value.requires_grad:
        value.sum().backward()
    zero = torch.zeros(())
    return [
        value.detach(),
        *(zero if p.grad is None else p.grad.clone() for _, p in subject.parameters),
    ]


def check_kl(subject: Subject, prior: Conditional) -> str | None:
    """The exact KL divergence to the prior is that of draws, and differentiable."""
    prior = _randomise_prior(prior)
    q, p = subject(), prior()
    if not has_density(subject) or not has_analytic_kl(q, p):
        return f"no formula is known from {type(q).__name__} to {type(p).__name__}"
    exact, shape = analytic_kl(q, p), tuple(q.batch_shape)
    expect(tuple(exact.shape) == shape, f"it has shape {tuple(exact.shape)}", str(shape))
    expect(bool((exact >= -1e-12).all()), f"it is {exact.min():.3g}", "0 or more")
    z = q.sample(torch.Size((20_000,)))
    ratio = q.log_prob(z) - p.log_prob(z)
    errors = (
        ((ratio.mean(0) - exact).abs() - 1e-9).clamp(min=0)
        / (ratio.std(0) / math.sqrt(len(z))).clamp(min=1e-12)
    ).max()
    expect(
        errors <= 5,
        f"it is {errors:.1f} standard errors from the mean of {len(z):,} draws",
        "at most 5",
    )
    elementwise = elementwise_kl(q, p)
    if elementwise is not None:
        expect_close(
            elementwise.flatten(len(shape)).sum(-1),
            exact,
            "the sum of its elements and it",
            1e-12,
            1e-12,
        )
    subject = subject.requiring_gradients()
    if not all(value.is_floating_point() for value in subject.inputs):
        return None
    check_finite_differences(
        "the KL divergence", lambda *inputs: analytic_kl(subject(*inputs), p), subject.inputs
    )
    return None


def check_extreme_kl(subject: Subject, prior: Conditional) -> str | None:
    """With outputs and parameters of +-1e4, mutual densities and the KL divergence are finite."""
    for dtype in (torch.float32, torch.float64):
        for pattern in ("+", "-", "mixed"):
            for far in ("posterior", "prior"):
                _check_extreme_pair(
                    subject.clone(dtype), Subject("prior", prior).clone(dtype), pattern, far
                )
    return None


def _check_extreme_pair(subject: Subject, prior: Subject, pattern: str, extreme_part: str) -> None:
    extreme = {"posterior": subject, "prior": prior}[extreme_part]
    assert isinstance(extreme.family, nn.Module)
    set_extreme_outputs(extreme.family, pattern)
    q, p = subject(), prior()
    z_q, z_p = q.rsample() if q.has_rsample else q.sample(), p.sample(q.batch_shape)
    values = {
        "the prior's density of the posterior's draws": p.log_prob(z_q),
        "the posterior's density of the prior's draws": q.log_prob(z_p),
    }
    if has_analytic_kl(q, p):
        values["their KL divergence"] = analytic_kl(q, p)
    where = (
        f"with the {extreme_part} at {pattern.replace('mixed', '+-')}1e4 in {str(z_p.dtype)[6:]}"
    )
    for name, value in values.items():
        expect(
            value.isfinite().all(),
            f"{name} {where} is {value[~value.isfinite()][:1].tolist()}",
            "a finite number",
        )
    # a logit of 1e4 is known to 1e-3 in float32
    least = values.get("their KL divergence", torch.zeros(1)).min()
    expect(
        bool(least > (-1e-2 if z_p.dtype == torch.float32 else -1e-9)),
        f"their KL divergence {where} is {least:.3g}",
        "0 or more",
    )
    total = torch.stack([value.sum() for value in values.values()]).sum()
    if total.requires_grad:
        total.backward()
    for name, parameter in (*subject.parameters, *prior.parameters):
        expect(
            parameter.grad is None or parameter.grad.isfinite().all(),
            f"the gradient of {name} {where} is not finite",
            "finite numbers",
        )


def _randomise_prior(prior: Conditional) -> Conditional:
    """A copy in double precision with random parameters and without a graph."""
    prior = Subject("prior", prior).clone().family  # pyright: ignore[reportAssignmentType]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(std=0.7)
    return prior.requires_grad_(False)


def check_scorer(subject: Subject) -> str | None:
    """Scoring many latents of the same data gives the density."""
    likelihood, (z, *more) = subject.family, subject.inputs
    latents = torch.stack([z, z.flip(0), 0.5 * z])
    x = sample_values(subject)
    assert isinstance(likelihood, Likelihood)
    score = likelihood.log_likelihood_function(x, *more)(latents)
    expect_close(score, subject(latents, *more).log_prob(x), "the two", 1e-11, 1e-11)
    return None


def check_cells(subject: Subject) -> str | None:
    """The parts of the cells sum to the density; a missing cell has no part."""
    likelihood, (z, *more) = subject.family, subject.inputs
    assert isinstance(likelihood, Likelihood)
    if not (likelihood.factorises or likelihood.has_conditionals):
        return "its cells depend on each other"
    x = sample_values(subject)
    if likelihood.allows_missing:
        x.flatten(1)[1::2, ::2] = torch.nan
    each = likelihood.cells(z, x, *more)
    expect(each.shape == x.shape, f"the shape is {tuple(each.shape)}", f"{tuple(x.shape)}")
    expect(not each[x.isnan()].any(), "a missing cell has a part", "0")
    expect_close(each.flatten(1).sum(1), subject().log_prob(x), "their sum and it", 1e-11, 1e-11)
    return None


def check_stop_gradient(subject: Subject) -> str | None:
    """Stopping the parameters changes no value, and leaves the gradient through the value."""
    module = subject.family
    assert isinstance(module, Conditional)
    q = subject()
    z = q.sample().requires_grad_(not (q.support is not None and q.support.is_discrete))
    expected = q.log_prob(z)
    for stopped in (
        stop_gradient(module, q, *subject.inputs),
        detach_parameters(module)(*subject.inputs),
    ):
        value = stopped.log_prob(z)
        expect_close(value, expected, "the densities", 0.0)
        if not value.requires_grad:
            continue  # the value is looked up, not computed from z
        slopes = torch.autograd.grad(
            value.sum(), [z, *module.parameters()], allow_unused=True, retain_graph=True
        )
        expect(
            all(slope is None for slope in slopes[1:]),
            "a stopped parameter receives a gradient",
            "none",
        )
        (expected_slope,) = torch.autograd.grad(expected.sum(), z, retain_graph=True)
        expect_close(slopes[0], expected_slope, "the gradients through the value", 1e-12, 1e-12)
    return None
