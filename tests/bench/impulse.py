#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How much the impulse code costs above the least work, both measured in one run."""

import argparse
import json
import pathlib
import subprocess
import sys

# (what, measured, limit of the same run, largest ratio that is allowed)
GOALS = [
    # Requantisation and softmax come on top of the multiply-adds.
    ("int8 network 30-32-16-5 / its multiply-adds alone", "Network", "PlainNetwork", 3.0),
    # Compensated sums take four operations where a plain sum takes one, and there are two more passes.
    ("flatten of 50 x 6 / its five sums in plain loops", "Features", "PlainFeatures", 14.0),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    binary = parser.parse_args().bin / "bench_impulse"
    run = subprocess.run(
        [binary, "--benchmark_format=json", "--benchmark_repetitions=7"],
        check=True, capture_output=True, text=True,
    )
    # The fastest of the repetitions: what else runs on the machine only ever adds.
    seconds = {}
    for entry in json.loads(run.stdout)["benchmarks"]:
        if entry["run_type"] == "iteration":
            name = entry["run_name"]
            seconds[name] = min(seconds.get(name, float("inf")), entry["cpu_time"] * 1e-9)
    missed = False
    print(f"{'what':52} {'time':>10} {'limit':>10} {'ratio':>7} {'goal':>7}")
    for what, measured, limit, goal in GOALS:
        ratio = seconds[measured] / seconds[limit]
        missed |= ratio > goal
        print(f"{what:52} {seconds[measured] * 1e6:7.2f} us {seconds[limit] * 1e6:7.2f} us "
              f"{ratio:7.2f} {goal:7.1f}{'  MISSED' if ratio > goal else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
