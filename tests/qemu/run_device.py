#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs a device on bare metal against services that run: `./dev qemu`.

Ctrl-C cuts its power; what it had in flash is in the folder, and the same command goes on with it.
"""

import argparse
import csv
import json
import math
import os
import pathlib
import sys

import cross_build
from emulator import Emulator


def swing():
    """Ten seconds of something that moves, at 50 Hz."""
    return [value for i in range(500) for value in (4 * math.sin(2 * math.pi * 2 * i / 50), 0.0, 9.8)]


def read_recording(path):
    """The three columns behind the timestamp of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [float(value) for row in rows for value in row[1:4]]


def main():
    parser = argparse.ArgumentParser(prog="./dev qemu", description=__doc__)
    parser.add_argument("--home", type=pathlib.Path, default=os.environ.get("FIELDLOOP_HOME"), help="of `fieldloop up`")
    parser.add_argument("--project", default=os.environ.get("FIELDLOOP_PROJECT"))
    parser.add_argument("--token-file", type=pathlib.Path, required=True, help="of `fieldloop tokens create --out`")
    parser.add_argument("--hardware-id", default="mps2-an386")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("fieldloop-board"), help="its flash and logs")
    parser.add_argument("--recording", type=pathlib.Path, help="CSV of timestamp and three axes; else a swing")
    options = parser.parse_args()
    if options.home is None or options.project is None:
        parser.error("--home and --project (or FIELDLOOP_HOME and FIELDLOOP_PROJECT) are needed")
    reason = cross_build.missing()
    if reason:
        sys.exit(f"dev: qemu: {reason}")
    client = json.loads((options.home / "client.json").read_text(encoding="utf-8"))
    readings = read_recording(options.recording) if options.recording else swing()
    firmware = cross_build.build("cortex_m4_firmware")
    board = Emulator(
        options.hardware_id, options.folder, firmware, client, options.home, options.project, readings
    )
    board.token_path.write_bytes(options.token_file.read_bytes())
    os.chdir(options.folder)
    os.execvp(board.command[0], [str(word) for word in board.command])


if __name__ == "__main__":
    main()
