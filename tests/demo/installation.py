# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Processes of the demo: `fieldloop up`, `fieldloop` commands and the agents of the fleet."""

import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

PROGRAMS = (
    "fieldloop",
    "fieldloop-agent",
    "fieldloop-trainer",
    "fieldloop-provisioning",
    "fieldloop-ingestion",
    "fieldloop-build",
    "fieldloop-evaluation",
    "fieldloop-distribution",
)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class DemoError(Exception):
    """The demo cannot go on; says why, for people."""


def is_unavailable(error):
    """Whether the command line ended because a service did not answer."""
    return "is the installation running?" in str(error)


def keep_free_port():
    """A socket bound to a port on loopback that is nobody else's as long as the socket is open.

    A server with SO_REUSEADDR, as ours have, listens there all the same, and comes back there.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper


def missing_programs(folder):
    return [name for name in PROGRAMS if not os.access(pathlib.Path(folder) / name, os.X_OK)]


def _stop_with_parent():
    """In the child: if the demo is killed, it is told to stop."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start_process(command, log_path, **more):
    """Starts a process in a group of its own: Ctrl-C goes to the demo alone, which stops all in order.

    To be called from the main thread: the kernel takes the end of the thread for that of the demo.
    """
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            stderr=log,
            process_group=0,
            preexec_fn=_stop_with_parent,
            **more,
        )


def stop_process(process, grace_s):
    """Asks a process to end, then makes it and its group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


class Installation:
    """The five services, through `fieldloop up`, and the command line that talks to them."""

    def __init__(self, binaries, home, project):
        self.binaries = pathlib.Path(binaries).resolve()
        self.home = pathlib.Path(home).resolve()
        self.project = project
        self.log_path = self.home.parent / "up.log"
        self._up = None

    def start(self, *more, timeout_s=300):
        self._up = start_process(
            [self.binaries / "fieldloop", "--home", self.home, "up", "--base-port", "0", *more],
            self.log_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = threading.Event()

        def follow():
            with open(self.log_path, "a", encoding="utf-8") as log:
                for line in self._up.stdout:
                    log.write(line)
                    log.flush()
                    if line.startswith("ready"):
                        ready.set()

        threading.Thread(target=follow, daemon=True).start()
        deadline = time.monotonic() + timeout_s
        while not ready.wait(0.1):
            if self._up.poll() is not None:
                raise DemoError(f"fieldloop up ended with {self._up.returncode}; see {self.log_path}")
            if time.monotonic() > deadline:
                raise DemoError(f"fieldloop up is not ready after {timeout_s} s; see {self.log_path}")
        return json.loads((self.home / "client.json").read_text(encoding="utf-8"))

    @property
    def running(self):
        return self._up is not None and self._up.poll() is None

    def stop(self):
        if self._up is not None:
            stop_process(self._up, 60)

    def _command(self, arguments):
        return [
            str(self.binaries / "fieldloop"),
            "--home",
            str(self.home),
            "--project",
            self.project,
            "--output",
            "json",
            *(str(argument) for argument in arguments),
        ]

    def run(self, *arguments, timeout_s=300):
        """Runs a command; returns its messages: one for each line of JSON."""
        try:
            done = subprocess.run(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                process_group=0,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"fieldloop {' '.join(map(str, arguments))}: no end in {timeout_s} s") from error
        if done.returncode != 0:
            raise DemoError(
                f"fieldloop {' '.join(map(str, arguments))}\n  {done.stderr.strip() or done.stdout.strip()}"
            )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def one(self, *arguments, **more):
        """Runs a command that answers with one message."""
        messages = self.run(*arguments, **more)
        if not messages:
            raise DemoError(f"fieldloop {' '.join(map(str, arguments))}: no answer")
        return messages[-1]

    def watch(self, *arguments):
        """Runs a command that follows something; yields its messages as they come."""
        process = subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
            errors = process.stderr.read().strip()
            if process.wait() != 0:
                raise DemoError(f"fieldloop {' '.join(map(str, arguments))}\n  {errors}")
        finally:
            stop_process(process, 5)
            process.stdout.close()
            process.stderr.close()

    def last_log_lines(self, count=8):
        """The end of each service's log: [(name, [lines])]."""
        logs = [self.log_path, *sorted((self.home / "logs").glob("*.log"))]
        ends = []
        for path in logs:
            if path.exists():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                ends.append((path.stem, lines[-count:]))
        return ends


class Agent:
    """A device of the fleet: an agent process that replays recordings of its wearer as its sensor."""

    def __init__(self, name, person, shares, folder):
        self.name = name
        self.person = person
        self.shares = shares
        self.folder = pathlib.Path(folder)
        self.log_path = self.folder / "agent.log"
        self.truth_path = self.folder / "truth.jsonl"
        self.token_path = self.folder / "token"
        self._process = None

    def start(self, binaries, client, home, project, speed, seed, source, *more):
        self._process = start_process(
            [
                pathlib.Path(binaries) / "fieldloop-agent",
                *("--state", "state"),
                *("--server", client["addresses"]["device"]),
                *("--ca", client["ca_file"]),
                *("--root", pathlib.Path(home) / "trust" / "root.bin"),
                *("--project", project),
                *("--token-file", self.token_path.name),
                *("--replay", source),
                *("--speed", speed),
                *("--seed", seed),
                *("--truth-log", self.truth_path.name),
                *("--first-contact-ms", 500),
                "--control",
                *more,
            ],
            self.log_path,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    def wear(self, source):
        """From now on the device plays the recordings in this folder of it."""
        try:
            self._process.stdin.write(f"replay {source}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise DemoError(f"the agent {self.name} ended; see {self.log_path}") from error

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    def terminate(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self):
        """Ends it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def stop(self):
        if self._process is not None:
            stop_process(self._process, 5)
            self._process.stdin.close()
