"""The way of a particle through a landscape, as an invertible map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _hmc as hmc


class TemperedLeapfrogFlow:
    """``(e, g) -> (z_K, r_K)``, ``[*samples, B, 2D]``: a Gaussian point with a hot momentum follows Hamilton's equations while it cools.

    ``z_0 = loc + scale * e``, ``r_0 = momentum_scales[0] * g``; then as often as there are further ``momentum_scales`` a leapfrog step of the sizes ``step``
    ``[D]`` on ``log_density``, after which the momentum is multiplied by ``heats[k] / heats[k-1]``. A leapfrog keeps volume, so

    ``log |det| = sum log scale + D (log momentum_scales[0] + sum_k log(momentum_scales[k] / momentum_scales[k-1])) = sum log scale + D log momentum_scales[-1]``.

    ``loc`` and ``scale`` are ``[B, D]``, ``momentum_scales`` numbers without an axis. The landscape is asked for its slope once more than there are
    steps, in either direction. Caterini, Doucet and Sejdinovic, Hamiltonian variational auto-encoder (2018), where ``heats[k]`` is
    ``1 / sqrt(beta_k)``.

    >>> one = torch.ones(())
    >>> there = TemperedLeapfrogFlow(
    ...     lambda z: -0.5 * z.square().sum(-1),
    ...     torch.zeros(1, 2),
    ...     torch.ones(1, 2),
    ...     0.1 * torch.ones(2),
    ...     [2 * one, one],
    ... )
    >>> noise = torch.randn(5, 1, 4)
    >>> bool(
    ...     torch.allclose(
    ...         there.inv.call_and_ladj(there.call_and_ladj(noise)[0])[0], noise, atol=1e-5
    ...     )
    ... )
    True
    """

    def __init__(
        self,
        log_density: hmc.LogDensity,
        loc: Tensor,
        scale: Tensor,
        step_size: Tensor,
        momentum_scales: Sequence[Tensor],
        inverse: bool = False,
    ) -> None:
        (
            self.log_density,
            self.loc,
            self.scale,
            self.step_size,
            self.momentum_scales,
            self.inverse,
        ) = log_density, loc, scale, step_size, momentum_scales, inverse

    @property
    def inv(self) -> TemperedLeapfrogFlow:
        return TemperedLeapfrogFlow(
            self.log_density,
            self.loc,
            self.scale,
            self.step_size,
            self.momentum_scales,
            not self.inverse,
        )

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the logarithm of how much it stretches volume ``[*samples, B]``."""
        log_volume = self.scale.log().sum(-1) + self.loc.shape[-1] * self.momentum_scales[-1].log()
        y = self._backward(x) if self.inverse else self._forward(x)
        log_volume = log_volume.expand(y.shape[:-1])
        return y, -log_volume if self.inverse else log_volume

    def _forward(self, noise: Tensor) -> Tensor:
        e, g = noise.chunk(2, -1)
        field = self._scaled_state_fn()
        now = hmc.PhasePoint(
            field((self.loc + self.scale * e) / self.step_size), self.momentum_scales[0] * g
        )
        for before, after in zip(self.momentum_scales[:-1], self.momentum_scales[1:], strict=True):
            now = hmc.leapfrog(field, now, self.loc.new_tensor(1.0), 1)
            now = hmc.PhasePoint(now.state, after / before * now.momentum)
        return torch.cat([now.z * self.step_size, now.momentum], -1)

    def _backward(self, end: Tensor) -> Tensor:
        z, momentum = end.chunk(2, -1)
        field = self._scaled_state_fn()
        now = hmc.PhasePoint(field(z / self.step_size), momentum)
        for before, after in reversed(
            list(zip(self.momentum_scales[:-1], self.momentum_scales[1:], strict=True))
        ):
            now = hmc.leapfrog(
                field,
                hmc.PhasePoint(now.state, before / after * now.momentum),
                self.loc.new_tensor(-1.0),
                1,
            )
        return torch.cat(
            [
                (now.z * self.step_size - self.loc) / self.scale,
                now.momentum / self.momentum_scales[0],
            ],
            -1,
        )

    def _scaled_state_fn(self) -> hmc.StateFn[hmc.HMCState]:
        """The landscape with each variable in units of its own step size, so that every step has the size 1."""
        return hmc.make_state_fn(
            lambda z: self.log_density(z * self.step_size), differentiable=torch.is_grad_enabled()
        )
