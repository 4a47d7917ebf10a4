"""A real OpenAI-compatible server that plays scripts, faults included, for tests of anything that talks to a model.

    async with ModelServer(Script.words("The quick brown fox", rate=50)) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")

`python -m millstream.testing --port 9000 script.json` runs the same in a process of its own. Scripts: `models.script`.
"""

from millstream.models.script import Script as Script
from millstream.models.script import parse_script as parse_script
from millstream.testing.dialect import Dialect as Dialect
from millstream.testing.server import Answer as Answer
from millstream.testing.server import ModelServer as ModelServer

__all__ = ["Answer", "Dialect", "ModelServer", "Script", "parse_script"]
