"""A channel between a driver and the workers of its run: workers send messages, the driver asks them to stop.

The channel is a Ray actor on the driver's node, so that it ends with the driver. It holds a bounded number of messages
and drops the oldest ones first. Messages travel as bytes: the actor need not import their types. A worker waits for the
request to stop in a thread, so that a training step pays nothing for asking.
"""

import asyncio
import pickle
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["Channel", "open_channel"]

_MAX_MESSAGES = 10_000
_MAX_CONCURRENT_CALLS = 10_000
_WAIT_SECONDS = 20.0


class _ChannelActor:
    """The messages and the request to stop, in a process of its own."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque(maxlen=_MAX_MESSAGES)
        self._stop = asyncio.Event()

    async def send(self, message: bytes) -> None:
        self._messages.append(message)

    async def receive(self) -> list[bytes]:
        messages = list(self._messages)
        self._messages.clear()
        return messages

    async def request_stop(self) -> None:
        self._stop.set()

    async def wait_for_stop(self, seconds: float) -> bool:
        """Wait at most `seconds` for a request to stop; return whether there is one."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True)
class Channel:
    """The handle of a channel; it can be passed to Ray tasks and actors."""

    _actor: Any

    def send(self, message: object) -> None:
        """Send `message`, and return once it is stored.

        Raises:
            RayActorError: the channel is closed, or its driver has ended.
        """
        ray.get(self._actor.send.remote(pickle.dumps(message)))

    def receive(self) -> list[Any]:
        """Take all messages that were not received yet, the oldest first."""
        # Only this run's own workers can send: unpickling is safe.
        return [pickle.loads(message) for message in ray.get(self._actor.receive.remote())]  # noqa: S301

    def request_stop(self) -> None:
        """Ask all workers to stop."""
        self._actor.request_stop.remote()

    def close(self) -> None:
        """End the channel's actor."""
        ray.kill(self._actor)

    @contextmanager
    def watch_for_stop(self) -> Iterator[threading.Event]:
        """Within the block, the yielded event is set once a stop is requested or the driver has ended."""
        stop, done = threading.Event(), threading.Event()

        def watch() -> None:
            while not done.is_set():
                try:
                    if ray.get(self._actor.wait_for_stop.remote(_WAIT_SECONDS)):
                        break
                except RayActorError:
                    break
            stop.set()

        threading.Thread(target=watch, daemon=True, name="watch-for-stop").start()
        try:
            yield stop
        finally:
            done.set()


def open_channel() -> Channel:
    """Open a new channel on this node."""
    this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_concurrency": _MAX_CONCURRENT_CALLS, "scheduling_strategy": this_node}
    return Channel(ray.remote(_ChannelActor).options(**options).remote())
