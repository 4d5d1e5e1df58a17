#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Blobs in the bucket of a real server with the S3 API, over TLS: the store's contract, and a service."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from ingestion_services import IngestionServices
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server

SKIPPED = 77
ARGUMENTS = None


class BucketTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.server = self.enterContext(S3Server(ARGUMENTS.server, folder.name))

    def make_bucket(self, name):
        (self.folder / "buckets" / name).mkdir()

    def test_the_store_keeps_its_contract(self):
        environment = os.environ | {"FIELDLOOP_TEST_S3": self.server.location("test-bucket")}
        done = subprocess.run([ARGUMENTS.bin / "s3_blob_store_test"], env=environment, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_recordings_go_to_the_bucket_and_come_back(self):
        self.make_bucket("recordings")
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "FIELDLOOP_BLOBS": self.server.location("recordings")}
        recording = self.folder / "walk.csv"
        recording.write_text("timestamp,x\n" + "".join(f"{10 * i},{i}\n" for i in range(50)),
                             encoding="utf-8")
        with mock.patch.dict(os.environ, keys), \
                IngestionServices(ARGUMENTS.bin, self.folder / "home") as services:
            services.cli("samples", "upload", recording, "--label", "walk")
            services.cli("datasets", "create", "all")
            services.cli("datasets", "fix", "all")
            services.cli("datasets", "export", "all/versions/1", "--out", self.folder / "export",
                         "--format", "folder")
            objects = list((self.folder / "buckets/recordings/ingestion").glob("??/*"))
            self.assertGreater(len(objects), 0)
            self.assertFalse((self.folder / "home/ingestion/ingestion-blobs").exists())
            exported = list((self.folder / "export").rglob("walk*"))
            self.assertTrue(any(path.read_bytes() == recording.read_bytes() for path in exported),
                            exported)

    def test_a_bucket_without_keys_is_refused_at_the_start(self):
        with mock.patch.dict(os.environ, {"FIELDLOOP_BLOBS": self.server.location("recordings")}), \
                self.assertRaisesRegex(AssertionError, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            with IngestionServices(ARGUMENTS.bin, self.folder / "home"):
                pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    if not ARGUMENTS.server.exists():
        print(f"blobs in a bucket were not tested: there is no {ARGUMENTS.server}; ./dev test makes it "
              "where there is a Go compiler of 1.23 or later")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
