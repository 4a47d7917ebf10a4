"""An `OpenAIModel` for as long as a test asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from model_contract import PATIENT

from millstream.models.endpoint import openai_endpoint
from millstream.models.openai import OpenAIModel
from millstream.models.timeouts import Timeouts

KEY = "not-shaped-like-a-key"


@asynccontextmanager
async def openai_model(base_url: str, *, key: str = KEY, timeouts: Timeouts = PATIENT) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel("fox-1", openai_endpoint(base_url=base_url, key=key, organization=None), timeouts=timeouts)
    try:
        yield model
    finally:
        await model.close()
