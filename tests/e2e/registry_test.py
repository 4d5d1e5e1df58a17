#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The registry over the command line: two models of one line, a device that runs the newer one; from the
device to the samples and back, comparison, the history of an alias, exports, labels that a model suggests, and
what the device records from its sensor to an exported dataset."""

import argparse
import json
import math
import pathlib
import random
import struct
import sys
import tempfile
import time
import unittest
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import Agent, DemoError, Installation  # noqa: E402

BINARIES = None
PROJECT = "motion"
PATIENCE_S = 180
RATE_HZ = 50
RECIPE = {
    "window": {"length": 25, "stride": 25, "frequency_hz": RATE_HZ, "axes": ["x_acc", "y_acc", "z_acc"]},
    "blocks": [{"flatten": {}}],
    "learning": {"dense_units": [8], "epochs": 20, "learning_rate": 0.02},
}


def write_recording(path, label, seed, seconds=8):
    """Something that swings (WALK) or is still (SIT), as a CSV file. Returns its readings as float32, by rows."""
    rng = random.Random(seed)
    readings = []
    lines = ["timestamp,x_acc,y_acc,z_acc"]
    for i in range(int(seconds * RATE_HZ)):
        swing = 4 * math.sin(2 * math.pi * 2 * i / RATE_HZ) if label == "WALK" else 0
        values = (swing + rng.gauss(0, 0.3), rng.gauss(0, 0.3), 9.8 + rng.gauss(0, 0.3))
        texts = [f"{v:.4f}" for v in values]
        readings.append(struct.pack("<3f", *map(float, texts)))
        lines.append(",".join([str(i * 1000 // RATE_HZ), *texts]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return readings


class RegistryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-registry-")
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.up = Installation(BINARIES, cls.work / "home", PROJECT)
        cls.addClassCleanup(cls.up.stop)
        client = cls.up.start()
        try:
            cls.prepare(client)
        except DemoError:
            for name, lines in cls.up.last_log_lines(20):
                print(f"-- {name}", *lines, sep="\n")
            raise

    @classmethod
    def prepare(cls, client):
        run, one = cls.up.run, cls.up.one
        run("projects", "create", PROJECT)
        run(
            *("fleet", "set", "--check-in", 1, "--sketch-period", 5),
            *("--trial-windows", 5, "--trial-timeout", 600),
        )
        cls.samples = {}
        cls.upload("first", 6)
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        cls.build("all/versions/1")
        run("models", "alias", "champion", 1, "--reason", "first model")
        cls.upload("second", 2)
        run("datasets", "fix", "all")
        RECIPE["learning"]["epochs"] = 25
        cls.build("all/versions/2", "--parent", 1)
        run("models", "alias", "champion", 2, "--reason", "more recordings")

        release = one("releases", "create", 2)
        cls.device = Agent("phone-1", "nobody", False, cls.work / "phone-1")
        replay = cls.device.folder / "replay"
        replay.mkdir(parents=True)
        cls.replayed = write_recording(replay / "walk.csv", "WALK", 99)
        run("tokens", "create", "--device", "phone-1", "--out", cls.device.token_path)
        cls.device.start(BINARIES, client, cls.up.home, PROJECT, 10, 1, "replay")
        cls.addClassCleanup(cls.device.stop)
        deadline = time.monotonic() + PATIENCE_S
        while not run("devices", "list"):
            if time.monotonic() > deadline:
                raise DemoError(f"the device does not enrol; see {cls.device.log_path}")
        run("rollouts", "create", release["name"], "--stages", "100", "--watch")

    @classmethod
    def upload(cls, name, count):
        for i in range(count):
            for label in ("WALK", "SIT"):
                path = cls.work / f"{name}.{label}.{i}.csv"
                write_recording(path, label, f"{name}/{label}/{i}")
                sample = cls.up.one(
                    *("samples", "upload", path, "--label", label),
                    *("--split", "testing" if i % 3 == 0 else "training"),
                    *("--metadata", f"person=p{i % 2}"),
                )
                cls.samples[path.stem] = sample["sample"]["name"]

    @classmethod
    def build(cls, dataset, *more):
        recipe = cls.work / "recipe.json"
        recipe.write_text(json.dumps(RECIPE), encoding="utf-8")
        cls.up.run("impulses", "create", "motion", "--recipe", recipe)
        cls.up.run("builds", "create", "--dataset", dataset, "--impulse", "motion", *more, "--watch")

    def lines(self, *arguments):
        """The command's messages by what they are: {"steps": [...], "device": [...], ...}."""
        found = {}
        for message in self.up.run(*arguments):
            for key in ("steps", "device", "split", "build", "sample_count"):
                if key in message:
                    found.setdefault(key, []).append(message)
                    break
        return found

    def test_a_device_leads_to_the_samples_behind_its_model(self):
        found = self.lines("lineage", "device", "phone-1", "--samples")
        device = found["device"][0]
        self.assertEqual(device["device"], f"projects/{PROJECT}/devices/phone-1")
        steps = found["steps"][0]["steps"]
        self.assertEqual([s["model"].rsplit("/", 1)[1] for s in steps], ["2", "1"])
        self.assertEqual(steps[0]["digest"], device["model_digest"])
        self.assertEqual([s["build"].rsplit("/", 1)[1] for s in steps], ["2", "1"])
        self.assertEqual(
            [s["dataset_version"] for s in steps],
            [f"projects/{PROJECT}/datasets/all/versions/{n}" for n in (2, 1)],
        )
        self.assertTrue(all(s["trainer"].startswith("fieldloop-trainer sha256:") for s in steps))
        samples = [message["name"] for message in found["split"]]
        self.assertEqual(sorted(samples), sorted(self.samples.values()))

    def test_a_sample_leads_to_the_models_and_the_devices(self):
        for name, models in (("first.WALK.1", ["1", "2"]), ("second.SIT.0", ["2"])):
            found = self.lines("lineage", "sample", self.samples[name])
            self.assertEqual([m["name"].rsplit("/", 1)[1] for m in found["build"]], models)
            self.assertEqual([d["device"].rsplit("/", 1)[1] for d in found["device"]], ["phone-1"])

    def test_a_model_shows_both_directions(self):
        found = self.lines("lineage", "model", "1")
        self.assertEqual(len(found["steps"][0]["steps"]), 1)
        self.assertNotIn("device", found)
        self.assertIn("device", self.lines("lineage", "model", "champion"))

    def test_the_registry_keeps_figures_of_its_own(self):
        model = self.up.one("models", "get", "champion")
        metrics = {metric["name"]: metric.get("value", 0) for metric in model["metrics"]}
        self.assertGreater(metrics["accuracy"], 0.8)
        self.assertEqual(metrics["windows/WALK"], metrics["windows/SIT"])
        self.assertGreater(int(model["cortex_m4_instructions"]), 1000)
        self.assertGreater(int(model["host_inference_nanos"]), 0)
        self.assertEqual(model["seed"], 1)

    def test_two_models_are_compared_on_the_same_windows(self):
        comparison = self.up.one(
            "models", "compare", 1, 2, "--dataset", "all/versions/2", "--slice", "person"
        )
        rows = {(row["slice"], row["name"]): row for row in comparison["rows"]}
        for slice_name in ("all", "person=p0", "person=p1", "source=upload"):
            self.assertIn((slice_name, "recall/WALK"), rows)
        windows = sum(
            int(comparison.get(key, 0))
            for key in ("both_right", "only_first_right", "only_second_right", "neither_right")
        )
        self.assertEqual(windows, sum(rows["all", f"windows/{c}"]["first"] for c in ("WALK", "SIT")))
        self.assertEqual(comparison["recipe_differences"], ["learning.epochs: 20 -> 25"])
        # The same windows, the same code: what the registry says of a model is what is found again.
        model = self.up.one("models", "get", 2)
        accuracy = next(m.get("value", 0) for m in model["metrics"] if m["name"] == "accuracy")
        self.assertEqual(rows["all", "accuracy"]["second"], accuracy)

    def test_which_version_was_champion_when(self):
        changes = self.up.run("models", "alias-history", "champion")
        self.assertEqual([c["model"].rsplit("/", 1)[1] for c in changes], ["2", "1"])
        self.assertEqual([c["reason"] for c in changes], ["more recordings", "first model"])
        self.assertTrue(all(c["author"] for c in changes))
        then = self.up.run("models", "alias-history", "champion", "--at", changes[1]["create_time"])
        self.assertEqual(then, changes[1:])
        before = self.up.run("models", "alias-history", "champion", "--at", "2001-01-01")
        self.assertEqual(before, [])

    def test_changes_of_one_second_are_told_apart_and_a_whole_second_means_its_end(self):
        for i in range(8):  # More than a second has.
            self.up.run("models", "alias", "candidate", 1 + i % 2, "--reason", f"change {i}")
        changes = self.up.run("models", "alias-history", "candidate")
        self.assertEqual(len(changes), 8)
        newest_of = {}
        for change in reversed(changes):
            when = change["create_time"]
            self.assertEqual(self.up.run("models", "alias-history", "candidate", "--at", when), [change])
            newest_of[when[: len("2026-01-31T12:00:00")] + "Z"] = change
        for second, change in newest_of.items():
            self.assertEqual(self.up.run("models", "alias-history", "candidate", "--at", second), [change])

    def suggest(self, most):
        """How many recordings the champion gave a suggestion, and how many it cannot read."""
        told = self.up.one("labels", "suggest", "--model", "champion", "--max", most)
        return int(told.get("suggested", 0)), int(told.get("unreadable", 0))

    def test_a_model_suggests_labels_and_labels_nothing_itself(self):
        truth = {}
        for label in ("WALK", "SIT"):
            path = self.work / f"unlabelled.{label}.csv"
            write_recording(path, label, f"unlabelled/{label}")
            truth[self.up.one("samples", "upload", path)["sample"]["name"]] = label
        short = self.work / "unlabelled.short.csv"
        write_recording(short, "SIT", "short", seconds=0.4)
        unreadable = self.up.one("samples", "upload", short)["sample"]["name"]
        told = self.suggest(2)
        self.assertEqual(told, (2, 1), "those without a label first; a window has 25 readings")
        digest = self.up.one("models", "get", "champion")["digest"]
        tasks = {task["sample"]["name"]: task for task in self.up.run("labels", "next", "--json", "--count", 10)}
        for name, label in truth.items():
            suggestion = tasks[name]["suggestion"]
            self.assertEqual((suggestion["label"], suggestion["model_digest"]), (label, digest))
            self.assertGreater(suggestion["confidence"], 0.5)
            self.assertNotIn("labels", tasks[name]["sample"])
        self.assertNotIn("suggestion", tasks[unreadable])
        self.assertEqual(self.suggest(100)[0], len(self.samples), "it goes on with those that no person labelled")
        self.assertEqual(self.suggest(100)[0], 0)
        self.up.run("labels", "next", "--release")
        for name in (*truth, unreadable):
            self.up.run("samples", "delete", name)

    def test_what_a_device_records_is_exported_and_imported_as_it_was_sensed(self):
        # Twelve windows of the sixteen that it senses again and again; the same one twice is one recording.
        self.up.run("fleet", "set", "--samples-per-period", 4, "--samples-total", 12)
        recorded = []
        deadline = time.monotonic() + PATIENCE_S
        while len(recorded) < 3:
            self.assertLess(time.monotonic(), deadline, f"the device sends too little: {recorded}")
            recorded = self.up.run("samples", "list", "--source", "device")
        self.up.run("fleet", "set", "--samples-per-period", 0)
        for sample in recorded:
            self.up.run("labels", "set", sample["name"], "WALK")
        # What it sends until it has heard of that has no label.
        self.up.run("datasets", "create", "sensed", "--source", "device", "--labelled")
        version = self.up.one("datasets", "fix", "sensed")
        self.assertEqual(int(version["sample_count"]), len(recorded))
        out = self.work / "sensed"
        self.up.run("datasets", "export", "sensed/versions/1", "--out", out)
        self.assertEqual(self.up.one("datasets", "verify", out)["computed"], version["digest"])

        index = json.loads((out / "info.labels").read_text(encoding="utf-8"))["files"]
        sensed = b"".join(self.replayed * 2)  # It plays the recording again and again.
        for file in index:
            self.assertTrue(file["path"].endswith(".f32"), file)
            self.assertEqual((file["axes"], file["frequencyHz"]), (RECIPE["window"]["axes"], RATE_HZ))
            payload = (out / file["path"]).read_bytes()
            self.assertEqual(len(payload), 25 * len(self.replayed[0]))
            at = sensed.find(payload)
            self.assertGreaterEqual(at, 0, "the bytes are readings of the sensor, one behind the other")
            self.assertEqual(at % len(self.replayed[0]), 0)

        self.addCleanup(setattr, self.up, "project", PROJECT)
        self.up.project = "elsewhere"
        self.up.run("projects", "create", "elsewhere")
        imported = self.up.one("samples", "import", out)
        self.assertEqual((imported["stored"], imported["refused"]), (len(recorded), []))
        self.up.run("datasets", "create", "sensed")
        self.assertEqual(self.up.one("datasets", "fix", "sensed")["digest"], version["digest"])

    def test_a_model_is_exported(self):
        archive = self.work / "model.zip"
        self.up.run("models", "export", 2, "--format", "deployment", "--out", archive)
        with zipfile.ZipFile(archive) as opened:
            self.assertEqual(sorted(opened.namelist()), ["deployment-metadata.json", "model.tflite"])
            metadata = json.loads(opened.read("deployment-metadata.json"))
            self.assertEqual(metadata["classes"], ["SIT", "WALK"])
            self.assertEqual(metadata["sensor"], "accelerometer")
        folder = self.work / "array"
        folder.mkdir()
        self.up.run("models", "export", "champion", "--format", "c-array", "--out", folder)
        self.assertEqual(
            sorted(path.name for path in folder.iterdir()), ["fieldloop_model.c", "fieldloop_model.h"]
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
