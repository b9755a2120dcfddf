"""nfsloop: an NFSv3 server (RFC 1813) with storage behind `backends.base.Backend`.

    with nfsloop.serving_in_thread(backend) as server:
        print(server.mount_line)

See `nfsloop.embed`. The names here are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nfsloop.client import Client as Client
    from nfsloop.embed import Server as Server
    from nfsloop.embed import ThreadServer as ThreadServer
    from nfsloop.embed import serving as serving
    from nfsloop.embed import serving_in_thread as serving_in_thread
    from nfsloop.errors import ConfigError as ConfigError
    from nfsloop.layers import Layer as Layer
    from nfsloop.options import Options as Options

_WHERE = {
    "Client": "client",
    "ConfigError": "errors",
    "Layer": "layers",
    "Options": "options",
    "Server": "embed",
    "ThreadServer": "embed",
    "serving": "embed",
    "serving_in_thread": "embed",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
