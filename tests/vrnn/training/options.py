"""Every option of `Optimisation` away from its default, and gentle enough for a tiny model.

The free nats lie amid what the frames of a fresh tiny model have, so that some of them are charged and some are not.
"""

ALL_OPTIONS: dict[str, object] = {
    "batch_size": 5,
    "kl_warmup_steps": 7,
    "free_nats": 4e-5,
    "schedule": "cosine",
    "warmup_steps": 3,
    "final_learning_rate": 0.1,
    "averaging": 0.9,
    "truncate_frames": 60,
    "clip_norm": 1.0,
}
