"""The tables of conversations in `millstream.db`, and what changed since."""

SCHEMA = """
CREATE TABLE conversations (
  conversation_id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  title TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  listed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX conversations_listed ON conversations (owner, updated DESC) WHERE listed = 1;
CREATE TABLE messages (
  position INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
  owner TEXT NOT NULL,
  parent_id TEXT,
  role TEXT NOT NULL,
  created INTEGER NOT NULL,
  content BLOB,
  run_id TEXT UNIQUE,
  snapshot BLOB
);
CREATE INDEX messages_of_conversation ON messages (conversation_id, position);
CREATE INDEX messages_unfinished ON messages (position) WHERE run_id IS NOT NULL AND snapshot IS NULL;
"""

# What can be found of listed conversations: the title, written first and so with the lowest id, then each message.
SCHEMA_2 = """
ALTER TABLE conversations ADD COLUMN chosen_id TEXT;
ALTER TABLE conversations ADD COLUMN deleted INTEGER;   -- when, in milliseconds since the Unix epoch
ALTER TABLE messages ADD COLUMN feedback BLOB;
CREATE INDEX conversations_deleted ON conversations (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX conversations_unlisted ON conversations (updated) WHERE listed = 0;

CREATE TABLE texts (
  id INTEGER PRIMARY KEY,
  conversation_id TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
  message_id TEXT UNIQUE,   -- NULL: the title
  text TEXT NOT NULL
);
CREATE INDEX texts_of_conversation ON texts (conversation_id);
CREATE VIRTUAL TABLE words USING fts5 (
  text, content = 'texts', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);
CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER texts_changed AFTER UPDATE OF text ON texts BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER texts_removed AFTER DELETE ON texts BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;

INSERT INTO texts (conversation_id, text) SELECT conversation_id, title FROM conversations WHERE listed = 1;
INSERT INTO texts (conversation_id, message_id, text)
SELECT conversation_id, message_id, said FROM (
  SELECT position, conversation_id, message_id, listed, CASE
    WHEN snapshot IS NOT NULL THEN json_extract(CAST(snapshot AS TEXT), '$.message.content')
    WHEN json_type(CAST(content AS TEXT)) = 'text' THEN json_extract(CAST(content AS TEXT), '$')
    ELSE (
      SELECT group_concat(json_extract(value, '$.text'), char(10)) FROM json_each(CAST(content AS TEXT))
      WHERE json_extract(value, '$.type') = 'text'
    )
  END AS said
  FROM messages JOIN conversations USING (conversation_id)
) WHERE listed = 1 AND said <> '' ORDER BY position;
"""
