#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How good the built-in trainer's models are on real recordings, beside the goals.

Drives fieldloop-trainer with the recipes of docs/examples, on windows cut as the build service cuts
them; a recording that is shorter than the window stands in its middle between zeros. fsdd and
sp-sw-har are read from --data; without them there is nothing to measure, and the exit code is 77.
"""

import argparse
import base64
import collections
import csv
import json
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import time
import wave
import zlib

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77

Run = collections.namedtuple("Run", "metrics model seconds cpu_seconds events")
Split = collections.namedtuple("Split", "windows labels samples groups")


def load_protos(folder):
    """Compiles the contracts to Python, so that a recipe is read as the services read it."""
    names = ["build/v1/build_service", "agent/v1/impulse", "agent/v1/trust"]
    subprocess.run(
        ["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
         *(f"fieldloop/{name}.proto" for name in names)],
        check=True,
    )
    sys.path.insert(0, folder)
    from fieldloop.agent.v1 import impulse_pb2  # pylint: disable=import-outside-toplevel
    from fieldloop.build.v1 import build_service_pb2  # pylint: disable=import-outside-toplevel
    from google.protobuf import json_format  # pylint: disable=import-outside-toplevel

    return impulse_pb2, build_service_pb2, json_format


class Trainer:
    """Runs fieldloop-trainer in a folder of its own for each training."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.protos = load_protos(folder)
        self.runs = 0

    def recipe(self, name):
        _, build, json_format = self.protos
        text = (ROOT / "docs" / "examples" / f"{name}.json").read_text(encoding="utf-8")
        return json_format.Parse(text, build.ImpulseRecipe())

    def describe(self, recipe, classes, seed):
        """train_input.json, as the build service writes it."""
        impulse_pb2, _, json_format = self.protos
        impulse = impulse_pb2.Impulse(format=1, window=recipe.window, blocks=recipe.blocks,
                                      magnitudes=recipe.magnitudes, classes=classes)
        learning = json_format.MessageToDict(recipe.learning, preserving_proto_field_name=True)
        for owner, key, prefix in ((learning, "network", "NETWORK_"),
                                   (learning.get("anomaly", {}), "method", "METHOD_")):
            if key in owner:
                owner[key] = owner[key].removeprefix(prefix).lower()
        return {
            "format": 1, "seed": seed, "classes": classes, "learning": learning,
            "impulse": base64.b64encode(impulse.SerializeToString()).decode(),
        }

    def train(self, recipe, classes, train, test, seed, parent=None):
        """Trains and returns the Run."""
        self.runs += 1
        folder = pathlib.Path(self.folder) / f"run{self.runs}"
        (folder / "out").mkdir(parents=True)
        info = self.describe(recipe, classes, seed)
        for name, split in (("train", train), ("test", test)):
            count = len(split.labels)
            numpy.save(folder / f"windows_{name}.npy",
                       numpy.asarray(split.windows, "<f4").reshape(count, -1))
            rows = numpy.zeros((count, 4), "<i4")
            rows[:, 0] = split.labels
            rows[:, 1] = split.samples
            numpy.save(folder / f"labels_{name}.npy", rows)
        numpy.save(folder / "groups_train.npy", numpy.asarray(train.groups, "<i4"))
        numpy.save(folder / "source_train.npy", numpy.zeros(len(train.labels), "<i4"))
        if parent is not None:
            (folder / "parent.tflite").write_bytes(parent)
            info["parent_model"] = "parent.tflite"
        (folder / "train_input.json").write_text(json.dumps(info), encoding="utf-8")
        start = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [self.program, "--info-file", folder / "train_input.json", "--data-directory", folder,
             "--out-directory", folder / "out"],
            capture_output=True, text=True, check=False,
        )
        seconds = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if run.returncode != 0:
            raise SystemExit(f"fieldloop-trainer failed: {run.stderr.strip().splitlines()[-1]}")
        metrics = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
        model = (folder / "out" / "model.tflite").read_bytes()
        for file in folder.glob("windows_*.npy"):
            file.unlink()
        events = [json.loads(line) for line in run.stdout.splitlines()]
        return Run(metrics, model, seconds, cpu, events)


# Spoken digits.

DIGITS = [str(digit) for digit in range(10)]


