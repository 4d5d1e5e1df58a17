#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds over the command line, on two fresh installations: the same inputs give the same bytes, by the
built-in trainer and by one of the learning-block contract; the recipes of docs/examples are taken; a
model of the user's own is imported."""

import argparse
import json
import math
import pathlib
import random
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/demo"))

from installation import DemoError, Installation  # noqa: E402

BINARIES = None
PROJECT = "motion"
RATE_HZ = 50
RECIPE = {
    "window": {"length": 25, "stride": 25, "frequency_hz": RATE_HZ, "axes": ["x", "y", "z"]},
    "blocks": [{"flatten": {}}],
    "learning": {
        "dense_units": [8],
        "epochs": 5,
        "early_stopping_patience": 5,
        "parameters": {"sharpness": "0.25"},
    },
}
PUBLISHED = ROOT.parent / "shared/data/edge-impulse/models/gestures-i8.lite"


def write_recording(path, label, seed):
    """Something that swings (WALK) or is still (SIT), as a CSV file."""
    rng = random.Random(seed)
    lines = ["timestamp,x,y,z"]
    for i in range(6 * RATE_HZ):
        swing = 4 * math.sin(2 * math.pi * 2 * i / RATE_HZ) if label == "WALK" else 0
        values = (swing + rng.gauss(0, 0.3), rng.gauss(0, 0.3), 9.8 + rng.gauss(0, 0.3))
        lines.append(",".join([str(i * 1000 // RATE_HZ), *(f"{v:.4f}" for v in values)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Fresh:
    """An installation of its own with the same recordings as every other."""

    def __init__(self, work, *flags, trainers=ROOT / "docs/examples/trainers/trainers.json"):
        self.work = pathlib.Path(work)
        self.up = Installation(BINARIES, self.work / "home", PROJECT)
        self.up.start("--trainers", trainers, *flags)
        run = self.up.run
        run("projects", "create", PROJECT)
        for i in range(6):
            for label in ("WALK", "SIT"):
                path = self.work / f"{label}.{i}.csv"
                write_recording(path, label, f"{label}/{i}")
                split = "testing" if i % 3 == 0 else "training"
                run("samples", "upload", path, "--label", label, "--split", split)
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        recipe = self.work / "recipe.json"
        recipe.write_text(json.dumps(RECIPE), encoding="utf-8")
        run("impulses", "create", "motion", "--recipe", recipe)

    def build(self, *more):
        """Makes a build and returns it as it ended, and its model."""
        arguments = ("--dataset", "all/versions/1", "--impulse", "motion", *more, "--watch")
        build = self.up.run("builds", "create", *arguments)[-1]["build"]
        return build, self.up.one("models", "get", build["model"].split("/")[-1])


class TrainersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.installations = []
        for _ in range(2):
            folder = tempfile.TemporaryDirectory(prefix="fieldloop-trainers-")
            cls.addClassCleanup(folder.cleanup)
            fresh = Fresh(folder.name)
            cls.addClassCleanup(fresh.up.stop)
            cls.installations.append(fresh)

    def test_two_installations_build_the_same_bytes(self):
        for trainer in ("fieldloop-trainer", "centroids"):
            with self.subTest(trainer):
                (_, a), (_, b) = (i.build("--trainer", trainer) for i in self.installations)
                self.assertEqual(a["digest"], b["digest"])
                self.assertEqual(a["trainer"], b["trainer"])

    def test_a_learning_block_makes_a_model_that_passes_the_checks_of_the_service(self):
        build, model = self.installations[0].build("--trainer", "centroids")
        self.assertIn("centroids sha256:", build["trainer"])
        metrics = {m["name"]: m["value"] for m in model["metrics"]}
        self.assertGreater(metrics["balanced_accuracy"], 0.95)
        self.assertGreaterEqual(len(model["metadata"]["reference"]["channels"]), 2)
        self.assertTrue(model["metadata"]["self_test"]["output"])

    def test_the_passes_of_the_built_in_trainer_are_told(self):
        build, _ = self.installations[0].build("--seed", 7)
        self.assertEqual([e["epoch"] for e in build["history"]], list(range(1, 6)))
        self.assertTrue(all(e["loss"] > 0 and "validation_loss" in e for e in build["history"]))

    def test_a_warm_start_takes_a_model_of_the_project_only(self):
        _, first = self.installations[0].build()
        build, model = self.installations[0].build("--parent", first["name"].split("/")[-1], "--seed", 3)
        self.assertEqual(model["parent_model"], first["name"])
        self.assertEqual(build["parent_model"], first["name"])
        with self.assertRaisesRegex(DemoError, "999"):
            self.installations[0].build("--parent", 999)

    def test_a_trainer_that_is_not_there_is_refused_by_name(self):
        with self.assertRaisesRegex(DemoError, "want one of fieldloop-trainer, centroids"):
            self.installations[0].build("--trainer", "mine")

    def test_every_recipe_of_the_examples_is_taken(self):
        recipes = sorted((ROOT / "docs/examples").glob("*.json"))
        self.assertGreaterEqual(len(recipes), 3)
        for recipe in recipes:
            with self.subTest(recipe.name):
                made = self.installations[0].up.one("impulses", "create", f"example-{recipe.stem}", "--recipe", recipe)
                self.assertTrue(made["digest"])

    def test_a_published_model_is_imported_with_its_impulse(self):
        if not PUBLISHED.exists():
            self.skipTest(f"needs {PUBLISHED}")
        up, work = self.installations[0].up, self.installations[0].work
        recipe = work / "gestures.json"
        recipe.write_text(
            json.dumps(
                {
                    "window": {"length": 125, "stride": 125, "frequency_hz": 62.5, "axes": ["x", "y", "z"]},
                    "blocks": [{"raw": {}}],
                }
            ),
            encoding="utf-8",
        )
        up.run("impulses", "create", "gestures", "--recipe", recipe)
        classes = "idle,snake,updown,wave"
        model = up.one("models", "import", PUBLISHED, "--impulse", "gestures@1", "--classes", classes)
        self.assertEqual(model["classes"], classes.split(","))
        self.assertEqual(model["trainer"], "import")
        self.assertTrue(model["import_author"])
        with self.assertRaisesRegex(DemoError, "its output has 4 values, but there are 2 classes"):
            up.run("models", "import", PUBLISHED, "--impulse", "gestures", "--classes", "a,b")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
