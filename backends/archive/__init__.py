"""Zip and tar files as read-only file systems.

Modules: tree (names), member (attributes), zipindex and tarindex (the formats), sparse (of tar),
decode and unpack (compressed members of zip files), spool (compressed tar files), backend.
"""

from __future__ import annotations

from backends.archive.backend import TarBackend, ZipBackend

__all__ = ["TarBackend", "ZipBackend"]
