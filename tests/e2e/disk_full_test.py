#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A full disk refuses recordings with a clear status; the service lives, loses nothing and recovers.

The disk is a small tmpfs, which only root can mount: without that the test is skipped and says so.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zlib

from ingestion_services import IngestionServices

BINARIES = None
DISK_MB = 24


def mount(folder):
    """Mounts a small disk; returns why it cannot, or nothing."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode != 0 else None


def csv_file(seed, readings):
    return "timestamp,x\n" + "".join(f"{10 * i},{seed}.{i}\n" for i in range(readings))


class DiskFullTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="fieldloop-full-")))
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        reason = mount(self.disk)
        if reason is not None:
            self.skipTest(f"no small disk: {reason}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=False)
        self.services = self.enterContext(IngestionServices(BINARIES, self.folder / "home"))
        self.services.stop_ingestion()
        self.services.start_ingestion(data_dir=self.disk)

    def upload(self, name, readings=2000):
        path = self.folder / name
        path.write_text(csv_file(zlib.crc32(name.encode()), readings))  # No two have the same bytes.
        return self.services.cli("samples", "upload", path, "--label", "a", check=False)

    def listed(self):
        return {s["file_name"]: s for s in self.services.cli_json("samples", "list")}

    def test_refused_alive_whole_and_well_again(self):
        self.assertEqual(self.upload("before.csv").returncode, 0)
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        for number in range(3):
            refused = self.upload(f"full{number}.csv")
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("free some space", refused.stderr)
        # A large one goes through the spool.
        refused = self.upload("large.csv", 200_000)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("free some space", refused.stderr)
        self.assertEqual(set(self.listed()), {"before.csv"})
        filler.unlink()
        for number in range(3):
            self.assertEqual(self.upload(f"full{number}.csv").returncode, 0)
        stored = self.listed()
        self.assertEqual(set(stored), {"before.csv", "full0.csv", "full1.csv", "full2.csv"})
        for name, sample in stored.items():
            out = self.folder / "download"
            self.services.cli("samples", "download", sample["name"], "--out", out)
            self.assertEqual(out.read_bytes(), (self.folder / name).read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
