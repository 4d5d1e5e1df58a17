#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A device takes sets of model, configuration and firmware over the real services; a download goes on at
another replica of the distribution service; a revoked device is shut out at once."""

import argparse
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from gate import Gate  # noqa: E402
from installation import Agent, DemoError, Installation, start_process, stop_process  # noqa: E402
from registry_test import RECIPE, write_recording  # noqa: E402

BINARIES = None
PROJECT = "motion"
PATIENCE_S = 180
HARDWARE = "board-1"


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise DemoError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.05)


class ComponentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-components-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.up = Installation(BINARIES, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)
        cls.client = cls.up.start()
        run = cls.up.run
        run("projects", "create", PROJECT)
        run("fleet", "set", "--check-in", 1, "--trial-windows", 5, "--trial-timeout", 600)
        for i in range(4):
            for label in ("WALK", "SIT"):
                path = cls.work / f"{label}.{i}.csv"
                write_recording(path, label, f"{label}/{i}")
                run("samples", "upload", path, "--label", label)
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        recipe = cls.work / "recipe.json"
        recipe.write_text(json.dumps(RECIPE), encoding="utf-8")
        run("impulses", "create", "motion", "--recipe", recipe)
        run("builds", "create", "--dataset", "all/versions/1", "--impulse", "motion", "--watch")

    def start_device(self, name):
        """An enrolled device behind a gate, with a firmware and a file for its configuration."""
        device = Agent(name, "nobody", False, self.work / name)
        replay = device.folder / "replay"
        replay.mkdir(parents=True)
        write_recording(replay / "walk.csv", "WALK", 99)
        device.firmware = device.folder / "app.bin"
        device.firmware.write_bytes(b"as manufactured")
        device.configuration = device.folder / "app.json"
        device.gate = Gate(self.client["addresses"]["device"])
        device.gate.start()
        self.addCleanup(device.gate.listener.close)
        self.up.run(
            *("tokens", "create", "--device", name, "--hardware", HARDWARE, "--out", device.token_path)
        )
        self.start(device)
        self.addCleanup(device.stop)
        wait_until(lambda: self.state(name), "the device reports")
        return device

    def start(self, device):
        client = {**self.client, "addresses": {"device": device.gate.address}}
        device.start(
            *(BINARIES, client, self.up.home, PROJECT, 10, 1, "replay"),
            *("--hardware-id", HARDWARE, "--firmware", device.firmware.name),
            *("--configuration-file", device.configuration.name),
        )

    def state(self, name):
        try:
            return self.up.one("devices", "state", name)
        except DemoError:
            return None

    def components(self, name):
        """{kind: (digest, confirmed, release)}"""
        return {
            one["kind"].rsplit("_", 1)[1]: (
                one.get("digest", ""),
                one.get("confirmed", False),
                int(one.get("release_sequence", 0)),
            )
            for one in self.up.one("devices", "state", name).get("components", [])
        }

    def upload(self, kind, version, content):
        path = self.work / f"{kind}-{version}"
        path.write_bytes(content)
        return self.up.one("artifacts", "upload", path, "--kind", kind, "--version", version)

    def release(self, *arguments):
        return self.up.one("releases", "create", *arguments)["name"]

    def refusal(self, *arguments):
        with self.assertRaises(DemoError) as caught:
            self.up.run(*arguments)
        return str(caught.exception)

    def test_a_device_takes_a_set_as_one_and_keeps_what_the_next_does_not_name(self):
        device = self.start_device("sets")
        first = self.upload("configuration", "c1", b'{"rate": 5}')
        release = self.release("1", "--configuration", first["name"])
        self.up.run("rollouts", "create", release, "--stages", "100", "--watch")
        self.assertEqual(device.configuration.read_bytes(), b'{"rate": 5}')
        model = self.up.one("models", "get", 1)["digest"]
        number = int(release.rsplit("/", 1)[1])
        components = self.components("sets")
        self.assertEqual(components["MODEL"], (model, True, number))
        self.assertEqual(components["CONFIGURATION"], (first["digest"], True, number))

        second = self.upload("configuration", "c2", b'{"rate": 6}')
        image = self.upload("firmware", "f2", b"the second firmware")
        release = self.release(
            *("--configuration", second["name"], "--firmware", image["name"], "--hardware", HARDWARE)
        )
        rollout = self.up.run("rollouts", "create", release, "--stages", "100", "--watch")[-1]["rollout"]
        self.assertEqual([c["version"] for c in rollout["components"]], ["f2", "c2"])
        self.assertEqual(device.configuration.read_bytes(), b'{"rate": 6}')
        self.assertEqual(device.firmware.read_bytes(), b"the second firmware")
        components = self.components("sets")
        self.assertEqual(components["MODEL"], (model, True, number))
        self.assertEqual(components["CONFIGURATION"], (second["digest"], True, number + 1))
        self.assertEqual(components["FIRMWARE"], (image["digest"], True, number + 1))
        # A device that runs the set already counts without an offer's work.
        again = self.release("1", "--configuration", second["name"])
        rollout = self.up.run("rollouts", "create", again, "--stages", "100", "--watch")[-1]["rollout"]
        self.assertEqual(rollout["state"], "STATE_COMPLETED")

    def test_what_does_not_fit_is_refused_with_what_would(self):
        image = self.upload("firmware", "r1", b"image")
        other = self.work / "other"
        other.write_bytes(b"other bytes")
        create = ("releases", "create")
        for command, what in (
            (create, "name a model, --firmware or --configuration"),
            ((*create, "--firmware", image["name"]), "hardware_ids: got none"),
            ((*create, "--configuration", image["name"]), "want one of kind configuration"),
            (
                ("artifacts", "upload", other, "--kind", "firmware", "--version", "r1"),
                "give this file another version",
            ),
        ):
            self.assertIn(what, self.refusal(*command))
        self.assertEqual(self.upload("firmware", "r1", b"image"), image)
        listed = self.up.run("artifacts", "list", "--kind", "firmware")
        self.assertIn(image, listed)
        self.assertTrue(all(one["kind"] == "COMPONENT_KIND_FIRMWARE" for one in listed))

    def second_replica(self):
        """Another process of the distribution service, over the same database; its device address."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if words and words[0].endswith("/fieldloop-distribution") and any(
                    word.startswith(str(self.up.home)) for word in words
                ):
                    break
        else:
            raise DemoError("the distribution service does not run")
        ready = self.work / "replica.json"
        for flag, value in (
            ("--listen", "127.0.0.1:0"),
            ("--metrics-listen", "127.0.0.1:0"),
            ("--device-listen", "127.0.0.1:0"),
            ("--ready-file", str(ready)),
        ):
            words[words.index(flag) + 1] = value
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        replica = start_process(words, self.work / "replica.log", **quiet)
        self.addCleanup(stop_process, replica, 10)
        wait_until(ready.exists, "the replica is ready")
        return json.loads(ready.read_text(encoding="utf-8"))["device"]

    def test_a_download_goes_on_at_another_replica_after_a_restart(self):
        size = 600_000
        device = self.start_device("moves")
        image = self.upload("firmware", "large", random.Random(1).randbytes(size - 1) + b".")
        device.gate.limit = device.gate.passed + size // 2
        release = self.release("--firmware", image["name"], "--hardware", HARDWARE)
        rollout = self.up.one(
            *("rollouts", "create", release, "--stages", "100"),
            *("--device-timeout", "5m", "--failure-percent", 100, "--failure-count", 9),
        )["name"]
        try:
            self.assertTrue(device.gate.full.wait(PATIENCE_S), "half of the image came")
            device.kill()
            device.gate.change(self.second_replica())
            self.start(device)
            wait_until(
                lambda: device.firmware.read_bytes()[-1:] == b"." and device.firmware.stat().st_size == size,
                "the image is whole",
            )
            # Far less than all of it: it went on where flash ends, but for what was not journalled.
            self.assertLess(device.gate.passed, size * 2 // 3)
            wait_until(
                lambda: self.components("moves").get("FIRMWARE", ("", False))[:2] == (image["digest"], True),
                "the device confirms",
            )
        finally:
            self.up.run("rollouts", "cancel", rollout, "--reason", "the test is over")

    def test_a_revoked_device_loses_its_session_and_gets_no_other(self):
        self.start_device("leaves")
        wait_until(lambda: self.state("leaves").get("connected"), "the device is connected")
        self.up.run("devices", "revoke", "leaves", "--reason", "stolen")
        wait_until(lambda: not self.state("leaves").get("connected"), "its session ends")
        log = self.work / "leaves" / "agent.log"
        wait_until(lambda: "revoked" in log.read_text(encoding="utf-8"), "it is told why")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
