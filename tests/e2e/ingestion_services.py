# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Provisioning and ingestion alone, for tests of what happens to recordings."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import start_process, stop_process  # noqa: E402

START_S = 180


class IngestionServices:
    """Two services in a folder; `kill` ends ingestion at once, `start_ingestion` brings it back."""

    def __init__(self, binaries, folder, project="motor"):
        self.binaries = pathlib.Path(binaries).resolve()
        self.home = pathlib.Path(folder).resolve()
        self.project = project
        self.addresses = {}
        self.ca_file = self.home / "pki" / "services-ca.crt"
        self.token = None
        self._processes = {}

    def __enter__(self):
        try:
            for name in ("pki", "provisioning", "ingestion"):
                (self.home / name).mkdir(parents=True, exist_ok=True)
            self.addresses["provisioning"] = self._start(
                "provisioning", ["--pki-dir", self.home / "pki"]
            )["grpc"]
            self.start_ingestion()
            self.cli("projects", "create", self.project)
            self.token = self.cli_json("tokens", "api", "--role", "ingest")[-1]["secret"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for name in ("ingestion", "provisioning"):
            if name in self._processes:
                stop_process(self._processes.pop(name), 30)

    def start_ingestion(self, listen=None, environment=None, data_dir=None):
        """Starts ingestion, on the addresses it had before if there are any."""
        certificate = self.home / "pki" / "services" / "ingestion"
        ready = self._start(
            "ingestion",
            [
                *("--tls-ca", self.ca_file),
                *("--tls-cert", f"{certificate}.crt", "--tls-key", f"{certificate}.key"),
                *("--provisioning", self.addresses["provisioning"]),
                *("--http-listen", self.addresses.get("http", "127.0.0.1:0")),
            ],
            listen=self.addresses.get("ingestion", "127.0.0.1:0"),
            environment=environment,
            data_dir=data_dir,
        )
        self.addresses["ingestion"] = ready["grpc"]
        self.addresses["http"] = ready["http"]
        client = {
            "addresses": self.addresses,
            "ca_file": str(self.ca_file),
            "token_file": str(self.home / "pki" / "admin.token"),
        }
        (self.home / "client.json").write_text(json.dumps(client), encoding="utf-8")

    @property
    def admin_token(self):
        return (self.home / "pki" / "admin.token").read_text(encoding="utf-8").strip()

    @property
    def ingestion_pid(self):
        return self._processes["ingestion"].pid

    def kill_ingestion(self):
        """SIGKILL, and nothing else."""
        process = self._processes.pop("ingestion")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def stop_ingestion(self):
        stop_process(self._processes.pop("ingestion"), 30)

    def log_of(self, name, lines=20):
        path = self.home / f"{name}.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def command(self, *arguments):
        return [
            *(self.binaries / "fieldloop", "--home", self.home, "--project", self.project),
            *(str(argument) for argument in arguments),
        ]

    def cli(self, *arguments, check=True, **more):
        """Runs a command and returns what it wrote; its failure is an error that quotes it."""
        done = subprocess.run(
            [str(word) for word in self.command(*arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **more,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"fieldloop {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done

    def cli_json(self, *arguments):
        """Runs a command and returns its messages."""
        done = self.cli("--output", "json", *arguments)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def _start(self, name, more, listen="127.0.0.1:0", environment=None, data_dir=None):
        ready_file = self.home / f"{name}.ready.json"
        ready_file.unlink(missing_ok=True)
        process = start_process(
            [
                *(self.binaries / f"fieldloop-{name}", "--listen", listen),
                *("--metrics-listen", "127.0.0.1:0"),
                *("--data-dir", data_dir or self.home / name),
                *("--ready-file", ready_file),
                *more,
            ],
            self.home / f"{name}.log",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        self._processes[name] = process
        deadline = time.monotonic() + START_S
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} did not start:\n{self.log_of(name)}")
            time.sleep(0.005)
        return json.loads(ready_file.read_text(encoding="utf-8"))
