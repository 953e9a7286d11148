"""From shards to batches: the protocol, the roles of sequences, the plan of an epoch, padded tensors.

May import `pipelines.shards`, `corpora`, `runtime` and the modules at the top of `pipelines`. Public names, imported
from their modules because `frames` needs torch: `Protocol`, `Framing`, `find_protocol` (`protocol`), `assign_roles`
(`roles`), `plan_epoch`, `plan_evaluation` (`epoch_plan`), `Batch`, `FrameSource` (`frames`).
"""
