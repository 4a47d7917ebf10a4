"""Index the corpus of a judged set, so that it can be searched as documents are."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from millstream.documents import Document
from millstream.documents.split import SPLIT_VERSION, split
from millstream.evaluation.questions import Entry, read_corpus
from millstream.search.sqlite import SqliteIndex

OWNER = "local"


def index_folder(data: Path, corpus: Path) -> Path:
    """Where in the data folder the index of this corpus is kept, for the next run over it."""
    digest = sha256(b"%d\n" % SPLIT_VERSION + corpus.read_bytes()).hexdigest()
    return data / "evaluation" / digest[:16]


def index_corpus(corpus: Path, index: SqliteIndex, on_progress: Callable[[int], None] = lambda done: None) -> int:
    """Every entry becomes a document whose uri is its id; what is there already is left. Returns their number."""
    done = 0
    with index.writer() as writer:
        known = writer.known(OWNER)
        for entry in read_corpus(corpus):
            name = str(entry.id)
            if name not in known:
                document = _document(entry)
                version = sha256(document.text.encode("utf-8", "replace")).hexdigest()
                writer.replace(OWNER, name, name, version, document, split(document))
            done += 1
            on_progress(done)
    return done


def _document(entry: Entry) -> Document:
    text = entry.text if entry.text.startswith(entry.title) else f"{entry.title}\n\n{entry.text}"
    return Document(entry.title, text)
