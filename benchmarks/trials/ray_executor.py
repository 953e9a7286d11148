"""Doing a study's works on Ray, several at once.

A slot is a process that does one work after another, so that starting it, importing torch and finding a GPU are paid
once and not by every small trial. It holds what a trial may take. Where a trial has workers of its own, the slot holds
nothing and only conducts Ray Train.

A slot that dies, alone or with its node, is replaced, and its work taken up from the last checkpoint: with half as many
sequences at once where memory ran out, or where it died twice without getting on.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError

from benchmarks.errors import FailedError
from benchmarks.trials.events import Begun, Done, Epoch, Event, Failed, Retried, Runner, Scoring, Stopped, Tell
from benchmarks.trials.local_executor import reason_of
from benchmarks.trials.trial import Outcome, Work, perform
from pipelines.runtime.messages import Board, open_board
from pipelines.runtime.ray_sessions import RoomWatch
from vrnn.device.memory import keep_freed_memory
from vrnn.training.resources import Resources
from vrnn.training.stopping import Stop

__all__ = ["run_on_slots"]

_LOOK_SECONDS = 0.2
_STOP_SECONDS = 60.0
_DEAD = (RayActorError, ActorDiedError, ActorUnavailableError, OutOfMemoryError)


class _Slot:
    """What a slot's process holds."""

    def __init__(self, board: Board) -> None:
        keep_freed_memory()
        self._board = board

    def ready(self) -> None:
        """Answer, once the process is there."""

    def perform(self, work: Work) -> Outcome | None:
        """Do the work, and pin its news to the board."""

        def tell(event: Event) -> None:
            self._board.tell(event)

        with self._board.listening() as stop:
            return perform(work, lambda record: tell(Epoch(work, record)), lambda: tell(Scoring(work)), stop.is_set)


@dataclass
class _Place:
    """A slot as its owner sees it: what it is asked now, and the work it does, if any."""

    actor: Any
    asked: Any
    work: Work | None = None
    scoring: bool = False


class _Crew:
    """The slots of a study and the works they do."""

    def __init__(self, works: Sequence[Work], slots: int, tell: Tell) -> None:
        self._board = open_board()
        self._waiting = deque(works)
        self._tell = tell
        self._deaths: dict[str, int] = {}
        self._stillborn = 0
        self._room = RoomWatch("trials")
        self._places = [self._new_place(works[0].resources) for _ in range(min(slots, len(works)))]

    def run(self, stop: Callable[[], bool]) -> None:
        """Go on until all works are done, or it was asked to stop and all have saved themselves.

        Raises:
            FailedError: no process can be had to do them.
        """
        stop_at = None
        while self._places:
            asked = [place.asked for place in self._places]
            ended, _ = ray.wait(asked, num_returns=len(asked), timeout=_LOOK_SECONDS)
            self._read_board()
            self._room.look(begun=any(place.work is not None for place in self._places))
            if stop_at is None and stop():
                self._waiting.clear()
                self._board.stop()
                stop_at = time.monotonic() + _STOP_SECONDS
            for place in [place for place in self._places if place.asked in ended]:
                self._places.remove(place)
                self._after(place)
            if stop_at is not None:
                self._let_go(all_of_them=time.monotonic() > stop_at)

    def close(self) -> None:
        """End every process that is left."""
        for place in self._places:
            ray.kill(place.actor)
        self._board.close()

    def _new_place(self, resources: Resources) -> _Place:
        needs = resources.per_worker if not resources.most_workers else {"CPU": 0.0}
        options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0.0)}
        actor: Any = ray.remote(_Slot).options(max_restarts=0, **options).remote(self._board)
        return _Place(actor, actor.ready.remote())

    def _read_board(self) -> None:
        for event in self._board.take():
            for place in self._places:
                if place.work is not None and place.work.identity == event.work.identity:
                    place.scoring = isinstance(event, Scoring)
                    if isinstance(event, Epoch):
                        self._deaths.pop(event.work.identity, None)
                    self._tell(event)

    def _after(self, place: _Place) -> None:
        """Hear how what the slot was asked ended, and ask it the next."""
        try:
            outcome: Any = ray.get(place.asked)
        except RayTaskError as error:
            if place.work is None:
                raise
            self._tell(Failed(place.work, reason_of(error.cause)))
        except _DEAD as error:
            self._after_a_death(place, error)
            return
        else:
            if place.work is not None:
                self._tell(Stopped(place.work) if outcome is None else Done(place.work, outcome))
        self._assign(place)

    def _assign(self, place: _Place) -> None:
        if not self._waiting:
            ray.kill(place.actor)
            return
        work = self._waiting.popleft()
        self._tell(Begun(work))
        self._places.append(_Place(place.actor, place.actor.perform.remote(work), work))

    def _after_a_death(self, place: _Place, error: Exception) -> None:
        work = place.work
        if work is None:
            self._replace(error)
            return
        memory = isinstance(error, OutOfMemoryError)
        curable = memory and work.resources.sequences_at_once(work.spec.optimisation.batch_size) > 1
        deaths = self._deaths[work.identity] = self._deaths.get(work.identity, 0) + (not curable)
        reason = "out of memory" if memory else "its process died"
        if deaths > work.resources.max_failures:
            self._tell(Failed(work, f"{reason}, {deaths} times without getting on"))
        else:
            less = work.resources.halved(work.spec.optimisation.batch_size)
            again = replace(work, resources=less) if memory or deaths > 1 else work
            self._tell(Retried(work, reason))
            self._waiting.appendleft(again)
        if len(self._waiting) > sum(place.work is None for place in self._places):
            self._places.append(self._new_place(work.resources))

    def _replace(self, error: Exception) -> None:
        """Another slot for one that died before it did anything."""
        self._stillborn += 1
        if not self._waiting:
            return
        resources = self._waiting[0].resources
        if self._stillborn > resources.max_failures:
            raise FailedError(f"{self._stillborn} processes died before they did any trial: {reason_of(error)}")
        self._places.append(self._new_place(resources))

    def _let_go(self, *, all_of_them: bool) -> None:
        """End the slots that do nothing worth waiting for: everything of a score is worked out again."""
        for place in list(self._places):
            if all_of_them or place.work is None or place.scoring:
                self._places.remove(place)
                ray.kill(place.actor)
                if place.work is not None:
                    self._tell(Stopped(place.work))


def run_on_slots(slots: int) -> Runner:
    """A `benchmarks.trials.events.Runner` on the Ray that this process is connected to.

    Args:
        slots: works done at once; all take the same resources.
    """

    def run(works: Sequence[Work], tell: Tell, stop: Stop) -> None:
        if not works:
            return
        crew = _Crew(works, slots, tell)
        try:
            crew.run(stop)
        finally:
            crew.close()

    return run
