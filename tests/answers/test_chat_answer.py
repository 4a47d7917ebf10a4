from pathlib import Path

from told_answer import tell, text_of

from millstream.answers.chat import ChatAnswer
from millstream.events import Source, StepStarted
from millstream.models.extractive import NO_MODEL, ExtractiveModel
from millstream.models.scripted import ScriptedModel


async def test_the_conversation_goes_to_the_model_as_it_is(tmp_path: Path) -> None:
    model = ScriptedModel.words("Fine, [1] thanks.")
    events = await tell(ChatAnswer(model), "Hello", "Hi!", "How are you?", folder=tmp_path)
    assert text_of(events) == "Fine, [1] thanks."
    assert not [event for event in events if isinstance(event, Source | StepStarted)]
    roles = [(message.role, message.content) for message in model.calls[0].prompt.messages[1:]]
    assert roles == [("user", "Hello"), ("assistant", "Hi!"), ("user", "How are you?")]


async def test_a_model_that_only_quotes_says_that_it_cannot_chat(tmp_path: Path) -> None:
    events = await tell(ChatAnswer(ExtractiveModel(0), show_prompts=True), "Hello", folder=tmp_path)
    assert text_of(events) == NO_MODEL
    assert not [event for event in events if isinstance(event, StepStarted)]
