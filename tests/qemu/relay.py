# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A link that can be cut: a TCP relay on loopback between a device and the device listener."""

import socket
import threading

TLS_HEADER = 5
TLS_CHANGE_CIPHER_SPEC, TLS_HANDSHAKE, TLS_DATA = 20, 22, 23


def records(direction):
    """(content type, bytes with the header) of each TLS record of one direction."""
    at = 0
    while at + TLS_HEADER <= len(direction):
        size = TLS_HEADER + int.from_bytes(direction[at + 3 : at + TLS_HEADER], "big")
        yield direction[at], size
        at += size


class Connection:
    """The bytes that were passed on from the device, `sent`, and to it, `answered`."""

    def __init__(self):
        self.sent = bytearray()
        self.answered = bytearray()

    def handshake_bytes(self):
        """Bytes of the TLS 1.2 handshake in both directions, records' headers counted."""
        both = [record for direction in (self.sent, self.answered) for record in records(direction)]
        return sum(size for kind, size in both if kind in (TLS_CHANGE_CIPHER_SPEC, TLS_HANDSHAKE))


class Relay:
    """Listens at `address`; `connections` are all that there were so far."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = []
        self._sockets = []
        self._news = threading.Condition()
        self._threads = [self._start(self._accept)]

    @staticmethod
    def _start(work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self):
        while True:
            try:
                device, _ = self._listener.accept()
            except OSError:  # stop()
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                device.close()
                continue
            connection = Connection()
            with self._news:
                self.connections.append(connection)
                self._sockets += [device, server]
            self._threads.append(self._start(self._pass_on, device, server, connection.sent))
            self._threads.append(self._start(self._pass_on, server, device, connection.answered))

    def _pass_on(self, source, sink, seen):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
                with self._news:
                    seen += data
                    self._news.notify_all()
        except OSError:  # The link was cut.
            pass
        self._shut((source, sink))

    @staticmethod
    def _shut(ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:  # It has ended already.
                pass

    def cut(self):
        """Ends the newest connection as a lost link does: neither side says goodbye."""
        with self._news:
            ends = self._sockets[-2:]
        self._shut(ends)

    def wait_for_answer(self, after, timeout_s=300):
        """Waits until the server has sent application data on a connection behind `after`; returns it."""

        def find():
            later = self.connections[self.connections.index(after) + 1 :]
            return next((c for c in later if TLS_DATA in (kind for kind, _ in records(c.answered))), None)

        with self._news:
            found = self._news.wait_for(find, timeout_s)
        if found is None:
            raise AssertionError(f"no later connection got an answer in {timeout_s} s")
        return found

    def stop(self):
        self._shut([self._listener])
        self._threads[0].join()
        self._shut(self._sockets)
        for thread in self._threads[1:]:
            thread.join()
        for end in (self._listener, *self._sockets):
            end.close()
