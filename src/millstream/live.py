"""A run that this process executes: its answer's task, its readers, and the one end that it gets."""

import asyncio
import logging
import math
from typing import Literal

from millstream.answers.adapt import Answer, check_returned
from millstream.errors import MillstreamError, RunError, status_of
from millstream.events import Event, RunFailed, RunFinished, RunStopped
from millstream.logs import RunState
from millstream.producer import Producer
from millstream.recovery import interrupted
from millstream.run import Run

logger = logging.getLogger("millstream")

# What happens to a run that nobody reads: it goes on, it is stopped, or it is stopped after so many seconds.
WhenUnread = Literal["finish", "stop"] | float


class LiveRun:
    """Belongs to one event loop. Whoever starts `execute` in a task sets `task`."""

    def __init__(self, producer: Producer, run: Run, when_unread: WhenUnread, *, is_first: bool = False) -> None:
        """`is_first`: it answers the first question of a listed conversation."""
        self.is_first = is_first
        self.producer = producer
        self.run = run
        self.task: asyncio.Task[None] | None = None
        self._when_unread = when_unread
        self._readers = 0
        self.unread_timer: asyncio.TimerHandle | None = None

    @property
    def readers(self) -> int:
        return self._readers

    async def execute(self, answer: Answer) -> None:
        """Runs the answer and ends the run, whatever happens."""
        try:
            check_returned(await answer(self.run), self.run)
            self.run.finish()
            self.end(RunFinished(), "finished")
        except (GeneratorExit, KeyboardInterrupt):
            self.end(interrupted(), "failed")
            raise
        except BaseException as error:  # `exit()` in an answer must not end the server, nor a panic leave the run open
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                self.end(interrupted(), "failed")
                return
            if isinstance(told := _only(error), MillstreamError):
                try:
                    self.end(_failed(told), "failed")
                    return
                except Exception as wrong:  # it tells of itself what no event can hold, or nothing
                    error.add_note(str(wrong))
            logger.error("the answer of run %s raised", self.run.id, exc_info=error)
            message = "The answer failed unexpectedly; the server's log says why."
            self.end(RunFailed(code="internal", message=message, retryable=True), "failed")

    def end(self, event: Event, state: RunState) -> None:
        """Ends the run; once the words are complete, whatever comes is a finish."""
        if self.producer.closed:
            return
        try:
            self.run.write_usage()
        except Exception:  # the answer counted what is no number; the run ends all the same
            logger.exception("the usage of run %s cannot be written", self.run.id)
        if self.run.finished:
            event, state = RunFinished(), "finished"
        self.producer.end(event, state)

    def abort(self, event: Event, state: RunState) -> None:
        """Ends the run from outside: nothing is written after it, and the model call is cancelled upstream."""
        if not self.producer.closed:
            self.end(event, state)
            self.cancel()

    def stop(self, seen: int | None) -> None:
        """The first Stop wins."""
        written = self.producer.text_length
        self.abort(RunStopped(seen=written if seen is None else max(0, min(seen, written))), "stopped")

    def withdraw(self) -> None:
        """Gives up a run that never came to be: its start could not be written, or was somebody else's."""
        self.producer.lose()
        self.cancel()

    def cancel(self) -> None:
        self.rest()
        if self.task is not None:
            self.task.cancel()

    # Readers

    def attach(self) -> None:
        self._readers += 1
        self.rest()

    def detach(self) -> None:
        self._readers -= 1
        if self._readers == 0:
            self.unread()

    def unread(self, at_least_s: float = 0.0) -> None:
        """Nobody reads from now on: the policy is carried out, though not before `at_least_s` seconds."""
        if self._when_unread == "finish" or self.producer.closed:
            return
        seconds = max(at_least_s, 0.0 if self._when_unread == "stop" else float(self._when_unread))
        if seconds == 0:
            self.stop(None)
        else:
            self.unread_timer = asyncio.get_running_loop().call_later(seconds, self.stop, None)

    def rest(self) -> None:
        """No timer runs any more."""
        if self.unread_timer is not None:
            self.unread_timer.cancel()
            self.unread_timer = None


def _only(error: BaseException) -> BaseException:
    """The one error that a task group was left for, or `error` itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _failed(error: MillstreamError) -> RunFailed:
    failed = RunFailed(code=error.code, message=error.message, retryable=False)
    if error.status != status_of(error.code):
        failed.status = error.status
    if isinstance(error, RunError):
        failed.retryable = error.retryable
        if error.retry_after is not None and 0 <= error.retry_after < math.inf:
            failed.retry_after = error.retry_after
    return failed
