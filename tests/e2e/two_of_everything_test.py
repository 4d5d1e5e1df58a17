#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The loop closes over two replicas of each service, one PostgreSQL and one bucket, while replicas are killed.

The story is that of the demo, shortened. Every few seconds one of the ten processes gets SIGKILL and is
started again on the same addresses; once both replicas of evaluation go at the same time. Whatever the
command line is asked must succeed by the client's own means: what may be repeated it repeats itself. Only
commands of NOT_REPEATED, which change something and say so, are given again here, as docs/operations.md tells.

Then the books are checked, and a build whose replica is killed and stays away is finished by the other
replica with the same bytes.

Where there is no S3 server the replicas share a folder of blobs instead, and the test says so.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "demo"), str(TESTS / "support" / "postgres")]

from installation import (  # noqa: E402
    DemoError, Installation, is_unavailable, keep_free_port, start_process, stop_process)
from postgres_server import SKIPPED, PostgresServer, binaries  # noqa: E402
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server  # noqa: E402
from story import PROJECT, Plan, Story, seconds_of, short_name, state_of  # noqa: E402
from timeline import Timeline  # noqa: E402

OPTIONS = argparse.Namespace()
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")
REPLICAS = (0, 1)
EVERYTHING = tuple((service, replica) for service in SERVICES for replica in REPLICAS)
LEASE_S = 3
START_S = 180
PATIENCE_S = 300
KILL_EVERY_S = (1.0, 2.5)  # From the moment that all run again.
AWAY_S = (0.1, 1.0)
LEAST_KILLS = 20
MOST_INTERRUPTIONS = 3  # With which a build fails, however often others would finish it.
# Commands that may have done what they were asked when they end with UNAVAILABLE, and what the second
# time then says.
NOT_REPEATED = {
    ("projects", "create"): "already",
    ("datasets", "create"): "already",
    ("tokens", "create"): None,
    ("models", "alias"): None,
    ("cycles", "approve"): "CYCLE_NOT_WAITING",
}


