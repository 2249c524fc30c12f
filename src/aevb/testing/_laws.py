"""The laws of a distribution, and of the module that gives it: each a function that returns where it holds."""

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
from torch.distributions import Distribution

from .. import _persistence as persistence
from .._conditional import Conditional, detach_parameters, stop_gradient
from .._files import read_tensors, write_tensors
from .._random import seed_scope
from ..distributions import _kl as kl
from ..distributions._monte_carlo_moments import MOMENT_SAMPLES, MonteCarloMoments
from ..likelihoods._likelihood import Likelihood
from ..networks import Heads, set_precision
from ._quadrature import element_support, independent_cells, support_bounds, total_mass
from ._subject import LawViolation, Subject, cast_floating, expect, expect_close

MOMENT_SAMPLES = 8000
EXTREME_OUTPUT = 1e4


def sample_values(subject: Subject, *samples: int) -> Tensor:
    """Draws without a gradient, ``[*samples, *batch, *event]``."""
    return subject().sample(torch.Size(samples)).detach()


def check_normalisation(subject: Subject) -> str | None:
    """the density integrates to 1, or the probabilities sum to 1"""
    found = total_mass(subject(*subject.row_inputs(0)) if subject.inputs else subject())
    if found is None:
        return "no rule integrates over its support"
    error, worst = found.error.max().item(), (found.value - 1).abs().max().item()
    if error > 0.05:
        return f"the quadrature is known to {error:.2g} only"
    value = found.value.flatten()[(found.value - 1).abs().argmax()].item()
    expect(worst <= 1e-9 + error, f"it comes to {value:.10g}", f"1 to within {1e-9 + error:.1e}")
    return None


def check_moments(subject: Subject) -> str | None:
    """mean and variance are those of its draws"""
    p = subject()
    draws = [p.sample(torch.Size((MOMENT_SAMPLES,)))]
    if p.has_rsample:
        draws.append(p.rsample(torch.Size((MOMENT_SAMPLES,))).detach())
    if subject.circular:
        for found in draws:
            _check_circular_moments(p, found)
        return None
    known = MOMENT_SAMPLES if isinstance(p, MonteCarloMoments) else math.inf
    for found in draws:
        _check_moments_of_draws(found, p.mean.detach(), p.variance.detach(), known)
    return None


def _check_moments_of_draws(
    draws: Tensor, mean: Tensor, variance: Tensor, reference_draws: float
) -> None:
    """Within five standard errors; ``known`` is the number of draws that mean and variance are themselves estimated from."""
    n = len(draws) / (1 + len(draws) / reference_draws)
    error_of_mean = draws.std(0) / math.sqrt(n)
    fourth = (draws - draws.mean(0)).pow(4).mean(0)
    error_of_variance = (fourth - draws.var(0) ** 2).clamp(min=0).sqrt() / math.sqrt(n) + (
        error_of_mean * 5
    ).square() / 5
    for name, found, said, error in [
        ("mean", draws.mean(0), mean, error_of_mean),
        ("variance", draws.var(0), variance, error_of_variance),
    ]:
        exists = said.isfinite() & found.isfinite()
        # 1e-9: the rounding of a variance that is a difference of sums
        away = torch.where(
            exists, ((found - said).abs() - 1e-9).clamp(min=0) / error.clamp(min=1e-12), 0.0
        )
        place = away.argmax()
        measured = f"the {name} of {len(draws):,} draws is {found.flatten()[place]:.6g} where it says {said.flatten()[place]:.6g}"
        expect(away.max() <= 5, f"{measured}, {away.max():.1f} standard errors away", "at most 5")


def _check_circular_moments(p: Distribution, draws: Tensor) -> None:
    """The mean direction, and how far the mean of ``exp(i x)`` falls short of the circle."""
    ahead, aside = (draws - p.mean).cos(), (draws - p.mean).sin()
    for name, found, said in [
        ("length", ahead, 1 - p.variance),
        ("direction", aside, torch.zeros_like(p.mean)),
    ]:
        error = found.std(0) / math.sqrt(len(found))
        away = ((found.mean(0) - said).abs() / error).max()
        expect(
            away <= 5,
            f"the {name} of the mean of {len(draws):,} draws is {away:.1f} standard errors from what it says",
            "at most 5",
        )


