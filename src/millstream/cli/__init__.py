"""The command `millstream`. Its modules are loaded when it is called, so that Ctrl-C is understood meanwhile."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # what shells say of a command that Ctrl-C ended: 128 + SIGINT


def main() -> None:
    """Runs the command. Ctrl-C ends it quietly with exit code 130, wherever it hits."""
    given = signal.getsignal(signal.SIGINT)
    at_once = _end if given is signal.default_int_handler else given  # whoever started it may have it ignored
    # While modules load, and when all is done, there is nothing to tidy up, and an exception would be told by others.
    signal.signal(signal.SIGINT, at_once)
    _open_closed_outputs()
    from millstream.cli.app import run

    try:
        signal.signal(signal.SIGINT, given)
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, at_once)


def _open_closed_outputs() -> None:
    """What whoever started us had closed leads nowhere: no file that is opened may take its place and be written to."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