def read_digits(data):
    """(windows of 1 s, digits, speakers, numbers of the takes)"""
    windows, digits, speakers, takes = [], [], [], []
    for path in sorted((data / "fsdd" / "recordings").glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        with wave.open(str(path)) as file:
            samples = numpy.frombuffer(file.readframes(8000), "<i2").astype("f4")
        missing = 8000 - len(samples)
        windows.append(numpy.pad(samples, (missing // 2, missing - missing // 2)))
        digits.append(int(digit))
        speakers.append(speaker)
        takes.append(int(take))
    return (numpy.stack(windows), numpy.array(digits), numpy.array(speakers), numpy.array(takes))


def digits_split(recordings, chosen):
    windows, digits, speakers, _ = recordings
    names = sorted(set(speakers))
    rows = numpy.flatnonzero(chosen)
    return Split(windows[rows], digits[rows] + 1, rows,
                 [names.index(speaker) for speaker in speakers[rows]])


# Phones of 15 people.

ACTIVITIES = ["SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING"]


def read_people(data):
    """{person: [(readings x 6 at 50 Hz, label of each reading)]}"""
    people = collections.defaultdict(list)
    for path in sorted((data / "sp-sw-har").glob("s*/s*_sp.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        axes = ["x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro"]
        times = numpy.array([float(row["timestamp"]) for row in rows])
        order = numpy.argsort(times, kind="stable")
        times = times[order]
        values = numpy.array([[float(row[axis]) for axis in axes] for row in rows])[order]
        labels = numpy.array([ACTIVITIES.index(row["label"]) for row in rows])[order]
        grid = numpy.arange(times[0], times[-1] + 1e-6, 20.0)
        resampled = numpy.stack([numpy.interp(grid, times, column) for column in values.T], axis=1)
        places = numpy.clip(numpy.searchsorted(times, grid, side="right") - 1, 0, None)
        people[path.parent.name].append((resampled, labels[places]))
    return people


def people_split(people, names, recipe, testing):
    """Windows of a part of the people; those to test on are pure in their label."""
    length = recipe.window.length
    stride = recipe.window.stride if testing else (
        recipe.learning.training_stride or recipe.window.stride)
    purity = 1.0 if testing else (recipe.label_purity or 1.0)
    windows, found, samples, groups = [], [], [], []
    for name in names:
        for number, (readings, labels) in enumerate(people[name]):
            for start in range(0, len(readings) - length + 1, stride):
                counts = numpy.bincount(labels[start:start + length], minlength=len(ACTIVITIES))
                if counts.max() < purity * length - 1e-9:
                    continue
                windows.append(readings[start:start + length])
                found.append(counts.argmax() + 1)
                groups.append(sorted(people).index(name))
                samples.append(100 * groups[-1] + number)
    return Split(numpy.array(windows, "f4"), found, samples, groups)


def people_left_out(people, recipe, seed, trained=10):
    names = sorted(people)
    order = numpy.random.default_rng(seed).permutation(len(names))
    chosen = [names[i] for i in order]
    return (people_split(people, chosen[:trained], recipe, testing=False),
            people_split(people, chosen[10:], recipe, testing=True))


# The weights of a model file: the constant int8 tensors of its first subgraph.

def weight_bytes(file):
    def u32(at):
        return struct.unpack_from("<I", file, at)[0]

    def field(table, index):
        vtable = table - struct.unpack_from("<i", file, table)[0]
        entry = 4 + 2 * index
        size = struct.unpack_from("<H", file, vtable)[0]
        offset = struct.unpack_from("<H", file, vtable + entry)[0] if entry < size else 0
        return table + offset if offset else None

    def vector(table, index):
        at = field(table, index)
        return [] if at is None else [at + u32(at) + 4 + 4 * i for i in range(u32(at + u32(at)))]

    model = u32(0)
    buffers = [at + u32(at) for at in vector(model, 4)]
    subgraph = [at + u32(at) for at in vector(model, 2)][0]
    weights = b""
    for tensor in [at + u32(at) for at in vector(subgraph, 0)]:
        kind = field(tensor, 1)
        buffer = field(tensor, 2)
        if kind is None or file[kind] != 9 or buffer is None:
            continue
        data = field(buffers[u32(buffer)], 0)
        if data is not None:
            start = data + u32(data) + 4
            weights += file[start:start + u32(data + u32(data))]
    return numpy.frombuffer(weights, numpy.int8)


class Report:
    """Figures beside goals."""

    def __init__(self):
        self.missed = False

    def line(self, what, value, goal=None, met=True):
        self.missed |= not met
        verdict = "" if goal is None else f"goal {goal}{'' if met else '  MISSED'}"
        print(f"{what:58} {value:>40}  {verdict}", flush=True)


def spread(values):
    return f"{100 * numpy.mean(values):.1f} % (least {100 * min(values):.1f})"


def report_quality(report, what, runs, measure, goal=None):
    """Prints the mean over runs, and what int8 costs."""
    int8 = [run.metrics["int8"][measure] for run in runs]
    floats = [run.metrics["float"][measure] for run in runs]
    report.line(f"{what}: {measure.replace('_', ' ')}, int8", spread(int8),
                f">= {100 * goal:.0f} %" if goal else None,
                goal is None or numpy.mean(int8) >= goal)
    loss = 100 * (numpy.mean(floats) - numpy.mean(int8))
    report.line(f"{what}: float - int8", f"{loss:.2f} points", "<= 1", loss <= 1)


def report_time(report, what, runs, goal=None):
    slowest = max(runs, key=lambda run: run.seconds)
    report.line(f"{what}: whole training, slowest",
                f"{slowest.seconds:.1f} s ({slowest.cpu_seconds:.1f} s of a core)",
                f"< {goal} s" if goal else None, goal is None or slowest.seconds < goal)


def bench_digits(trainer, data, seeds, report):
    recordings = read_digits(data)
    recipe = trainer.recipe("keywords")
    train = digits_split(recordings, recordings[3] >= 5)
    test = digits_split(recordings, recordings[3] < 5)
    runs = [trainer.train(recipe, DIGITS, train, test, seed) for seed in range(1, seeds + 1)]
    report_quality(report, "fsdd, official split", runs, "accuracy", 0.97)
    report_time(report, "fsdd", runs, 60)
    metrics = runs[0].metrics
    report.line("fsdd: model, arena, Cortex-M4 instructions",
                f"{len(runs[0].model)} B, {metrics['arena_bytes']} B, "
                f"{metrics['cortex_m4_instructions'] / 1e6:.2f} M")


def bench_speakers(trainer, data, seeds, report):
    recordings = read_digits(data)
    recipe = trainer.recipe("keywords")
    everyone = []
    for speaker in sorted(set(recordings[2])):
        train = digits_split(recordings, recordings[2] != speaker)
        test = digits_split(recordings, recordings[2] == speaker)
        runs = [trainer.train(recipe, DIGITS, train, test, seed) for seed in range(1, seeds + 1)]
        report.line(f"fsdd, without {speaker}, on {speaker}: accuracy, int8",
                    spread([run.metrics["int8"]["accuracy"] for run in runs]))
        everyone += runs
    report_quality(report, "fsdd, unseen speaker", everyone, "accuracy")


def bench_people(trainer, data, seeds, report):
    people = read_people(data)
    recipe = trainer.recipe("motion")
    runs = []
    for seed in range(1, seeds + 1):
        train, test = people_left_out(people, recipe, seed)
        runs.append(trainer.train(recipe, ACTIVITIES, train, test, seed))
    report_quality(report, "sp-sw-har phones, 5 of 15 people left out", runs, "balanced_accuracy",
                   0.86)
    report_time(report, "sp-sw-har", runs)


def bench_warm_start(trainer, data, seeds, report):
    """A model of 8 people, retrained with 2 more: from its weights, and from scratch."""
    people = read_people(data)
    recordings = read_digits(data)
    motion, keywords = trainer.recipe("motion"), trainer.recipe("keywords")
    speakers = sorted(set(recordings[2]))
    official = recordings[3] < 5

    def of_people(seed):
        return (people_left_out(people, motion, seed, trained=8)[0],
                *people_left_out(people, motion, seed))

    def of_digits(_):
        # The last speaker's takes come later.
        return (digits_split(recordings, ~official & (recordings[2] != speakers[-1])),
                digits_split(recordings, ~official), digits_split(recordings, official))

    for what, recipe, classes, measure, splits in (
            ("sp-sw-har, 8 people and then 2 more", motion, ACTIVITIES, "balanced_accuracy",
             of_people),
            ("fsdd, 3 speakers and then 1 more", keywords, DIGITS, "accuracy", of_digits)):
        changed, deflated, scores = ({"warm": [], "scratch": []} for _ in range(3))
        for seed in range(1, seeds + 1):
            before, after, test = splits(seed)
            parent = trainer.train(recipe, classes, before, test, seed).model
            for way, start in (("warm", parent), ("scratch", None)):
                run = trainer.train(recipe, classes, after, test, seed, start)
                difference = weight_bytes(run.model) - weight_bytes(parent)
                changed[way].append(numpy.mean(difference != 0))
                deflated[way].append(len(zlib.compress(difference.tobytes(), 9))
                                     / len(difference))
                scores[way].append(run.metrics["int8"][measure])
        for way, words in (("warm", "warm start"), ("scratch", "from scratch")):
            report.line(f"{what}: weights changed, {words}", spread(changed[way]))
            report.line(f"{what}: their difference deflated, {words}",
                        f"{100 * numpy.mean(deflated[way]):.1f} % of the weights")
            report.line(f"{what}: {measure.replace('_', ' ')}, {words}", spread(scores[way]))
        lost = 100 * (numpy.mean(scores["scratch"]) - numpy.mean(scores["warm"]))
        # To the hundredth that is printed: a difference of means is not exact in binary.
        report.line(f"{what}: scratch - warm", f"{lost:.2f} points", "<= 2", round(lost, 2) <= 2)


def bench_budget(trainer, data, _, report):
    recordings = read_digits(data)
    recipe = trainer.recipe("keywords")
    del recipe.learning.conv_blocks[:]
    recipe.learning.budget.flash_kb = 64
    recipe.learning.budget.ram_kb = 8
    recipe.learning.budget.trials = 4
    recipe.learning.augmentation.copies = 0  # To be quick.
    train = digits_split(recordings, recordings[3] >= 5)
    # The official split has the speakers on both sides; so the search judges by takes.
    train = train._replace(groups=train.samples)
    test = digits_split(recordings, recordings[3] < 5)
    run = trainer.train(recipe, DIGITS, train, test, 1)
    for event in run.events:
        if event["event"] == "candidate":
            score = event.get("validation_balanced_accuracy")
            report.line(
                event["network"],
                f"{event['size_bytes']} B {event['arena_bytes']} B "
                f"{event['cortex_m4_instructions'] / 1e6:.2f} M, "
                + ("does not fit" if score is None else
                   f"{100 * score:.1f} %{', chosen' if event['chosen'] else ''}"))
    arena = run.metrics["arena_bytes"]
    report.line("budget of 64 KiB flash, 8 KiB RAM", f"{len(run.model)} B, {arena} B", "kept",
                len(run.model) <= 64 * 1024 and arena <= 8 * 1024)
    report.line("budget: accuracy, int8", f"{100 * run.metrics['int8']['accuracy']:.1f} %")
    report_time(report, "budget", [run])


def bench_quick(trainer, data, _, report):
    """A few seconds: some takes of each digit, a short training."""
    recordings = read_digits(data)
    recipe = trainer.recipe("keywords")
    recipe.learning.epochs = 12
    recipe.learning.augmentation.copies = 0
    train = digits_split(recordings, (recordings[3] >= 5) & (recordings[3] < 20))
    test = digits_split(recordings, recordings[3] < 5)
    accuracy = trainer.train(recipe, DIGITS, train, test, 1).metrics["int8"]["accuracy"]
    report.line("fsdd, 15 takes of each: accuracy, int8", f"{100 * accuracy:.1f} %", ">= 85 %",
                accuracy >= 0.85)


BENCHES = {
    "digits": bench_digits,
    "speakers": bench_speakers,
    "people": bench_people,
    "warm-start": bench_warm_start,
    "budget": bench_budget,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data",
                        help="folder of fsdd and sp-sw-har")
    parser.add_argument("--only", choices=BENCHES, action="append",
                        help="may be repeated; by default all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a check of a few seconds instead")
    arguments = parser.parse_args()
    if not (arguments.data / "fsdd" / "recordings").is_dir():
        print(f"skipped: there are no recordings in {arguments.data}")
        return SKIPPED
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(arguments.bin / "fieldloop-trainer", folder)
        if arguments.quick:
            bench_quick(trainer, arguments.data, 1, report)
        else:
            for name in arguments.only or BENCHES:
                BENCHES[name](trainer, arguments.data, arguments.seeds, report)
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
