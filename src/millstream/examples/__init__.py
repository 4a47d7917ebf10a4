"""Applications to begin with, each what a template repository is for: `millstream new NAME --example E` copies one."""

from importlib.resources import files
from pathlib import Path

EXAMPLES = Path(str(files(__name__)))


def example_names() -> list[str]:
    return sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / "app.py").is_file())


def about(name: str) -> str:
    """One line: what the example is."""
    return _introduction(name)[0]


def beginning(name: str) -> str:
    """What to do once it is started, in a few lines."""
    return _introduction(name)[1].strip()


def _introduction(name: str) -> tuple[str, str]:
    first, _, rest = (EXAMPLES / name / "app.py").read_text("utf-8").split('"""')[1].partition("\n")
    return first, rest
