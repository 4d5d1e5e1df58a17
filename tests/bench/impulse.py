#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How much the impulse code costs above the least work, and beside TensorFlow Lite, each in one run."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))
import parity_test  # noqa: E402
import trained_models  # noqa: E402

# (what, measured, limit of the same run, largest ratio that is allowed)
GOALS = [
    # Requantisation and softmax come on top of the multiply-adds.
    ("int8 network 30-32-16-5 / its multiply-adds alone", "Network", "PlainNetwork", 3.0),
    # Compensated sums take four operations where a plain sum takes one, and there are two more passes.
    ("flatten of 50 x 6 / its five sums in plain loops", "Features", "PlainFeatures", 14.0),
    # Beside its transforms: reading with pre-emphasis, 40 filters and their logarithms a frame.
    ("mfe of 1 s at 16 kHz / its 99 transforms of 256", "Sound/mfe", "Transforms/of_mfe", 2.5),
    # The cosine transform, and the normalisation over 101 frames.
    ("mfcc of 1 s at 16 kHz / its 49 transforms of 256", "Sound/mfcc", "Transforms/of_mfcc", 4.0),
]


# Largest ratio to TensorFlow Lite's C library that is allowed, for the network of each model.
TENSORFLOW_LITE_GOALS = {"motion.tflite": 2.0}


def beside_tensorflow_lite(binaries):
    """Prints the networks' times; whether a goal is missed. Without the library it says so."""
    try:
        library = parity_test.library_in(ROOT / "build/parity")
    except RuntimeError as error:
        print(f"not measured beside TensorFlow Lite: {error}")
        return False
    with tempfile.TemporaryDirectory() as folder:
        models = trained_models.make(binaries / "fieldloop-trainer", ROOT / "proto",
                                     pathlib.Path(folder))
        lines = subprocess.run(
            [binaries / "parity", library, "--time", *models,
             *sorted(parity_test.DATA.glob("*lite"))],
            check=True, capture_output=True, text=True).stdout.splitlines()
    missed = False
    print(f"\n{'network of':52} {'time':>10} {'TF Lite':>10} {'ratio':>7} {'goal':>7}")
    for line in lines:
        name, ours, theirs = line.split("\t")
        ratio = float(ours) / float(theirs)
        goal = TENSORFLOW_LITE_GOALS.get(name)
        over = goal is not None and ratio > goal
        missed |= over
        print(f"{name:52} {float(ours) / 1000:7.2f} us {float(theirs) / 1000:7.2f} us {ratio:7.2f} "
              f"{goal or '':>7}{'  MISSED' if over else ''}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    binaries = parser.parse_args().bin
    binary = binaries / "bench_impulse"
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
    missed |= beside_tensorflow_lite(binaries)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
