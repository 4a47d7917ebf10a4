"""A reasoning model: its thoughts are streamed and folded away, and the client chooses how hard it thinks.

It needs a model: MILLSTREAM_MODEL=openai/gpt-4o-mini with OPENAI_API_KEY, for example.
Open http://127.0.0.1:8000.
"""

import time

import uvicorn

from millstream import ChatMessage, Millstream, Prompt, Run

SYSTEM = ChatMessage("system", "Solve the problem step by step. Give the result first, then the reasons in short.")

# DeepSeek, vLLM, Ollama and others send their thoughts as `reasoning_content`, `reasoning` or <think>: all are read.
stream = Millstream(efforts="low,medium,high")


@stream.answer
async def answer(run: Run) -> None:
    assert stream.model is not None
    begun = time.monotonic()
    await run.generate(stream.model, Prompt([SYSTEM, *run.messages]))
    run.data(
        "solved", {"effort": run.options.reasoning_effort or "medium", "seconds": round(time.monotonic() - begun, 1)}
    )


app = stream.app

if __name__ == "__main__":
    uvicorn.run(app)
