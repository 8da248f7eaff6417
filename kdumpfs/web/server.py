"""The server: one page, one stream of steps, reads and writes of the machines' files. Starlette on uvicorn."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kdumpfs.web import export
from kdumpfs.web.guard import Guard
from kdumpfs.web.state import rows_of
from kdumpfs.web.steps import Session

LOOK_S = 0.05
"""How often it is asked whether something happened without the page."""
MOST_FILE = 1 << 18
"""Bytes of a file that are shown."""
BEHIND = 256
"""Steps that may wait for a browser that does not take them; then it must begin anew."""

T = TypeVar("T")


class Web:
    """The application. Every call into a machine is one at a time; of a mounted one in a thread, because it may wait."""

    def __init__(self, session: Session, *, waits: bool) -> None:
        self.session = session
        self._waits = waits
        self._lock = asyncio.Lock()
        self._readers: set[asyncio.Queue[str]] = set()

    def app(self, token: str, hosts: frozenset[str], *, any_address: bool) -> Guard:
        """The guarded application."""
        routes = [
            Route("/{token}/", self._page),
            Route("/{token}/page/{name}", self._part),
            Route("/{token}/events", self._events),
            Route("/{token}/file", self._file),
            Route("/{token}/rows", self._rows),
            Route("/{token}/diff", self._diff),
            Route("/{token}/transcript.sh", self._transcript),
            Route("/{token}/demo.html", self._export),
            Route("/{token}/write", self._write, methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), token, hosts, any_address)

    async def watch(self) -> None:
        """Tell the browsers what happens without them, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(OSError):  # the mount has gone, or the machine starts anew: look again
                step = await self._call(self.session.look)
                if step is not None:
                    self._tell(step)

    async def _call(self, call: Callable[[], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(call) if self._waits else call()

    def _tell(self, step: dict[str, Any]) -> None:
        text = _event("step", step)
        for reader in tuple(self._readers):
            try:
                reader.put_nowait(text)
            except asyncio.QueueFull:
                self._readers.discard(reader)

    async def _page(self, _request: Request) -> Response:
        text, policy = export.live_page()
        return Response(text, media_type="text/html", headers={"content-security-policy": policy})

    async def _part(self, request: Request) -> Response:
        part = export.part(request.path_params["name"])
        if part is None:
            return PlainTextResponse("no such part of the page\n", 404)
        return Response(part[0], media_type=part[1])

    async def _events(self, _request: Request) -> Response:
        reader: asyncio.Queue[str] = asyncio.Queue(BEHIND)

        async def stream() -> AsyncIterator[str]:
            self._readers.add(reader)
            try:
                yield _event("begin", self.told())
                while reader in self._readers:
                    try:
                        yield await asyncio.wait_for(reader.get(), 15)
                    except TimeoutError:
                        yield ": still here\n\n"
            finally:
                self._readers.discard(reader)

        return StreamingResponse(stream(), media_type="text/event-stream")

    def told(self) -> dict[str, Any]:
        """The whole time line: what a page begins with."""
        return {"labels": [side.label for side in self.session.sides], "steps": self.session.steps}

    async def _file(self, request: Request) -> Response:
        path = request.query_params.get("path", "/")
        side = self._side(request)
        if side is None:
            return PlainTextResponse("no such machine\n", 404)

        def read() -> dict[str, Any]:
            try:
                return {"path": path, "names": side.files.names(path)}
            except NotADirectoryError:
                pass
            except OSError as error:
                return {"path": path, "error": f"cat: {path.strip('/')}: {error.strerror}"}
            try:
                data = side.files.head(path, MOST_FILE)
            except OSError as error:
                return {"path": path, "error": f"cat: {path.strip('/')}: {error.strerror}"}
            binary = b"\0" in data[:4096]
            text = data[:4096].hex(" ") if binary else data.decode(errors="backslashreplace")
            return {"path": path, "text": text, "binary": binary}

        return JSONResponse(await self._call(read))

    def _side(self, request: Request) -> Any:
        n = request.query_params.get("machine", "0")
        sides = self.session.sides
        return sides[int(n)] if n.isdecimal() and int(n) < len(sides) else None

    async def _rows(self, request: Request) -> Response:
        side, first = self._side(request), request.query_params.get("first", "0")
        if side is None or not first.isdecimal():
            return PlainTextResponse("no such rows\n", 404)
        return JSONResponse(await self._call(lambda: rows_of(side.header, int(first))))

    async def _diff(self, request: Request) -> Response:
        asked = [request.query_params.get(key, "") for key in ("machine", "from", "to")]
        try:
            side, before, after = map(int, asked)
            text = await self._call(lambda: self.session.difference(side, before, after))
        except (ValueError, IndexError):
            return PlainTextResponse("no such steps\n", 404)
        return PlainTextResponse(text)

    async def _transcript(self, _request: Request) -> Response:
        return PlainTextResponse(self.session.transcript())

    async def _export(self, _request: Request) -> Response:
        head = {"content-disposition": 'attachment; filename="demo.html"'}
        return Response(export.one_file(self.told()), media_type="text/html", headers=head)

    async def _write(self, request: Request) -> Response:
        try:
            body = await request.json()
            path, text = body["path"], body["text"]
        except (ValueError, KeyError, TypeError, RecursionError):
            path = text = None
        if not isinstance(path, str) or not isinstance(text, str) or "\0" in path:
            return PlainTextResponse('expected {"path": ..., "text": ...}\n', 400)
        step = await self._call(lambda: self.session.write(path, text))
        self._tell(step)
        return JSONResponse({"n": step["n"], "outcomes": [one["outcome"] for one in step["sides"]]})


def _event(name: str, told: object) -> str:
    return f"event: {name}\ndata: {json.dumps(told)}\n\n"


def serve(
    session: Session,
    listener: socket.socket,
    token: str,
    hosts: frozenset[str],
    ready: Callable[[], None],
    *,
    waits: bool,
    any_address: bool = False,
) -> None:
    """Serve until a signal. ready() is called when the page can be asked for."""

    async def run() -> None:
        web = Web(session, waits=waits)
        config = uvicorn.Config(
            web.app(token, hosts, any_address=any_address),
            log_level="critical",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        watching: Awaitable[None] = asyncio.ensure_future(web.watch())
        ready()
        try:
            await server.serve(sockets=[listener])
        finally:
            watching.cancel()  # type: ignore[attr-defined]

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
