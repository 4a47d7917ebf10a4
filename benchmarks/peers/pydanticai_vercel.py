"""pydantic-ai agent -> Vercel AI data stream adapter on Starlette."""

import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from starlette.applications import Starlette
from starlette.routing import Route

agent = Agent(OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=os.environ["UPSTREAM"] + "/v1", api_key="x")))


async def chat(request):
    return await VercelAIAdapter.dispatch_request(request, agent=agent)


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])])