def check_support(subject: Subject) -> str | None:
    """draws lie in the support, where their density is finite"""
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
    """at an edge that belongs to the support the density is its limit, infinite where that is, and never NaN"""
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
        f"log_prob at {end:g} is {edge_value[~right][:1].tolist()} and beside it {close[~right][:1].tolist()}",
        "the limit",
    )


def check_sample_gradients(subject: Subject) -> str | None:
    """draws and their density have the slopes of finite differences in what they depend on"""
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
    """Go on where autograd gives the slopes of finite differences."""
    try:
        gradcheck(function, inputs)
    except GradcheckError as error:
        text = " ".join(str(error).split())
        raise LawViolation(
            f"the slopes of {description} by autograd and by finite differences disagree ({text[:200]}); expected the same"
        ) from None


def _seeded_rsample(subject: Subject, inputs: tuple[Tensor, ...]) -> Tensor:
    with seed_scope(3):
        return subject(*inputs).rsample(torch.Size((3,)))


def _check_implicit_gradients(subject: Subject) -> None:
    """Draws that are rejected or come from a mixture move with their parameters: ``d E[z] = E[dz]``, and so for ``z^2``."""
    p = subject()
    weight = torch.linspace(-2.0, 1.0, p.event_shape.numel(), dtype=p.mean.dtype).reshape(
        p.event_shape
    )
    for name, exact, power in [("z", p.mean, 1), ("z^2", p.variance + p.mean.square(), 2)]:
        expected = torch.autograd.grad((exact * weight).sum(), subject.inputs, retain_graph=True)
        # of 30 independent means, as many as make a standard error of the mean itself right to an eighth
        means = [p.rsample(torch.Size((500,))).pow(power).mean(0) for _ in range(30)]
        slopes = [
            torch.autograd.grad((mean * weight).sum(), subject.inputs, retain_graph=True)
            for mean in means
        ]
        for theirs, *mine in zip(expected, *slopes, strict=True):
            found = torch.stack(mine)
            error = found.std(0) / math.sqrt(len(found))
            away = (
                ((found.mean(0) - theirs).abs() - 1e-9).clamp(min=0) / error.clamp(min=1e-12)
            ).max()
            expect(
                away <= 5,
                f"the slope of E[{name}] by rsample is {away:.1f} standard errors from that of the formula",
                "at most 5",
            )


def check_batch_consistency(subject: Subject) -> str | None:
    """a batch has the densities of its data one by one"""
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


def check_single_precision(subject: Subject) -> str | None:
    """single precision gives the densities of double precision, to its rounding"""
    x = sample_values(subject, 2).float().double()
    narrow = subject.clone(torch.float32)
    wide = subject if not isinstance(subject.family, nn.Module) else narrow.clone(torch.float64)
    exact, single = wide().log_prob(x), narrow().log_prob(x.float())
    expect(
        single.dtype == torch.float32,
        f"float32 inputs give densities in {single.dtype}",
        "torch.float32",
    )
    # some dozens of float32 operations, and what the rounding of the inputs alone would do where the network is steep
    beside = [value * (1 + 2**-22) if value.is_floating_point() else value for value in wide.inputs]
    steep = (wide(*beside).log_prob(x) - exact).abs()
    away = (single.double() - exact).abs() - 1e-4 * (1 + exact.abs()) - 30 * steep.detach()
    measured = f"they differ by {(single.double() - exact).abs().max().item():.3g} in densities of up to {exact.abs().max().item():.3g}"
    expect(away.max() <= 0, measured, "the rounding of float32")
    return None


# of the module


def check_extreme_outputs(subject: Subject) -> str | None:
    """with outputs of the network and free parameters of +-1e4 densities, draws and slopes are finite, in single precision too"""
    for dtype in (torch.float32, torch.float64):
        for pattern in ("+", "-", "mixed"):
            _check_extreme_pattern(
                subject.clone(dtype),
                pattern,
                f"at outputs of {pattern.replace('mixed', '+-')}1e4 in {str(dtype)[6:]}",
            )
    return None


