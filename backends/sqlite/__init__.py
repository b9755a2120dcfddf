"""A file system in one SQLite file: `backends.kvfs` over an engine on the standard `sqlite3`."""

from backends.sqlite.backend import SqliteBackend

__all__ = ["SqliteBackend"]
