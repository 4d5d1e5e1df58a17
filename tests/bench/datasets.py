#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""All of fsdd and sp-sw-har: imported, exported, imported again to the same digest, with times."""

import argparse
import pathlib
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    binaries = parser.parse_args().bin
    test = pathlib.Path(__file__).resolve().parents[1] / "e2e" / "dataset_roundtrip_test.py"
    return subprocess.run(
        [sys.executable, test, "--bin", binaries, "--whole",
         "RoundTripTest.test_spoken_digits", "RoundTripTest.test_phones_and_watches_whose_files_hold_labels"],
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
