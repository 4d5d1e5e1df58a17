#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How long a backup, a second one, its verification and a restore take, on an installation of many recordings
that is made up first, beside a copy of the same files on the same disk, each of them synced.

Fails when one of them takes more times as long as the copy than its goal.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import Installation  # noqa: E402

PROJECT = "bench"
STREAMS = 64
MB = 1e6
# Times as long as the copy. A restore reads the backup twice: all of it is checked before anything is written.
MOST = {"backup": 8.0, "backup, nothing new": 4.0, "verify": 3.0, "restore": 10.0}


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def copy_synced(source, target):
    """Copies a folder's files one after the other, each on the disk before the next; returns their bytes."""
    total = 0
    for path in files_of(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as reading, copy.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
        total += copy.stat().st_size
    return total


def timed(work):
    os.sync()  # What was before is not part of it.
    start = time.monotonic()
    result = work()
    return time.monotonic() - start, result


def upload(up, client, samples, size):
    """Sends about `samples` recordings of `size` bytes, all different; returns how many."""
    token = up.one("tokens", "api", "--role", "ingest")["secret"]
    certificate = up.home / "pki" / "services" / "ingestion"
    flags = {
        "bytes": size,
        "streams": STREAMS,
        "seconds": 100_000,
        "max-bytes": samples * size,
        "door": "grpc",
        "format": "wav",
        "grpc": client["addresses"]["ingestion"],
        "ca": client["ca_file"],
        "cert": f"{certificate}.crt",
        "key": f"{certificate}.key",
        "token": token,
        "project": PROJECT,
        "folder": up.home,
    }
    words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    done = subprocess.run([up.binaries / "ingestion_load", "upload", *words], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["samples"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=4_000, help="of each recording")
    parser.add_argument("--dir", type=pathlib.Path, help="folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fieldloop-bench-", dir=options.dir) as name:
        folder = pathlib.Path(name)
        passphrase = folder / "passphrase"
        passphrase.write_text("correct horse battery staple", encoding="utf-8")
        up = Installation(options.bin, folder / "home", PROJECT)
        client = up.start()
        try:
            up.run("projects", "create", PROJECT)
            samples = upload(up, client, options.samples, options.bytes)
        finally:
            up.stop()
        home, place = folder / "home", folder / "place"

        def fieldloop(*arguments, at=home):
            done = subprocess.run([up.binaries / "fieldloop", "--home", at, *arguments], check=False, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                raise RuntimeError(f"fieldloop {arguments[0]}: {done.stdout}")

        sealed = ("--passphrase-file", passphrase)
        took = {}
        copy_s, total = timed(lambda: copy_synced(home, folder / "copy"))
        for what in ("backup", "backup, nothing new"):
            took[what], _ = timed(lambda: fieldloop("backup", "--to", place, *sealed))
        took["verify"], _ = timed(lambda: fieldloop("backup", "verify", place))
        took["restore"], _ = timed(lambda: fieldloop("restore", "--from", place, *sealed, at=folder / "again"))

    print(f"{samples} samples of {options.bytes} bytes, {total / MB:.0f} MB in files of the installation")
    print(f"{'':22} {'seconds':>8} {'MB/s':>7} {'beside the copy':>16}   goal: at most")
    print(f"{'copy, files synced':22} {copy_s:8.2f} {total / MB / copy_s:7.0f}")
    missed = False
    for what, seconds in took.items():
        ratio = seconds / copy_s
        missed |= ratio > MOST[what]
        print(f"{what:22} {seconds:8.2f} {total / MB / seconds:7.0f} {ratio:16.2f}   {MOST[what]:.0f}"
              f"{'   MISSED' if ratio > MOST[what] else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