def _check_extreme_pattern(subject: Subject, pattern: str, where: str) -> None:
    before = sample_values(subject)
    module = subject.family
    assert isinstance(module, nn.Module)
    set_extreme_outputs(module, pattern)
    subject = subject.requiring_gradients()
    p = subject()
    ours = p.rsample() if p.has_rsample else p.sample()
    values = {
        "log_prob of usual values": p.log_prob(before),
        "log_prob of its own draws": p.log_prob(ours),
        "mean": p.mean,
        "draws": ours,
    }
    for name, value in values.items():
        expect(not value.isnan().any(), f"{name} {where} is NaN", "numbers")
    inside = torch.ones((), dtype=torch.bool) if p.support is None else p.support.check(before)
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
    del values["mean"]  # no density, and what is differentiated in training are densities and draws
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
    """Let every head put out ``+size``, ``-size`` or both, whatever goes in, and set the parameters of the families themselves so.

    Where a family has made its last layers itself, all biases are set so.
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
    """every parameter receives a gradient that is finite and not 0"""
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
    # several draws: at a single one all units of a small network may rest
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
    """networks in bfloat16 leave densities and draws in float32"""
    narrow = subject.clone(torch.float32)
    module = narrow.family
    heads = (
        [part for part in module.modules() if isinstance(part, Heads)]
        if isinstance(module, nn.Module)
        else []
    )
    if not isinstance(module, nn.Module) or not heads:
        return "none of its networks is in `networks.Heads`, which alone set_precision reaches"
    seen: list[torch.dtype] = []
    for part in heads:
        if part.head is not None:
            part.head.register_forward_hook(
                lambda module, inputs, output: seen.append(output.dtype)
            )
    set_precision(module, torch.bfloat16)
    p = narrow()
    x = p.sample()
    found = {"draws": x.dtype, "densities": p.log_prob(x).dtype, "the mean": p.mean.dtype}
    expect(
        set(seen) <= {torch.bfloat16},
        f"a head runs in {sorted(map(str, set(seen)))}",
        "bfloat16 where set_precision asks for it",
    )
    for name, dtype in found.items():
        expect(dtype == torch.float32, f"{name} are in {dtype}", "torch.float32")
    return None


def check_serialisation(subject: Subject) -> str | None:
    """what was saved and loaded has the same densities, and so has what is built again from its record"""
    module = subject.family
    assert isinstance(module, nn.Module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    _update_state(subject)
    x = sample_values(subject, 2)
    held = subject().log_prob(x)
    others = [subject.clone()]
    for _, parameter in others[0].parameters:
        nn.init.zeros_(parameter)
    described = persistence.to_config(module)
    if "foreign" not in json.dumps(described):
        others.append(Subject(subject.name, _rebuild_module(described, subject), subject.inputs))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        write_tensors(path, module.state_dict())
        for other in others:
            assert isinstance(other.family, nn.Module)
            other.family.load_state_dict(read_tensors(path)[0])
    for other in others:
        expect(
            bool((other().log_prob(x) == held).all()),
            "log_prob differs after loading",
            "the same number to the bit",
        )
    return None


@torch.no_grad()
def _update_state(subject: Subject) -> None:
    """Let state that no gradient reaches move as in training."""
    module = subject.family
    assert isinstance(module, Conditional)
    module.train()
    p = subject()
    module.update_state(p, p.sample())
    module.eval()


def _rebuild_module(record: object, subject: Subject) -> nn.Module:
    """The module that the record describes, in double precision, with heads that exist."""
    again = persistence.from_config(json.loads(json.dumps(record))).eval()
    with torch.no_grad():
        again(*(cast_floating(value, torch.float32) for value in subject.inputs))
    return again.double()


def check_full_graph(subject: Subject) -> str | None:
    """draw and density are traced into one graph, forwards and backwards, and agree with eager mode"""
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
        kept = [
            _values_and_gradients(narrow, run)
            for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True))
        ]
    torch.compiler.reset()
    for name, eager, traced in zip(
        ["values", *(f"slopes of {name}" for name, _ in narrow.parameters)], *kept, strict=True
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
    """the exact divergence to the prior is that of draws, not below 0, the sum of its elements, and differentiable"""
    prior = _randomise_prior(prior)
    q, p = subject(), prior()
    if not has_density(subject) or not kl.has_analytic_kl(q, p):
        return f"no formula is known from {type(q).__name__} to {type(p).__name__}"
    exact, shape = kl.analytic_kl(q, p), tuple(q.batch_shape)
    expect(tuple(exact.shape) == shape, f"it has shape {tuple(exact.shape)}", str(shape))
    expect(bool((exact >= -1e-12).all()), f"it is {exact.min():.3g}", "0 or more")
    z = q.sample(torch.Size((20_000,)))
    ratio = q.log_prob(z) - p.log_prob(z)
    away = (
        ((ratio.mean(0) - exact).abs() - 1e-9).clamp(min=0)
        / (ratio.std(0) / math.sqrt(len(z))).clamp(min=1e-12)
    ).max()
    expect(
        away <= 5,
        f"it is {away:.1f} standard errors from the mean of {len(z):,} draws",
        "at most 5",
    )
    each = kl.elementwise_kl(q, p)
    if each is not None:
        expect_close(
            each.flatten(len(shape)).sum(-1), exact, "the sum of its elements and it", 1e-12, 1e-12
        )
    subject = subject.requiring_gradients()
    if not all(value.is_floating_point() for value in subject.inputs):
        return None
    check_finite_differences(
        "the divergence", lambda *inputs: kl.analytic_kl(subject(*inputs), p), subject.inputs
    )
    return None


def check_extreme_kl(subject: Subject, prior: Conditional) -> str | None:
    """with outputs and parameters of +-1e4 posterior and prior have finite densities of each other's draws and a finite divergence"""
    for dtype in (torch.float32, torch.float64):
        for pattern in ("+", "-", "mixed"):
            for far in ("posterior", "prior"):
                _check_extreme_pair(
                    subject.clone(dtype), Subject("prior", prior).clone(dtype), pattern, far
                )
    return None


