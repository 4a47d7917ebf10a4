"""`millstream chat`: a conversation in the terminal."""

import contextlib
import io
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.text import Text

from millstream.cli.pieces import pieces_of
from millstream.cli.reach import reachable
from millstream.cli.terminal import Printer, cited_source, harmless, without_followups
from millstream.cli.view import AnswerView
from millstream.client import Client, Conversation, RunStream
from millstream.conversations import text_of
from millstream.errors import InputError, MillstreamError, RunError
from millstream.events import TextDelta
from millstream.marks import place_marks
from millstream.snapshot import Snapshot

HISTORY = 20  # conversations that /history shows

HELP = """\
/new            begin another conversation
/history        the newest conversations
/open N         go on with one of them
/again          answer the last question anew
/continue       go on with an answer that was stopped or failed
/quit           leave (or Ctrl-D)
Ctrl-C stops an answer. Ctrl-\\ leaves while it is being written; come back with: millstream chat --continue"""


def chat(
    url: Annotated[
        str | None, typer.Option(help="A server to talk to; by default the one that serves the data folder.")
    ] = None,
    go_on: Annotated[bool, typer.Option("--continue", help="Go on with the newest conversation.")] = False,
    answer: Annotated[str | None, typer.Option(help="Which answer: rag, chat, or a name of yours.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for runs, conversations and the index.")] = None,
    model: Annotated[str | None, typer.Option(help="The language model; see MILLSTREAM_MODEL.")] = None,
) -> None:
    """Hold a conversation. Piped in, every line is a question; the exit code is 0 when all answers are complete."""
    fields: dict[str, Any] = {} if answer is None else {"answer": answer}
    if sys.stdin is None:
        raise InputError("The standard input is closed. Give the questions there, or start it at a terminal.")
    with reachable(url, data=data, model=model) as server:
        if sys.stdin.isatty() and sys.stdout.isatty():
            _Chat(server.client, fields, outlives=not server.own).hold(go_on)
        else:
            _answer_lines(server.client, fields, go_on)


