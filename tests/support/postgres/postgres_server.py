#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for tests: on a Unix socket in a temporary folder, gone when it is stopped.

As a module: `with PostgresServer() as server: ... server.uri("name") ...`. As a program:

    postgres_server.py start FILE [--durable]    starts one, and writes its URI to FILE
    postgres_server.py crash FILE                kills it as a crash would
    postgres_server.py restart FILE              the same unless it is down, and starts it again
    postgres_server.py stop FILE

`start` ends with 77 if PostgreSQL is not installed, which ctest takes as skipped.
"""

import glob
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
USER = "postgres"  # The role in the database; the process runs as whoever it may.
# Text is sorted as people of most installations have it, not by bytes: what depends on it fails here.
INITDB = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions",
          "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
SETTINGS = {"listen_addresses": "''", "shared_buffers": "64MB", "max_connections": "200",
            "jit": "off"}
# A crash of the server's process loses nothing even so; only one of the machine would.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def binaries():
    """The folder of PostgreSQL's newest binaries, or None."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    return os.path.dirname(found[-1]) if found else None


class PostgresServer:
    """The server in a folder; makes a new one without."""

    def __init__(self, folder=None, durable=False, parent="/tmp"):
        # PostgreSQL refuses to run as root; a socket's path has a limit that long folders pass.
        self.owner = {}
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.folder = folder
        if folder is None:
            self.folder = tempfile.mkdtemp(prefix="fieldloop-postgres-", dir=parent)
            if self.owner:
                os.chown(self.folder, self.owner["user"], self.owner["group"])
            os.chmod(self.folder, 0o755)
            self._run("initdb", "-D", self._data(), *INITDB)
            settings = {**SETTINGS, **({} if durable else NOT_DURABLE),
                        "unix_socket_directories": f"'{self.folder}'"}
            with open(f"{self._data()}/postgresql.conf", "a", encoding="utf-8") as config:
                config.writelines(f"{name} = {value}\n" for name, value in settings.items())
            self.start()

    def _data(self):
        return f"{self.folder}/data"

    def _runs(self):
        return os.path.exists(f"{self._data()}/postmaster.pid")

    def _run(self, program, *arguments):
        done = subprocess.run([f"{binaries()}/{program}", *arguments], cwd="/", **self.owner,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}")

    def start(self):
        # The log is a file: the server must not keep a pipe of ours open.
        self._run("pg_ctl", "-D", self._data(), "-l", f"{self.folder}/log", "-w", "-t", "300", "-s", "start")

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", self._data(), "-m", mode, "-w", "-t", "300", "-s", "stop")

    def restart(self, mode="immediate"):
        """`immediate` is what a crash is to the clients and to the data."""
        if self._runs():
            self.stop(mode)
        self.start()

    def remove(self):
        if self._runs():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def uri(self, database="postgres"):
        # On a busy machine a connection may take long; a server that is gone refuses at once.
        return f"postgresql://{USER}@/{database}?connect_timeout=60&host={self.folder}"

    def sql(self, statement, database="postgres"):
        """What the statement gives, a line a row, columns separated by |."""
        return subprocess.run([f"{binaries()}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement,
                               self.uri(database)], check=True, stdout=subprocess.PIPE, text=True).stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def main(command, file, *options):
    path = pathlib.Path(file)
    known = PostgresServer(path.read_text("utf-8").partition("host=")[2]) if path.exists() else None
    if command in ("crash", "restart"):
        known.stop() if command == "crash" else known.restart()
        return 0
    if known is not None:  # Also one that an interrupted run left.
        known.remove()
        path.unlink()
    if command == "stop":
        return 0
    if binaries() is None:
        print("SKIPPED: PostgreSQL is not installed; ./dev installs it (Debian package postgresql-15)")
        return SKIPPED
    server = PostgresServer(durable="--durable" in options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(server.uri(), "utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("start", "crash", "restart", "stop"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
