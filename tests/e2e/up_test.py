#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""`fieldloop up` on free ports: they stay the installation's while a service is away."""

import argparse
import errno
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from kill_services_test import PatientInstallation  # noqa: E402

BINARIES = None
PATIENCE_S = 120


def has_ended(process):
    """With all its threads, and so with its sockets; nobody need have asked for its exit code."""
    folder = pathlib.Path(f"/proc/{process}")
    try:
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "Z" and len(list((folder / "task").iterdir())) == 1
    except FileNotFoundError:
        return True


class UpTest(unittest.TestCase):
    def setUp(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="fieldloop-up-")))
        self.up = PatientInstallation(BINARIES, folder / "home", "motion")
        self.addCleanup(self.up.stop)
        self.up.start()

    def wait_until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def addresses(self):
        return json.loads((self.up.home / "run" / "ingestion.json").read_text(encoding="utf-8"))

    def test_a_port_is_nobody_elses_while_its_service_is_away_and_the_service_comes_back_to_it(self):
        before = self.addresses()
        supervisor, service = self.up._up.pid, self.up.process_of("ingestion")
        os.kill(supervisor, signal.SIGSTOP)  # So that the service stays away.
        try:
            os.kill(service, signal.SIGKILL)
            self.wait_until(lambda: has_ended(service), "the service ends")
            for door in ("metrics", "http"):  # Nobody has called there: no old connection keeps the port.
                host, port = before[door].rsplit(":", 1)
                with self.subTest(door), self.assertRaises(OSError) as caught, socket.socket() as other:
                    other.bind((host, int(port)))
                self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
            (self.up.home / "run" / "ingestion.json").unlink()
        finally:
            os.kill(supervisor, signal.SIGCONT)
        self.wait_until((self.up.home / "run" / "ingestion.json").exists, "the service is started again")
        self.assertEqual(self.addresses(), before)
        self.up.run("health", "ingestion")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
