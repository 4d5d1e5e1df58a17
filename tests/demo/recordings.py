# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Recordings on disk: finding them, splitting people, and the forms that the demo gives them."""

import csv
import dataclasses
import pathlib
import random
import re

AXES = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")
COLUMNS = (*AXES, "timestamp", "label")
FILE_NAME = re.compile(r"^(?P<person>[A-Za-z0-9-]+)_(?P<execution>[A-Za-z0-9-]+)_(?P<kind>sp|sw)\.csv$")
LEAST_PEOPLE = 8


class DataError(Exception):
    """The recordings cannot be used; says which, what was found and what was expected."""


@dataclasses.dataclass(frozen=True)
class Recording:
    path: pathlib.Path
    person: str
    execution: str
    kind: str  # "sp" a phone in a pocket, "sw" a watch on a wrist.


@dataclasses.dataclass(frozen=True)
class Split:
    """Who does what. Nobody is in two lists."""

    train: list  # Their phone recordings train the first model.
    send: list  # Of the fleet: their devices may send recordings back.
    judge: list  # Of the fleet: their recordings never train anything.

    @property
    def fleet(self):
        return self.send + self.judge


def discover(folder):
    """Finds the recordings of people who wore both devices: {person: {"sp": [...], "sw": [...]}}."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise DataError(f"--data: {folder} is not a folder; want one with sNN/sNN_EE_{{sp|sw}}.csv")
    people = {}
    for path in sorted(folder.glob("*/*.csv")):
        match = FILE_NAME.match(path.name)
        if match:
            recording = Recording(path, match["person"], match["execution"], match["kind"])
            kinds = people.setdefault(recording.person, {"sp": [], "sw": []})
            kinds[recording.kind].append(recording)
    people = {name: kinds for name, kinds in sorted(people.items()) if kinds["sp"] and kinds["sw"]}
    if len(people) < LEAST_PEOPLE:
        raise DataError(
            f"--data: {folder} has recordings of both devices for {len(people)} people; "
            f"want at least {LEAST_PEOPLE} folders with sNN/sNN_EE_sp.csv and sNN/sNN_EE_sw.csv"
        )
    return people


def split_people(people, seed):
    """Shuffles people and deals them out, by their number alone.

    A quarter sends, three (or a fifth, if that is more) judge, the others train. With 8 people that
    is 3 + 2 + 3, with 15 it is 8 + 4 + 3.
    """
    order = sorted(people)
    random.Random(f"people/{seed}").shuffle(order)
    send = (len(order) + 1) // 4
    judge = max(3, len(order) // 5)
    train = len(order) - send - judge
    return Split(order[:train], order[train : train + send], order[train + send :])


def read_rows(path):
    """Rows of a recording as (six values as text, Unix ms, label), with times that only rise.

    Devices hand readings over in bunches: those that do not come after the one before are left out.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise DataError(
                f"{path} line 1: no column {missing[0]!r}; want {', '.join(COLUMNS)}"
            )
        places = [header.index(column) for column in AXES]
        time_place, label_place = header.index("timestamp"), header.index("label")
        rows = []
        for number, cells in enumerate(reader, 2):
            if not cells:
                continue
            try:
                values = [cells[place] for place in places]
                for value in values:
                    float(value)
                at_ms = int(float(cells[time_place]))
                label = cells[label_place].strip()
            except (IndexError, ValueError) as error:
                raise DataError(f"{path} line {number}: {error}; want {', '.join(COLUMNS)}") from error
            if not rows or at_ms > rows[-1][1]:
                rows.append((values, at_ms, label))
    if len(rows) < 2:
        raise DataError(f"{path}: {len(rows)} readings; want at least 2")
    return rows


def label_ranges(rows):
    """Runs of one label as [{"start_ms", "end_ms", "label"}], from the start of the recording."""
    first = rows[0][1]
    ranges = []
    for _, at_ms, label in rows:
        if not ranges or ranges[-1]["label"] != label:
            if ranges:
                ranges[-1]["end_ms"] = at_ms - first
            ranges.append({"start_ms": at_ms - first, "end_ms": 0, "label": label})
    ranges[-1]["end_ms"] = rows[-1][1] - first + 1
    return ranges


def write_upload(recording, target):
    """Writes the recording without its labels, as a device's file would be; returns its ranges."""
    rows = read_rows(recording.path)
    lines = [",".join(("timestamp", *AXES))]
    lines += [f"{at_ms},{','.join(values)}" for values, at_ms, _ in rows]
    target.write_text("\n".join(lines) + "\n", encoding="ascii")
    return label_ranges(rows)


def write_replay(recording, target, skip_ms):
    """Writes the recording for an agent, without its first moments: two devices of the same person
    were not switched on at the same time, and do not see the same windows."""
    rows = read_rows(recording.path)
    first = rows[0][1]
    lines = [",".join(COLUMNS)]
    lines += [
        f"{','.join(values)},{at_ms},{label}"
        for values, at_ms, label in rows
        if at_ms - first >= skip_ms
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def assign_devices(split, count, seed):
    """Who wears which device: [(device id, person, shares)].

    Five of eight devices belong to people who send: every fifth device that sends is kept for
    testing, and a test needs several.
    """
    sending = max(len(split.send), min(count - len(split.judge), max(round(count * 5 / 8), 15)))
    rng = random.Random(f"devices/{seed}")
    devices = []
    for people, number, shares in (
        (split.send, sending, True),
        (split.judge, count - sending, False),
    ):
        for index in range(number):
            devices.append((people[index % len(people)], shares))
    rng.shuffle(devices)
    return [(f"dev-{i:02d}", person, shares) for i, (person, shares) in enumerate(devices, 1)]
