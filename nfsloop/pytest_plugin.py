"""A pytest fixture for authors of backends: a server around one, and a client of it.

    def test_mine(nfs_server: NfsServerFactory) -> None:
        server = nfs_server(MyBackend())
        with server.client() as client:
            assert client.read_file("/hello") == b"hello\\n"

Nothing is imported before a test asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from nfsloop.embed import Source, ThreadServer


class NfsServerFactory(Protocol):
    """The type of the fixture `nfs_server`."""

    def __call__(self, backends: Source | Mapping[str, Source], **settings: Any) -> ThreadServer:
        """A server around `backends`; it is stopped when the test ends.

        `settings` are those of `nfsloop.serving_in_thread`, but root is not squashed.
        """


@pytest.fixture
def nfs_server() -> Iterator[NfsServerFactory]:
    """Starts NFS servers: ``nfs_server(backend)``; see `NfsServerFactory`."""
    with contextlib.ExitStack() as stack:

        def start(backends: Source | Mapping[str, Source], **settings: Any) -> ThreadServer:
            from nfsloop.embed import serving_in_thread

            settings.setdefault("options", "no_root_squash")
            settings.setdefault("stop_seconds", 2.0)
            return stack.enter_context(serving_in_thread(backends, **settings))

        yield start
