"""How search grows: python benchmarks/retrieval.py [--passages 100000] [--at-once] [--folder DIR] [--minilm FILE…]

Synthetic documents of 20 passages: 120 words drawn by Zipf's law, and unit vectors of 384 dimensions from a mixture of
1,000 clusters in a space of low rank, which is how vectors of real text lie. Questions are five words of one passage,
none of the 100 most frequent, and a vector near that passage's. CPU is the whole process's, all threads together;
vectors of questions are given, so their embedding is apart. `--at-once` makes the index in few large transactions
instead of as `sync` does: for a million passages. `--minilm` measures the rate of MiniLM on text files.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millstream.database import connect
from millstream.documents import Document
from millstream.documents.split import Chunk, split
from millstream.search import Filter
from millstream.search.embed.minilm import MiniLM
from millstream.search.sqlite import SqliteIndex
from millstream.search.vectors import stored
from millstream.search.writer import connect_to_write

DIMENSIONS, RANK, CLUSTERS = 384, 64, 1000
WORDS, VOCABULARY, FREQUENT, QUESTION_WORDS = 120, 50_000, 100, 5
PASSAGES_PER_DOCUMENT = 20
OWNER = "local"

Vectors = NDArray[np.float32]


class Given:
    """An `Embedder` that is told the vector of each question beforehand."""

    name, weight, floor = "synthetic", 1.0, 0.0

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}

    async def load(self) -> None:
        pass

    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError("vectors are written into the index directly")

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.vectors[text]

    async def close(self) -> None:
        self.vectors.clear()


class Synthetic:
    def __init__(self) -> None:
        self.random = np.random.default_rng(7)
        self.basis = self.random.standard_normal((RANK, DIMENSIONS)).astype(np.float32)
        self.centres = self.random.standard_normal((CLUSTERS, RANK)).astype(np.float32)
        weights = 1 / np.arange(1, VOCABULARY + 1)
        self.edges = np.cumsum(weights / weights.sum())
        self.words = [word(rank) for rank in range(VOCABULARY)]

    def ranks(self, count: int) -> NDArray[np.int64]:
        return np.minimum(np.searchsorted(self.edges, self.random.random(count)), VOCABULARY - 1)

    def vectors(self, count: int) -> Vectors:
        centres = self.centres[self.random.integers(0, CLUSTERS, count)]
        low = centres + 0.6 * self.random.standard_normal((count, RANK)).astype(np.float32)
        return unit(low @ self.basis + 0.5 * self.random.standard_normal((count, DIMENSIONS)).astype(np.float32))

    def document(self, n: int) -> tuple[Document, list[Chunk]]:
        passages = self.texts(PASSAGES_PER_DOCUMENT)
        chunks, start = [], 0
        for passage in passages:
            chunks.append(Chunk(start, start + len(passage)))
            start += len(passage) + 1
        return Document(f"Document {n}", "\n".join(passages)), chunks

    def texts(self, count: int) -> list[str]:
        return [
            " ".join(self.words[i] for i in row) for row in self.ranks(count * WORDS).reshape(count, WORDS).tolist()
        ]

    def near(self, vector: Vectors) -> Vectors:
        return unit(vector + 0.03 * self.random.standard_normal(DIMENSIONS).astype(np.float32))


def word(rank: int) -> str:
    """A pronounceable word for each rank, so that the stemmer has something to do."""
    letters = []
    rank += 400
    while rank:
        rank, digit = divmod(rank, 90)
        letters.append("bcdfghklmnprstvwxz"[digit % 18] + "aeiou"[digit // 18])
    return "".join(letters)


def unit(vectors: Vectors) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def build(index: SqliteIndex, passages: int, synthetic: Synthetic) -> None:
    """Documents through the writer, as `sync` does; vectors as the background does, without making them."""
    have = len(asyncio.run(index.documents(owner=OWNER)))
    began = time.process_time()
    with index.writer() as writer:
        for n in range(have, passages // PASSAGES_PER_DOCUMENT):
            document, chunks = synthetic.document(n)
            writer.replace(OWNER, f"/{n}", f"folder{n % 10}/{n}.md", str(n), document, chunks)
    print(f"index: {time.process_time() - began:.1f} CPU-s for the words of {passages:,} passages")
    fill(index, synthetic)


def build_at_once(index: SqliteIndex, passages: int, synthetic: Synthetic, documents: int = 1000) -> None:
    """The same rows as `build`, in transactions of `documents` documents, the words indexed at the end."""
    connection = connect_to_write(index.path)
    connection.execute("PRAGMA synchronous = OFF")
    (trigger,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'passages_added'").fetchone()
    connection.execute("DROP TRIGGER passages_added")
    for first in range(0, passages // PASSAGES_PER_DOCUMENT, documents):
        made = [(n, synthetic.document(n)) for n in range(first, first + documents)]
        with connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO documents (id, owner, location, document_id, uri, title, version, state, pages) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'ready', 0)",
                ((n + 1, OWNER, f"/{n}", str(n), f"folder{n % 10}/{n}.md", one.title, str(n)) for n, (one, _) in made),
            )
            connection.executemany("INSERT INTO texts VALUES (?, 0, ?)", ((n + 1, one.text) for n, (one, _) in made))
            connection.executemany(
                'INSERT INTO passages (document, n, title, text, start, "end") VALUES (?, ?, ?, ?, ?, ?)',
                (
                    (n + 1, number, one.title, one.text[chunk.start : chunk.end], chunk.start, chunk.end)
                    for n, (one, chunks) in made
                    for number, chunk in enumerate(chunks)
                ),
            )
    began = time.process_time()
    connection.execute("INSERT INTO terms (rowid, title, text) SELECT id, indexed(title), indexed(text) FROM passages")
    print(f"index: {time.process_time() - began:.1f} CPU-s for the words of {passages:,} passages, all at once")
    connection.execute(trigger)
    connection.close()
    fill(index, synthetic)


def fill(index: SqliteIndex, synthetic: Synthetic) -> None:
    connection = connect(index.path)
    connection.execute("INSERT OR IGNORE INTO models (name, dimensions) VALUES ('synthetic', ?)", (DIMENSIONS,))
    missing = connection.execute(
        "SELECT id, document FROM passages WHERE id NOT IN (SELECT passage FROM vectors)"
    ).fetchall()
    for start in range(0, len(missing), 5000):
        some = missing[start : start + 5000]
        rows = zip(some, stored(synthetic.vectors(len(some))), strict=True)
        with connection:
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO vectors (passage, document, model, vector) VALUES (?, ?, 1, ?)",
                ((passage, document, vector) for (passage, document), vector in rows),
            )
    connection.close()


def questions(index: SqliteIndex, synthetic: Synthetic, count: int) -> dict[str, NDArray[np.float32]]:
    connection = connect(index.path)
    (highest,) = connection.execute("SELECT max(id) FROM passages").fetchone()
    frequent = {word(rank) for rank in range(FREQUENT)}
    asked: dict[str, NDArray[np.float32]] = {}
    while len(asked) < count:
        row = connection.execute(
            "SELECT text, vector FROM passages JOIN vectors ON passage = id WHERE id = ?",
            (int(synthetic.random.integers(1, highest + 1)),),
        ).fetchone()
        if row is not None:
            words = [found for found in dict.fromkeys(row[0].split()) if found not in frequent]
            chosen = synthetic.random.choice(words, QUESTION_WORDS, replace=False)
            asked[" ".join(chosen)] = synthetic.near(np.frombuffer(row[1], "<f2").astype(np.float32))
    connection.close()
    return asked


async def ask(index: SqliteIndex, asked: Sequence[str], where: Filter) -> tuple[list[float], list[float]]:
    """CPU and wall milliseconds of each search."""
    cpu, wall = [], []
    for question in asked:
        began, began_cpu = time.perf_counter(), time.process_time()
        await index.search(question, owner=OWNER, limit=5, where=where)
        wall.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - began_cpu) * 1000)
    return cpu, wall


async def recall(index: SqliteIndex, asked: dict[str, NDArray[np.float32]], every: int = 10) -> float:
    """Of the ten nearest vectors by exact comparison, the part that the search by signs finds."""
    connection = connect(index.path)
    read = connection.execute("SELECT passage, vector FROM vectors ORDER BY seq").fetchall()
    table = np.frombuffer(b"".join(vector for _, vector in read), "<f2").reshape(len(read), -1)
    passages = [passage for passage, _ in read]
    found = []
    assert index._vectors is not None
    for vector in list(asked.values())[::every]:
        exact = np.concatenate(
            [table[i : i + 50_000].astype(np.float32) @ vector for i in range(0, len(table), 50_000)]
        )
        best = {passages[i] for i in np.argpartition(-exact, 10)[:10]}
        near = index._vectors.nearest(connection, vector, OWNER, Filter(), 10, floor=-1.0)
        found.append(len(best.intersection(passage for passage, _ in near)) / 10)
    connection.close()
    return statistics.mean(found)


def update(index: SqliteIndex, synthetic: Synthetic, times: int = 20) -> list[float]:
    """CPU milliseconds to replace one document of 20 passages."""
    taken = []
    for n in range(times):
        document, chunks = synthetic.document(n)
        with index.writer() as writer:
            began = time.process_time()
            writer.replace(OWNER, f"/{n}", f"folder{n % 10}/{n}.md", f"{n} again", document, chunks)
            taken.append((time.process_time() - began) * 1000)
    return taken


async def minilm(files: Sequence[Path], passages: int = 256) -> None:
    texts: list[str] = []
    for file in files:
        document = Document(file.name, file.read_text())
        texts += [document.text[chunk.start : chunk.end] for chunk in split(document)]
    texts = texts[:passages]
    embedder = MiniLM()
    await embedder.embed(texts[:8])
    began, began_cpu = time.perf_counter(), time.process_time()
    await embedder.embed(texts)
    cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
    print(f"MiniLM: {len(texts) / cpu:.1f} passages per CPU-s, {len(texts) / wall:.1f} per s, of {len(texts)}")
    taken = []
    for text in texts[:50]:
        began_cpu = time.process_time()
        await embedder.embed_query(" ".join(text.split()[:10]))
        taken.append((time.process_time() - began_cpu) * 1000)
    print(f"MiniLM: a question of ten words takes {quantiles(taken)} CPU ms (p50/p95)")
    await embedder.close()


def quantiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.1f}/{ordered[int(len(ordered) * 0.95)]:.1f}"


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(path: Path, asked: dict[str, NDArray[np.float32]]) -> None:
    given = Given()
    given.vectors.update({" ".join(question.split()): vector for question, vector in asked.items()})
    index = SqliteIndex(path, given)
    before = resident_mb()
    began = time.process_time()
    first, *rest = asked
    await index.search(first, owner=OWNER)
    print(f"first search, which takes up the vectors: {(time.process_time() - began) * 1000:.0f} CPU ms")
    for label, where in (("all", Filter()), ("one folder of ten", Filter(within=("folder3",)))):
        cpu, wall = await ask(index, rest, where)
        print(f"search, {label}: {quantiles(cpu)} CPU ms, {quantiles(wall)} wall ms (p50/p95)")
    print(f"memory added: {resident_mb() - before:.0f} MB")
    print(f"vectors found by signs: {await recall(index, asked):.3f} of the ten nearest")
    await index.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the index here, for the next time")
    parser.add_argument("--minilm", type=Path, nargs="*", help="text files to embed")
    options = parser.parse_args()
    if options.minilm:
        asyncio.run(minilm(options.minilm))
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = (options.folder or Path(temporary)) / "index.db"
        synthetic = Synthetic()
        index = SqliteIndex(path, Given())
        (build_at_once if options.at_once else build)(index, options.passages, synthetic)
        print(f"on disk: {path.stat().st_size / 1e6:.0f} MB")
        asked = questions(index, synthetic, options.questions)
        asyncio.run(index.close())
        asyncio.run(measure(path, asked))
        index = SqliteIndex(path, Given())
        print(f"update of one document: {quantiles(update(index, synthetic))} CPU ms (p50/p95)")
        fill(index, synthetic)
        asyncio.run(index.close())


if __name__ == "__main__":
    sys.exit(main())
