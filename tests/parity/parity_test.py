#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Our int8 interpreter beside TensorFlow Lite's own C library: the same outputs, or a counted difference.

The library is that of the npm package tfjs-tflite-node, installed under --packages at the first run;
without the registry or without npm the test is skipped and says so.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import trained_models

PACKAGE = "tfjs-tflite-node@0.0.2"
SKIPPED = 77
DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "edge-impulse" / "models"


def library_in(folder):
    """Path of the library; installs it if it is not there. Raises RuntimeError with the reason."""
    path = folder / "node_modules/tfjs-tflite-node/cc_deps/linux_amd64/libtensorflowlite_c.so"
    if path.exists():
        return path
    if shutil.which("npm") is None:
        raise RuntimeError("npm is missing")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent",
         "--legacy-peer-deps", "--prefix", folder, PACKAGE],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not path.exists():
        raise RuntimeError(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-500:]}")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--packages", type=pathlib.Path, required=True)
    parser.add_argument("--proto", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=int, default=100, help="of every kind")
    arguments = parser.parse_args()
    try:
        library = library_in(arguments.packages)
    except RuntimeError as error:
        print(f"parity with TensorFlow Lite was skipped: {error}")
        return SKIPPED
    parity = arguments.bin / "parity"
    failed = subprocess.run([parity, library, "--generated", str(arguments.models)],
                            check=False).returncode
    published = sorted(DATA.glob("*lite"))
    if not published:
        print("the published models are not on this machine: left out")
    trainer = arguments.bin / "fieldloop-trainer"
    with tempfile.TemporaryDirectory() as folder:
        trained = []
        if trainer.exists():
            trained = trained_models.make(trainer, arguments.proto, pathlib.Path(folder))
        failed |= subprocess.run([parity, library, *published, *trained], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
