"""The tables of `index.db`."""

# A document's row is one version of it. While a new version is being written it is `loading` and nobody sees it; then
# it becomes `ready` and the old one `old` in one transaction, and the old one's passages are removed bit by bit. Row
# numbers of documents are never used twice, so that who keeps vectors in memory can tell documents apart by them.
#
# In `absent` are the files that are not in the index: those that could not be read, and those that a person removed and
# that stay out until they are named themselves.
#
# What `terms` is given is the work of `indexed`, a function of the writer's connection. It must be given the same again
# when a passage is removed: a change of that function is a change of the schema.
#
# A vector is a unit vector of little-endian float16, made by one model of one passage's text; `seq` only grows, so that
# a reader takes up what came after what it has. `changes` counts what happened to the list of documents.
_SCHEMA = """
CREATE TABLE documents (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    owner       TEXT NOT NULL,
    location    TEXT NOT NULL,      -- absolute path; never leaves this file
    document_id TEXT NOT NULL,
    uri         TEXT NOT NULL,
    title       TEXT NOT NULL,
    version     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('loading', 'ready', 'old')),
    pages       INTEGER NOT NULL,
    format      TEXT NOT NULL DEFAULT '',
    size        INTEGER NOT NULL DEFAULT 0,     -- bytes
    modified    INTEGER NOT NULL DEFAULT 0,     -- milliseconds since 1970
    stamp       TEXT NOT NULL DEFAULT '',       -- changes whenever the file may have
    page_starts TEXT NOT NULL DEFAULT '[]',     -- JSON: offset in the text of each page
    remark      TEXT NOT NULL DEFAULT ''        -- what of the file could not be read, for a person
);
CREATE UNIQUE INDEX documents_ready ON documents (owner, location) WHERE state = 'ready';
CREATE INDEX documents_by_id ON documents (document_id, owner) WHERE state = 'ready';

CREATE TABLE changes (n INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TRIGGER documents_updated AFTER UPDATE ON documents BEGIN
    UPDATE changes SET n = n + 1;
END;
CREATE TRIGGER documents_removed AFTER DELETE ON documents WHEN old.state = 'ready' BEGIN
    UPDATE changes SET n = n + 1;
END;

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
    title, text, content = '', tokenize = 'porter unicode61'
);
CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN
    INSERT INTO terms (rowid, title, text) VALUES (new.id, indexed(new.title), indexed(new.text));
END;
CREATE TRIGGER passages_removed AFTER DELETE ON passages BEGIN
    INSERT INTO terms (terms, rowid, title, text) VALUES ('delete', old.id, indexed(old.title), indexed(old.text));
END;
CREATE TRIGGER passages_retitled AFTER UPDATE OF title ON passages BEGIN
    INSERT INTO terms (terms, rowid, title, text) VALUES ('delete', old.id, indexed(old.title), indexed(old.text));
    INSERT INTO terms (rowid, title, text) VALUES (new.id, indexed(new.title), indexed(new.text));
END;

CREATE TABLE models (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    dimensions  INTEGER NOT NULL
);
CREATE TABLE vectors (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    passage     INTEGER NOT NULL UNIQUE REFERENCES passages (id),
    document    INTEGER NOT NULL,
    model       INTEGER NOT NULL REFERENCES models (id),
    vector      BLOB NOT NULL
);
CREATE INDEX vectors_of_model ON vectors (model);
CREATE TRIGGER passages_forgotten AFTER DELETE ON passages BEGIN
    DELETE FROM vectors WHERE passage = old.id;
END;
"""

MIGRATIONS = ["", "", "", _SCHEMA]
"""Script i brings a file from schema version i to i + 1; `PRAGMA user_version` says where a file stands."""

FIRST_VERSION = 4
"""Files of versions 1 to 3 were made before the first release, and are not brought up to date."""