def _check_extreme_pair(subject: Subject, prior: Subject, pattern: str, extreme_part: str) -> None:
    moved = {"posterior": subject, "prior": prior}[extreme_part]
    assert isinstance(moved.family, nn.Module)
    set_extreme_outputs(moved.family, pattern)
    q, p = subject(), prior()
    ours, theirs = q.rsample() if q.has_rsample else q.sample(), p.sample(q.batch_shape)
    values = {
        "the prior's density of the posterior's draws": p.log_prob(ours),
        "that of the prior's": q.log_prob(theirs),
    }
    if kl.has_analytic_kl(q, p):
        values["their divergence"] = kl.analytic_kl(q, p)
    where = (
        f"with the {extreme_part} at {pattern.replace('mixed', '+-')}1e4 in {str(theirs.dtype)[6:]}"
    )
    for name, value in values.items():
        expect(
            value.isfinite().all(),
            f"{name} {where} is {value[~value.isfinite()][:1].tolist()}",
            "a finite number",
        )
    # a logit of 1e4 is held to 1e-3 in float32
    least = values.get("their divergence", torch.zeros(1)).min()
    expect(
        bool(least > (-1e-2 if theirs.dtype == torch.float32 else -1e-9)),
        f"their divergence {where} is {least:.3g}",
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
    """A copy in double precision whose parameters are anything but those it begins with, and of no graph."""
    prior = Subject("prior", prior).clone().family  # pyright: ignore[reportAssignmentType]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(std=0.7)
    return prior.requires_grad_(False)


def check_scorer(subject: Subject) -> str | None:
    """scoring many codes of the same data is the density"""
    likelihood, (z, *more) = subject.family, subject.inputs
    codes = torch.stack([z, z.flip(0), 0.5 * z])
    x = sample_values(subject)
    assert isinstance(likelihood, Likelihood)
    score = likelihood.log_likelihood_function(x, *more)(codes)
    expect_close(score, subject(codes, *more).log_prob(x), "the two", 1e-11, 1e-11)
    return None


def check_stop_gradient(subject: Subject) -> str | None:
    """stopping the parameters changes no value, and leaves only the slope through the value"""
    module = subject.family
    assert isinstance(module, Conditional)
    q = subject()
    z = q.sample().requires_grad_(not (q.support is not None and q.support.is_discrete))
    mine = q.log_prob(z)
    for held in (
        stop_gradient(module, q, *subject.inputs),
        detach_parameters(module)(*subject.inputs),
    ):
        value = held.log_prob(z)
        expect_close(value, mine, "the densities", 0.0)
        if not value.requires_grad:
            continue  # looked up, not computed from z: no path at all
        slopes = torch.autograd.grad(
            value.sum(), [z, *module.parameters()], allow_unused=True, retain_graph=True
        )
        expect(
            all(slope is None for slope in slopes[1:]),
            "a stopped parameter receives a gradient",
            "none",
        )
        (own,) = torch.autograd.grad(mine.sum(), z, retain_graph=True)
        expect_close(slopes[0], own, "the slopes through the value", 1e-12, 1e-12)
    return None
