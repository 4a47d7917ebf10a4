"""A server to be killed: `python killed_server.py FOLDER WITNESS` answers without end and notes what it generates.

WITNESS gets one line for each thing before it is given to the run, with the time (`time.monotonic()`, the same clock in
every process of the machine): `word RUN N T`, `finish RUN T`, and `read RUN SEQ T` for what a reader has received.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from core import OWNER, start, supervised
from millstream.folder import DataFolder
from millstream.run import Run
from millstream.supervisor import Supervisor


async def serve(folder: Path, witness: int) -> None:
    def note(*words: object) -> None:
        os.write(witness, (" ".join(map(str, words)) + f" {time.monotonic()}\n").encode())

    async def answer(run: Run) -> None:
        number = 0
        async with run.step("think", "Thinking…"):
            await asyncio.sleep(0.005)
        # Some answers have an end, and then look for more to say until death; the others go on for ever. Only one ends
        # for good, and soon: a terminal event is flushed at once, and everybody's words with it.
        last = int(run.question)
        while last == 0 or number < last:
            for _ in range(3):
                number += 1
                note("word", run.id, number)
                run.write(f"w{number} ")
            await asyncio.sleep(0.002)
        note("finish", run.id)
        run.finish()
        async with run.step("followups", "Looking ahead…"):
            await asyncio.sleep(0 if last == 12 else 3600)

    async def reader(supervisor: Supervisor, run_id: str) -> None:
        async with supervisor.follow(run_id, OWNER) as follower:
            while await follower.read() is not None:
                note("read", run_id, follower.cursor)

    DataFolder(folder).lock()
    async with supervised(folder, answer) as supervisor:
        for question in ("0", "0", "0", "12", "60", "240"):
            run_id = await start(supervisor, question)
            asyncio.get_running_loop().create_task(reader(supervisor, run_id))
        print("serving", flush=True)  # noqa: T201
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)))
