"""Millstream: answers over your own documents, streamed whole."""

__version__ = "0.1.0"
