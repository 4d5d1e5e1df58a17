#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The loop down to bare metal: devices of a Cortex-M4 in QEMU against the services.

Four devices enrol, get sets of model, configuration and firmware by rollouts, are cut off the power at
random moments of the updates, and go back from sets of which a part is not fit; each time what the
services show is what the devices run. Certificates are good for a minute, so that all of it goes on while
they are renewed; a device that was off when its own ended comes back, and one whose link breaks resumes TLS.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import random
import re
import sys
import tempfile
import threading
import time
import typing
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/demo"))

import cross_build  # noqa: E402
from emulator import Emulator, firmware_image  # noqa: E402
from installation import DemoError, Installation  # noqa: E402
from prometheus import metrics_addresses, scrape  # noqa: E402
from relay import Relay  # noqa: E402

SKIPPED = 77
OPTIONS = None
PROJECT = "motion"
RATE_HZ = 200
AXES = ["x", "y", "z"]
DEVICES = 4
CERTIFICATE_DAYS = 1 / (24 * 60)


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


class Set(typing.NamedTuple):
    """What a release may name, and how a device shows it."""

    model: dict
    configuration: dict
    site: str
    firmware: dict
    version: str

    def digests(self):
        return {
            "MODEL": self.model["digest"],
            "CONFIGURATION": self.configuration["digest"],
            "FIRMWARE": self.firmware["digest"],
        }


class FirmwareTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-qemu-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.up = Installation(OPTIONS.bin, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)
        with unittest.mock.patch.dict(os.environ, {"FIELDLOOP_DEVICE_CERTIFICATE_DAYS": str(CERTIFICATE_DAYS)}):
            cls.client = cls.up.start("--trainers", ROOT / "docs/examples/trainers/trainers.json")
        try:
            cls.prepare()
            cls.switch_on()
        except (DemoError, AssertionError):
            cls.print_logs()
            raise

    @classmethod
    def print_logs(cls):
        for name, lines in cls.up.last_log_lines(20):
            print(f"-- {name}", *lines, sep="\n")

    @classmethod
    def prepare(cls):
        """A project with two sets for the devices."""
        run = cls.up.run
        run("projects", "create", PROJECT)
        run("fleet", "set", "--check-in", 1, "--trial-windows", 5, "--trial-timeout", 600)
        for i in range(3):
            for label in ("WALK", "SIT"):
                path = cls.work / f"{label}.{i}.csv"
                write_recording(path, readings(label, i, 4))
                run("samples", "upload", path, "--label", label, "--split", "testing" if i == 0 else "training")
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        cls.sets = [
            Set(cls.build("first", AXES, 0.5), cls.upload("configuration", "north", b"site=north"), "north",
                cls.upload("firmware", "1.1", firmware_image("1.1")), "1.1"),
            Set(cls.build("second", AXES, 0.25), cls.upload("configuration", "south", b"site=south"), "south",
                cls.upload("firmware", "1.2", firmware_image("1.2")), "1.2"),
        ]

    @classmethod
    def upload(cls, kind, version, content):
        path = cls.work / f"{kind}-{version}"
        path.write_bytes(content)
        return cls.up.one("artifacts", "upload", path, "--kind", kind, "--version", version)

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
    def switch_on(cls):
        firmware = cross_build.build("cortex_m4_firmware")
        cls.away = cls.new_device("away", firmware, cls.client)
        cls.away.wait_for("info: enrolled$")
        cls.away.cut_power()
        cls.relay = Relay(cls.client["addresses"]["device"])
        cls.addClassCleanup(cls.relay.stop)
        addresses = {**cls.client["addresses"], "device": cls.relay.address}
        cls.linked = cls.new_device("linked", firmware, {**cls.client, "addresses": addresses})
        cls.linked.wait_for("info: enrolled$")
        cls.devices = []
        for i in range(DEVICES):
            values = [value for row in readings(("WALK", "SIT")[i % 2], 99, 5) for value in row]
            cls.devices.append(cls.new_device(f"board-{i}", firmware, cls.client, values))
        for device in cls.devices:
            device.wait_for("info: enrolled")
        # The first set comes undisturbed: that tells how long an update takes.
        begin = time.monotonic()
        rollout = cls.begin_rollout(cls.sets[0])
        cls.devices[0].wait_for("info: the set was confirmed$")
        cls.update_s = time.monotonic() - begin
        cls.up.run("rollouts", "watch", rollout)
        cls.running, cls.other = cls.sets
        cls.running_sequence = cls.sequence

    @classmethod
    def board(cls, name, firmware, client, values=()):
        device = Emulator(name, cls.work / name, firmware, client, cls.up.home, PROJECT, values)
        cls.addClassCleanup(device.stop)
        return device

    @classmethod
    def new_device(cls, name, firmware, client, values=()):
        """A board that was switched on and enrols."""
        device = cls.board(name, firmware, client, values)
        cls.up.run("tokens", "create", "--device", device.name, "--out", device.token_path)
        device.start()
        return device

    @classmethod
    def begin_rollout(cls, wanted):
        """Begins to bring a set to all devices, as a new release; returns the rollout's number."""
        what = [*("--configuration", number_of(wanted.configuration)), *("--firmware", number_of(wanted.firmware))]
        what += [word for device in cls.devices for word in ("--hardware", device.name)]
        release = cls.up.one("releases", "create", number_of(wanted.model), *what)
        cls.sequence = release["content"]["sequence"]
        plan = ("--stages", 100, "--failure-count", DEVICES, "--device-timeout", "10m")
        return number_of(cls.up.one("rollouts", "create", release["name"], *plan))

    def devices_of(self, rollout):
        """(state, cause) of each device of a rollout."""
        devices = self.up.run("rollouts", "devices", rollout)
        return [(device["state"], device.get("cause")) for device in devices]

    def assert_services_see_what_runs(self):
        for device in self.devices:
            shown = self.up.one("devices", "state", device.name)["components"]
            seen = {c["kind"].removeprefix("COMPONENT_KIND_"): c for c in shown}
            self.assertEqual({kind: c["digest"] for kind, c in seen.items()}, self.running.digests(), device.name)
            for component in shown:
                self.assertTrue(component["confirmed"], device.name)
                self.assertEqual(component["release_sequence"], self.running_sequence, device.name)

    def assert_devices_and_services_agree(self):
        """Asked from the services, and from what the devices say at a start."""
        self.assert_services_see_what_runs()
        for device in self.devices:
            device.cut_power()
            device.start()
        for device in self.devices:
            runs = f"site {self.running.site}, firmware {self.running.version}"
            device.wait_for(f"info: start [0-9]+: release {self.running_sequence} confirmed, {re.escape(runs)}$")

    def test_the_port_keeps_its_contract(self):
        board = self.board("conformance", cross_build.build("cortex_m4_conformance"), self.client)
        board.start()
        self.assertEqual(board.wait_for_end(), 0, board.lines)
        self.assertEqual([line for line in board.lines if line.startswith("BROKEN")], [])
        print(board.lines[-1], *(line for line in board.lines if line.startswith("untried")), sep="\n")

    def certificate_end(self, device):
        end = self.up.one("devices", "get", device.name)["certificate_expire_time"]
        return datetime.datetime.fromisoformat(end)

    def handshakes(self, result):
        text = scrape(metrics_addresses(self.up.home)["distribution"])
        return int(re.search(rf'^fieldloop_device_handshakes_total{{result="{result}"}} (\d+)$', text, re.M)[1])

    def test_certificates_are_renewed_before_they_end(self):
        ends = [self.certificate_end(device) for device in self.devices]
        for device in self.devices:
            device.lines = []
        for device, end in zip(self.devices, ends):
            device.wait_for("info: the certificate was renewed$")
            self.assertGreater(self.certificate_end(device), end)
        self.assert_services_see_what_runs()

    def test_a_device_that_was_off_when_its_certificate_ended_comes_back(self):
        end, before = self.certificate_end(self.away), self.handshakes("expired")
        remains = end - datetime.datetime.now(datetime.timezone.utc)
        threading.Event().wait(max(0, remains.total_seconds() + 1))  # Until the certificate has ended.
        self.away.start()
        self.away.wait_for("info: the certificate was renewed$")
        self.assertGreater(self.certificate_end(self.away), end)
        self.assertGreater(self.handshakes("expired"), before)  # Others may be late as well.

    def test_a_link_that_was_lost_is_taken_up_with_a_resumed_handshake(self):
        # Right after a renewal, which a whole handshake follows, the next one is far.
        self.linked.lines = []
        self.linked.wait_for("info: the certificate was renewed$")
        lost = self.relay.wait_for_answer(after=self.relay.connections[-1])
        before = self.handshakes("resumed")
        self.relay.cut()
        taken_up = self.relay.wait_for_answer(after=lost)
        self.assertGreater(self.handshakes("resumed"), before)  # Other links may be lost by themselves.
        whole, resumed = lost.handshake_bytes(), taken_up.handshake_bytes()
        print(f"TLS handshake on bare metal: {whole} bytes, resumed {resumed}")
        self.assertLess(2 * resumed, whole)

    def test_sets_come_through_power_cuts(self):
        rng = random.Random(OPTIONS.seed)
        print(f"seed {OPTIONS.seed}, an update takes {self.update_s:.1f} s")
        cuts = 0
        never = threading.Event()
        while cuts < OPTIONS.kills:
            rollout = self.begin_rollout(self.other)
            begin = time.monotonic()
            moments = [(rng.uniform(0, self.update_s), i) for i in range(DEVICES)]
            for at, i in sorted(moments):
                device = self.devices[i]
                never.wait(max(0, begin + at - time.monotonic()))  # Nothing is waited for: the moment is chance.
                device.cut_power()
                cuts += 1
                said = device.lines[-1] if device.lines else "nothing"
                print(f"cut {cuts}: {device.name}, {at:.2f} s into release {self.sequence}, after '{said}'")
                device.start()
            self.up.run("rollouts", "watch", rollout)
            self.assertEqual(self.devices_of(rollout), [("STATE_CONFIRMED", None)] * DEVICES)
            type(self).running, type(self).other = self.other, self.running
            type(self).running_sequence = self.sequence
            self.assert_services_see_what_runs()
        self.assert_devices_and_services_agree()

    def assert_goes_back(self, cause, **unfit):
        """Brings a set with an unfit part to the devices: each tries it, and keeps what it had."""
        rollout = self.begin_rollout(self.other._replace(**unfit))
        with self.assertRaisesRegex(DemoError, f"{DEVICES} of {DEVICES} devices failed"):
            self.up.run("rollouts", "watch", rollout)
        self.assertEqual(self.devices_of(rollout), [("STATE_FAILED", cause)] * DEVICES)
        for device in self.devices:
            device.wait_for("warning: the set on trial was reverted$")
        self.assert_devices_and_services_agree()

    def test_a_model_made_for_other_sensors_is_reverted_with_its_set(self):
        self.assert_goes_back("SELF_TEST", model=self.build("misfit", AXES[:2], 0.5))

    def test_firmware_that_does_not_start_is_reverted_with_its_set(self):
        broken = self.upload("firmware", "1.3", firmware_image("1.3", starts=False))
        self.assert_goes_back("RESTARTS", firmware=broken)

    def test_a_configuration_that_the_application_refuses_is_reverted_with_its_set(self):
        refused = self.upload("configuration", "nonsense", b"nonsense")
        self.assert_goes_back("DECLINED", configuration=refused)


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
