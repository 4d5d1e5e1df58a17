#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""People label by the command line: the queue, the dialogue at a terminal, undo, agreement, deletion."""

import argparse
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import unittest

from ingestion_services import IngestionServices

BINARIES = None


def csv_file(seed):
    return "timestamp,x\n" + "".join(f"{10 * i},{seed + i}\n" for i in range(20))


class LabellingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="fieldloop-label-")))
        cls.services = cls.enterClassContext(IngestionServices(BINARIES, cls.folder / "home"))

    def begin(self, name, recordings):
        """A new project with unlabelled recordings; returns their names."""
        self.services.project = name
        self.services.cli("projects", "create", name)
        paths = []
        for seed in range(recordings):
            paths.append(self.folder / f"{name}{seed}.csv")
            paths[-1].write_text(csv_file(seed))
        self.services.cli("samples", "upload", *paths)
        return [sample["name"] for sample in self.services.cli_json("samples", "list")]

    def person(self):
        """Token of another labeller."""
        return self.services.cli_json("tokens", "api", "--role", "operator")[-1]["secret"]

    def at_terminal(self, answers, *arguments):
        """Runs a command at a terminal; each answer follows a prompt. Returns what it showed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [str(word) for word in self.services.command(*arguments)],
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        os.close(theirs)
        shown = b""
        for answer in [*answers, None]:
            while True:
                byte = process.stdout.read1(4096)
                shown += byte
                if not byte or shown.endswith(b"label> "):
                    break
            if answer is None or not byte:
                break
            shown = shown[:-1] + b": "  # So that the same prompt is not seen twice.
            os.write(ours, answer.encode() + b"\n")
        shown += process.communicate()[0]
        os.close(ours)
        self.assertEqual(process.returncode, 0, shown)
        return shown.decode()

    def test_a_person_labels_at_a_terminal_and_changes_their_mind(self):
        names = self.begin("terminal", 3)
        shown = self.at_terminal(["idle", ":u", "wave", ":s", ":q"], "labels", "next", "--count", 1)
        self.assertIn("3 wait", shown)
        self.assertIn("random", shown)
        self.assertIn("▁", shown)
        self.assertIn("undone", shown)
        self.assertIn("1 labelled", shown)
        labels = [sample.get("labels", []) for sample in self.services.cli_json("samples", "list")]
        self.assertEqual(sorted(len(label) for label in labels), [0, 0, 1])
        # What was not labelled is free again.
        other = ("--token", self.person())
        self.assertEqual(len(self.services.cli_json(*other, "labels", "next")), len(names) - 1)

    def test_two_people_never_get_the_same_and_give_it_back(self):
        names = self.begin("two", 5)
        ann, ben = ("--token", self.person()), ("--token", self.person())
        anns = {task["sample"]["name"] for task in self.services.cli_json(*ann, "labels", "next", "--count", 3)}
        bens = {task["sample"]["name"] for task in self.services.cli_json(*ben, "labels", "next")}
        self.assertEqual((len(anns), len(bens)), (3, 2))
        self.assertEqual(anns | bens, set(names))
        self.assertIn("3 given back", self.services.cli(*ann, "labels", "next", "--release").stdout)
        bens = {task["sample"]["name"] for task in self.services.cli_json(*ben, "labels", "next")}
        self.assertEqual(bens, set(names))

    def test_undo_agreement_and_a_second_opinion(self):
        names = self.begin("opinions", 2)
        ann, ben = ("--token", self.person()), ("--token", self.person())
        for name in names:
            self.services.cli(*ann, "labels", "set", name, "idle")
        tasks = self.services.cli_json(*ben, "labels", "next", "--second", 1, "--random", 0)
        self.assertEqual({task["reason"] for task in tasks}, {"LABELLING_REASON_SECOND_OPINION"})
        self.assertTrue(all("labels" not in task["sample"] for task in tasks))
        self.services.cli(*ben, "labels", "set", names[0], "idle")
        self.services.cli(*ben, "labels", "set", names[1], "wave")
        (agreement,) = self.services.cli_json("labels", "agreement")
        self.assertEqual(agreement["samples"], "2")
        self.assertEqual(agreement["disagreeing"], [names[1]])
        self.assertIn("50.0 %", self.services.cli("labels", "agreement").stdout)
        self.services.cli(*ben, "labels", "undo", names[1])
        (agreement,) = self.services.cli_json("labels", "agreement")
        self.assertEqual(agreement["samples"], "1")
        history = self.services.cli_json("labels", "list", names[1])
        self.assertEqual(len(history), 3)
        self.assertEqual(history[2]["undoes"], history[1]["name"])
        self.assertEqual(history[1]["reason"], "LABELLING_REASON_SECOND_OPINION")

    def test_what_a_version_holds_is_not_deleted(self):
        held, loose = self.begin("held", 2)
        self.services.cli("labels", "set", held, "idle")
        self.services.cli("datasets", "create", "all")
        self.services.cli("datasets", "fix", "all")
        done = self.services.cli("samples", "delete", held, check=False)
        self.assertIn("[SAMPLE_HELD]", done.stderr)
        self.assertIn("all/versions/1", self.services.cli("samples", "versions", held).stdout)
        self.services.cli("samples", "delete", loose)
        self.assertEqual([s["name"] for s in self.services.cli_json("samples", "list")], [held])
        (result,) = self.services.cli_json("retention", "apply", "--dry-run")
        self.assertEqual(int(result.get("samples", 0)), 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
