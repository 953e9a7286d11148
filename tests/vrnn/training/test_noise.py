import numpy as np
import torch

from pipelines.batches.frames import Batch
from vrnn.training.noise import latent_noise


def batch(*sequences: tuple[str, int], pad: int = 0) -> Batch:
    lengths = torch.tensor([length for _, length in sequences])
    longest = int(lengths.max()) + pad
    mask = torch.arange(longest)[:, None] < lengths
    return Batch(tuple(name for name, _ in sequences), torch.zeros(longest, len(sequences), 3), mask, lengths)


def test_noise_belongs_to_the_sequence_and_the_key_whatever_the_batch() -> None:
    together = latent_noise(batch(("a", 4), ("b", 7), pad=3), 5, "score", 0, 1)
    for column, (name, length) in enumerate([("a", 4), ("b", 7)]):
        alone = latent_noise(batch((name, length)), 5, "score", 0, 1)
        torch.testing.assert_close(together[:length, column], alone[:, 0], rtol=0, atol=0)
        assert (together[length:, column] == 0).all()
    assert not torch.equal(
        latent_noise(batch(("a", 4)), 5, "score", 0, 2), latent_noise(batch(("a", 4)), 5, "score", 0, 1)
    )


def test_noise_is_standard_normal_and_independent_between_sequences() -> None:
    noise = latent_noise(batch(*((f"s{n}", 500) for n in range(40))), 8, "x").numpy().reshape(500, 40, 8)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    correlation = np.corrcoef(noise.transpose(1, 0, 2).reshape(40, -1))
    assert np.abs(correlation - np.eye(40)).max() < 0.09
