"""Whatever the order in which documents come, change and go, what is found is what a fresh index would find."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from bag import Bag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.database import connect
from millstream.documents import Document
from millstream.documents.split import split
from millstream.search import EVERYTHING
from millstream.search.backfill import Backfill
from millstream.search.lexical import best_matches
from millstream.search.sqlite import SqliteIndex
from millstream.search.vectors import VectorTable

OWNER = "local"
WORDS = st.lists(
    st.sampled_from(["oak", "elm", "ash", "fir", "yew", "bay", "fig", "桜の木", "ไม้ไผ่"]), min_size=1, max_size=12
).map(" ".join)
# Long enough to be cut in several passages.
TEXTS = st.one_of(
    WORDS, st.lists(WORDS.map(lambda words: f"A {words} stands here. " * 20), max_size=4).map("\n\n".join)
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abcd"), TEXTS),
    st.tuples(st.just("remove"), st.sampled_from("abcd"), st.just("")),
    st.tuples(st.just("embed"), st.just(""), st.just("")),
    st.tuples(st.just("look"), st.just(""), st.just("")),
)

Found = dict[tuple[str, int], float]


class Garden:
    """An index, and a table of vectors in memory that lives as long as it does."""

    def __init__(self, folder: Path, embedder: Bag) -> None:
        self.index = SqliteIndex(folder / "index.db", embedder)
        self.embedder = embedder
        self.table = VectorTable(embedder.name)
        self.connection = connect(self.index.path)

    def put(self, name: str, text: str) -> None:
        document = Document(name, text)
        with self.index.writer() as writer:
            writer.replace(OWNER, f"/{name}", name, text, document, split(document))

    def remove(self, name: str) -> None:
        with self.index.writer() as writer:
            known = writer.known(OWNER).get(f"/{name}")
            writer.remove([known] if known else [])

    def embed(self) -> None:
        asyncio.run(Backfill(self.index.path, self.embedder).run())

    def by_meaning(self, question: str) -> Found:
        self.table.refresh(self.connection)
        vector = self.embedder.vector(question)
        found = self.table.nearest(self.connection, vector, OWNER, EVERYTHING, 1000, floor=-1.0)
        return self._named(found)

    def by_words(self, question: str) -> Found:
        return self._named(best_matches(self.connection, question.split(), OWNER, EVERYTHING, 1000))

    def close(self) -> None:
        self.connection.close()
        asyncio.run(self.index.close())

    def _named(self, found: list[tuple[int, float]]) -> Found:
        name = "SELECT uri, n FROM passages JOIN documents AS d ON d.id = document WHERE passages.id = ?"
        named = {self.connection.execute(name, (passage,)).fetchone(): score for passage, score in found}
        assert len(named) == len(found)
        return named


@pytest.mark.parametrize("exact_bytes", [0, 1 << 25])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12))
def test_any_history_finds_what_a_fresh_index_finds(
    exact_bytes: int, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, str, str]]
) -> None:
    monkeypatch.setattr("millstream.search.vectors.EXACT_BYTES", exact_bytes)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        lived, fresh = Garden(Path(folder), Bag()), Garden(Path(other), Bag())
        texts: dict[str, str] = {}
        for step, name, text in steps:
            match step:
                case "put":
                    lived.put(name, text)
                    texts[name] = text
                case "remove":
                    lived.remove(name)
                    texts.pop(name, None)
                case "embed":
                    lived.embed()
                case "look":
                    lived.by_meaning("oak")
        for name, text in texts.items():
            fresh.put(name, text)
        lived.embed()
        fresh.embed()
        for question in ("oak", "elm fig", "yew here"):
            assert lived.by_words(question) == pytest.approx(fresh.by_words(question))
            assert lived.by_meaning(question) == pytest.approx(fresh.by_meaning(question), abs=1e-3)
        lived.close()
        fresh.close()
