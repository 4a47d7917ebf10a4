"""`kill -9` in the middle of answers: nothing is ambiguous afterwards, and at most the last moment is missing."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from core import OWNER, events_of, read, supervised, types_of
from millstream.errors import ConfigurationError, CursorAhead
from millstream.folder import DataFolder
from millstream.run import Run
from millstream.supervisor import Supervisor

TESTS = Path(__file__).parent
PROMISED_MS = 100
# A busy machine may run the writing thread this much later than it is due; besides, the longest time that the dying
# server itself was not run is allowed (it notes a word every few milliseconds).
SCHEDULING_SLACK_MS = 150
TERMINAL = {"run.finished", "run.stopped", "run.failed"}


@dataclass
class Generated:
    """What the dead server had noted of one run."""

    words: list[float] = field(default_factory=list)
    finished: bool = False
    cursor: int = 0

    @property
    def text(self) -> str:
        return "".join(f"w{number} " for number in range(1, len(self.words) + 1))


class Witness:
    def __init__(self, file: Path) -> None:
        self.runs: dict[str, Generated] = {}
        times: list[float] = []
        for line in file.read_text().splitlines():
            kind, run_id, *values, at = line.split()
            run = self.runs.setdefault(run_id, Generated())
            times.append(float(at))
            if kind == "word":
                run.words.append(float(at))
            elif kind == "finish":
                run.finished = True
            else:
                run.cursor = int(values[0])
        self.last = max(times)
        self.longest_silence_ms = 1000 * max(later - sooner for sooner, later in pairwise(sorted(times)))


async def never(run: Run) -> None:
    raise AssertionError("nothing is answered again after a restart")


async def check(supervisor: Supervisor, run_id: str, generated: Generated, witness: Witness) -> None:
    frames = await read(supervisor, run_id)
    types = types_of(frames)
    assert [kind for kind in types if kind in TERMINAL] == [types[-1]], "exactly one terminal event, and it is the last"
    assert [event.seq for event in events_of(frames)] == list(range(1, len(types) + 1))
    snapshot = await supervisor.snapshot(run_id, OWNER)
    stored = snapshot.message.content
    assert generated.text.startswith(stored)
    assert snapshot.state == ("finished" if "text.finished" in types else "failed")
    if snapshot.state == "finished":
        assert stored == generated.text
    else:
        assert snapshot.message.error is not None
        assert (snapshot.message.error.code, snapshot.message.error.retryable) == ("interrupted", True)
    kept = stored.count(" ")
    if kept < len(generated.words):
        lost_ms = 1000 * (witness.last - generated.words[kept])
        assert lost_ms <= PROMISED_MS + SCHEDULING_SLACK_MS + witness.longest_silence_ms

    record = await supervisor.log.get(run_id)
    assert record is not None
    _, messages = await supervisor.conversation(OWNER, record.conversation_id)
    assert messages[-1].snapshot == snapshot
    if record.durable_seq is None:  # it had ended before the server died
        return
    assert record.durable_seq == len(types) - 1
    lines = frames.splitlines(keepends=True)
    for after in {generated.cursor, record.durable_seq, record.durable_seq + 1, record.durable_seq + 2}:
        if after > record.durable_seq:
            with pytest.raises(CursorAhead):
                await read(supervisor, run_id, after)
        else:
            assert await read(supervisor, run_id, after) == b"".join(lines[after:])


def serve_until_killed(data: Path, witness: Path, seconds: float) -> None:
    server = subprocess.Popen(
        [sys.executable, str(TESTS / "killed_server.py"), str(data), str(witness)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"serving\n"
    with pytest.raises(ConfigurationError, match=f"process {server.pid}"):
        DataFolder(data).lock()
    with pytest.raises(subprocess.TimeoutExpired):  # the moment of death is anything but chosen
        server.wait(seconds)
    server.kill()
    assert server.wait(30) == -signal.SIGKILL
    server.stdout.close()


@pytest.mark.slow
async def test_a_killed_server_leaves_one_ending_a_prefix_of_the_answer_and_no_doubt(tmp_path: Path) -> None:
    chance = random.Random(2)
    data, ahead, lost = tmp_path / "data", 0, 0
    for death in range(10):
        file = tmp_path / f"witness-{death}"
        serve_until_killed(data, file, chance.uniform(0.05, 0.8))
        folder = DataFolder(data)
        folder.lock()
        witness = Witness(file)
        if death % 2:  # else the next server recovers by itself, and the runs are looked at in the round after
            async with supervised(data, never) as supervisor:
                assert await supervisor.log.expired(everyone=True) == []
                for number in (death - 1, death):
                    earlier = Witness(tmp_path / f"witness-{number}")
                    for run_id, generated in earlier.runs.items():
                        await check(supervisor, run_id, generated, earlier)
                        record = await supervisor.log.get(run_id)
                        assert record is not None
                        ahead += record.durable_seq is not None and generated.cursor > record.durable_seq
                        lost += record.durable_seq is not None
        folder.unlock()
        assert len(witness.runs) == 6
    assert lost > 8, "the servers died in the middle of answers"
    assert ahead > 0, "some readers were ahead of the log"
