"""A reasoning model: its thoughts are streamed and folded away, and the client chooses how hard it thinks.

Open http://127.0.0.1:8000. It needs a model, and answers that until it has one:

  OPENAI_BASE_URL=http://127.0.0.1:11434/v1 MILLSTREAM_MODEL=openai/deepseek-r1 python app.py
"""

import time

import uvicorn

from millstream import ChatMessage, Millstream, Prompt, Run

SYSTEM = ChatMessage("system", "Solve the problem step by step. Give the result first, then the reasons in short.")

# DeepSeek, vLLM, Ollama and others send their thoughts as `reasoning_content`, `reasoning` or <think>: all are read.
# OpenAI's own models keep theirs to themselves; the effort is for them, too.
stream = Millstream(efforts="low,medium,high")


@stream.answer
async def answer(run: Run) -> None:
    begun = time.monotonic()
    await run.generate(stream.model, Prompt([SYSTEM, *run.messages]))
    effort = run.options.reasoning_effort or "default"
    run.data("solved", {"model": stream.model.name, "effort": effort, "seconds": round(time.monotonic() - begun, 1)})


app = stream.app

if __name__ == "__main__":
    uvicorn.run(app)
