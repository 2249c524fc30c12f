"""Tempered Hamiltonian dynamics as an invertible map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._hmc import HMCState, LogDensity, PhasePoint, StateFn, hmc_state_fn, leapfrog


class TemperedLeapfrogFlow:
    """Map Gaussian noise ``(e, g)`` to position and momentum by tempered leapfrog steps.

    ``z_0 = loc + scale * e`` and ``r_0 = momentum_scales[0] * g``. Each further momentum scale adds
    a leapfrog step on ``log_density``, after which the momentum is multiplied by
    ``momentum_scales[k] / momentum_scales[k-1]`` (cooling). Leapfrog steps preserve volume, so
    ``log |det| = sum log scale + D log momentum_scales[-1]``. Either direction evaluates the
    gradient once more than the number of steps. Caterini, Doucet and Sejdinovic, Hamiltonian
    variational auto-encoder (2018), where ``momentum_scales[k]`` is ``1 / sqrt(beta_k)``.

    Args:
        log_density: Maps points ``[*samples, B, D]`` to ``[*samples, B]``.
        loc: Initial location ``[B, D]``.
        scale: Initial scale ``[B, D]``.
        step_size: Step size of each variable, ``[D]``.
        momentum_scales: Scalar tensors, one more than there are steps.
        inverse: Whether the map goes back from position and momentum to noise.

    Example:
        >>> one = torch.ones(())
        >>> flow = TemperedLeapfrogFlow(
        ...     lambda z: -0.5 * z.square().sum(-1),
        ...     torch.zeros(1, 2),
        ...     torch.ones(1, 2),
        ...     0.1 * torch.ones(2),
        ...     [2 * one, one],
        ... )
        >>> noise = torch.randn(5, 1, 4)
        >>> bool(
        ...     torch.allclose(
        ...         flow.inv.call_and_ladj(flow.call_and_ladj(noise)[0])[0], noise, atol=1e-5
        ...     )
        ... )
        True
    """

    def __init__(
        self,
        log_density: LogDensity,
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
        """The inverse map."""
        return TemperedLeapfrogFlow(
            self.log_density,
            self.loc,
            self.scale,
            self.step_size,
            self.momentum_scales,
            not self.inverse,
        )

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the map.

        Args:
            x: Noise, or position and momentum for the inverse, ``[*samples, B, 2D]``.

        Returns:
            The image ``[*samples, B, 2D]`` and the log-Jacobian ``[*samples, B]``.
        """
        log_volume = self.scale.log().sum(-1) + self.loc.shape[-1] * self.momentum_scales[-1].log()
        y = self._backward(x) if self.inverse else self._forward(x)
        log_volume = log_volume.expand(y.shape[:-1])
        return y, -log_volume if self.inverse else log_volume

    def _forward(self, noise: Tensor) -> Tensor:
        e, g = noise.chunk(2, -1)
        field = self._scaled_state_fn()
        now = PhasePoint(
            field((self.loc + self.scale * e) / self.step_size), self.momentum_scales[0] * g
        )
        for before, after in zip(self.momentum_scales[:-1], self.momentum_scales[1:], strict=True):
            now = leapfrog(field, now, self.loc.new_tensor(1.0), 1)
            now = PhasePoint(now.state, after / before * now.momentum)
        return torch.cat([now.z * self.step_size, now.momentum], -1)

    def _backward(self, end: Tensor) -> Tensor:
        z, momentum = end.chunk(2, -1)
        field = self._scaled_state_fn()
        now = PhasePoint(field(z / self.step_size), momentum)
        for before, after in reversed(
            list(zip(self.momentum_scales[:-1], self.momentum_scales[1:], strict=True))
        ):
            now = leapfrog(
                field,
                PhasePoint(now.state, before / after * now.momentum),
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

    def _scaled_state_fn(self) -> StateFn[HMCState]:
        """The log-density in units of the step sizes, so that every step has size 1."""
        return hmc_state_fn(
            lambda z: self.log_density(z * self.step_size), differentiable=torch.is_grad_enabled()
        )
