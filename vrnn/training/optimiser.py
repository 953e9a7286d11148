"""From gradients to weights: clipping, Adam, the learning rate's schedule, and the average of the weights.

A step whose bound or gradient is not finite is skipped: weights, Adam's moments, schedule and average stay as they
were. More than `max_nonfinite` skipped steps in a row mean that the run has diverged.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vrnn.models import SequenceModel
from vrnn.training.spec import Optimisation

__all__ = ["Optimiser"]

_Weights: TypeAlias = list[Tensor] | tuple[Tensor, ...]


class Optimiser:
    """The weights of one run: those that are trained and those that are scored."""

    def __init__(self, model: SequenceModel[Any], rules: Optimisation, planned_steps: int) -> None:
        """Start from the model's weights.

        Args:
            model: the model; its parameters are trained in place.
            rules: how it is fitted.
            planned_steps: steps of the whole run, if nothing ends it early.
        """
        self._model = model
        self._rules = rules
        self._adam = Adam(model.parameters(), lr=rules.learning_rate, fused=True)
        self._schedule = _schedule(self._adam, rules, planned_steps)
        self._average = AveragedModel(model, multi_avg_fn=_debiased(rules.averaging)) if rules.averaging else None
        self.skipped_in_a_row = 0

    @property
    def scored_model(self) -> nn.Module:
        """The model whose weights are validated, kept and scored: the average where there is one."""
        return self._average.module if self._average is not None else self._model

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._adam.param_groups[0]["lr"])

    @property
    def diverged(self) -> bool:
        """Whether more steps in a row were skipped than the rules allow."""
        return self.skipped_in_a_row > self._rules.max_nonfinite

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def step(self, bound: float) -> float | None:
        """Take one step with the parameters' gradients.

        Args:
            bound: the bound that they are the gradients of.

        Returns:
            Their norm before clipping; None where it or the bound is not finite, and the step was skipped.
        """
        norm = float(nn.utils.clip_grad_norm_(self._model.parameters(), self._rules.clip_norm))
        if not (math.isfinite(bound) and math.isfinite(norm)):
            self.skipped_in_a_row += 1
            return None
        self.skipped_in_a_row = 0
        self._adam.step()  # pyright: ignore[reportUnknownMemberType]
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._model)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to end with the same bits, the trained weights included."""
        return {
            "model": self._model.state_dict(),
            "adam": self._adam.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "skipped_in_a_row": self.skipped_in_a_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._model.load_state_dict(state["model"])
        self._adam.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.skipped_in_a_row = state["skipped_in_a_row"]


def _schedule(adam: Adam, rules: Optimisation, planned_steps: int) -> LRScheduler:
    """In step s of the warm-up the rate is s / warmup_steps of itself; then it is constant or decays to its end."""
    warmup = rules.warmup_steps
    rise = LinearLR(adam, start_factor=1 / max(warmup, 1), total_iters=max(warmup - 1, 0))
    if rules.schedule == "constant":
        return rise
    steps, end = max(planned_steps - warmup, 1), rules.final_learning_rate
    decay: LRScheduler = (
        LinearLR(adam, start_factor=1.0, end_factor=end, total_iters=steps)
        if rules.schedule == "linear"
        else CosineAnnealingLR(adam, T_max=steps, eta_min=end * rules.learning_rate)
    )
    return SequentialLR(adam, [rise, decay], [warmup]) if warmup else decay


def _debiased(decay: float) -> Callable[[_Weights, _Weights, Tensor | int], None]:
    """An exponential moving average of the weights after every step, without the bias to the first ones.

    An average that starts at the initial weights keeps them with a share of decay^n, for thousands of steps. Here the
    n-th weights enter with the share (1 - decay) / (1 - decay^n), which is Adam's bias correction as a recursion: the
    first steps are averaged evenly, and late ones exponentially.
    """

    def update(averaged: _Weights, current: _Weights, so_far: Tensor | int) -> None:
        share = (1 - decay) / (1 - decay ** (int(so_far) + 1))
        get_ema_multi_avg_fn(1 - share)(averaged, current, so_far)

    return update
