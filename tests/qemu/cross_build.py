# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds programs for the Cortex-M4 with the preset agent-cortex-m4."""

import fcntl
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "agent-cortex-m4"
SOURCES = ROOT / "build" / "sources"


def missing():
    """What is not on this machine, or nothing."""
    for program in ("arm-none-eabi-gcc", "qemu-system-arm", "cmake"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    for name, file in (("nanopb", "pb_decode.c"), ("mbedtls", "library/ssl_tls.c")):
        if not (SOURCES / name / file).exists():
            return f"the sources of {name} are not in {SOURCES / name}; ./dev test puts them there"
    return None


def build(target):
    """Returns the path of the program that the target makes. One builds at a time."""
    commands = [
        ["cmake", "--preset", "agent-cortex-m4", "-DPython3_EXECUTABLE=/usr/bin/python3"],
        ["cmake", "--build", BUILD, "--target", target],
    ]
    with open(SOURCES / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in commands:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{target} cannot be built:\n{done.stdout[-3000:]}{done.stderr}")
    return BUILD / "bin" / target
