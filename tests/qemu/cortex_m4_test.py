#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The impulse on an emulated Cortex-M4: the same bits as on the host, and instructions counted.

Builds the runner with the preset agent-cortex-m4 and runs it in QEMU (mps2-an386) on generated models
of every operator, the published models and models of the trainer. Features, outputs and arena sizes
must be those of the host. QEMU counts one instruction a nanosecond, which a timer of the board reads;
the estimates of agent/impulse/cost.h are compared with it.
"""

import argparse
import collections
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))
import cross_build  # noqa: E402
import trained_models  # noqa: E402

SKIPPED = 77
DATA = ROOT.parent / "shared" / "data" / "edge-impulse" / "models"
MEAN_ERROR = 0.1  # Of the estimates.
INSTRUCTIONS_PER_TICK = 40  # The timer's 25 MHz, and a nanosecond for each instruction.


def emulate(runner, folder, count):
    subprocess.run(
        ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
         "-icount", "shift=0", "-kernel", runner, "-semihosting-config",
         f"enable=on,target=native,arg=runner,arg={count}"],
        cwd=folder, stdin=subprocess.DEVNULL, check=True, timeout=800)


def compare(folder, lines):
    """Names of the models that differ, and (kind, measured, estimated) of all."""
    differ, costs = [], []
    for i, line in enumerate(lines):
        name, inputs, estimated = line.split("\t")
        if (folder / f"{i}.out").read_bytes() != (folder / f"{i}.want").read_bytes():
            differ.append(f"{name} ({i})")
        ticks, = struct.unpack("<I", (folder / f"{i}.ticks").read_bytes())
        costs.append((name, ticks * INSTRUCTIONS_PER_TICK / int(inputs), int(estimated)))
    return differ, costs


def print_costs(costs):
    kinds = collections.defaultdict(list)
    for name, measured, estimated in costs:
        kinds[name].append((measured, estimated))
    print(f"{'':34} {'models':>6} {'instructions':>13} {'estimated':>11} {'mean error':>11} {'worst':>7}")
    for name, pairs in kinds.items():
        errors = [abs(estimated / measured - 1) for measured, estimated in pairs]
        print(f"{name:34} {len(pairs):6} {sum(m for m, _ in pairs) / len(pairs):13.0f} "
              f"{sum(e for _, e in pairs) / len(pairs):11.0f} {100 * sum(errors) / len(errors):10.1f}% "
              f"{100 * max(errors):6.1f}%")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=int, default=6, help="generated of every kind")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the files, must be empty")
    arguments = parser.parse_args()
    reason = cross_build.missing()
    if reason:
        print(f"the Cortex-M4 was skipped: {reason}")
        return SKIPPED
    runner = cross_build.build("cortex_m4_runner")
    models = sorted(DATA.glob("*lite"))
    if not models:
        print("the published models are not on this machine: left out")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        trainer = arguments.bin / "fieldloop-trainer"
        if trainer.exists():
            (pathlib.Path(temporary) / "trained").mkdir()
            models += trained_models.make(trainer, ROOT / "proto",
                                          pathlib.Path(temporary) / "trained")
        lines = subprocess.run(
            [arguments.bin / "prepare_cortex_m4", folder, str(arguments.models), *models],
            capture_output=True, text=True, check=True).stdout.splitlines()
        emulate(runner, folder, len(lines))
        differ, costs = compare(folder, lines)
    print_costs(costs)
    errors = [abs(estimated / measured - 1) for _, measured, estimated in costs]
    print(f"\n{len(costs)} models; of the estimates: mean error {100 * sum(errors) / len(errors):.1f} %, "
          f"worst {100 * max(errors):.1f} %")
    if differ:
        print(f"other bits than on the host: {', '.join(differ)}")
    if sum(errors) / len(errors) > MEAN_ERROR:
        print(f"the estimates of cost.c are off by more than {100 * MEAN_ERROR:.0f} % in the mean: fit them anew")
        return 1
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
