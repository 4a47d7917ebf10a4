"""What other libraries make as a Millstream answer, tool calls included, in one line each.

    stream.answer(openai_answer(lambda messages: create(model=…, messages=messages, stream=True)))
    stream.answer(pydantic_ai_answer(agent))
    stream.answer(langchain_answer(runnable))

None of those libraries is needed to import this, nor installed with Millstream (the OpenAI SDK apart).
"""

from millstream.adapters.langchain import langchain_answer
from millstream.adapters.openai import openai_answer
from millstream.adapters.pydantic_ai import pydantic_ai_answer

__all__ = ["langchain_answer", "openai_answer", "pydantic_ai_answer"]
