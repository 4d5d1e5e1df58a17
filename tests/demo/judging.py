# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""What the agents' truth logs say: field truth, which only the demo knows, and the figures."""

import dataclasses
import json
import pathlib
import statistics


@dataclasses.dataclass(frozen=True)
class Period:
    """Predictions of one device over one span of its sensor clock, against the labels."""

    device: str
    start_ms: int
    period_ms: int
    model: str
    source: str
    pairs: dict  # {truth: {predicted: windows}}

    @property
    def end_ms(self):
        return self.start_ms + self.period_ms


@dataclasses.dataclass(frozen=True)
class SentSample:
    """What a recording that a device sent is, by its labels."""

    device: str
    start_ms: int
    label: str
    purity: float


class TruthLog:
    """Follows the growing truth log of one agent; reads only what is new and whole."""

    def __init__(self, device, path):
        self.device = device
        self.path = pathlib.Path(path)
        self.periods = []
        self.samples = []
        self._offset = 0

    def read(self):
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            record = json.loads(line)
            if record["type"] == "period":
                self.periods.append(
                    Period(
                        self.device,
                        record["start_ms"],
                        record["period_ms"],
                        record["model"],
                        record["source"],
                        record["pairs"],
                    )
                )
            elif record["type"] == "sample":
                self.samples.append(
                    SentSample(self.device, record["start_ms"], record["label"], record["purity"])
                )


def confusion(periods):
    """Sum of the pairs of periods."""
    total = {}
    for period in periods:
        for truth, predictions in period.pairs.items():
            row = total.setdefault(truth, {})
            for predicted, count in predictions.items():
                row[predicted] = row.get(predicted, 0) + count
    return total


def windows(pairs):
    return sum(sum(row.values()) for row in pairs.values())


def recalls(pairs):
    """Share of right predictions of each label that occurs."""
    return {
        truth: row.get(truth, 0) / sum(row.values())
        for truth, row in sorted(pairs.items())
        if sum(row.values()) > 0
    }


def balanced_accuracy(pairs, labels=None):
    """Mean recall. With `labels`, None unless each of them occurs: a mean over fewer is another figure."""
    found = recalls(pairs)
    if not found or (labels is not None and not set(labels) <= set(found)):
        return None
    return sum(found.values()) / len(found)


def over_time(periods, span_ms, origin_ms):
    """Balanced accuracy in spans of sensor time: [(minutes since the origin, value)].

    Spans with far fewer windows than others are left out: in them, few devices stand for the fleet.
    """
    spans = {}
    for period in periods:
        middle = (period.start_ms + period.end_ms) / 2 - origin_ms
        spans.setdefault(int(middle // span_ms), []).append(period)
    sums = {index: confusion(members) for index, members in sorted(spans.items())}
    least = 0.3 * statistics.median(map(windows, sums.values())) if sums else 0
    return [
        ((index + 0.5) * span_ms / 60000, balanced_accuracy(pairs))
        for index, pairs in sums.items()
        if pairs and windows(pairs) >= least
    ]


def first_start(periods, source):
    """Sensor time at which each device began to play `source`; the median over devices, or None."""
    firsts = {}
    for period in periods:
        if period.source == source:
            before = firsts.get(period.device, period.start_ms)
            firsts[period.device] = min(before, period.start_ms)
    return statistics.median(firsts.values()) if firsts else None


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure beside its goal. `test` is one of ">=", "<", "<=", "is"."""

    key: str
    title: str
    value: object  # None when it could not be measured.
    test: str
    goal: object
    unit: str = ""

    @property
    def ok(self):
        if self.value is None:
            return False
        return {
            ">=": lambda: self.value >= self.goal,
            "<=": lambda: self.value <= self.goal,
            "<": lambda: self.value < self.goal,
            "is": lambda: self.value == self.goal,
        }[self.test]()

    def text(self, number):
        if number is None:
            return "not measured"
        if isinstance(number, bool):
            return "yes" if number else "no"
        if self.unit == "%":
            return f"{100 * number:.1f} %"
        if self.unit == "points":
            return f"{100 * number:+.1f} points"
        if isinstance(number, float):
            number = f"{number:.1f}"
        return f"{number} {self.unit}".strip()

    @property
    def value_text(self):
        return self.text(self.value)

    @property
    def goal_text(self):
        words = {">=": "at least ", "<=": "at most ", "<": "below ", "is": ""}[self.test]
        return words + self.text(self.goal)


def figures_json(figures, more):
    """The content of --json: figures by key, whether all hold, and what else a reader may want."""
    return {
        "ok": all(figure.ok for figure in figures),
        "figures": {
            figure.key: {
                "title": figure.title,
                "value": figure.value,
                "test": figure.test,
                "goal": figure.goal,
                "unit": figure.unit,
                "ok": figure.ok,
            }
            for figure in figures
        },
        **more,
    }


def exit_code(figures):
    """0 only when there are figures and all hold."""
    return 0 if figures and all(figure.ok for figure in figures) else 1


def offers_over_quota(events):
    """Rollout events in which more devices had been offered than the stage allows."""
    return [
        event
        for event in events
        if event.get("kind") == "OFFERED"
        and int(event.get("offered_count", 0)) > int(event.get("quota", 0))
    ]
