"""Tell an answer to go, through the real supervisor, and see every event that it wrote."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from millstream.conversations import Content
from millstream.conversations.sqlite import SqliteConversations
from millstream.database import Database
from millstream.events import AnyEvent, TextDelta, decode
from millstream.logs.memory import MemoryLog
from millstream.request import GivenMessage, RunOptions, RunRequest
from millstream.run import Run
from millstream.server.app import MIGRATIONS
from millstream.starting import Registered
from millstream.supervisor import Supervisor


async def tell(
    answer: Callable[[Run], Awaitable[None]],
    *conversation: Content,
    folder: Path,
    owner: str = "local",
    options: RunOptions | None = None,
) -> list[AnyEvent]:
    """The events of the answer to a conversation, in which the user and the assistant speak in turns."""
    messages = [GivenMessage("assistant" if i % 2 else "user", text) for i, text in enumerate(conversation)]
    database = Database(folder / "runs.db", MIGRATIONS)
    supervisor = Supervisor(MemoryLog(), SqliteConversations(database), {"default": Registered(answer, "test")})
    try:
        run_id, _ = await supervisor.start(RunRequest(messages=messages, options=options or RunOptions()), owner)
        frames = b""
        async with supervisor.follow(run_id, owner) as follower:
            while piece := await follower.read():
                frames += piece
    finally:
        await supervisor.close()
        await database.close()
    events = [decode(line) for line in frames.splitlines()]
    return [event for event in events if event is not None]


def text_of(events: Sequence[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
