"""The gradients of a rank's share of a batch, summed over parts that fit in memory.

A step's loss is a sum over frames divided by the frames of the global batch. Its gradient is therefore the sum of the
gradients of any parts that the sequences fall into: parts of fewer sequences need less memory, and change no figure
beyond rounding.
"""

import torch
from torch import Tensor

from vrnn.device.precision import arithmetic
from vrnn.likelihood.bounds import real_frames
from vrnn.models import SequenceModel, State
from vrnn.scan.time_loop import holding
from vrnn.training.data_loading import Portion
from vrnn.training.objective import bound_and_kl, objective
from vrnn.training.spec import Optimisation
from vrnn.training.tbptt import Piece

__all__ = ["Share"]


class Share:
    """The sequences of a batch that a rank computes on, piece after piece, and the states carried between pieces."""

    def __init__(self, model: SequenceModel, portion: Portion, micro_batch: int) -> None:
        """Take `portion` in parts.

        Args:
            model: whose parameters get the gradients.
            portion: B sequences; there may be none.
            micro_batch: sequences in a part; 0 takes all at once.
        """
        self._model = model
        self._portion = portion
        sequences = portion.batch.mask.shape[1]
        size = micro_batch or max(sequences, 1)
        self._parts = [slice(start, start + size) for start in range(0, sequences, size)]
        self._states: list[State | None] = [None] * len(self._parts)

    def add_gradients(self, piece: Piece, rules: Optimisation, kl_factor: float) -> Tensor:
        """Add the piece's gradients to those of the parameters.

        Args:
            piece: of the global batch; the next one after that of the last call.
            rules: how the model is fitted.
            kl_factor: beta of the objective.

        Returns:
            The bound and its KL part of this rank's sequences, `[2]`, float64, nats.
        """
        figures = torch.zeros(2, dtype=torch.float64, device=self._portion.batch.mask.device)
        for number, part in enumerate(self._parts):
            figures += self._add_part(number, part, piece, rules, kl_factor)
        return figures

    def _add_part(self, number: int, part: slice, piece: Piece, rules: Optimisation, kl_factor: float) -> Tensor:
        batch, noise = self._portion.batch, self._portion.noise
        mask = batch.mask[piece.place, part]
        if not mask.numel():
            return torch.zeros(2, dtype=torch.float64, device=mask.device)
        x = real_frames(batch.frames[piece.place, part], mask)
        z = noise[piece.place, part] if noise is not None else None
        with arithmetic(x.device, rules.precision), holding(rules.held_frames):
            terms = self._model(x, mask, z, self._states[number])
        value = objective(terms, mask, kl_factor, rules.free_nats)
        (-value.sum() / piece.frames).backward()
        self._states[number] = tuple(state.detach() for state in terms.state)
        return bound_and_kl(terms, mask)