def _answer_lines(client: Client, fields: dict[str, Any], go_on: bool) -> None:
    """Plain answers to the lines of standard input, one conversation."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")  # in the C locale, what is not UTF-8 would pass as something else
    newest = client.conversations() if go_on else []
    conversation_id = newest[0].conversation_id if newest else None
    complete = True
    try:
        for line in sys.stdin:
            if question := line.strip():
                more: dict[str, Any] = {} if conversation_id is None else {"conversation_id": conversation_id}
                run = client.run(question, **fields, **more, **without_followups(sys.stderr))
                printer = Printer(sys.stdout, sys.stderr)
                try:
                    for event in run:
                        printer.show(event)
                except (KeyboardInterrupt, BrokenPipeError):
                    with contextlib.suppress(MillstreamError):
                        run.stop()
                    raise
                except RunError:
                    pass  # its server died and lost events; the snapshot has what is left
                snapshot = run.final()
                conversation_id = snapshot.conversation_id
                if snapshot.message.error is not None:
                    typer.echo(f"millstream: {snapshot.message.error.message}", err=True)
                complete = complete and snapshot.state == "finished"
    except UnicodeDecodeError:
        raise InputError("The questions are not UTF-8 text. Check the encoding of the file.") from None
    if not complete:
        raise typer.Exit(1)


class _Detach(Exception):
    """Ctrl-\\: the person leaves while an answer is being written."""


class _Chat:
    """A person at a terminal, and the conversation that they are in."""

    def __init__(self, client: Client, fields: dict[str, Any], *, outlives: bool) -> None:
        self._client = client
        self._outlives = outlives  # whether the server is there after this chat
        self._fields = fields
        self._console = Console(highlight=False)
        self._conversation_id: str | None = None
        self._last: Snapshot | None = None
        self._listed: list[Conversation] = []
        self._unknown: str | None = None  # the run whose end could not be fetched, its server being away

    def hold(self, go_on: bool) -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (gives `input` line editing and its history)
        before = signal.signal(signal.SIGQUIT, _detach)
        self._note("Ctrl-C stops an answer, Ctrl-D leaves, /help shows more.")
        try:
            if go_on:
                self._saying(self._open_newest)
            while (line := self._prompt()) is not None:
                if line:
                    self._saying(lambda: self._obey(line) if line.startswith("/") else self._ask(line))
        except _Detach:
            self._note(f"\n{self._leaving()}")
        except _Quit:
            pass
        finally:
            signal.signal(signal.SIGQUIT, before)

    def _leaving(self) -> str:
        if self._unknown is None:
            return "Left."
        if not self._outlives:
            return "Left. The answer ends with this chat; start `millstream serve` first."
        return "Left. The answer goes on at its server; come back with: millstream chat --continue"

    def _prompt(self) -> str | None:
        """A line, "" for nothing, None at the end of the input."""
        while True:
            try:
                return input("\n> ").strip()
            except KeyboardInterrupt:
                self._note("\n(Ctrl-D leaves)")
            except EOFError:
                self._console.print()
                return None

    def _saying(self, act: Any) -> None:
        """Does it; a refusal is said and the conversation goes on."""
        try:
            act()
        except MillstreamError as error:
            self._console.print(Text(harmless(error.message), "red"))
        except KeyboardInterrupt:
            self._note("\n(Ctrl-D leaves)")

    def _obey(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        match command:
            case "/new":
                self._conversation_id = self._last = self._unknown = None
                self._note("A new conversation.")
            case "/history":
                self._list()
            case "/open":
                self._open(argument.strip())
            case "/again":
                self._again()
            case "/continue":
                self._continue()
            case "/quit":
                raise _Quit
            case _:
                self._note(HELP)

    # Asking

    def _ask(self, question: str) -> None:
        try:
            question.encode()
        except UnicodeEncodeError:
            raise InputError("The question is not UTF-8 text. Check the encoding of the terminal.") from None
        self._learn()
        more: dict[str, Any] = {} if self._conversation_id is None else {"conversation_id": self._conversation_id}
        if self._last is not None:
            more["parent_id"] = self._last.message_id
        self._watch(self._client.run(question, **self._fields, **more))

    def _again(self) -> None:
        self._learn()
        if self._last is None or self._last.parent_id is None:
            raise InputError("There is no question to answer again.")
        conversation_id, parent_id = self._last.conversation_id, self._last.parent_id
        self._watch(self._client.run(conversation_id=conversation_id, parent_id=parent_id, **self._fields))

    def _continue(self) -> None:
        self._learn()
        if self._last is None or self._last.state == "finished":
            raise InputError("There is no answer that was stopped or failed.")
        conversation_id, run_id = self._last.conversation_id, self._last.run_id
        self._watch(self._client.run(conversation_id=conversation_id, continues=run_id, **self._fields))

    def _watch(self, run: RunStream) -> None:
        """Shows the answer to its end. Ctrl-C stops it, once; what was on screen is what it was."""
        lost = False
        try:
            with AnswerView(self._console) as view:
                try:
                    for event in run:
                        self._unknown = run.run_id  # it has begun
                        view.show(event)
                except KeyboardInterrupt:
                    run.stop(seen=view.seen())
                    for event in self._client.follow(run.run_id, after=run.seq):
                        if not isinstance(event, TextDelta):  # else it came after the Stop
                            view.show(event)
                except _Detach:
                    run.close()
                    raise
        except RunError:
            lost = True  # its server died and lost events; the snapshot has what is left
        self._learn()
        if lost and self._last is not None:
            self._show(self._last)

    def _learn(self) -> None:
        """Fetches how the last answer ended, when that is not known yet. Raises Unavailable while nobody is there."""
        if self._unknown is not None:
            self._last = self._client.snapshot(self._unknown)
            self._conversation_id = self._last.conversation_id
            self._unknown = None

    # Conversations

    def _list(self) -> None:
        self._listed = self._client.conversations()[:HISTORY]
        for number, conversation in enumerate(self._listed, 1):
            self._console.print(Text(f"{number:3}  {harmless(conversation.title)}"))
        if not self._listed:
            self._note("There is no conversation yet.")

    def _open_newest(self) -> None:
        self._listed = self._client.conversations()[:1]
        if self._listed:
            self._open("1")
        else:
            self._note("There is no conversation yet.")

    def _open(self, number: str) -> None:
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= len(self._listed)):
            raise InputError("/open needs the number of a conversation that /history shows.")
        conversation = self._client.conversation(self._listed[int(number) - 1].conversation_id)
        self._conversation_id = conversation.conversation_id
        self._last = self._unknown = None
        self._console.rule(Text(harmless(conversation.title)))
        for message in conversation.branch():
            if message.content is not None:
                self._console.print(Text(f"\n> {harmless(text_of(message.content))}", "bold"))
            elif message.run is not None and message.run.state == "running":
                self._watch(self._client.follow(message.run.run_id))
            elif message.run is not None:
                self._last = message.run
                self._show(message.run)

    def _show(self, snapshot: Snapshot) -> None:
        message = snapshot.message
        marked = place_marks(message.content, message.citations, lambda citation: f" [{citation.n}]")
        below = []
        for source in message.sources:
            if pages := {citation.page for citation in message.citations if citation.n == source.n}:
                below.append(Text(harmless(cited_source(source, pages)), "dim"))
        if message.error is not None:
            below.append(Text(harmless(message.error.message), "red"))
        elif snapshot.state == "stopped":
            below.append(Text("Stopped.", "dim"))
        self._console.print(Group(*pieces_of(harmless(marked)), *([Text(), *below] if below else [])))

    def _note(self, text: str) -> None:
        self._console.print(Text(text, "dim"))


class _Quit(Exception):
    """/quit."""


def _detach(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: a second would end the leaving
    raise _Detach
