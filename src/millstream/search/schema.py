"""The tables of `index.db`, and how a file made by an older version is brought up to date."""

import sqlite3
from pathlib import Path

from millstream.errors import ConfigurationError

_BUSY_TIMEOUT_S = 10.0

# A document's row is one version of it. While a new version is being written it is `loading` and nobody sees it; then
# it becomes `ready` and the old one `old` in one transaction, and the old one's passages are removed bit by bit.
_VERSION_1 = """
CREATE TABLE documents (
    id          INTEGER PRIMARY KEY,
    owner       TEXT NOT NULL,
    location    TEXT NOT NULL,      -- absolute path; never leaves this file
    document_id TEXT NOT NULL,
    uri         TEXT NOT NULL,
    title       TEXT NOT NULL,
    version     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('loading', 'ready', 'old')),
    pages       INTEGER NOT NULL
);
CREATE UNIQUE INDEX documents_ready ON documents (owner, location) WHERE state = 'ready';
CREATE INDEX documents_by_id ON documents (document_id, owner) WHERE state = 'ready';

CREATE TABLE texts (
    document    INTEGER NOT NULL REFERENCES documents (id),
    start       INTEGER NOT NULL,   -- offset of this piece of the document's text, in code points
    text        TEXT NOT NULL,
    PRIMARY KEY (document, start)
) WITHOUT ROWID;

CREATE TABLE passages (
    id          INTEGER PRIMARY KEY,
    document    INTEGER NOT NULL REFERENCES documents (id),
    n           INTEGER NOT NULL,
    title       TEXT NOT NULL,
    text        TEXT NOT NULL,
    start       INTEGER NOT NULL,
    "end"       INTEGER NOT NULL,
    page_start  INTEGER,
    page_end    INTEGER
);
CREATE INDEX passages_of_document ON passages (document, n);

CREATE VIRTUAL TABLE terms USING fts5 (
    title, text, content = 'passages', content_rowid = 'id', tokenize = 'porter unicode61'
);
CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN
    INSERT INTO terms (rowid, title, text) VALUES (new.id, new.title, new.text);
END;
CREATE TRIGGER passages_removed AFTER DELETE ON passages BEGIN
    INSERT INTO terms (terms, rowid, title, text) VALUES ('delete', old.id, old.title, old.text);
END;
"""

# What is known of a document's file, and the files that are not in the index: those that could not be read, and those
# that a person removed and that stay out until they are named themselves.
_VERSION_2 = """
ALTER TABLE documents ADD COLUMN format TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN size INTEGER NOT NULL DEFAULT 0;           -- bytes
ALTER TABLE documents ADD COLUMN modified INTEGER NOT NULL DEFAULT 0;       -- milliseconds since 1970
ALTER TABLE documents ADD COLUMN stamp TEXT NOT NULL DEFAULT '';            -- changes whenever the file may have
ALTER TABLE documents ADD COLUMN page_starts TEXT NOT NULL DEFAULT '[]';    -- JSON: offset in the text of each page

CREATE TABLE absent (
    owner       TEXT NOT NULL,
    location    TEXT NOT NULL,
    document_id TEXT NOT NULL,
    uri         TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('failed', 'removed')),
    version     TEXT NOT NULL,
    stamp       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (owner, location)
) WITHOUT ROWID;

CREATE TRIGGER passages_retitled AFTER UPDATE OF title ON passages BEGIN
    INSERT INTO terms (terms, rowid, title, text) VALUES ('delete', old.id, old.title, old.text);
    INSERT INTO terms (rowid, title, text) VALUES (new.id, new.title, new.text);
END;
"""

MIGRATIONS = [_VERSION_1, _VERSION_2]
"""Script i brings a file from schema version i to i + 1; `PRAGMA user_version` says where a file stands."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that any one thread at a time may use.

    Raises ConfigurationError when the file is no database.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        connection.close()
        raise ConfigurationError(
            "The file index.db in the data folder is not a Millstream index. Move it away and sync again."
        ) from None
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Creates the tables or brings them up to date, all or nothing.

    Raises ConfigurationError when the file was made by a newer version.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[_version(connection) :]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            "The index in the data folder was made by a newer version of Millstream. "
            "Update Millstream, or choose another data folder."
        )
    return version


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would commit the transaction that we are in."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
