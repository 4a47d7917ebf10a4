"""`python -m millstream.testing [--port P] [--key K] [--azure] SCRIPT`: serves a script until it is interrupted."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from millstream.errors import ConfigurationError
from millstream.models.script import Script, read_script
from millstream.testing.dialect import Dialect
from millstream.testing.server import ModelServer


def main() -> int:
    """Exit code 2 and one line on stderr when the script or the port is no good."""
    parser = argparse.ArgumentParser(
        prog="python -m millstream.testing", description="Serve a script as an OpenAI-compatible model on 127.0.0.1."
    )
    parser.add_argument("script", type=Path, help="a JSON file; see millstream.models.script")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--key", help="refuse requests without this key")
    parser.add_argument("--azure", action="store_true", help="stream chunks as Azure does")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(read_script(options.script), options.port, options.key, azure=options.azure))
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(script: Script, port: int, key: str | None, *, azure: bool) -> None:
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    async with ModelServer(script, port=port, key=key, dialect=Dialect(azure=azure)) as server:
        sys.stdout.write(f"OPENAI_BASE_URL={server.base_url}\n")
        sys.stdout.flush()
        await interrupted.wait()


if __name__ == "__main__":
    sys.exit(main())
