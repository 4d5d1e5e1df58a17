#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""An installation is backed up while its fleet works, goes on for a while, and is lost. Restored in another
folder it has the same datasets, models and releases; its devices, which are ahead of it, come back with the
certificates that they have; and the loop closes: drift, a new model, a rollout, confirmed."""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import DemoError, Installation  # noqa: E402
from story import PROJECT, Plan, Recorder, Story, short_name, state_of  # noqa: E402
from timeline import Timeline  # noqa: E402

BINARIES = None


def facts(installation):
    """What must be the same after a restore."""
    run = installation.run
    return {
        "samples": run("samples", "list"),
        "versions": run("datasets", "versions", "all"),
        "impulses": run("impulses", "list"),
        "builds": run("builds", "list"),
        "models": run("models", "list"),
        "releases": run("releases", "list"),
        "rollouts": run("rollouts", "list"),
        "devices": run("devices", "list"),
        "policy": run("policies", "get"),
    }


class LostInstallation(Story):
    """The story until all devices run v1, then a backup, a loss and a restore, then the loop."""

    def command(self, home, *arguments):
        done = subprocess.run(
            [self.binaries / "fieldloop", "--home", home, *arguments, "--passphrase-file", self.passphrase],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"{arguments[0]}: {done.stderr}")
        return done

    def lose_and_restore(self):
        self.phase("Loss")
        self.passphrase = self.work / "passphrase"
        self.passphrase.write_text("correct horse battery staple\n", encoding="utf-8")
        backups = self.work / "backups"
        before = facts(self.installation)
        self.command(self.installation.home, "backup", "--to", backups, "--with-release-keys")
        again = self.command(self.installation.home, "backup", "--to", backups, "--with-release-keys")
        self.copied_again = again.stderr
        self.command(self.installation.home, "backup", "verify", backups)

        # Devices get ahead of the backup.
        release = self.installation.one("releases", "create", self.models["v1"]["name"])
        for message in self.installation.watch("rollouts", "create", release["name"], "--stages", "100",
                                               "--watch"):
            self.rollout_ahead = message["rollout"]
        self.recorder.stop()
        for agent in self.agents:
            agent.terminate()
        for agent in self.agents:
            agent.stop()
        self.installation.stop()
        shutil.rmtree(self.installation.home)

        home = self.work / "elsewhere"
        self.command(home, "restore", "--from", backups)
        self.installation = Installation(self.binaries, home, PROJECT)
        self.client = self.installation.start()
        self.differences = {
            key: (value, restored)
            for key, restored in facts(self.installation).items()
            if (value := before[key]) != restored
        }
        self.recorder = Recorder(self.installation, self.timeline)
        self.recorder.names = {self.models["v1"]["digest"]: "v1"}
        for index, agent in enumerate(self.agents):
            agent.start(self.binaries, self.client, home, PROJECT, self.plan.speed, index, "phone")
        self.recorder.start()
        self.wait_for(
            "the devices' return",
            lambda: int(self.installation.one("fleet", "summary").get("connected_count", 0)) == len(self.agents),
        )

    def run(self):
        self.make_work_folder()
        self.prepare()
        self.start_services()
        self.upload()
        self.make_fleet()
        release = self.first_model()
        self.set_policy()
        self.enrol()
        self.first_rollout(release)
        self.lose_and_restore()
        self.healthy()
        self.switch()
        self.alarm()
        self.mend()
        self.recorder.stop()
        self.fleet_final = self.installation.one("fleet", "summary")


class RestoredLoopTest(unittest.TestCase):
    def test_a_restored_installation_is_the_same_and_closes_a_cycle(self):
        plan = Plan.shortened(agents=10, baseline_periods=9, recent_periods=3, healthy_s=300,
                              samples_per_device=60)
        with tempfile.TemporaryDirectory(prefix="fieldloop-restored-") as folder:
            with LostInstallation(plan, Timeline(), BINARIES, folder) as story:
                try:
                    story.run()
                except DemoError:
                    for name, lines in story.installation.last_log_lines(20):
                        print(f"-- {name}", *lines, sep="\n")
                    raise
        self.assertEqual(story.differences, {})
        self.assertRegex(story.copied_again, "copied 0 blobs that were new")
        self.assertEqual(state_of(story.rollout_ahead), "COMPLETED")
        self.assertEqual(state_of(story.cycle), "COMPLETED")
        # The lost release was the second one, and devices would refuse another of that number.
        self.assertGreater(int(short_name(story.rollouts["v2"]["release"])), 1000)
        self.assertGreater(int(short_name(story.rollouts["v2"]["name"])), 1000)
        self.assertEqual(story.confirmed_on_v2(), len(story.agents))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
