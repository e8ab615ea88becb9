# SPDX-License-Identifier: Apache-2.0
"""A faulty way to the Hub: forwards both of serve's origins, and breaks what it is told to.

Each origin of the server gets a listener here; Location and Link headers are rewritten so that a
client never leaves by a straight way.
"""

import http.client
import http.server
import threading
import urllib.parse


class Fault:
    """What happens to the answers that carry file content."""

    def __init__(self, kind: str = "", after: int = 0, status: int = 500):
        self.kind = kind      # "", "cut", "stall", "status", "refuse", "garble"
        self.after = after    # bytes of the body that still come through
        self.status = status


class FaultyProxy:
    def __init__(self, url: str):
        self.fault = Fault()  # set by the test; read for each answer
        self.requests = 0
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
        host = urllib.parse.urlsplit(origin).netloc
        behind = http.client.HTTPConnection(host, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() != "host"}
            behind.request(handler.command, handler.path, headers={**headers, "Host": host})
            answer = behind.getresponse()
            is_api = handler.path.startswith("/api/") and "/resolve-cache/" not in handler.path
            fault = Fault() if is_api or answer.status not in (200, 206) else self.fault
            if fault.kind == "refuse":
                handler.close_connection = True
                return
            if fault.kind == "status":
                self._answer_status(handler, fault.status)
                return
            self._relay(handler, answer, origin, fault)
        except OSError:
            handler.close_connection = True
        finally:
            behind.close()

    @staticmethod
    def _answer_status(handler, status: int) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _relay(self, handler, answer, origin: str, fault: Fault) -> None:
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() == "location":
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
