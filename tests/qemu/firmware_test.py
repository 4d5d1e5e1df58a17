#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The loop down to bare metal: devices of a Cortex-M4 in QEMU against the services.

Four devices enrol, get models by rollouts, are cut off the power at random moments of the updates, and
refuse a model that does not fit them; each time what the services show is what the devices run.
"""

import argparse
import json
import math
import pathlib
import random
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/demo"))

import cross_build  # noqa: E402
from emulator import Emulator  # noqa: E402
from installation import DemoError, Installation  # noqa: E402

SKIPPED = 77
OPTIONS = None
PROJECT = "motion"
RATE_HZ = 200
AXES = ["x", "y", "z"]
DEVICES = 4


def readings(label, seed, seconds):
    """Something that swings (WALK) or is still (SIT): lists of three axes."""
    rng = random.Random(f"{label}/{seed}")
    swing = 4 if label == "WALK" else 0
    return [
        [swing * math.sin(2 * math.pi * 2 * i / RATE_HZ) + rng.gauss(0, 0.3), rng.gauss(0, 0.3), 9.8 + rng.gauss(0, 0.3)]
        for i in range(seconds * RATE_HZ)
    ]


def write_recording(path, rows):
    lines = [",".join(["timestamp", *AXES])]
    lines += [",".join([str(i * 1000 // RATE_HZ), *(f"{v:.4f}" for v in row)]) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def number_of(resource):
    return resource["name"].rsplit("/", 1)[1]


class FirmwareTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-qemu-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.up = Installation(OPTIONS.bin, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)
        client = cls.up.start("--trainers", ROOT / "docs/examples/trainers/trainers.json")
        try:
            cls.prepare()
            cls.switch_on(client)
        except (DemoError, AssertionError):
            cls.print_logs()
            raise

    @classmethod
    def print_logs(cls):
        for name, lines in cls.up.last_log_lines(20):
            print(f"-- {name}", *lines, sep="\n")

    @classmethod
    def prepare(cls):
        """A project with three models: two for the devices, and one for devices with other sensors."""
        run = cls.up.run
        run("projects", "create", PROJECT)
        run("fleet", "set", "--check-in", 1, "--trial-windows", 5, "--trial-timeout", 60)
        for i in range(3):
            for label in ("WALK", "SIT"):
                path = cls.work / f"{label}.{i}.csv"
                write_recording(path, readings(label, i, 4))
                run("samples", "upload", path, "--label", label, "--split", "testing" if i == 0 else "training")
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        cls.models = [cls.build("first", AXES, 0.5), cls.build("second", AXES, 0.25)]
        cls.misfit = cls.build("misfit", AXES[:2], 0.5)

    @classmethod
    def build(cls, name, axes, sharpness):
        recipe = {
            "window": {"length": 100, "stride": 20, "frequency_hz": RATE_HZ, "axes": axes},
            "blocks": [{"raw": {}}],
            "learning": {"parameters": {"sharpness": str(sharpness)}},
        }
        path = cls.work / f"{name}.json"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        cls.up.run("impulses", "create", name, "--recipe", path)
        what = ("--dataset", "all/versions/1", "--impulse", name, "--trainer", "centroids")
        build = cls.up.run("builds", "create", *what, "--watch")[-1]["build"]
        return cls.up.one("models", "get", build["model"].rsplit("/", 1)[1])

    @classmethod
    def switch_on(cls, client):
        firmware = cross_build.build("cortex_m4_firmware")
        cls.devices = []
        for i in range(DEVICES):
            values = [value for row in readings(("WALK", "SIT")[i % 2], 99, 5) for value in row]
            device = Emulator(
                f"board-{i}", cls.work / f"board-{i}", firmware, client, cls.up.home, PROJECT, values
            )
            cls.up.run("tokens", "create", "--device", device.name, "--out", device.token_path)
            cls.addClassCleanup(device.stop)
            device.start()
            cls.devices.append(device)
        for device in cls.devices:
            device.wait_for("info: enrolled")
        # The first model comes undisturbed: that tells how long an update takes.
        begin = time.monotonic()
        cls.up.run("rollouts", "watch", cls.begin_rollout(cls.models[0]))
        cls.update_s = time.monotonic() - begin

    @classmethod
    def begin_rollout(cls, model):
        """Begins to bring a model to all devices, as a new release; returns the rollout's number."""
        release = cls.up.one("releases", "create", number_of(model))
        cls.sequence = release["content"]["sequence"]
        plan = ("--stages", 100, "--failure-count", DEVICES, "--device-timeout", "90s")
        return number_of(cls.up.one("rollouts", "create", release["name"], *plan))

    def devices_of(self, rollout):
        """(state, cause) of each device of a rollout."""
        devices = self.up.run("rollouts", "devices", rollout)
        return [(device["state"], device.get("cause")) for device in devices]

    def seen(self, device):
        """What the services show of a device: digest and release of its model, and whether it stays."""
        shown = self.up.run("lineage", "device", device.name)[0]
        return shown["model_digest"], shown["release_sequence"], shown.get("confirmed", False)

    def assert_all_run(self, model, sequence):
        """Devices and services agree: asked from the services, and from what the devices say at a start."""
        for device in self.devices:
            self.assertEqual(self.seen(device), (model["digest"], sequence, True), device.name)
            device.cut_power()
            device.start()
        for device in self.devices:
            device.wait_for(f"info: start [0-9]+: release {sequence} confirmed$")

    def test_updates_come_through_power_cuts(self):
        rng = random.Random(OPTIONS.seed)
        print(f"seed {OPTIONS.seed}, an update takes {self.update_s:.1f} s")
        cuts = 0
        never = threading.Event()
        for turn in range(1, -(-OPTIONS.kills // DEVICES) + 1):
            model = self.models[turn % 2]
            rollout = self.begin_rollout(model)
            begin = time.monotonic()
            for at, device in sorted(((rng.uniform(0, self.update_s), d) for d in self.devices), key=lambda m: m[0]):
                never.wait(max(0, begin + at - time.monotonic()))  # Nothing is waited for: the moment is chance.
                device.cut_power()
                cuts += 1
                print(f"cut {cuts}: {device.name}, {at:.2f} s into release {self.sequence}; it had said: {device.lines[-1:]}")
                device.start()
            self.up.run("rollouts", "watch", rollout)
            self.assertEqual(self.devices_of(rollout), [("STATE_CONFIRMED", None)] * DEVICES)
            for device in self.devices:
                self.assertEqual(self.seen(device), (model["digest"], self.sequence, True), device.name)
        self.assertGreaterEqual(cuts, OPTIONS.kills)
        self.assert_all_run(model, self.sequence)

    def test_a_model_that_does_not_fit_is_reverted(self):
        before = [self.seen(device) for device in self.devices]
        self.assertEqual(len(set(before)), 1)
        rollout = self.begin_rollout(self.misfit)
        with self.assertRaisesRegex(DemoError, f"{DEVICES} of {DEVICES} devices failed"):
            self.up.run("rollouts", "watch", rollout)
        self.assertEqual(self.devices_of(rollout), [("STATE_FAILED", "SELF_TEST")] * DEVICES)
        for device in self.devices:
            device.wait_for("warning: the set on trial was reverted$")
        model = next(m for m in self.models if m["digest"] == before[0][0])
        self.assert_all_run(model, before[0][1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    OPTIONS, rest = parser.parse_known_args()
    reason = cross_build.missing()
    if reason:
        print(f"the devices on bare metal were skipped: {reason}")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
