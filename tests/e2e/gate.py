# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A gate on loopback before a server: what goes through can be counted, cut off or held."""

import contextlib
import select
import socket
import threading


class Gate(threading.Thread):
    """Passes connections on to a server, which can be changed, and counts the bytes that come from it.

    With a limit it lets only so many bytes of a server through; then the link is dead until the limit is
    taken away. With `hold_after` it is the bytes to the server that are counted: behind so many nothing passes
    either way, and the connection lives, until open().
    """

    def __init__(self, target, hold_after=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.target = target
        self.limit = None
        self.passed = 0
        self.full = threading.Event()
        self.hold_after = hold_after
        self.brought = 0
        self.held = threading.Event()
        self._opened = threading.Event()

    def run(self):
        with contextlib.suppress(OSError):  # The listener was closed.
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        host, port = self.target.rsplit(":", 1)
        with contextlib.suppress(OSError), client, socket.create_connection((host, int(port))) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(4096)
                    if not data:
                        return
                    if ready is client:
                        self.hold(len(data))
                        server.sendall(data)
                        continue
                    if self.limit is not None and self.passed + len(data) > self.limit:
                        self.full.set()
                        return
                    self.passed += len(data)
                    client.sendall(data)

    def hold(self, more):
        self.brought += more
        if self.hold_after is not None and self.brought > self.hold_after:
            self.held.set()
            self._opened.wait()

    def change(self, target):
        self.target, self.limit, self.passed = target, None, 0

    def open(self):
        self.hold_after = None
        self._opened.set()
