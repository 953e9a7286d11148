"""The board between a driver and the workers of its runs: news one way, the wish to stop the other.

It is a Ray actor beside the driver, so that it lives as long as whoever reads it. It holds a bounded number of news,
the newest, as bytes: it need not import what they are made of. Workers learn of the wish to stop by a thread that waits
for it: asking costs a step nothing.
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

__all__ = ["Board", "open_board"]

_MOST_NEWS = 10_000
_MOST_LISTENERS = 10_000
_PATIENCE_SECONDS = 20.0


class _Holder:
    """The actor."""

    def __init__(self) -> None:
        self._news: deque[bytes] = deque(maxlen=_MOST_NEWS)
        self._stop = asyncio.Event()

    async def tell(self, news: bytes) -> None:
        self._news.append(news)

    async def take(self) -> list[bytes]:
        taken = list(self._news)
        self._news.clear()
        return taken

    async def stop(self) -> None:
        self._stop.set()

    async def wait_for_stop(self, seconds: float) -> bool:
        """Whether to stop: at once if so, after `seconds` if not."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True)
class Board:
    """The board as the driver and its workers have it in hand."""

    _actor: Any

    def tell(self, news: object) -> None:
        """Pin `news`, and return once it is there.

        Raises:
            RayActorError: the board is gone, and the driver with it.
        """
        ray.get(self._actor.tell.remote(pickle.dumps(news)))

    def take(self) -> list[Any]:
        """All news that nobody took yet, the oldest first."""
        return [pickle.loads(news) for news in ray.get(self._actor.take.remote())]  # noqa: S301

    def stop(self) -> None:
        """Ask everybody to stop."""
        self._actor.stop.remote()

    def close(self) -> None:
        """Take it down."""
        ray.kill(self._actor)

    @contextmanager
    def listening(self) -> Iterator[threading.Event]:
        """Within, the event is set once the board, or its driver's end, says to stop."""
        stop, done = threading.Event(), threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    if ray.get(self._actor.wait_for_stop.remote(_PATIENCE_SECONDS)):
                        break
                except RayActorError:
                    break
            stop.set()

        threading.Thread(target=listen, daemon=True, name="listening").start()
        try:
            yield stop
        finally:
            done.set()


def open_board() -> Board:
    """A new board on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(_Holder).options(num_cpus=0, max_concurrency=_MOST_LISTENERS, scheduling_strategy=here)
    return Board(actor.remote())
