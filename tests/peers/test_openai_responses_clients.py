"""The OpenAI SDKs against Responses."""

from pathlib import Path

from openai import AsyncOpenAI

from millstream.run import Run
from serving import serving


async def answer(run: Run) -> None:
    run.write("Hello ")
    run.write("world")


async def test_the_python_sdk_streams_the_text(tmp_path: Path) -> None:
    async with serving(tmp_path, answer) as server, AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = await client.responses.create(model="default", input="Why?", stream=True)
        events = [event async for event in stream]
        print([(event.type, event.sequence_number) for event in events])
        got = await client.responses.retrieve(events[-1].response.id)
        assert got.output_text == "Hello world"
        assert got == events[-1].response
        whole = await client.responses.create(model="default", input="Why?", previous_response_id=got.id)
        assert whole.previous_response_id == got.id
        await client.responses.delete(whole.id)
