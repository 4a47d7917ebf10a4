"""What is done at intervals goes on whatever happens, until it is closed."""

import asyncio

import pytest

from millstream.housekeeping import Housekeeping


async def test_a_job_that_fails_is_done_again_until_housekeeping_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    done = 0
    often = asyncio.Event()

    async def job() -> None:
        nonlocal done
        done += 1
        if done == 3:
            often.set()
        raise OSError("the disk is full")

    housekeeping = Housekeeping()
    housekeeping.every(0.001, job, "test")
    async with asyncio.timeout(10):
        await often.wait()
        await housekeeping.close()
    assert "the disk is full" in caplog.text
    assert "millstream-test" not in {task.get_name() for task in asyncio.all_tasks()}
