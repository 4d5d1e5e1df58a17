#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Real recordings come in, are exported, and come in again elsewhere as the same dataset, to the digest.

With --whole, all of both sets of recordings instead of a part of them, and the time that it takes.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import numpy

from ingestion_services import IngestionServices

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE.parent / "shared" / "data"
BINARIES = None
WHOLE = False


def csv_file(seed, readings=20):
    return "timestamp,x,y\n" + "".join(f"{10 * i},{seed + i},{-i}\n" for i in range(readings))


def documented_script():
    """The program of docs/datasets.md that computes a digest without us."""
    text = (SOURCE / "docs" / "datasets.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)


class RoundTripTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="fieldloop-trip-")))
        cls.services = cls.enterClassContext(IngestionServices(BINARIES, cls.folder / "home"))

    def project(self, name):
        """From now on commands are about a new project."""
        self.services.project = name
        self.services.cli("projects", "create", name)

    def fix(self):
        self.services.cli("datasets", "create", "all")
        return self.services.cli_json("datasets", "fix", "all")[-1]

    def trip(self, name, source, *how):
        """Imports `source`, exports it, checks the export, imports that and compares."""
        times = {}

        def timed(what, *arguments):
            start = time.monotonic()
            messages = self.services.cli_json(*arguments)
            times[what] = time.monotonic() - start
            return messages

        self.project(name)
        (imported,) = timed("import", "samples", "import", source, *how)
        self.assertEqual(imported["refused"], [])
        version = self.fix()
        out = self.folder / name
        timed("export", "datasets", "export", "all/versions/1", "--out", out)
        (verified,) = timed("verify", "datasets", "verify", out)
        self.assertEqual(verified["computed"], version["digest"])
        self.assertEqual(str(verified["samples"]), version["sample_count"])
        script = subprocess.run(
            [sys.executable, "-c", documented_script(), str(out)], capture_output=True, text=True, check=True
        )
        self.assertEqual(script.stdout.strip(), version["digest"])

        self.project(f"{name}-again")
        (again,) = timed("second import", "samples", "import", out)
        self.assertEqual((again["stored"], again["refused"]), (int(version["sample_count"]), []))
        second = self.fix()
        self.assertEqual(second["digest"], version["digest"])
        for side in ("training_readings", "testing_readings"):
            self.assertEqual(second.get(side), version.get(side))
        if WHOLE:
            seconds = ", ".join(f"{what} {value:.1f} s" for what, value in times.items())
            print(f"{name}: {version['sample_count']} recordings, {version['digest']}: {seconds}", flush=True)
        self.services.project = name
        return version

    def part_of(self, name, paths):
        """A folder with links to some recordings, or all of them."""
        root = DATA / name
        if not root.is_dir():
            self.skipTest(f"no recordings at {root}")
        if WHOLE:
            return root
        folder = self.folder / f"{name}-part"
        for path in paths(root):
            link = folder / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        return folder

    def test_spoken_digits(self):
        source = self.part_of("fsdd", lambda root: sorted(root.glob("recordings/*_[37].wav")))
        version = self.trip(
            "digits", source / "recordings", "--pattern", "{label}_{speaker}_{index}", "--testing", "index<5"
        )
        self.assertEqual(len(version["training_readings"]), 10)
        self.check_arrays(version)

    def check_arrays(self, version):
        out = self.folder / "arrays"
        self.services.cli(
            *("datasets", "export", "all/versions/1", "--out", out, "--format", "npy"),
            *("--window", 200, "--stride", 100),
        )
        details = json.loads((out / "sample_id_details.json").read_text())
        self.assertEqual(details["digest"], version["digest"])
        self.assertEqual((details["windowReadings"], details["strideReadings"]), (1600, 800))
        for side, readings in (("train", "training_readings"), ("test", "testing_readings")):
            x = numpy.load(out / f"X_split_{side}.npy")
            y = numpy.load(out / f"Y_split_{side}.npy")
            self.assertEqual((x.dtype, y.dtype), (numpy.float32, numpy.int32))
            self.assertEqual(x.shape, (len(y), 1600))
            self.assertEqual(y.shape[1], 4)
            self.assertGreater(len(y), 0)
            self.assertTrue((y[:, 3] - y[:, 2] == 200).all())
            self.assertTrue((y[:, 2] % 100 == 0).all())
            classes = {details["classes"][label - 1] for label in y[:, 0]}
            self.assertEqual(classes, set(version[readings]))
        # A window is the readings of its recording.
        first = next(s for s in details["samples"] if s["category"] == "training" and s["sampleId"] in y_ids(out))
        raw = self.folder / "first.f32"
        self.services.cli("samples", "download", first["name"], "--out", raw, "--canonical")
        whole = numpy.fromfile(raw, dtype="<f4")
        x = numpy.load(out / "X_split_train.npy")
        y = numpy.load(out / "Y_split_train.npy")
        for row in numpy.flatnonzero(y[:, 1] == first["sampleId"]):
            start = y[row, 2] * 8
            self.assertTrue((x[row] == whole[start : start + 1600]).all())

    def test_phones_and_watches_whose_files_hold_labels(self):
        source = self.part_of("sp-sw-har", lambda root: sorted(root.glob("s0[12]/*_0[12]_s[pw].csv")))
        version = self.trip(
            *("worn", source, "--pattern", "{person}_{execution}_{device}", "--split-key", "person"),
        )
        self.assertEqual(
            set(version.get("training_readings", {})) | set(version.get("testing_readings", {})),
            {"SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN"},
        )

    def test_names_that_are_alike_or_strange_are_kept_apart(self):
        self.project("names")
        names = ("a.csv", "A.csv", "a.csv", "../b.csv", ".hidden.csv", "ü b.csv")
        for seed, name in enumerate(names):
            path = self.folder / f"name{seed}.csv"
            path.write_text(csv_file(seed))
            manifest = self.folder / "manifest.jsonl"
            manifest.write_text(json.dumps({"path": str(path), "file_name": name, "label": "x", "split": "training"}))
            self.services.cli("samples", "upload", "--manifest", manifest)
        version = self.fix()
        out = self.folder / "names"
        self.services.cli("datasets", "export", "all/versions/1", "--out", out)
        self.assertEqual(len({path.name.lower() for path in (out / "training").iterdir()}), len(names))
        index = json.loads((out / "info.labels").read_text())
        self.assertEqual(sorted(file["name"] for file in index["files"]), sorted(names))
        self.project("names-again")
        self.services.cli("samples", "import", out)
        self.assertEqual(self.fix()["digest"], version["digest"])

    def test_a_changed_folder_does_not_verify_and_an_export_mends_it(self):
        self.project("changed")
        for seed in range(3):
            (self.folder / f"changed{seed}.csv").write_text(csv_file(seed))
        self.services.cli(
            *("samples", "upload", "--label", "x", "--split", "training"),
            *(self.folder / f"changed{seed}.csv" for seed in range(3)),
        )
        self.fix()
        out = self.folder / "changed"
        export = ("datasets", "export", "all/versions/1", "--out", out)
        self.services.cli(*export)
        victim = out / "training" / "changed1.csv"
        victim.write_text(csv_file(9))
        done = self.services.cli("datasets", "verify", out, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("training/changed1.csv: its bytes have changed", done.stderr)
        (out / "training" / "changed2.csv").unlink()
        self.assertIn("changed2.csv: cannot be read", self.services.cli("datasets", "verify", out, check=False).stderr)
        self.services.cli(*export)
        self.services.cli("datasets", "verify", out)
        # Another version does not go over it.
        self.services.cli("labels", "set", self.services.cli_json("samples", "list")[0]["name"], "y")
        self.services.cli("datasets", "fix", "all")
        done = self.services.cli("datasets", "export", "all/versions/2", "--out", out, check=False)
        self.assertIn("holds another dataset version", done.stderr)
        rows = self.services.cli("datasets", "diff", "all/versions/1", "all/versions/2").stdout
        self.assertRegex(rows, r"all +0 +0 +1 +0")
        self.assertRegex(rows, r"y +0 +0 +1 +0")


def y_ids(out):
    return set(numpy.load(out / "Y_split_train.npy")[:, 1].tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--whole", action="store_true")
    options, rest = parser.parse_known_args()
    BINARIES = options.bin
    WHOLE = options.whole
    unittest.main(argv=[sys.argv[0], *rest])
