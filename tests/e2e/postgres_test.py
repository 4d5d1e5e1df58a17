#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The five services on one PostgreSQL database: from recordings to a model on a device, and a crash of the
database in the middle of uploads, of a build and of a rollout; while it is down, nobody is ready."""

import argparse
import json
import pathlib
import sys
import tempfile
import threading
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "demo"), str(TESTS / "support" / "postgres")]

from installation import Agent, DemoError, Installation, is_unavailable  # noqa: E402
from postgres_server import SKIPPED, PostgresServer, binaries  # noqa: E402
from registry_test import PROJECT, RECIPE, write_recording  # noqa: E402

BINARIES = None
PATIENCE_S = 180
UPLOADS = 12
SERVICES = {"provisioning", "ingestion", "build", "evaluation", "distribution"}


class PatientInstallation(Installation):
    """Repeats a command while the database is away, and counts how often."""

    repeats = 0

    def run(self, *arguments, **more):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return super().run(*arguments, **more)
            except DemoError as error:
                if not is_unavailable(error) or time.monotonic() > deadline:
                    raise
                self.repeats += 1


class PostgresTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-on-postgres-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.postgres = PostgresServer()
        cls.addClassCleanup(cls.postgres.remove)
        cls.postgres.sql("CREATE DATABASE fieldloop")
        cls.up = PatientInstallation(BINARIES, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)

    def test_the_loop_closes_although_the_database_crashes(self):
        try:
            client = self.up.start("--database", self.postgres.uri("fieldloop"))
            self.story(client)
        except (DemoError, AssertionError):
            for name, lines in self.up.last_log_lines(20):
                print(f"-- {name}", *lines, sep="\n")
            raise

    def story(self, client):
        run, one = self.up.run, self.up.one
        run("projects", "create", PROJECT)
        run("fleet", "set", "--check-in", 1, "--trial-windows", 5, "--trial-timeout", 600)

        acknowledged = self.upload_through_a_crash()
        listed = {sample["name"] for sample in run("samples", "list")}
        self.assertEqual(listed, acknowledged)
        self.readiness_follows_the_database()

        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        recipe = self.work / "recipe.json"
        recipe.write_text(json.dumps(RECIPE), encoding="utf-8")
        run("impulses", "create", "motion", "--recipe", recipe)
        build = one("builds", "create", "--dataset", "all/versions/1", "--impulse", "motion")
        self.postgres.restart()
        self.await_("the build", lambda: one("builds", "get", build["name"].rpartition("/")[2])["state"],
                    "STATE_SUCCEEDED")
        run("models", "alias", "champion", 1, "--reason", "first model")
        release = one("releases", "create", 1)

        device = Agent("phone-1", "nobody", False, self.work / "phone-1")
        replay = device.folder / "replay"
        replay.mkdir(parents=True)
        write_recording(replay / "walk.csv", "WALK", 99)
        run("tokens", "create", "--device", "phone-1", "--out", device.token_path)
        device.start(BINARIES, client, self.up.home, PROJECT, 10, 1, "replay")
        self.addCleanup(device.stop)
        self.await_("the device", lambda: len(run("devices", "list")), 1)
        rollout = one("rollouts", "create", release["name"], "--stages", "100")
        self.postgres.restart()
        number = rollout["name"].rpartition("/")[2]
        self.await_("the rollout", lambda: one("rollouts", "get", number)["state"], "STATE_COMPLETED")
        # Each service has its schema, and no file beside it.
        schemas = self.postgres.sql("SELECT DISTINCT table_schema FROM information_schema.tables "
                                    "WHERE table_name = 'fieldloop_migrations'", "fieldloop").split()
        self.assertEqual(set(schemas), SERVICES)
        self.assertEqual(list(self.up.home.rglob("*.db")), [])

    def upload_through_a_crash(self):
        """Uploads, and crashes the database in the middle; returns the names that were acknowledged."""
        some = threading.Event()
        names = set()

        def crash():
            some.wait(PATIENCE_S)
            self.postgres.restart()

        crashing = threading.Thread(target=crash)
        crashing.start()
        for i in range(UPLOADS):
            label = ("WALK", "SIT")[i % 2]
            path = self.work / f"{label}.{i}.csv"
            write_recording(path, label, f"{label}/{i}")
            answer = self.up.one("samples", "upload", path, "--label", label,
                                 "--split", "testing" if i % 6 < 2 else "training")
            names.add(answer["sample"]["name"])
            if i == UPLOADS // 3:
                some.set()
        crashing.join()
        return names

    def readiness_follows_the_database(self):
        def ready():
            return {service for service in SERVICES if self.is_healthy("--ready", service)}

        # Each looks once a second, and the database has just been away.
        self.await_("ready after the crash", ready, SERVICES)
        self.postgres.stop()
        self.await_("ready without the database", ready, set())
        self.assertTrue(self.is_healthy())
        self.postgres.start()
        self.await_("ready with the database", ready, SERVICES)

    def is_healthy(self, *arguments):
        try:
            # Not repeated. Whoever is busy is not away: it gets time to say what it is.
            Installation.run(self.up, "health", "--timeout", 60, *arguments)
            return True
        except DemoError as error:
            self.assertTrue(is_unavailable(error), error)
            return False

    def await_(self, what, look, wanted):
        deadline = time.monotonic() + PATIENCE_S
        while (seen := look()) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: got {seen}, want {wanted}")
            time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin.resolve()
    if binaries() is None:
        print("SKIPPED: PostgreSQL is not installed")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