class TwoOfEverything(Installation):
    """Ten processes, each with a data folder of its own, that can be killed and started again."""

    def __init__(self, binaries_folder, home, project, shared_blobs):
        super().__init__(binaries_folder, home, project)
        self.shared_blobs = shared_blobs  # A folder, where there is no bucket.
        self.addresses = {}
        self.processes = {}
        self.lock = threading.Lock()
        self.said_unavailable = []  # (begin, end, command, error) of what had to succeed; monotonic times.
        self.given_again = []
        self.acknowledged = set()  # Samples of which an upload said that they are stored.
        self.failure = None

    # --- Processes ---

    def start(self):
        self.home.mkdir(parents=True)
        (self.home / "pki").mkdir()
        (self.home / "logs").mkdir()
        names = [*SERVICES, "device", "http"]
        self.keepers = [keep_free_port() for _ in range(2 * len(names))]  # Until this is gone.
        found = (f"127.0.0.1:{keeper.getsockname()[1]}" for keeper in self.keepers)
        self.addresses = {name: [next(found), next(found)] for name in names}
        subprocess.run([self.binaries / "fieldloop", "trust", "init", "--out", self.home / "trust"],
                       check=True, stdout=subprocess.DEVNULL)
        for service in SERVICES:
            for replica in REPLICAS:
                self.start_replica(service, replica)
        client = {
            "addresses": {name: ",".join(both) for name, both in self.addresses.items()},
            "ca_file": str(self.home / "pki" / "services-ca.crt"),
            "token_file": str(self.home / "pki" / "admin.token"),
        }
        (self.home / "client.json").write_text(json.dumps(client), encoding="utf-8")
        return client

    def data_folder(self, service, replica):
        return self.home / f"{service}-{replica}"

    def start_replica(self, service, replica):
        """Starts a replica on its addresses and waits until it is ready."""
        data = self.data_folder(service, replica)
        data.mkdir(exist_ok=True)
        if self.shared_blobs and service in ("ingestion", "build"):
            blobs = data / ("ingestion-blobs" if service == "ingestion" else "blobs")
            if not blobs.exists():
                (self.shared_blobs / service).mkdir(parents=True, exist_ok=True)
                blobs.symlink_to(self.shared_blobs / service)
        ready = data / "ready.json"
        ready.unlink(missing_ok=True)
        peers = {name: ",".join(self.addresses[name]) for name in SERVICES}
        command = [
            *(self.binaries / f"fieldloop-{service}", "--listen", self.addresses[service][replica]),
            *("--metrics-listen", "127.0.0.1:0", "--data-dir", data, "--ready-file", ready),
        ]
        if service == "provisioning":
            command += ["--pki-dir", self.home / "pki"]
        else:
            certificate = self.home / "pki" / "services" / service
            command += [
                *("--tls-ca", self.home / "pki" / "services-ca.crt"),
                *("--tls-cert", f"{certificate}.crt", "--tls-key", f"{certificate}.key"),
                *("--provisioning", peers["provisioning"], "--lease-seconds", LEASE_S),
            ]
        if service == "ingestion":
            command += ["--http-listen", self.addresses["http"][replica]]
        elif service == "build":
            command += [
                *("--ingestion", peers["ingestion"], "--root", self.home / "trust" / "root.bin"),
                *("--release-key", self.home / "trust" / "release.key"),
            ]
        elif service == "evaluation":
            for name in ("ingestion", "build", "distribution"):
                command += [f"--{name}", peers[name]]
        elif service == "distribution":
            for name in ("ingestion", "build", "evaluation"):
                command += [f"--{name}", peers[name]]
            command += [
                *("--device-listen", self.addresses["device"][replica]),
                *("--device-ca", self.home / "pki" / "devices-ca.crt"),
                *("--directive-key", self.home / "trust" / "directive.key"),
            ]
        process = start_process(command, self.home / "logs" / f"{service}-{replica}.log",
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with self.lock:
            self.processes[service, replica] = process
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"{service} {replica} did not start; see {self.home}/logs")
            time.sleep(0.01)

    def kill(self, service, replica):
        """SIGKILL, and nothing else."""
        process = self.processes[service, replica]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    @property
    def running(self):
        return self.failure is None

    def stop(self):
        with self.lock:
            processes = list(self.processes.values())
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            stop_process(process, 30)

    # --- Commands ---

    def run(self, *arguments, **more):
        begun = time.monotonic()
        try:
            return super().run(*arguments, **more)
        except DemoError as error:
            if not is_unavailable(error):
                raise
            if arguments[:2] not in NOT_REPEATED:
                self.said_unavailable.append((begun, time.monotonic(), arguments[:2], str(error)))
                raise
        self.given_again.append(" ".join(arguments[:2]))
        done_before = NOT_REPEATED[arguments[:2]]
        try:
            return self.run(*arguments, **more)
        except DemoError as error:
            if done_before is None or done_before not in str(error):
                raise
            return []

    def watch(self, *arguments):
        for message in super().watch(*arguments):
            if arguments[:2] == ("samples", "upload"):
                self.acknowledged.add(message["sample"]["name"])
            yield message


class Killer(threading.Thread):
    """Kills replicas, one at a time, and starts them again.

    It lives until the processes have been stopped: the kernel ends the children of a thread with it.
    """

    def __init__(self, installation, seed, interruptions):
        """`interruptions` says how often the build that is being made was interrupted."""
        super().__init__(daemon=True)
        self.installation = installation
        self.interruptions = interruptions
        self.random = random.Random(seed)
        self.kills = []  # (seconds, service, replica)
        self.both_away = []  # (from, to) in monotonic time: evaluation had no replica.
        self.end = threading.Event()
        self.ended = threading.Event()  # It kills no more, and what it killed was started again.
        self.release = threading.Event()
        self.take_both = threading.Event()

    def run(self):
        try:
            self.kill_in_turn()
        except DemoError as error:
            self.installation.failure = error
        self.ended.set()
        self.release.wait()

    def has_done_enough(self):
        return (
            len(self.kills) >= LEAST_KILLS
            and {(service, replica) for _, service, replica in self.kills} == set(EVERYTHING)
            and any(back != float("inf") for _, back in self.both_away)
        )

    def draw(self, deck):
        """Takes a victim out of the deck; None if there is only one in it that must be spared now."""
        may_build = None
        for at in reversed(range(len(deck))):
            if deck[at][0] == "build":
                may_build = self.interruptions() + 1 < MOST_INTERRUPTIONS if may_build is None else may_build
                if not may_build:
                    continue
            return deck.pop(at)
        return None

    def kill_in_turn(self):
        deck = []
        began = time.monotonic()
        while not self.end.wait(self.random.uniform(*KILL_EVERY_S)):
            if self.take_both.is_set() and not self.both_away:
                victims = [("evaluation", replica) for replica in REPLICAS]
                self.both_away.append((time.monotonic(), float("inf")))
            else:
                if not deck:
                    deck = list(EVERYTHING)
                    self.random.shuffle(deck)
                victim = self.draw(deck)
                victims = [victim] if victim else []
            for service, replica in victims:
                self.installation.kill(service, replica)
                self.kills.append((time.monotonic() - began, service, replica))
            time.sleep(self.random.uniform(*AWAY_S))
            for service, replica in victims:
                self.installation.start_replica(service, replica)
            if len(victims) > 1:
                self.both_away[0] = (self.both_away[0][0], time.monotonic())


