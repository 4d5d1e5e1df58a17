#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""One installation moves by backups from files to PostgreSQL and a bucket and back, and starts from the schema
of the version before, on both databases: each time it has the same datasets, models and releases, byte for byte."""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "demo"), str(TESTS / "support" / "postgres")]

from installation import Installation  # noqa: E402
from postgres_server import SKIPPED, PostgresServer, binaries  # noqa: E402
from registry_test import PROJECT, RECIPE, write_recording  # noqa: E402
from restored_loop_test import facts  # noqa: E402
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server  # noqa: E402

ARGUMENTS = None
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


def migrations_before_last():
    """{service: [(number, name, SQL)]} without the newest of each service that has several."""
    found = {}
    for folder in sorted((TESTS.parent / "services").glob("*/storage/migrations")):
        paths = sorted(folder.glob("[0-9]*.sql"))
        if len(paths) > 1:
            found[folder.parent.parent.name] = [
                (int(path.stem[:4]), path.stem[5:], path.read_text("utf-8")) for path in paths[:-1]]
    return found


class BackupTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-backup-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.passphrase = cls.work / "passphrase"
        cls.passphrase.write_text("correct horse battery staple", encoding="utf-8")
        cls.postgres = PostgresServer()
        cls.addClassCleanup(cls.postgres.remove)
        cls.bucket_server = None
        if ARGUMENTS.server.exists():
            (cls.work / "s3").mkdir()
            cls.bucket_server = cls.enterClassContext(S3Server(ARGUMENTS.server, cls.work / "s3"))
        else:
            print(f"buckets are left out: there is no {ARGUMENTS.server}")
        with cls.running(cls.work / "first") as up:
            cls.make_something(up)
            cls.facts = cls.facts_of(up)

    @classmethod
    @contextlib.contextmanager
    def running(cls, home, *flags, environment=None):
        up = Installation(ARGUMENTS.bin, home, PROJECT)
        up.log_path = cls.work / f"{home.name}.log"
        with mock.patch.dict(os.environ, environment or {}):
            try:
                up.start(*flags)
                yield up
            except BaseException:
                for name, lines in up.last_log_lines(20):
                    print(f"-- {name}", *lines, sep="\n")
                raise
            finally:
                up.stop()

    @classmethod
    def make_something(cls, up):
        run = up.run
        run("projects", "create", PROJECT)
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
        run("models", "alias", "champion", 1, "--reason", "first model")
        run("releases", "create", 1)
        policy = TESTS.parent / "docs" / "examples" / "policy.yaml"
        run("policies", "set", policy)
        run("tokens", "create", "--device", "phone-1", "--out", cls.work / "token")

    @classmethod
    def facts_of(cls, up):
        """With the bytes of what is immutable."""
        found = facts(up)
        out = cls.work / "export"
        shutil.rmtree(out, ignore_errors=True)
        up.run("datasets", "export", "all/versions/1", "--out", out, "--format", "folder")
        found["export"] = {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*")) if path.is_file()}
        up.run("models", "download", 1, "--out", cls.work / "model.tflite")
        found["model"] = hashlib.sha256((cls.work / "model.tflite").read_bytes()).hexdigest()
        found["log"] = subprocess.run(
            [ARGUMENTS.bin / "fieldloop", "--home", up.home, "--project", PROJECT, "builds", "log", "1"],
            check=True, capture_output=True, text=True).stdout
        found["tokens"] = up.run("tokens", "list")
        return found

    def cli(self, home, *arguments, environment=None):
        done = subprocess.run(
            [ARGUMENTS.bin / "fieldloop", "--home", home, *arguments],
            env=os.environ | KEYS | (environment or {}), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}{done.stderr}")
        return done

    def database(self, name):
        self.postgres.sql(f"CREATE DATABASE {name}")
        return self.postgres.uri(name)

    def bucket(self, name):
        (self.work / "s3" / "buckets" / name).mkdir()
        return self.bucket_server.location(name)

    def test_a_machine_moves_to_postgres_and_a_bucket_and_its_loss_is_made_good(self):
        passphrase = ("--passphrase-file", self.passphrase)
        self.cli(self.work / "first", "backup", "--to", self.work / "backups", *passphrase,
                 "--with-release-keys")
        cluster = {"FIELDLOOP_DATABASE": self.database("moved")}
        place = self.work / "of-cluster"
        if self.bucket_server is not None:
            cluster |= {"FIELDLOOP_BLOBS": self.bucket("blobs"), **KEYS}
            place = self.bucket("backups")
        home = self.work / "moved"
        self.cli(home, "restore", "--from", self.work / "backups", "--moved", *passphrase, environment=cluster)
        with self.running(home, environment=cluster) as up:
            self.assertEqual(self.facts_of(up), self.facts)
            self.assertEqual(list(home.rglob("*.db")), [])
            self.cli(home, "backup", "--to", place, *passphrase, environment=cluster)
        self.cli(home, "backup", "verify", place)
        self.postgres.sql("DROP DATABASE moved")
        shutil.rmtree(home)

        self.assertEqual(self.cli(home, "backup", "list", place).stdout.count("\n"), 2)
        other = {"FIELDLOOP_DATABASE": self.database("again")}
        home = self.work / "again"
        said = self.cli(home, "restore", "--from", place, *passphrase, environment=other).stdout
        self.assertIn("Do again: revocations", said)
        with self.running(home, environment=other) as up:
            found = self.facts_of(up)
            # Open tokens may have been used since the backup.
            self.assertEqual([token["state"] for token in found.pop("tokens")], ["STATE_REVOKED"])
            self.assertEqual(found, {key: value for key, value in self.facts.items() if key != "tokens"})
            self.assertEqual(up.one("releases", "create", 1)["name"].rpartition("/")[2], "1002")

    def test_the_new_version_starts_on_the_schema_of_the_one_before(self):
        home = self.work / "old"
        shutil.copytree(self.work / "first", home)
        for service, migrations in migrations_before_last().items():
            older_sqlite(home / service / f"{service}.db", migrations)
        with self.running(home) as up:
            self.assertEqual(self.facts_of(up), self.facts)

    def test_the_new_version_starts_on_the_schema_of_the_one_before_in_postgres(self):
        self.cli(self.work / "first", "backup", "--to", self.work / "for-old", "--passphrase-file",
                 self.passphrase)
        home = self.work / "old-postgres"
        there = {"FIELDLOOP_DATABASE": self.database("old")}
        self.cli(home, "restore", "--from", self.work / "for-old", "--moved", "--passphrase-file",
                 self.passphrase, environment=there)
        for service, migrations in migrations_before_last().items():
            self.older_postgres(service, migrations)
        with self.running(home, environment=there) as up:
            self.assertEqual(self.facts_of(up), self.facts)

    def older_postgres(self, service, migrations):
        """Makes a service's schema what it was before its newest migration, with the same rows."""
        sql = lambda statement: self.postgres.sql(statement, "old")  # noqa: E731
        sql(f"ALTER SCHEMA {service} RENAME TO newer; CREATE SCHEMA {service};")
        script = "".join(text for _, _, text in migrations)
        sql(f"SET search_path = {service}; {bookkeeping(migrations)} {script}")
        columns = {}
        for line in sql("SELECT table_name, column_name FROM information_schema.columns WHERE "
                        f"table_schema = '{service}' ORDER BY ordinal_position").splitlines():
            table, column = line.split("|")
            columns.setdefault(table, []).append(column)
        for table in referenced_first(columns):
            names = ", ".join(columns[table])
            sql(f"DELETE FROM {service}.{table}; "
                f"INSERT INTO {service}.{table} ({names}) SELECT {names} FROM newer.{table};")
        sql("DROP SCHEMA newer CASCADE")


def bookkeeping(migrations):
    rows = "".join(f"INSERT INTO fieldloop_migrations VALUES ({number}, '{name}');"
                   for number, name, _ in migrations)
    return ("CREATE TABLE fieldloop_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL);"
            "CREATE TABLE fieldloop_leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, "
            f"expire_micros BIGINT NOT NULL);{rows}")


def referenced_first(columns):
    own = {"fieldloop_migrations", "fieldloop_leases"}
    return sorted((table for table in columns if table not in own), key=lambda table: table != "projects")


def older_sqlite(path, migrations):
    """The same for a file."""
    newer = path.with_suffix(".newer")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    path.rename(newer)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(bookkeeping(migrations) + "".join(text for _, _, text in migrations))
        database.execute("ATTACH ? AS newer", (str(newer),))
        tables = [row[0] for row in database.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
        for table in referenced_first(tables):
            names = ", ".join(row[1] for row in database.execute(f"PRAGMA main.table_info({table})"))
            database.execute(f"DELETE FROM main.{table}")
            database.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")
        database.commit()
    newer.unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    ARGUMENTS.bin = ARGUMENTS.bin.resolve()
    if binaries() is None:
        print("SKIPPED: PostgreSQL is not installed")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
