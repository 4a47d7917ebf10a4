import sqlite3
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from millstream.database import connect, migrate
from millstream.search import EVERYTHING, Filter
from millstream.search.schema import MIGRATIONS
from millstream.search.vectors import VectorTable, stored
from millstream.search.writer import connect_to_write

OWNER = "local"
DIMENSIONS = 100  # not a multiple of 64


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def clustered(count: int, seed: int) -> NDArray[np.float32]:
    """As vectors of text lie: in clusters, not evenly in all directions."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((20, DIMENSIONS))
    noise = 0.7 * random.standard_normal((count, DIMENSIONS))
    return unit((centres[random.integers(0, 20, count)] + noise).astype(np.float32))


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    connection = connect_to_write(tmp_path / "index.db")
    migrate(connection, "index.db", MIGRATIONS)
    connection.execute("INSERT INTO models (id, name, dimensions) VALUES (1, 'one', ?), (2, 'two', 3)", (DIMENSIONS,))
    return connection


def add(connection: sqlite3.Connection, vectors: NDArray[np.float32], uri: str, model: int = 1) -> list[int]:
    """A document with a passage for each vector. The passages."""
    document = connection.execute(
        "INSERT INTO documents (owner, location, document_id, uri, title, version, state, pages) "
        "VALUES (?, ?, ?, ?, '', '', 'loading', 0)",
        (OWNER, uri, uri, uri),
    ).lastrowid
    passages = []
    for n, vector in enumerate(stored(vectors)):
        passage = connection.execute(
            "INSERT INTO passages (document, n, title, text, start, \"end\") VALUES (?, ?, '', '', 0, 0)", (document, n)
        ).lastrowid
        assert passage is not None
        connection.execute(
            "INSERT INTO vectors (passage, document, model, vector) VALUES (?, ?, ?, ?)",
            (passage, document, model, vector),
        )
        passages.append(passage)
    connection.execute("UPDATE documents SET state = 'ready' WHERE id = ?", (document,))
    return passages


def nearest(
    table: VectorTable,
    connection: sqlite3.Connection,
    query: NDArray[np.float32],
    limit: int,
    where: Filter = EVERYTHING,
) -> list[int]:
    table.refresh(connection)
    return [p for p, _ in table.nearest(connection, query, OWNER, where, limit, floor=-1.0)]


def test_signs_find_nearly_what_exact_comparison_finds(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(5_000, seed=1)
    passages = add(connection, vectors, "a")
    exact = VectorTable("one")
    queries = clustered(20, seed=2)
    best = [nearest(exact, connection, query, 10) for query in queries]
    assert best[0] == [passages[i] for i in np.argsort(-(vectors @ queries[0]))[:10]]
    monkeypatch.setattr("millstream.search.vectors.EXACT_BYTES", 0)
    signs = VectorTable("one")
    found = [nearest(signs, connection, query, 10) for query in queries]
    shared = [len(set(one) & set(other)) for one, other in zip(best, found, strict=True)]
    assert sum(shared) >= 0.97 * 200


def test_the_more_vectors_there_are_the_more_are_compared_exactly(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.search.vectors.EXACT_BYTES", 0)
    monkeypatch.setattr("millstream.search.vectors.CANDIDATES", 10)
    monkeypatch.setattr("millstream.search.vectors.CANDIDATES_PER_HIT", 1)
    vectors = clustered(5_000, seed=1)
    passages = add(connection, vectors, "a")
    table = VectorTable("one")

    def found(rows_per_candidate: int) -> int:
        monkeypatch.setattr("millstream.search.vectors.ROWS_PER_CANDIDATE", rows_per_candidate)
        return sum(
            len({passages[i] for i in np.argsort(-(vectors @ query))[:10]} & set(nearest(table, connection, query, 10)))
            for query in clustered(20, seed=2)
        )

    assert found(1_000_000) < 0.8 * 200
    assert found(25) >= 0.95 * 200


@pytest.mark.parametrize("exact_bytes", [0, 1 << 25])
def test_a_filter_finds_the_few_among_very_many(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, exact_bytes: int
) -> None:
    monkeypatch.setattr("millstream.search.vectors.EXACT_BYTES", exact_bytes)
    near, far = clustered(2, seed=3)
    add(connection, unit(near + 0.01 * clustered(3_000, seed=4)), "many/a")
    (rare,) = add(connection, far[np.newaxis], "few/b")
    table = VectorTable("one")
    assert rare not in nearest(table, connection, near, 50)
    assert nearest(table, connection, near, 50, Filter(within=("few",))) == [rare]


def test_the_cosine_is_that_with_the_question_even_when_feedback_moved_it(connection: sqlite3.Connection) -> None:
    vectors = clustered(50, seed=5)
    passages = add(connection, vectors, "a")
    table = VectorTable("one")
    table.refresh(connection)
    found = table.nearest(connection, vectors[0], OWNER, EVERYTHING, 50, floor=-1.0, feedback=[passages[9]])
    cosines = dict(found)
    assert cosines[passages[3]] == pytest.approx(float(vectors[0] @ vectors[3]), abs=2e-3)
    towards = unit(vectors[0] + 0.5 * vectors[9])
    order = [passages[i] for i in np.argsort(-(vectors @ towards))]
    assert [passage for passage, _ in found][:5] == order[:5]


def test_nothing_below_the_floor_is_found(connection: sqlite3.Connection) -> None:
    vectors = clustered(50, seed=6)
    add(connection, vectors, "a")
    table = VectorTable("one")
    table.refresh(connection)
    found = table.nearest(connection, vectors[0], OWNER, EVERYTHING, 50, floor=0.5)
    assert len(found) == int((vectors @ vectors[0] >= 0.5).sum())


def test_what_other_connections_add_and_remove_is_followed(connection: sqlite3.Connection, tmp_path: Path) -> None:
    table = VectorTable("one")
    reading = connect(tmp_path / "index.db")
    vectors = clustered(100, seed=7)
    assert nearest(table, reading, vectors[0], 5) == []
    first = add(connection, vectors[:60], "a")
    assert nearest(table, reading, vectors[0], 1) == first[:1]
    second = add(connection, vectors[60:], "b")
    assert nearest(table, reading, vectors[70], 1) == second[10:11]
    connection.execute("UPDATE documents SET state = 'old' WHERE uri = 'a'")
    assert set(nearest(table, reading, vectors[0], 100)) == set(second)
    connection.execute("DELETE FROM passages WHERE document = (SELECT id FROM documents WHERE uri = 'a')")
    connection.execute("DELETE FROM documents WHERE uri = 'a'")
    third = add(connection, vectors[:3], "c")
    assert set(nearest(table, reading, vectors[0], 100)) == {*second, *third}
    assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (43,)


def test_a_question_of_another_size_finds_nothing(connection: sqlite3.Connection) -> None:
    add(connection, clustered(3, seed=8), "a")
    table = VectorTable("one")
    assert nearest(table, connection, np.ones(3, np.float32), 5) == []
