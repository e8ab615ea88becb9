#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that is also every https server behind it, so that a test has a public network.

usage: tls_proxy.py CERT KEY HOST=PORT...

Listens on a port of 127.0.0.1 and prints it. A CONNECT to HOST:443 is let through: its TLS ends here,
with CERT, and what is inside goes to 127.0.0.1:PORT. Any other target gets 502. Each CONNECT is
printed as a line of JSON, its target and its header lines. Runs until it is killed.
"""

import json
import select
import socket
import ssl
import sys
import threading


def read_head(client: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(4096)
        if not part:
            break
        head += part
    return head.decode("latin-1")


def relay(tls: ssl.SSLSocket, server: socket.socket) -> None:
    """Bytes both ways, on one thread: a TLS connection must not be read and written by two."""
    while True:
        ready = [tls] if tls.pending() else select.select([tls, server], [], [])[0]
        for source, sink in ((tls, server), (server, tls)):
            if source in ready:
                part = source.recv(1 << 16)
                if not part:
                    return
                sink.sendall(part)


def serve(client: socket.socket, context: ssl.SSLContext, servers: dict) -> None:
    with client:
        lines = read_head(client).split("\r\n")
        target = (lines[0].split(" ") + ["", ""])[1]
        print(json.dumps({"target": target, "head": lines[1:]}), flush=True)
        if not lines[0].startswith("CONNECT ") or target not in servers:
            client.sendall(b"HTTP/1.1 502 No such host here\r\nContent-Length: 0\r\n\r\n")
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(client, server_side=True) as tls:
            with socket.create_connection(("127.0.0.1", servers[target])) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                relay(tls, server)


def serve_quietly(*arguments) -> None:
    try:
        serve(*arguments)
    except OSError:
        pass  # the client ended it, or does not trust us


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    pairs = [argument.rsplit("=", 1) for argument in sys.argv[3:]]
    servers = {f"{host}:443": int(port) for host, port in pairs}
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_quietly, args=(client, context, servers), daemon=True).start()


if __name__ == "__main__":
    main()
