#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Ingestion is killed (SIGKILL) at random moments under load; nothing that it acknowledged is lost.

Both doors bring recordings in parallel, each with one of two sizes. After every restart each recording
that was ever acknowledged is downloaded and its digest compared, and everything that is listed is
downloaded whole, as it came and in its canonical form. --kills sets how often; `./dev bench crash` does it
200 times.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from ingestion_services import IngestionServices  # noqa: E402

OPTIONS = None
SIZES = (2_000, 60_000)
# A life ends at a random moment up to this long after its first acknowledgement.
LONGEST_S = 0.6
# So that what is checked after each restart does not grow without end.
KILLS_OF_PROJECT = 10


class Load:
    """Uploads through one door until told to stop, patiently; acknowledgements go to a file."""

    def __init__(self, services, door, size, acknowledged, first):
        self.process = subprocess.Popen(
            [
                *(services.binaries / "ingestion_load", "upload", "--door", door, "--patient"),
                *("--grpc", services.addresses["ingestion"], "--http", services.addresses["http"]),
                *("--ca", services.ca_file, "--token", services.token, "--project", services.project),
                *("--bytes", str(size), "--streams", "6", "--seconds", "1000000"),
                *("--first", str(first), "--acknowledged", acknowledged),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def stop(self):
        self.process.kill()
        self.process.wait()


class IngestionCrashTest(unittest.TestCase):
    def verify(self, services, acknowledged):
        done = subprocess.run(
            [
                *(services.binaries / "ingestion_load", "verify"),
                *("--grpc", services.addresses["ingestion"], "--ca", services.ca_file),
                *("--token", services.admin_token, "--project", services.project),
                *("--acknowledged", acknowledged, "--streams", "8"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr + services.log_of("ingestion"))
        return json.loads(done.stdout)

    def test_nothing_acknowledged_is_lost_and_nothing_half_is_seen(self):
        dice = random.Random(OPTIONS.seed)
        begin = time.monotonic()
        kills = total = listed = 0
        with tempfile.TemporaryDirectory(prefix="fieldloop-crash-") as folder:
            with IngestionServices(OPTIONS.bin, folder, project="crash-0") as services:
                while kills < OPTIONS.kills:
                    if kills > 0 and kills % KILLS_OF_PROJECT == 0:
                        services.project = f"crash-{kills}"
                        services.cli("projects", "create", services.project)
                        services.token = services.cli_json("tokens", "api", "--role", "ingest")[-1]["secret"]
                        total += len(set(acknowledged.read_text().split()))
                    acknowledged = services.home / f"{services.project}.acknowledged"
                    acknowledged.touch()
                    loads = [
                        Load(services, door, dice.choice(SIZES), acknowledged, (2 * kills + i) * 1_000_000)
                        for i, door in enumerate(("grpc", "http"))
                    ]
                    # The life begins when something of it is acknowledged.
                    before = acknowledged.stat().st_size
                    deadline = time.monotonic() + 180
                    while acknowledged.stat().st_size == before and time.monotonic() < deadline:
                        time.sleep(0.01)
                    self.assertGreater(acknowledged.stat().st_size, before, "no upload is acknowledged")
                    time.sleep(dice.uniform(0, LONGEST_S))
                    services.kill_ingestion()
                    kills += 1
                    for load in loads:
                        load.stop()
                    services.start_ingestion()
                    checked = self.verify(services, acknowledged)
                    self.assertEqual(checked["lost"], [], f"lost after kill {kills}")
                    self.assertEqual(checked["broken"], [], f"broken after kill {kills}")
                    listed += checked["listed"]
                total += len(set(acknowledged.read_text().split()))
        print(
            f"{kills} kills in {time.monotonic() - begin:.0f} s: {total} uploads acknowledged, 0 lost;"
            f" {listed} samples looked at after restarts, all whole",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
