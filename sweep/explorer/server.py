"""HTTP around the endpoints, for pages on this machine alone.

A request has to name 127.0.0.1 or localhost as its host and carry the token that stands in the
page, so that no other page of the browser gets through; it is bounded in size (`query`) and in
time, and abandoned when the page no longer waits for it.
"""

from __future__ import annotations

import asyncio
import gzip
import secrets
import socket
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from threading import Timer
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sweep.errors import SpecError, SweepError, printable
from sweep.experiment.spec import Spec
from sweep.explorer.about import about
from sweep.explorer.endpoints import ENDPOINTS, compile_ahead, respond
from sweep.explorer.stored import is_plane
from sweep.result import Result

__all__ = ["application", "open_socket", "serve"]

HOST = "127.0.0.1"

LOOKS = 0.02  # seconds between two looks at whether the page still waits

PAGE = {
    "": ("index.html", "text/html"),
    "explore.js": ("explore.js", "text/javascript"),
    "explore.css": ("explore.css", "text/css"),
}

# The page may use nothing but what this server gives.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def application(spec: Spec, token: str, result: Result | None = None) -> Starlette:
    """Return the application for a spec, and a result whose stored cells it shows.

    Its page holds the token, and sends it in a header.
    """
    one_by_one = ThreadPoolExecutor(1)  # each request takes all CPUs
    one_by_one.submit(compile_ahead, spec)

    def compute(name: str, query: dict[str, str], stop: NDArray[np.uint8]) -> Any:
        if stop[0]:  # nobody waits for it any more
            return None
        return respond(spec, name, query, stop, result)

    async def page(request: Request) -> Response:
        requested = request.path_params.get("name", "")
        if requested not in PAGE:
            return Response("there is no such file", 404)
        name, kind = PAGE[requested]
        text = files("sweep.explorer").joinpath("page", name).read_text("utf-8")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return Response(text.replace("@token@", token), media_type=kind, headers=headers)

    async def data(request: Request) -> Response:
        name = request.path_params["name"]
        if not secrets.compare_digest(request.headers.get("x-sweep-token", ""), token):
            return JSONResponse({"error": "only the page that sweep opened gets data"}, 403)
        if name == "about":
            return JSONResponse(about(spec, result is not None and is_plane(result)))
        if name not in ENDPOINTS:
            return JSONResponse({"error": f"{printable(name)}: there is no such data"}, 404)
        stop, query = np.zeros(1, np.uint8), dict(request.query_params)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(one_by_one, compute, name, query, stop)
        while not future.done():
            await asyncio.wait([future], timeout=LOOKS)
            if not future.done() and await request.is_disconnected():
                stop[0] = 1
                future.add_done_callback(lambda done: done.exception())
                return Response(status_code=499)
        try:
            response, took = future.result()
        except SweepError as error:
            return JSONResponse({"error": str(error)}, 422)
        if isinstance(response, dict):
            return JSONResponse(response)
        content = gzip.compress(response.astype("<i4").tobytes(), 1)
        headers = {
            "Content-Encoding": "gzip", "Cache-Control": "no-store",
            "Server-Timing": f"compute;dur={1000 * took:.1f}",
        }  # fmt: skip
        return Response(content, media_type="application/octet-stream", headers=headers)

    return Starlette(
        routes=[Route("/", page), Route("/page/{name}", page), Route("/data/{name}", data)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )


def open_socket(port: int) -> socket.socket:
    """Return a socket that listens on this machine alone; port 0 is any that is free.

    Raises
    ------
    SpecError
        The port is taken, or not allowed.
    """
    # Said to be TCP, or asyncio leaves Nagle's algorithm on, which holds responses back for 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
        opened.listen(128)  # who comes before the server is ready waits
    except OSError as error:
        opened.close()
        raise SpecError(
            f"port = {port}: cannot be used: {error.strerror}; choose another with --port"
        ) from None
    return opened


def serve(spec: Spec, port: int, browser: bool, result: Result | None = None) -> None:
    """Serve the page until Ctrl-C, and open it in a browser."""
    opened = open_socket(port)
    address = f"http://{HOST}:{opened.getsockname()[1]}/"
    print(f"{spec.name}: {address} (Ctrl-C ends it)", flush=True)
    app = application(spec, secrets.token_urlsafe(24), result)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    if browser:
        Timer(0.3, webbrowser.open, [address]).start()
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[opened])
