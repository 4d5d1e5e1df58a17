#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How fast recordings come in through both doors, beside what the machine allows in the same run.

What the machine allows: SHA-256 of the same bytes on all cores; files of the same bytes, written by as many
streams, those that are written at the same time sharing one sync; the same gRPC calls over the same TLS to a
server that does nothing. The goal is 40 % of the lowest. Then --gigabytes pass, while the memory of the
service stays flat.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from ingestion_services import IngestionServices  # noqa: E402

GOAL = 0.4
SIZES = ((2_000, "2 KB"), (200_000, "200 KB"))
MEMORY_STREAMS = 64  # While the gigabytes pass.
# The memory after the first gigabyte may grow by no more than this until the end.
FLAT_MB = 64
LARGE_BYTES = 20_000_000


def rss_mb(pid):
    """Anonymous memory of a process: mapped files are pages of the system's cache."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("no RssAnon")


def cpu_seconds(pid):
    """Of a process since its start, user and system. Its name may hold blanks, and ends at the last bracket."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, services, options, folder):
        self.services = services
        self.options = options
        self.folder = pathlib.Path(folder)
        self.serial = 0

    def load(self, what, size, **more):
        certificate = self.services.home / "pki" / "services" / "ingestion"
        arguments = {
            "bytes": size,
            "streams": self.options.streams,
            "seconds": self.options.seconds,
            "format": self.options.format,
            "grpc": self.services.addresses["ingestion"],
            "http": self.services.addresses["http"],
            "ca": self.services.ca_file,
            "cert": f"{certificate}.crt",
            "key": f"{certificate}.key",
            "token": self.services.token,
            "project": self.services.project,
            "folder": self.folder,
            "first": self.serial,
            **more,
        }
        words = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
        done = subprocess.run(
            [self.services.binaries / "ingestion_load", what, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"ingestion_load {what}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        self.serial = max(self.serial, result.get("next", 0))
        return result

    def reference(self, what, size):
        """One of the limits; the files that it wrote go."""
        with tempfile.TemporaryDirectory(dir=self.folder) as files:
            return self.load(what, size, folder=files)

    def throughput(self):
        missed = False
        for size, name in SIZES:
            limits = {what: self.reference(what, size) for what in ("hash", "write", "bare")}
            lowest = min(limit["samples_per_second"] for limit in limits.values())
            print(f"\n{name} recordings ({self.options.format}), {self.options.streams} streams")
            for what, text in (
                ("hash", "SHA-256, all cores"),
                ("write", "files, syncs shared"),
                ("bare", "bare gRPC stream"),
            ):
                self.line(text, limits[what], "")
            for door in ("grpc", "http"):
                before = cpu_seconds(self.services.ingestion_pid)
                result = self.load("upload", size, door=door)
                cpu = (cpu_seconds(self.services.ingestion_pid) - before) / result["samples"]
                share = result["samples_per_second"] / lowest
                missed |= share < GOAL
                verdict = "" if share >= GOAL else "  MISSED"
                self.line(
                    f"uploads by {door}",
                    result,
                    f"{share:6.0%} of the lowest, goal {GOAL:.0%}{verdict}; {cpu * 1e6:.0f} us of CPU in the service",
                )
        return missed

    @staticmethod
    def line(text, result, more):
        print(
            f"  {text:22} {result['megabytes_per_second']:9.1f} MB/s {result['samples_per_second']:10.0f} samples/s"
            f"  {more}",
            flush=True,
        )

    def memory(self):
        """Sends large and small recordings, gigabyte by gigabyte; True if the memory grew."""
        pid = self.services.ingestion_pid
        print(f"\nmemory of the service while {self.options.gigabytes} GB pass: {rss_mb(pid):.0f} MB before")
        readings = []
        for number in range(1, self.options.gigabytes + 1):
            size = LARGE_BYTES if number % 2 else 200_000
            door = "grpc" if number % 4 < 2 else "http"
            self.load("upload", size, door=door, streams=MEMORY_STREAMS, seconds=100_000,
                      **{"max-bytes": 1_000_000_000})
            readings.append(rss_mb(pid))
            print(f"  after {number} GB: {readings[-1]:.0f} MB ({size // 1000} KB by {door})", flush=True)
        grown = bool(readings) and max(readings) - max(readings[:2]) > FLAT_MB
        print(f"  goal: after the second at most {FLAT_MB} MB more{'  MISSED' if grown else ''}")
        return grown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--streams", type=int, default=192)
    parser.add_argument("--format", choices=("csv", "wav"), default="wav")
    parser.add_argument("--gigabytes", type=int, default=4)
    parser.add_argument("--dir", type=pathlib.Path, help="folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fieldloop-bench-", dir=options.dir) as folder:
        with IngestionServices(options.bin, folder, project="bench") as services:
            bench = Bench(services, options, folder)
            missed = bench.throughput()
            missed |= bench.memory()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
