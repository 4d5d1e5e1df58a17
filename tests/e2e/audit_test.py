#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The audit log over the command line: who changed what, who was refused, and that a log that was tampered
with, or lost its end, is told from a whole one, also after a restore."""

import argparse
import hashlib
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/demo"))

from installation import DemoError, Installation  # noqa: E402

BINARIES = None
PROJECT = "motor"
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")
FIELDS = ("subject", "role", "method", "target", "outcome", "request_id", "trace_id", "previous_hash")


def hash_of(entry):
    """As proto/fieldloop/common/v1/audit_service.proto says it."""
    texts = ["fieldloop-audit-1", str(entry.get("sequence", 0)), str(entry.get("time_ms", 0))]
    texts += [entry.get(field, "") for field in FIELDS]
    netstrings = (b"%d:%s," % (len(text.encode()), text.encode()) for text in texts)
    return hashlib.sha256(b"".join(netstrings)).hexdigest()


class AuditTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-audit-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.up = Installation(BINARIES, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)
        cls.up.start()
        cls.up.run("projects", "create", PROJECT)
        made = cls.up.one("tokens", "api", "--role", "viewer")
        cls.viewer = made["secret"]
        cls.viewer_name = made["api_token"]["name"]

    def command(self, home, *arguments):
        return subprocess.run(
            [f"{BINARIES}/fieldloop", "--home", home, "--project", PROJECT, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def entries(self, service, *more):
        return self.up.run("audit", "list", "--service", service, *more)

    def verify(self, *more, home=None):
        done = self.command(home or self.up.home, "audit", "verify", *more)
        return done.returncode == 0, done.stdout.split(), done.stderr

    def change(self, service, sql):
        """What somebody does who can write into the database."""
        database = sqlite3.connect(self.up.home / service / f"{service}.db", timeout=30)
        with database:
            database.execute(sql)
        database.close()

    def test_a_change_and_a_refusal_are_entries_with_their_author_and_a_question_is_none(self):
        refused = self.command(self.up.home, "--token", self.viewer, "datasets", "create", "mine")
        self.assertNotEqual(refused.returncode, 0)
        self.up.run("datasets", "create", "all")
        self.up.run("datasets", "list")
        first, second = self.entries("ingestion")[-2:]
        self.assertEqual((first["subject"], first["outcome"]), (self.viewer_name, "PERMISSION_DENIED"))
        self.assertIn(first["request_id"], refused.stderr)
        self.assertEqual(first["target"], f"projects/{PROJECT}/datasets/mine")
        self.assertEqual((second["outcome"], second["target"]), ("OK", f"projects/{PROJECT}/datasets/all"))
        self.assertEqual(second["method"], "fieldloop.ingestion.v1.IngestionService/CreateDataset")
        self.assertEqual(len(second["trace_id"]), 32)
        # The token's own making has its name and nothing of its secret.
        made = self.entries("provisioning")[-1]
        self.assertEqual((made["target"], made["role"]), (self.viewer_name, "admin"))
        self.assertNotIn(self.viewer.rsplit("_", 1)[1], str(self.entries("provisioning")))
        self.assertEqual(self.entries("ingestion", "--since", "1h")[-1], second)

    def test_only_an_administrator_reads_it(self):
        with self.assertRaisesRegex(DemoError, f"the API token is for projects/{PROJECT} only"):
            self.up.run("--token", self.viewer, "audit", "list")

    def test_the_hashes_can_be_computed_by_anybody(self):
        previous = "0" * 64
        for entry in self.entries("provisioning"):
            self.assertEqual(entry["previous_hash"], previous)
            self.assertEqual(entry["hash"], hash_of(entry))
            previous = entry["hash"]

    def test_what_was_tampered_with_is_named_and_a_cut_end_by_the_head_that_was_kept(self):
        whole, heads, _ = self.verify()
        self.assertTrue(whole)
        self.assertEqual([head.split(":")[0] for head in heads], list(SERVICES))
        self.change("provisioning", "UPDATE audit_entries SET outcome = 'x' || outcome WHERE sequence = 1")
        whole, _, why = self.verify()
        self.assertFalse(whole)
        self.assertIn("audit log of provisioning: entry 1 was changed", why)
        self.change("provisioning", "UPDATE audit_entries SET outcome = substr(outcome, 2) WHERE sequence = 1")
        self.assertTrue(self.verify("--expect", heads[0])[0])
        # Somebody who cuts the end off and sets the head back is found out by who kept the old one.
        kept = self.verify()[1][0]
        service, sequence, _ = kept.split(":")
        rows = f"FROM audit_entries WHERE sequence = {sequence}"
        saved = self.entries(service)[-1]
        before = f"sequence = {int(sequence) - 1}, hash = (SELECT previous_hash {rows})"
        self.change(service, f"UPDATE audit_head SET {before}")
        self.change(service, f"DELETE {rows}")
        self.assertTrue(self.verify()[0])
        whole, _, why = self.verify("--expect", kept)
        self.assertFalse(whole)
        self.assertIn(f"entry {sequence}, which --expect names, is not there", why)
        columns = ("sequence", "time_ms", *FIELDS, "hash")
        values = ", ".join(f"'{saved.get(column, '')}'" for column in columns)
        self.change(service, f"INSERT INTO audit_entries ({', '.join(columns)}) VALUES ({values})")
        self.change(service, f"UPDATE audit_head SET sequence = {sequence}, hash = '{saved['hash']}'")
        self.assertTrue(self.verify("--expect", kept)[0])

    def test_a_restored_installation_has_its_log_and_goes_on_with_it(self):
        heads = self.verify()[1]
        passphrase = self.work / "passphrase"
        passphrase.write_text("correct horse battery staple", encoding="utf-8")
        options = ("--passphrase-file", passphrase)
        done = self.command(self.up.home, "backup", "--to", self.work / "backups", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        home = self.work / "restored" / "home"
        done = self.command(home, "restore", "--from", self.work / "backups", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        restored = Installation(BINARIES, home, PROJECT)
        self.addCleanup(restored.stop)
        restored.start()
        expected = [word for head in heads for word in ("--expect", head)]
        self.assertTrue(self.verify(*expected, home=home)[0])
        restored.run("projects", "create", "another")
        whole, after, why = self.verify(*expected, home=home)
        self.assertTrue(whole, why)
        self.assertEqual(int(after[0].split(":")[1]), int(heads[0].split(":")[1]) + 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    arguments, rest = parser.parse_known_args()
    BINARIES = pathlib.Path(arguments.bin).resolve()
    unittest.main(argv=[sys.argv[0], *rest])
