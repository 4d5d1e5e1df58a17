#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Kills ingestion 200 times under load and counts what is lost; the goal is none."""

import pathlib
import subprocess
import sys

TEST = pathlib.Path(__file__).resolve().parent.parent / "e2e" / "ingestion_crash_test.py"

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, TEST, *sys.argv[1:]], check=False).returncode)
