"""`/metrics`, `/healthz` and `/readyz` over HTTP, for who watches the server from beside it.

It runs on the server's own event loop, so that `/healthz` says something about that. It is meant
for the loopback interface or a network of one's own: nobody has to say who he is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpProcessingError

from nfsloop.cli import version
from nfsloop.commands import ILL, wrong_with
from nfsloop.errors import ConfigError
from nfsloop.limits import (
    HTTP_CLIENTS,
    HTTP_HEADERS,
    HTTP_LINE_BYTES,
    HTTP_SECONDS,
    READY_ASK_SECONDS,
    READY_KEPT_SECONDS,
)
from nfsloop.watching.metrics import Facts, exposition
from nfsloop.watching.totals import Totals
from oncrpc import net

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.export import Export

#: aiohttp's: it tells of what went wrong in here.
log = logging.getLogger("nfsloop.http")
#: But not of requests that are none: whoever asks is told, and must not fill the log.
log.addFilter(lambda record: not isinstance((record.exc_info or (0, 0))[1], HttpProcessingError))


#: Connections that wait to be taken, or to be closed again.
BACKLOG = 64


class Readiness:
    """Whether `app` can do its work: what is wrong, a line each; nothing if it is ready.

    An export's storage is asked once at a time, however long that takes; those who want to know
    wait for `READY_ASK_SECONDS`, and get an answer that is at most `READY_KEPT_SECONDS` old.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._asked: dict[Export, asyncio.Task[str | None]] = {}
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
        for export in [export for export in self._asked if export not in exports]:
            self._asked.pop(export).cancel()
        for export in exports:
            if export not in self._asked or self._asked[export].done():
                self._asked[export] = asyncio.ensure_future(wrong_with(export))
        asked = {export: self._asked[export] for export in exports}
        workers = asyncio.ensure_future(self._app.processes.trouble(READY_ASK_SECONDS))
        await asyncio.wait([workers, *asked.values()], timeout=READY_ASK_SECONDS)
        found: list[str] = []
        for export, task in asked.items():
            if not task.done():
                found.append(f"{export.path}{ILL}it has not said how it is for some time")
            elif not task.cancelled() and (why := task.result()) is not None:
                found.append(f"{export.path}{ILL}{why}")
        return [*found, *await workers]

    async def stop(self) -> None:
        """Wait for no answer any more."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


class Site:
    """What answers at `host` and `port` (0: any). It takes `HTTP_CLIENTS` connections at once, each
    for one request and `HTTP_SECONDS` at most."""

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
        self._accepted: dict[web.RequestHandler, float] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{net.host_port(self._host, self.port)}"

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=HTTP_LINE_BYTES)
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
        await self._readiness.stop()
        self._thread.shutdown(wait=False)

    def _accept(self) -> asyncio.Protocol:
        """What serves a new connection. If there are too many, those go that are there too long."""
        server = self._runner.server
        now = asyncio.get_running_loop().time()
        there = set(server.connections) if server is not None else set()
        # Those of this very turn are no connections yet.
        accepted = {
            handler: since
            for handler, since in self._accepted.items()
            if handler in there or since == now
        }
        if len(accepted) >= HTTP_CLIENTS:
            for handler in [h for h, since in accepted.items() if now - since > HTTP_SECONDS]:
                if handler.transport is not None:
                    handler.transport.abort()
                    del accepted[handler]
        self._accepted = accepted
        if server is None or len(accepted) >= HTTP_CLIENTS:
            return _Refusing()
        handler = server()
        accepted[handler] = now
        return handler

    # What is answered

    async def _metrics(self, request: web.Request) -> web.Response:
        """One at a time. The text is made in a thread: of many exports and workers it is long."""
        accept = request.headers.get("Accept", "")
        async with self._scraping:
            snapshot = self._totals.add(await self._app.processes.parts())
            facts = Facts(self._version, self._began, self._app.processes.workers())
            loop = asyncio.get_running_loop()
            text, kind = await loop.run_in_executor(
                self._thread, exposition, snapshot, facts, accept
            )
        return web.Response(body=text, headers={"Content-Type": kind})

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


class _Refusing(asyncio.Protocol):
    """Closes a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport.close()
