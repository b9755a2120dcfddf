"""`/metrics`, `/healthz` and `/readyz` over HTTP, for who watches the server from beside it.

It runs on the server's own event loop, so that `/healthz` says something about that. It is meant
for the loopback interface or a network of one's own: nobody has to say who he is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError

from nfsloop.cli import version
from nfsloop.commands import ILL
from nfsloop.errors import ConfigError
from nfsloop.limits import (
    HTTP_CLIENTS,
    HTTP_HEADERS,
    HTTP_LINE_BYTES,
    HTTP_REQUEST_SECONDS,
    HTTP_SECONDS,
    READY_ASK_SECONDS,
    READY_KEPT_SECONDS,
)
from nfsloop.watching.metrics import Facts, exposition
from nfsloop.watching.totals import Totals
from oncrpc import net

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.watching.snapshot import Snapshot

#: aiohttp's: it tells of what went wrong in here.
log = logging.getLogger("nfsloop.http")
#: But not of requests that are none: whoever asks is told, and must not fill the log.
log.addFilter(lambda record: not isinstance((record.exc_info or (0, 0))[1], HttpProcessingError))


#: What answers a request.
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Connections that wait to be taken, or to be closed again.
BACKLOG = 64


class Readiness:
    """Whether `app` can do its work: what is wrong, a line each; nothing if it is ready.

    Storage is asked as `nfsloop.export.Export.health` asks it, and workers have `READY_ASK_SECONDS`
    to answer. What they say holds for `READY_KEPT_SECONDS`.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._kept: tuple[float, list[str]] = (float("-inf"), [])
        self._lock = asyncio.Lock()

    async def wrong(self) -> list[str]:
        """What is wrong just now."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._app.phase != "serving":
                return [f"the server is {self._app.phase}"]
            if now - self._kept[0] >= READY_KEPT_SECONDS:
                self._kept = now, await self._ask()
            return self._kept[1]

    async def _ask(self) -> list[str]:
        exports = list(self._app.exports)
        workers = asyncio.ensure_future(self._app.processes.trouble(READY_ASK_SECONDS))
        said = await asyncio.gather(*(export.health() for export in exports))
        found = zip(exports, said, strict=True)
        return [*(f"{export.path}{ILL}{why}" for export, why in found if why), *await workers]


class Site:
    """What answers at `host` and `port` (0: any). It takes `HTTP_CLIENTS` connections at once, each
    for one request. Who does not send that makes room for another, as does after `HTTP_SECONDS` who
    does not take his answer."""

    def __init__(self, app: App, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self.port = port
        self._began = time.time()
        self._version = version()
        self._totals = Totals()
        self._scraping = asyncio.Lock()
        self._readiness = Readiness(app)
        # Of its own: whoever the loop acts as when it makes the thread, that one acts as too.
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=log,
            shutdown_timeout=1.0,
            max_line_size=HTTP_LINE_BYTES,
            max_field_size=HTTP_LINE_BYTES,
            max_headers=HTTP_HEADERS,
            lingering_time=0.0,
        )
        self._servers: list[asyncio.Server] = []
        #: The connections that are open, the oldest first.
        self._there: dict[web.RequestHandler, _Connection] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{net.host_port(self._host, self.port)}"

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=HTTP_LINE_BYTES, middlewares=[self._asked])
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.on_response_prepare.append(_last)
        return application

    async def start(self) -> None:
        """Listen. Raises ConfigError."""
        await self._runner.setup()
        try:
            sockets = net.bind(self._host, self.port, socket.SOCK_STREAM)
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc
            where = net.host_port(self._host, self.port)
            raise ConfigError(f"--metrics: cannot listen on {where}: {why}") from None
        self.port = int(sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        for sock in sockets:
            server = await loop.create_server(self._accept, sock=sock, backlog=BACKLOG)
            self._servers.append(server)

    async def stop(self) -> None:
        """Answer nobody any more."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        self._thread.shutdown(wait=False)

    def _accept(self) -> asyncio.Protocol:
        """What serves a new connection."""
        server = self._runner.server
        if server is None or not self._room():
            return _Refusing()
        handler = server()
        one = self._there[handler] = _Connection(handler, self._there)
        return one

    def _room(self) -> bool:
        """Whether there is a place for one more connection. If need be, the oldest goes that has
        not sent its request, or that is there for too long."""
        if len(self._there) < HTTP_CLIENTS:
            return True
        latest = asyncio.get_running_loop().time() - HTTP_SECONDS
        for one in self._there.values():
            if one.transport is not None and (not one.asked or one.since < latest):
                one.end()
                return True
        return False

    @web.middleware
    async def _asked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        one = self._there.get(request.protocol)
        if one is not None:
            one.asked = True
        return await handler(request)

    # What is answered

    async def _metrics(self, request: web.Request) -> web.Response:
        """One at a time. The text is made in a thread: of many exports and workers it is long."""
        accept = request.headers.get("Accept", "")
        async with self._scraping:
            parts = await self._app.processes.parts()
            facts = Facts(self._version, self._began, self._app.processes.restarts())
            loop = asyncio.get_running_loop()
            text, kind = await loop.run_in_executor(self._thread, self._text, parts, facts, accept)
        return web.Response(body=text, headers={"Content-Type": kind})

    def _text(self, parts: list[Snapshot], facts: Facts, accept: str) -> tuple[bytes, str]:
        return exposition(self._totals.add(parts), facts, accept)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        wrong = await self._readiness.wrong()
        text = "\n".join(wrong or ["ready"]) + "\n"
        body = text.encode("utf-8", "backslashreplace")
        return web.Response(
            status=503 if wrong else 200, body=body, content_type="text/plain", charset="utf-8"
        )


async def _last(request: web.Request, response: web.StreamResponse) -> None:
    """A connection is for one request: nobody holds one for long."""
    response.headers["Server"] = "nfsloop"
    response.headers["Connection"] = "close"
    response.headers["Cache-Control"] = "no-store"
    response.force_close()


class _Connection(asyncio.Protocol):
    """A connection, whose request `handler` takes and answers; it is among those `there`. It ends
    if there is no request within `HTTP_REQUEST_SECONDS`."""

    def __init__(
        self, handler: web.RequestHandler, there: dict[web.RequestHandler, _Connection]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        self.transport: asyncio.Transport | None = None
        #: Whether its request has come.
        self.asked = False
        self._handler = handler
        self._there = there
        self._timer = loop.call_later(HTTP_REQUEST_SECONDS, self._late)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)
        self._handler.connection_made(self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._timer.cancel()
        self._there.pop(self._handler, None)
        self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._handler.data_received(data)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self._handler.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._handler.resume_writing()

    def _late(self) -> None:
        if not self.asked:
            self.end()

    def end(self) -> None:
        """Whatever it is doing."""
        self._timer.cancel()
        self._there.pop(self._handler, None)
        if self.transport is not None:
            self.transport.abort()


class _Refusing(asyncio.Protocol):
    """Closes a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport.close()