class StoryUnderKills(Story):
    """The demo's story; tells the killer when the cycle has come to its build."""

    def __init__(self, installation, out, killer):
        super().__init__(Plan.shortened(), Timeline(), OPTIONS.bin, out)
        self.work = installation.home.parent
        self.installation = installation
        self.recorder.installation = installation
        self.killer = killer

    def make_work_folder(self):
        """The installation's folder is there; it is a new one."""

    def measure(self):
        # Where starting takes long, so does killing: the fleet works on until all were killed that must be.
        self.wait_for("the kills", self.killer.has_done_enough)
        super().measure()

    def wait_for(self, what, condition, progress=None):
        def look():
            cycle = self.recorder.active_cycle()
            # It may have gone on since the recorder looked last.
            if cycle is not None and any(t["to"] == "STATE_BUILDING" for t in cycle.get("transitions", [])):
                self.killer.take_both.set()
            return condition()

        return super().wait_for(what, look, progress)


class TwoOfEverythingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-two-of-everything-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.postgres = PostgresServer()
        cls.addClassCleanup(cls.postgres.remove)
        cls.postgres.sql("CREATE DATABASE fieldloop")
        environment = {"FIELDLOOP_DATABASE": cls.postgres.uri("fieldloop")}
        shared_blobs = None
        if OPTIONS.server.exists():
            (cls.work / "s3").mkdir()
            bucket = cls.enterClassContext(S3Server(OPTIONS.server, cls.work / "s3"))
            (cls.work / "s3" / "buckets" / "fieldloop").mkdir()
            environment |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                            "FIELDLOOP_BLOBS": bucket.location("fieldloop")}
        else:
            print(f"NO BUCKET: there is no {OPTIONS.server}, the replicas share a folder of blobs; ./dev "
                  "test makes the server where there is a Go compiler of 1.23 or later")
            shared_blobs = cls.work / "shared-blobs"
        cls.enterClassContext(mock.patch.dict(os.environ, environment))
        cls.installation = TwoOfEverything(OPTIONS.bin, cls.work / "home", PROJECT, shared_blobs)

    def sql(self, statement):
        return [line.split("|") for line in self.postgres.sql(statement, "fieldloop").splitlines()]

    def interruptions(self):
        (row,) = self.sql("SELECT COALESCE(MAX(interruptions), 0) FROM build.builds WHERE end_micros = 0")
        return int(row[0])

    def test_the_loop_closes_while_replicas_are_killed(self):
        installation = self.installation
        print(f"seed of the kills: {OPTIONS.seed} (--seed)")
        killer = Killer(installation, OPTIONS.seed, self.interruptions)
        story = StoryUnderKills(installation, self.work / "story", killer)
        original_start = installation.start

        def start_and_kill():
            client = original_start()
            killer.start()
            return client

        installation.start = start_and_kill
        try:
            with story:
                try:
                    story.run()
                    killer.end.set()
                    self.check(story, killer)
                    self.check_that_the_other_replica_finishes_a_build(story)
                except (DemoError, AssertionError):
                    for name, lines in installation.last_log_lines(15):
                        print(f"-- {name}", *lines, sep="\n")
                    raise
                finally:
                    killer.end.set()
                    self.tell(killer)
        finally:
            killer.release.set()
            killer.join(START_S)

    def tell(self, killer):
        by_service = {}
        for _, service, replica in killer.kills:
            by_service.setdefault(service, [0, 0])[replica] += 1
        print(f"kills: {len(killer.kills)}; by service and replica: {by_service}")
        print(f"both replicas of evaluation away at once: {len(killer.both_away)} times")
        print(f"commands given again: {self.installation.given_again}")
        print(f"commands that ended with UNAVAILABLE: {self.installation.said_unavailable}")

    def check(self, story, killer):
        self.wait_until_all_run(killer)
        missed = {f.key: f.value for f in story.figures() if not f.ok and f.key != "story_seconds"}
        self.assertEqual(missed, {})
        # The kills were real and hit everything.
        self.assertEqual({(service, replica) for _, service, replica in killer.kills}, set(EVERYTHING))
        self.assertGreaterEqual(len(killer.kills), LEAST_KILLS)
        self.assertEqual(len(killer.both_away), 1)
        # Nothing but evaluation without a replica was ever away for the command line.
        gone, back = killer.both_away[0]
        wrong = [one for one in self.installation.said_unavailable
                 if one[2][0] not in ("cycles", "metrics") or one[1] < gone or one[0] > back]
        self.assertEqual(wrong, [])
        self.check_samples(story)
        self.check_devices(story)
        self.check_rollouts(story)
        self.check_cycles()

    def wait_until_all_run(self, killer):
        self.assertTrue(killer.ended.wait(PATIENCE_S), "a replica did not come back")
        self.assertIsNone(self.installation.failure)
        self.assertEqual([key for key, process in self.installation.processes.items() if process.poll() is not None], [])
        self.installation.run("health", "--timeout", 60)

    def await_(self, what, look, wanted):
        deadline = time.monotonic() + PATIENCE_S
        while (seen := look()) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: got {seen}, want {wanted}")
            time.sleep(0.2)

    def check_samples(self, story):
        """What was acknowledged is there, once, with its bytes; of what devices chose nothing is missing."""
        uploads = {sample["name"] for sample in self.installation.run("samples", "list", "--source", "upload")}
        self.assertEqual(uploads, self.installation.acknowledged)
        unlabelled = self.installation.run("samples", "list", "--source", "upload", "--unlabelled")
        self.assertEqual(unlabelled, [])
        story.read_truth()
        chosen = collections.Counter(log.device for log in story.logs.values() for _ in log.samples)
        moments = {(log.device, sample.start_ms) for log in story.logs.values() for sample in log.samples}

        def arrived():
            # Windows with the same bytes are one sample; each that was sent has its sequence.
            rows = self.sql("SELECT device, COUNT(*) FROM ingestion.device_uplinks GROUP BY device")
            return collections.Counter({short_name(device): int(count) for device, count in rows})

        self.assertGreater(chosen.total(), 0)
        self.await_("recordings of devices", arrived, chosen)
        stored = {
            (short_name(sample["device"]["device"]), round(1000 * seconds_of(sample["device"]["start_time"])))
            for sample in self.installation.run("samples", "list", "--source", "device")
        }
        self.assertLessEqual(stored, moments)

    def check_devices(self, story):
        """What the services say about each device is what the device says about itself."""
        digest = story.models["v2"]["digest"]
        for log in story.logs.values():
            self.assertEqual(log.periods[-1].model, digest, log.device)
        rows = self.sql("SELECT device, model_digest, confirmed, dropped_uplinks FROM distribution.device_states")
        names = {f"projects/{PROJECT}/devices/{agent.name}" for agent in story.agents}
        self.assertEqual({row[0] for row in rows}, names)
        self.assertEqual({tuple(row[1:]) for row in rows}, {(digest, "1", "0")})
        for agent in story.agents:
            log = agent.log_path.read_text(encoding="utf-8", errors="replace")
            self.assertEqual(log.count("the set was confirmed"), 2, agent.name)
            self.assertNotIn("reverted", log)
        # Those of a replica that was killed last come back.
        self.await_("connected devices",
                    lambda: int(self.installation.one("fleet", "summary").get("connected_count", 0)), len(story.agents))

    def check_rollouts(self, story):
        """Two rollouts, one after the other, whose counts are those of their devices and of their events."""
        rows = self.sql("SELECT number, state, target_count, offered, confirmed, failed, missed, event_count "
                        "FROM distribution.rollouts ORDER BY number")
        count = str(len(story.agents))
        self.assertEqual([row[0] for row in rows], ["1", "2"])
        for number, _, *counts, events in rows:
            rollout = self.installation.one("rollouts", "get", number)
            self.assertEqual(state_of(rollout), "COMPLETED")
            self.assertEqual(counts, [count, count, count, "0", "0"])
            devices = self.installation.run("rollouts", "devices", number)
            self.assertEqual([state_of(device) for device in devices], ["CONFIRMED"] * len(story.agents))
            told = self.installation.run("rollouts", "events", number)
            self.assertEqual(len(told), int(events))
            offers = [event["device"] for event in told if event["kind"] == "OFFERED"]
            self.assertEqual(len(offers), len(set(offers)), "a device was offered the release twice")
            self.assertEqual(set(offers), {device["device"] for device in devices})
        times = self.sql("SELECT create_micros, end_micros FROM distribution.rollouts ORDER BY number")
        self.assertLess(int(times[0][1]), int(times[1][0]), "two rollouts were active at once")

    def check_cycles(self):
        """One cycle, one build and one release of it: nothing was done twice by two replicas."""
        begun = [cycle for cycle in self.installation.run("cycles", "list") if state_of(cycle) != "OBSERVING"]
        self.assertEqual([state_of(cycle) for cycle in begun], ["COMPLETED"])
        went = [transition["to"].removeprefix("STATE_") for transition in begun[0]["transitions"]]
        self.assertEqual([state for state in went if state != "AWAITING_APPROVAL"],
                         ["TRIGGERED", "COLLECTING", "BUILDING", "EVALUATING", "ROLLING_OUT", "COMPLETED"])
        builds = self.installation.run("builds", "list")
        self.assertEqual([state_of(build) for build in builds], ["SUCCEEDED"] * 2)
        self.assertEqual(len(self.installation.run("models", "list")), 2)
        self.assertEqual([row[0] for row in self.sql("SELECT sequence FROM build.releases ORDER BY sequence")],
                         ["1", "2"])

    def check_that_the_other_replica_finishes_a_build(self, story):
        """The same recordings in another project: same inputs, and so the same bytes, whoever makes them."""
        again = TwoOfEverything(OPTIONS.bin, self.installation.home, "again", None)
        again.run("projects", "create", "again")
        again.run("samples", "upload", "--manifest", story.work / "upload" / "manifest.jsonl")
        again.run("datasets", "create", "all")
        version = again.one("datasets", "fix", "all")
        impulse = again.one("impulses", "create", "motion", "--recipe", story.work / "recipe.json")
        build = again.one("builds", "create", "--dataset", version["name"], "--impulse", impulse["name"],
                          "--seed", story.plan.seed)
        number = short_name(build["name"])

        def owner():
            row = self.sql("SELECT owner FROM build.builds WHERE project = 'again' AND state = 3")
            return row[0][0] if row else ""

        deadline = time.monotonic() + PATIENCE_S
        while not (name := owner()):
            self.assertLess(time.monotonic(), deadline, "the build did not begin to train")
            time.sleep(0.01)
        instances = [(self.installation.data_folder("build", replica) / "instance").read_text(encoding="ascii")
                     for replica in REPLICAS]
        victim = instances.index(name)
        self.installation.kill("build", victim)
        self.await_("the build", lambda: state_of(again.one("builds", "get", number)), "SUCCEEDED")
        # Who has no time for longer than its lease gives the build away as well, and takes it again.
        (row,) = self.sql("SELECT attempt, interruptions FROM build.builds WHERE project = 'again'")
        attempt, interruptions = map(int, row)
        self.assertGreaterEqual(interruptions, 1)
        self.assertEqual(attempt, interruptions + 1)
        model = again.one("models", "get", again.one("builds", "get", number)["model"])
        self.assertEqual(model["digest"], story.models["v1"]["digest"])
        self.assertEqual(again.said_unavailable, [])
        print(f"a build begun by replica {victim} of build, killed while it trained, was finished by the other; "
              f"the digest is that of v1, {model['digest'][:16]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True, help="of the S3 API")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    OPTIONS.bin = OPTIONS.bin.resolve()
    if binaries() is None:
        print("SKIPPED: PostgreSQL is not installed")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
