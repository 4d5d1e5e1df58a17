#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The loop closes although each of the five services is killed (SIGKILL) in the middle of the cycle.

The story is that of the demo, shortened. Whenever the cycle is seen in a new state, the services that
matter to it are killed, one after the other; `fieldloop up` starts them again. Nothing may be lost: all
of the demo's figures must hold but the one about time.
"""

import argparse
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import DemoError, Installation  # noqa: E402
from story import FINAL, Plan, Story, state_of  # noqa: E402
from timeline import Timeline  # noqa: E402

BINARIES = None
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")
# Whom to kill when the cycle is first seen in a state.
VICTIMS = {
    "TRIGGERED": ["evaluation"],
    "COLLECTING": ["distribution", "ingestion"],
    "BUILDING": ["build"],
    "EVALUATING": ["evaluation"],  # May pass too quickly to be seen; the others do not.
    "ROLLING_OUT": ["distribution", "provisioning", "evaluation"],
}
PATIENCE_S = 180


class PatientInstallation(Installation):
    """Repeats a command while a service is away, as a script of a careful user does."""

    def run(self, *arguments, **more):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return super().run(*arguments, **more)
            except DemoError as error:
                if "is the installation running?" not in str(error) or time.monotonic() > deadline:
                    raise

    def process_of(self, service):
        """The id of a service's process, or None while it is away."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if words[0].endswith(f"/fieldloop-{service}") and any(
                    word.startswith(str(self.home)) for word in words
                ):
                    return int(entry.name)
        return None


class Killer(threading.Thread):
    """Kills services when the cycle comes into a new state."""

    def __init__(self, installation):
        super().__init__(daemon=True)
        self.installation = installation
        self.killed = []  # (service, state of the cycle)
        self.end = threading.Event()
        self.through_collecting = threading.Event()  # Those of COLLECTING were killed.

    def run(self):
        seen = set()
        while not self.end.wait(0.05):
            try:
                cycles = self.installation.run("cycles", "list")
            except DemoError:
                continue
            begun = [state_of(c) for c in cycles if state_of(c) != "OBSERVING"]
            if not begun:
                continue
            state = begun[-1]  # Oldest last: the first cycle that began.
            if state in FINAL:
                return
            if state not in seen:
                seen.add(state)
                for service in VICTIMS.get(state, []):
                    self.kill(service, state)
                if state == "COLLECTING":
                    self.through_collecting.set()

    def kill(self, service, state):
        process = self.installation.process_of(service)
        if process is None:
            return
        os.kill(process, signal.SIGKILL)
        self.killed.append((service, state))
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not self.end.wait(0.05):
            if self.installation.process_of(service) not in (None, process):
                return


class StoryUnderKills(Story):
    """The demo's story; labels come, and with them the build, when the killer looks for it."""

    def __init__(self, out):
        super().__init__(Plan.shortened(), Timeline(), BINARIES, out)
        self.installation = PatientInstallation(BINARIES, self.work / "home", "motion")
        self.recorder.installation = self.installation
        self.killer = Killer(self.installation)

    def import_labels(self, at_all):
        if not self.killer.through_collecting.wait(PATIENCE_S):
            raise DemoError("nothing was killed while the cycle collected")
        super().import_labels(at_all)


class KillServicesTest(unittest.TestCase):
    def test_a_cycle_survives_the_kill_of_every_service(self):
        with tempfile.TemporaryDirectory(prefix="fieldloop-kill-") as folder:
            story = StoryUnderKills(folder)
            killer = story.killer
            with story:
                killer.start()
                try:
                    story.run()
                except DemoError:
                    for name, lines in story.installation.last_log_lines(20):
                        print(f"-- {name}", *lines, sep="\n")
                    print("killed:", killer.killed)
                    raise
                finally:
                    killer.end.set()
                    killer.join(PATIENCE_S)
                figures = {figure.key: figure for figure in story.figures()}
            print("killed:", killer.killed)
            self.assertEqual({service for service, _ in killer.killed}, set(SERVICES))
            missed = {k: f.value for k, f in figures.items() if not f.ok and k != "story_seconds"}
            self.assertEqual(missed, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
