# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A server with the S3 API over a folder: Versity's gateway, which ./dev builds."""

import os
import pathlib
import re
import subprocess
import time

ACCESS_KEY = "test-key"
SECRET_KEY = "test-secret"


class S3Server:
    """With a certificate of its own, on a port that the system picks."""

    def __init__(self, program, folder):
        self._program = pathlib.Path(program).resolve()
        self._folder = pathlib.Path(folder).resolve()
        self._process = None
        self.endpoint = None

    def __enter__(self):
        (self._folder / "buckets").mkdir()
        (self._folder / "metadata").mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=test",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            cwd=self._folder, check=True, capture_output=True)
        # A file: nobody would read a pipe.
        with open(self._folder / "server.log", "wb") as log:
            self._process = subprocess.Popen(
                [self._program, "--port", "127.0.0.1:0", "--quiet", "--cert", self._folder / "cert.pem",
                 "--key", self._folder / "key.pem", "posix", "--sidecar", self._folder / "metadata", self._folder / "buckets"],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY})
        self.endpoint = f"https://127.0.0.1:{self._listening_port()}"
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def location(self, bucket):
        """For --blobs; the keys are to be in the environment."""
        return f"s3://{bucket}?endpoint={self.endpoint}&ca={self._folder / 'cert.pem'}"

    def _listening_port(self):
        """Of the process's socket: it tells the port that it was given, not the one that it got."""
        while self._process.poll() is None:
            port = self._port_of_socket()
            if port is not None:
                return port
            time.sleep(0.02)
        log = (self._folder / "server.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the S3 server did not start: {log}")

    def _port_of_socket(self):
        root = pathlib.Path("/proc") / str(self._process.pid)
        sockets = set()
        for descriptor in (root / "fd").iterdir():
            try:
                match = re.match(r"socket:\[(\d+)\]", os.readlink(descriptor))
            except FileNotFoundError:
                continue  # Closed since it was listed.
            if match:
                sockets.add(match.group(1))
        for line in (root / "net" / "tcp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:  # LISTEN.
                return int(fields[1].split(":")[1], 16)
        return None
