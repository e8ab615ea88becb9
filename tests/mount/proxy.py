# SPDX-License-Identifier: Apache-2.0
"""A faulty way to the Hub: forwards both of serve's origins, and breaks what it is told to.

Each origin of the server gets a listener here; Location and Link headers are rewritten so that a
client never leaves by a straight way.
"""

import http.client
import http.server
import socket
import threading
import time
import urllib.parse


class Fault:
    """What happens to answers: those that carry file content, metadata, or all."""

    def __init__(self, kind: str = "", after: int = 0, status: int = 500, where: str = "content",
                 headers=None, times: int = -1):
        self.kind = kind      # "", "cut", "stall", "status", "refuse", "garble"
        self.after = after    # bytes of the body that still come through
        self.status = status
        self.where = where    # "content", "metadata", "all"
        self.headers = headers or {}  # of an answer of kind "status"
        self.left = times     # how many answers it still happens to; below 0: all

    def concerns(self, is_metadata: bool, status: int) -> bool:
        if self.kind == "" or self.left == 0:
            return False
        if self.where == "all":
            return True
        if is_metadata:
            return self.where == "metadata"
        return self.where == "content" and status in (200, 206)


class Quota:
    """So many requests to the API in each window of so many seconds, as the Hub counts them; what
    is beyond is answered 429."""

    def __init__(self, requests: int, window: float):
        self.requests = requests
        self.window = window
        self.used = {}  # window -> requests in it
        self._lock = threading.Lock()

    def count(self) -> tuple:
        """One more request: the headers of its answer, and whether it is refused."""
        now = time.monotonic()
        number = int(now // self.window)
        with self._lock:
            self.used[number] = used = self.used.get(number, 0) + 1
        left = max(0, self.requests - used)
        reset = int((number + 1) * self.window - now)
        return {"RateLimit": f'"api";r={left};t={reset}',
                "RateLimit-Policy": f'"fixed window";"api";q={self.requests};w={int(self.window)}',
                }, used > self.requests


class FaultyProxy:
    def __init__(self, url: str):
        self.quota = None  # or a Quota to keep
        self.fault = Fault()  # set by the test; read for each answer
        self.rewrite = None  # of metadata: (path, body) -> body
        self.requests = 0
        self.seen = []  # (path, whether it had a token) of each
        self.stalled = 0
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._ways = {}  # origin behind -> listener
        self.url = self.way_to(url)

    def way_to(self, origin: str) -> str:
        """Our own origin in front of that one."""
        with self._lock:
            if origin not in self._ways:
                self._ways[origin] = self._listen(origin)
            return "http://127.0.0.1:%d" % self._ways[origin].server_address[1]

    def set_fault(self, *arguments, **more) -> None:
        self.fault = Fault(*arguments, **more)

    def release(self) -> None:
        """Lets stalled answers end (cut short) and all others be whole from now on."""
        self.fault = Fault()
        self._released.set()

    def close(self) -> None:
        self._released.set()
        for way in self._ways.values():
            way.shutdown()
            way.server_close()

    def _listen(self, origin: str):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802, the name that http.server looks for
                proxy._forward(self, origin)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # clients hang up on us, and we on them: that is the point

        listener = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        return listener

    def _rewritten(self, value: str, base: str) -> str:
        """An absolute URL of the server's as one of ours."""
        target = urllib.parse.urlsplit(value)
        if not target.netloc:
            return value
        return self.way_to(f"{target.scheme}://{target.netloc}") + value.split(target.netloc, 1)[1]

    def _forward(self, handler, origin: str) -> None:
        self.requests += 1
        self.seen.append((handler.path, "Authorization" in handler.headers))
        host = urllib.parse.urlsplit(origin).netloc
        behind = http.client.HTTPConnection(host, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() != "host"}
            behind.request(handler.command, handler.path, headers={**headers, "Host": host})
            answer = behind.getresponse()
            is_api = handler.path.startswith("/api/") and "/resolve-cache/" not in handler.path
            limits, refused = self.quota.count() if self.quota and is_api else ({}, False)
            fault = self._fault_for(is_api, answer.status)
            if refused:
                fault = Fault("status", status=429, headers=limits)
            if fault.kind == "refuse":
                handler.close_connection = True
                return
            if fault.kind == "status":
                self._answer_status(handler, fault)
                return
            self._relay(handler, answer, origin, fault, limits)
        except OSError:
            handler.close_connection = True
        finally:
            behind.close()

    def _fault_for(self, is_metadata: bool, status: int) -> Fault:
        with self._lock:
            fault = self.fault
            if not fault.concerns(is_metadata, status):
                return Fault()
            fault.left -= 1
            return fault

    @staticmethod
    def _answer_status(handler, fault: Fault) -> None:
        handler.send_response(fault.status)
        handler.send_header("Content-Length", "0")
        for name, value in fault.headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _relay(self, handler, answer, origin: str, fault: Fault, limits: dict) -> None:
        whole = None
        if self.rewrite and handler.command == "GET" and handler.path.startswith("/api/"):
            whole = self.rewrite(handler.path, answer.read())
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name in limits:
                value = limits[name]
            elif whole is not None and name.lower() == "content-length":
                value = str(len(whole))
            elif name.lower() == "location":
                value = self._rewritten(value, origin)
            elif name.lower() == "link":
                value = "<" + self._rewritten(value[1:].split(">", 1)[0], origin) + ">" + (
                    value.split(">", 1)[1])
            elif name.lower() in ("connection", "keep-alive"):
                continue
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if whole is not None:
            handler.wfile.write(whole)
            return
        sent = 0
        while piece := answer.read1(65536):
            if fault.kind in ("cut", "stall") and sent + len(piece) > fault.after:
                handler.wfile.write(piece[:fault.after - sent])
                handler.wfile.flush()
                if fault.kind == "stall":
                    self.stalled += 1
                    self._released.wait(120)
                handler.close_connection = True
                return
            if fault.kind == "garble":
                piece = bytes(byte ^ 0x55 for byte in piece)
            handler.wfile.write(piece)
            sent += len(piece)


class HangUp:
    """A server that reads a little, gives this answer and hangs up."""

    def __init__(self, answer: bytes = b""):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                try:
                    if self._answer:
                        peer.recv(4096)
                        peer.sendall(self._answer)
                except OSError:
                    pass  # it hung up first

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
