"""A chat with a language model, and the page to hold it in.

Open http://127.0.0.1:8000. It needs a model, and answers that until it has one:

  OPENAI_API_KEY=… MILLSTREAM_MODEL=openai/gpt-4o-mini python app.py
"""

import uvicorn

from millstream import ChatMessage, Millstream, Prompt, Run

SYSTEM = ChatMessage("system", "You are a friendly assistant. Answer in a few sentences, in Markdown.")

stream = Millstream()


@stream.answer
async def answer(run: Run) -> None:
    """Steps, words and reasoning are streamed as they come; Stop and resume need nothing here."""
    await run.generate(stream.model, Prompt([SYSTEM, *run.messages]))


app = stream.app

if __name__ == "__main__":
    uvicorn.run(app)
