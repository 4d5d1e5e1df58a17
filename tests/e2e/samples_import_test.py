#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""`fieldloop samples import` brings a folder in whole, however often it is interrupted."""

import argparse
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import wave

from gate import Gate
from ingestion_services import IngestionServices

RECORDINGS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "fsdd" / "recordings"
BINARIES = None
PATIENCE_S = 120
INDEXES = range(3, 8)  # Of 50 of each digit and speaker; 0 to 4 are for testing.


def csv_file(seed):
    return "timestamp,x\n" + "".join(f"{10 * i},{seed + i}\n" for i in range(20))


def is_pending(process, number):
    """Whether a signal was sent to the process and not delivered yet; not so of one that ended."""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return bool(int(re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status, re.MULTILINE).group(1), 16) & 1 << (number - 1))


def size_of_parts(spool):
    return sum(part.stat().st_size for part in spool.glob("*.part"))


class SamplesImportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="fieldloop-import-")))
        cls.services = cls.enterClassContext(IngestionServices(BINARIES, cls.folder / "home"))

    def project(self, name):
        """From now on commands are about a new project."""
        self.services.project = name
        self.services.cli("projects", "create", name)

    def import_through_gate(self, folder, hold_after):
        """Begins an import that cannot end before the gate, which is returned as well, is opened."""
        gate = Gate(self.services.addresses["ingestion"], hold_after)
        gate.start()
        self.addCleanup(gate.listener.close)
        self.addCleanup(gate.open)
        home = self.folder / f"through-gate-{gate.address}"
        home.mkdir()
        client = json.loads((self.services.home / "client.json").read_text(encoding="utf-8"))
        client["addresses"]["ingestion"] = gate.address
        (home / "client.json").write_text(json.dumps(client), encoding="utf-8")
        process = subprocess.Popen(
            [
                *(self.services.binaries / "fieldloop", "--home", home, "--project", self.services.project),
                *("samples", "import", folder, "--label", "a"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        self.wait_until(lambda: gate.held.is_set() or process.poll() is not None, "the import does not come so far")
        self.assertIsNone(process.poll(), "the import ended")
        return process, gate

    def wait_until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.01)

    def digest(self):
        self.services.cli("datasets", "create", "all")
        return self.services.cli_json("datasets", "fix", "all")[-1]["digest"]

    def test_spoken_digits_come_in_by_their_names_and_a_second_run_sends_nothing(self):
        if not RECORDINGS.is_dir():
            self.skipTest(f"no recordings at {RECORDINGS}")
        folder = self.folder / "digits"
        folder.mkdir()
        for path in RECORDINGS.iterdir():
            if int(path.stem.rsplit("_", 1)[1]) in INDEXES:
                (folder / path.name).symlink_to(path)
        count = len(list(folder.iterdir()))
        arguments = ("samples", "import", folder, "--pattern", "{label}_{speaker}_{index}")
        self.project("digits")
        (first,) = self.services.cli_json(*arguments, "--testing", "index<5", "--streams", 8)
        self.assertEqual((first["stored"], first["there"], first["refused"]), (count, 0, []))
        counts = self.services.cli_json("samples", "count", "--metadata", "speaker=theo")[-1]
        self.assertEqual(counts["training"], {str(digit): "3" for digit in range(10)})
        self.assertEqual(counts["testing"], {str(digit): "2" for digit in range(10)})
        (second,) = self.services.cli_json(*arguments, "--testing", "index<5")
        self.assertEqual((second["stored"], second["there"]), (0, count))
        digest = self.digest()
        self.project("digits-again")
        self.services.cli(*arguments, "--testing", "index<5", "--streams", 1)
        self.assertEqual(self.digest(), digest)

    def test_what_is_refused_is_named_and_the_rest_comes_in(self):
        folder = self.folder / "mixed"
        (folder / "walk").mkdir(parents=True)
        (folder / "walk" / "good.csv").write_text(csv_file(1))
        (folder / "walk" / "bad.csv").write_text("timestamp,x\n0,oops\n")
        (folder / "notes.md").write_text("hello")
        self.project("mixed")
        done = self.services.cli("samples", "import", folder, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('bad.csv: line 2, column "x"', done.stdout)
        self.assertIn("notes.md: no recording", done.stdout)
        self.assertIn("1 recordings stored, 0 were there already, 1 refused", done.stdout)
        self.assertIn("1 of 2 recordings were refused", done.stderr)
        self.assertEqual(self.services.cli_json("samples", "count")[-1]["training"], {"walk": "1"})

    def test_after_ctrl_c_a_second_run_goes_on(self):
        folder = self.folder / "many"
        folder.mkdir()
        total = 500
        for seed in range(total):
            (folder / f"{seed}.csv").write_text(csv_file(seed))
        self.project("many")
        process, gate = self.import_through_gate(folder, 60_000)  # Some of the recordings.
        process.send_signal(signal.SIGINT)
        self.wait_until(lambda: not is_pending(process, signal.SIGINT), "the import takes note of Ctrl-C")
        gate.open()
        out, errors = process.communicate()
        self.assertNotEqual(process.returncode, 0)
        stored = int(re.search(r"(\d+) recordings stored", out).group(1))
        self.assertTrue(0 < stored < total, out)
        self.assertIn(f"{total - stored} of {total} recordings are left", errors)
        self.assertEqual(int(self.services.cli_json("samples", "count")[-1]["total"]), stored)
        (second,) = self.services.cli_json("samples", "import", folder, "--label", "a")
        self.assertEqual((second["stored"], second["there"]), (total - stored, stored))

    def test_a_large_recording_goes_on_after_the_service_was_killed(self):
        path = self.folder / "tape" / "tape.wav"
        path.parent.mkdir()
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(os.urandom(40_000_000))
        self.project("tapes")
        process, gate = self.import_through_gate(path.parent, 8_000_000)
        spool = self.services.home / "ingestion" / "ingestion-uploads"
        self.wait_until(lambda: size_of_parts(spool) > 0, "what came is on the disk")
        self.services.kill_ingestion()
        held = size_of_parts(spool)
        self.assertTrue(0 < held < path.stat().st_size, held)
        self.services.start_ingestion()
        gate.open()
        out, errors = process.communicate()
        self.assertEqual(process.returncode, 0, out + errors)
        (sample,) = self.services.cli_json("samples", "list")
        self.assertEqual(sample["digest"], hashlib.sha256(path.read_bytes()).hexdigest())
        self.assertEqual(list(spool.glob("*.part")), [])

    def test_an_index_is_read(self):
        folder = self.folder / "index"
        folder.mkdir()
        (folder / "1.csv").write_text(csv_file(1))
        entry = {
            "path": "1.csv",
            "name": "first.csv",
            "category": "testing",
            "label": {
                "type": "multi-label",
                "labels": [
                    {"startIndex": 0, "endIndex": 9, "label": "up"},
                    {"startIndex": 10, "endIndex": 19, "label": "down"},
                ],
            },
            "metadata": {"site": "lab"},
        }
        (folder / "info.labels").write_text(json.dumps({"version": 1, "files": [entry]}))
        self.project("index")
        self.services.cli("samples", "import", folder)
        (sample,) = self.services.cli_json("samples", "list")
        self.assertEqual(sample["file_name"], "first.csv")
        self.assertEqual(sample["split"], "SPLIT_TESTING")
        self.assertEqual(sample["metadata"], {"site": "lab"})
        self.assertEqual([label["label"] for label in sample["labels"]], ["up", "down"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
