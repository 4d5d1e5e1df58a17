#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Line coverage of agent/src by the tests of the agent's core, conformance and faults.

Runs the test programs of a build with the preset agent-coverage and prints, for each file, how many of its
lines any of them ran. A line that counts is one for which the compiler made code. Fails below the goal.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COVERED = "agent/src"
GOAL = 95.0  # Percent of all lines.
# What runs agent/src. fieldloop-faults compiles the sources a second time.
PROGRAMS = [
    "agent_core_record_test", "agent_core_outbox_test", "agent_core_codec_test", "agent_core_components_test",
    "agent_core_monitor_test", "agent_core_session_test", "agent_core_update_test", "agent_conformance_test",
    "fieldloop-faults",
]


def run_programs(build):
    """Says which program failed, with what it printed."""
    for counts in build.rglob("*.gcda"):
        counts.unlink()
    for name in PROGRAMS:
        print(f"running {name}", file=sys.stderr, flush=True)
        done = subprocess.run([build / "bin" / name], cwd=build, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\n{name} failed with {done.returncode}; its output is above")


def lines_of(build):
    """{file: {line: runs}}, over all objects that a file of agent/src was compiled to."""
    lines = collections.defaultdict(collections.Counter)
    notes = sorted(path for path in build.rglob("*.gcno") if COVERED in str(path.relative_to(build)))
    if not notes:
        sys.exit(f"{build} has no objects of {COVERED} with counters: is its preset agent-coverage?")
    printed = subprocess.run(["gcov", "--json-format", "--stdout", *notes], cwd=build, check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    for report in printed.splitlines():
        for file in json.loads(report)["files"]:
            path = pathlib.Path(build, file["file"]).resolve()
            if not path.is_relative_to(ROOT / COVERED):
                continue
            for line in file["lines"]:
                lines[path.name][line["line_number"]] += line["count"]
    return lines


def spans(numbers):
    """Line numbers as "3-5 9"."""
    spanned = []
    for number in sorted(numbers):
        if spanned and number == spanned[-1][1] + 1:
            spanned[-1][1] = number
        else:
            spanned.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in spanned)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--build", type=pathlib.Path, help="a build with the preset agent-coverage")
    what.add_argument("--list", action="store_true", help="only name the programs that the build must have")
    options = parser.parse_args()
    if options.list:
        print("\n".join(PROGRAMS))
        return
    build = options.build.resolve()

    run_programs(build)
    lines = lines_of(build)
    print(f"{COVERED:<16} {'lines':>6} {'run':>6} {'%':>6}  never run")
    for name, runs in sorted(lines.items()):
        missed = [number for number, count in runs.items() if count == 0]
        ran = len(runs) - len(missed)
        print(f"{name:<16} {len(runs):>6} {ran:>6} {100 * ran / len(runs):>6.1f}  {spans(missed)}")
    everything = sum(len(runs) for runs in lines.values())
    ran = sum(1 for runs in lines.values() for count in runs.values() if count > 0)
    percent = 100 * ran / everything
    print(f"{'all':<16} {everything:>6} {ran:>6} {percent:>6.1f}")
    if percent < GOAL:
        sys.exit(f"the tests run {percent:.1f} % of the lines of {COVERED}; the goal is {GOAL:.0f} %")


if __name__ == "__main__":
    main()
