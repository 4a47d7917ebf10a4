"""The reading of documents as the settings want it."""

from importlib import import_module

from millstream.documents.limits import Limits
from millstream.documents.pool import DEFAULT_PROCESSES, ReaderPool
from millstream.errors import ConfigurationError
from millstream.server.settings import Settings


def create_pool(settings: Settings) -> ReaderPool:
    """Also imports the modules that register formats: this process has to know their suffixes.

    Raises ConfigurationError.
    """
    for module in settings.readers:
        try:
            import_module(module)
        except ImportError as error:
            raise ConfigurationError(f"MILLSTREAM_READERS: {module!r} cannot be imported: {error}.") from error
    limits = Limits(
        settings.read_file_mb,
        settings.read_seconds,
        settings.read_memory_mb,
        settings.read_pages,
        settings.read_unpacked_mb,
        settings.read_characters,
    )
    return ReaderPool(limits, settings.read_processes or DEFAULT_PROCESSES, settings.readers)
