"""Conversations as Markdown documents."""

import msgspec
from conversations_contract import head, question, snapshot, stub

from millstream.conversations import Feedback, FilePart, StoredMessage, TextPart
from millstream.conversations.branch import shown_branch
from millstream.conversations.export import as_markdown
from millstream.snapshot import CitationState, ErrorState, SourceState


def answered(name: str, **changes: object) -> StoredMessage:
    whole = snapshot("c1", name)
    state = changes.pop("state", "finished")
    message = msgspec.structs.replace(whole.message, **{"reason": "stop", **changes})
    return msgspec.structs.replace(
        stub("c1", name), snapshot=msgspec.structs.replace(whole, state=state, message=message)
    )


def source(n: int, **more: object) -> SourceState:
    return SourceState(n, f"s{n}", "d", "v", f"Title {n}", f"f/{n}.pdf", "words", **more)  # type: ignore[arg-type]


def test_an_answer_comes_with_its_marks_its_cited_sources_and_its_feedback() -> None:
    answer = answered(
        "1",
        content="It is so. It was.",
        citations=[CitationState(2, 0, 9)],
        sources=[source(1), source(2, page_start=7)],
    )
    answer = msgspec.structs.replace(answer, feedback=Feedback("down", 1, "Not\nquite"))
    assert as_markdown(head("c1", title="Is it?"), [question("c1", "1"), answer]) == (
        "# Is it?\n\n## Question\n\nquestion 1\n\n## Answer\n\nIt is so.[2] It was.\n\n"
        "Sources:\n\n- [2] Title 2, page 7 (f/2.pdf)\n\nRated down: Not quite\n"
    )


def test_a_source_comes_with_the_pages_that_its_citations_name() -> None:
    def sources(*pages: int | None) -> str:
        citations = [CitationState(1, 0, end, page) for end, page in enumerate(pages, 1)]
        answer = answered("1", content="It is so.", citations=citations, sources=[source(1, page_start=7, page_end=8)])
        return as_markdown(head("c1"), [answer]).partition("Sources:\n\n")[2]

    assert sources(8, 8) == "- [1] Title 1, page 8 (f/1.pdf)\n"
    assert sources(None) == "- [1] Title 1, page 7 (f/1.pdf)\n"
    assert sources(8, None, 7) == "- [1] Title 1, pages 7 and 8 (f/1.pdf)\n"


def test_how_an_answer_ended_is_told() -> None:
    failed = answered("1", state="failed", error=ErrorState("x", "No credit left.", False))
    assert "answer 1\n\n*This answer is incomplete: No credit left.*" in as_markdown(head("c1"), [failed])
    assert "*This answer was stopped.*" in as_markdown(head("c1"), [answered("1", state="stopped")])
    assert "*This answer was cut off" in as_markdown(head("c1"), [answered("1", reason="length")])
    assert "*This answer was lost.*" in as_markdown(head("c1"), [stub("c1", "1")])
    assert "*" not in as_markdown(head("c1"), [answered("1")])


def test_a_code_block_that_was_cut_off_does_not_swallow_what_follows() -> None:
    stopped = answered("1", state="stopped", content="See:\n\n````py\nx = '```'\n```\ny")
    assert "```\ny\n````\n\n*This answer was stopped.*" in as_markdown(head("c1"), [stopped])
    whole = answered("1", content="```py\nx\n```")
    assert as_markdown(head("c1"), [whole]).endswith("```py\nx\n```\n")


def test_files_of_a_question_are_named() -> None:
    asked = msgspec.structs.replace(question("c1", "1"), content=[TextPart("See"), FilePart("d", "plan.pdf")])
    assert "See\n\nAttached: plan.pdf" in as_markdown(head("c1"), [asked])


def tree() -> list[StoredMessage]:
    """q-1 with two answers; the first goes on with q-2, whose answer was continued once."""
    again = msgspec.structs.replace(stub("c1", "1b"), parent_id="q-1")
    more = msgspec.structs.replace(stub("c1", "2b"), parent_id="q-2")
    return [question("c1", "1"), stub("c1", "1"), question("c1", "2", "a-1"), stub("c1", "2"), more, again]


def ids(chosen: str | None) -> list[str]:
    return [m.message_id for m in shown_branch(msgspec.structs.replace(head("c1"), chosen_id=chosen), tree())]


def test_the_shown_branch_is_the_newest_or_the_chosen_one_to_its_newest_end() -> None:
    assert ids(None) == ids("gone") == ["q-1", "a-1b"]
    assert ids("a-1") == ids("q-2") == ["q-1", "a-1", "q-2", "a-2b"]
    assert ids("a-2") == ["q-1", "a-1", "q-2", "a-2"]
    assert shown_branch(head("c1"), []) == []


def test_no_message_is_needed() -> None:
    assert as_markdown(head("c1", title="A\ntitle"), []) == "# A title\n"
