#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Edge Impulse's own uploader, unmodified, works when it is pointed at us.

The npm package edge-impulse-linux is installed under --packages at the first run; without the registry,
without npm or without the shared recordings the test is skipped and says so.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from ingestion_services import IngestionServices

VERSION = "1.25.2"
SAMPLES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "edge-impulse" / "samples"
OPTIONS = None


def install(folder):
    """Installs the uploader; returns why it cannot, or nothing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "node and npm are missing"
    if (folder / "installed").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    package = {
        "private": True,
        "dependencies": {"edge-impulse-linux": VERSION},
        "overrides": {"sharp": "0.33.5"},
    }
    (folder / "package.json").write_text(json.dumps(package), encoding="utf-8")
    done = subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return f"npm cannot install edge-impulse-linux {VERSION}: {done.stderr.strip()[-500:]}"
    (folder / "installed").touch()
    return None


def labelled(text):
    return {"type": "label", "label": text}


class EdgeImpulseUploaderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not SAMPLES.is_dir():
            raise unittest.SkipTest(f"no recordings at {SAMPLES}")
        reason = install(OPTIONS.packages)
        if reason is not None:
            raise unittest.SkipTest(reason)
        cls.folder = tempfile.TemporaryDirectory(prefix="fieldloop-uploader-")
        cls.services = IngestionServices(OPTIONS.bin, cls.folder.name)
        cls.enterClassContext(cls.folder)
        cls.enterClassContext(cls.services)

    def upload(self, *uploads, key=None):
        """What became of each upload: None, or the text of the uploader's error."""
        driver = pathlib.Path(__file__).resolve().with_name("edge_impulse_uploader.js")
        done = subprocess.run(
            ["node", driver, OPTIONS.packages],
            input=json.dumps(
                {
                    "url": f"https://{self.services.addresses['http']}",
                    "apiKey": key or self.services.token,
                    "uploads": [{**one, "path": str(one["path"])} for one in uploads],
                }
            ),
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.services.ca_file)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def stored(self, file_name):
        """The sample of that name as JSON, or None."""
        found = [s for s in self.services.cli_json("samples", "list") if s["file_name"] == file_name]
        return found[0] if found else None

    def test_golden_files_are_uploaded_once(self):
        files = [
            "wave.01.json",
            "wave.01.cbor",
            "wave.0.cbor",
            "c-sdk-signed.cbor",
            "good.01.csv",
            "hadouken.01.wav",
        ]
        uploads = [
            {
                "path": SAMPLES / name,
                "filename": f"golden.{name}",
                "category": "training",
                "label": labelled("Tür auf/zu"),
                "metadata": {"site": "hall 3"},
            }
            for name in files
        ]
        self.assertEqual(self.upload(*uploads), [None] * len(files))
        for name in files:
            sample = self.stored(f"golden.{name}")
            self.assertEqual(sample["labels"][0]["label"], "Tür auf/zu")
            self.assertEqual(sample["metadata"]["site"], "hall 3")
            self.assertEqual(sample["split"], "SPLIT_TRAINING")
            out = pathlib.Path(self.folder.name) / "download"
            self.services.cli("samples", "download", sample["name"], "--out", out)
            self.assertEqual(out.read_bytes(), (SAMPLES / name).read_bytes())
        self.assertIn("signature-unchecked", self.stored("golden.wave.01.json")["flags"])

        for outcome in self.upload(*uploads):
            self.assertIn("An item with this hash already exists", outcome)
        again = [{**one, "allowDuplicates": True} for one in uploads]
        self.assertEqual(self.upload(*again), [None] * len(files))
        count = self.services.cli_json("samples", "count", "--metadata", "site=hall 3")[-1]
        self.assertEqual(count["total"], str(len(files)))

    def test_labels_of_every_kind(self):
        good = (SAMPLES / "good.01.csv").read_text(encoding="utf-8")

        def variant(name, factor):
            path = pathlib.Path(self.folder.name) / name
            lines = good.splitlines()
            path.write_text("\n".join([*lines[:-1], lines[-1] + factor]) + "\n", encoding="utf-8")
            return path

        last = len(good.splitlines()) - 2
        ranges = [
            {"startIndex": 0, "endIndex": 1, "label": "up"},
            {"startIndex": 2, "endIndex": last, "label": "down"},
        ]
        self.assertEqual(
            self.upload(
                {"path": variant("none.1.csv", "1"), "label": {"type": "unlabeled"}},
                {"path": variant("multi.1.csv", "2"), "label": {"type": "multi-label", "labels": ranges}},
                {"path": variant("odd.1.csv", "3"), "label": {"type": "unlabeled"}, "category": "anomaly"},
                {
                    "path": variant("dated.1.csv", "4"),
                    "label": labelled("dated"),
                    "category": "testing",
                    "addDateId": True,
                },
            ),
            [None] * 4,
        )
        self.assertEqual(self.stored("none.1.csv").get("labels", []), [])
        labels = self.stored("multi.1.csv")["labels"]
        self.assertEqual([label["label"] for label in labels], ["up", "down"])
        self.assertEqual(labels[0]["end_reading"], "1")
        self.assertEqual(labels[1]["end_reading"], str(last))
        self.assertEqual(len(self.services.cli_json("labels", "list", self.stored("multi.1.csv")["name"])), 1)
        odd = self.stored("odd.1.csv")
        self.assertEqual((odd["split"], odd["metadata"]["category"]), ("SPLIT_TESTING", "anomaly"))
        self.assertIsNone(self.stored("dated.1.csv"))

    def test_what_cannot_be_stored_is_an_error_that_says_why(self):
        good = SAMPLES / "good.01.csv"
        bad, keyed, boxed, short = self.upload(
            {"path": SAMPLES / "bad.01.csv", "label": labelled("a")},
            {
                "path": good,
                "filename": "keyed.csv",
                "allowDuplicates": True,
                "label": {"type": "keyvalue-labels", "labels": {"colour": "red"}},
            },
            {
                "path": good,
                "filename": "boxed.csv",
                "allowDuplicates": True,
                "label": labelled("a"),
                "boundingBoxes": [{"label": "a", "x": 0, "y": 0, "width": 1, "height": 1}],
            },
            {"path": good, "filename": "picture.jpg", "label": labelled("a")},
        )
        self.assertIn("line 3", bad)
        self.assertIn("label_map.labels: ", keyed)
        self.assertIn("bounding_boxes.labels: ", boxed)
        self.assertIn('file_name: got "picture.jpg"', short)
        (denied,) = self.upload({"path": good, "label": labelled("a")}, key="not-a-key")
        self.assertIn("API token", denied)
        for name in ("bad.01.csv", "keyed.csv", "boxed.csv", "picture.jpg"):
            self.assertIsNone(self.stored(name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--packages", type=pathlib.Path, required=True)
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.packages = OPTIONS.packages.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
