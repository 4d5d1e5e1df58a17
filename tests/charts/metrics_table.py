# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md, made from what running services export, and its comparison with them."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"

# Labels whose values are not listed: what they are, instead.
OPEN = {
    "method": "a method of the contracts in `proto/`",
    "code": "a status code of gRPC",
    "project": "a project",
    "model": "a model of the project, `sha256:` and 12 digits of one without a name, `none` or `other`",
}
FROM_CLIENTS = {"le", "quantile"}
FROM_PROMETHEUS_CPP = ("exposer_",)  # The library's own.

HEAD = """\
# Metrics

Each service serves Prometheus' text format at `/metrics` on the address of `--metrics-listen`. Counts of things in the
database (devices, cycles, rollouts, what waits) are the same in every replica: take `max`, not `sum`. Label sets
are closed: no label ever names a device, a sample or a build, so that a fleet of 100,000 devices has as many series as
one of ten. A histogram `X` has the series `X_bucket`, `X_sum` and `X_count`.

Made by `./dev demo --short --write-metrics`; checked by `./dev test` and by `./dev demo --check-dashboards`. What
alerts are made of it: [runbooks](runbooks/README.md).

"""
COLUMNS = "| metric | type | labels | says |\n|---|---|---|---|\n"
ALL = "every service"


@dataclasses.dataclass
class Metric:
    type: str
    help: str
    labels: dict = dataclasses.field(default_factory=dict)  # {name: {values}}


def parse(text):
    """{name: Metric} of a page in Prometheus' text format."""
    metrics = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            metrics[name] = Metric("", words)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            metrics.setdefault(name, Metric("", "")).type = kind
        elif line and not line.startswith("#"):
            name, labels = re.fullmatch(r"([a-zA-Z0-9_:]+)(?:\{(.*)\})? \S+", line).groups()
            family = next(f for f in (name, re.sub(r"_(bucket|sum|count)$", "", name)) if f in metrics)
            for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""):
                if label not in FROM_CLIENTS:
                    metrics[family].labels.setdefault(label, set()).add(value)
    return {n: m for n, m in metrics.items() if not n.startswith(FROM_PROMETHEUS_CPP)}


def gather(pages):
    """{service: {name: Metric}} of {service: page}; what all have stands under ALL, once."""
    services = {service: parse(page) for service, page in pages.items()}
    common = set.intersection(*(set(metrics) for metrics in services.values()))
    first = next(iter(services.values()))
    gathered = {ALL: {name: first[name] for name in sorted(common)}}
    for service, metrics in services.items():
        gathered[service] = {n: m for n, m in sorted(metrics.items()) if n not in common}
    return gathered


def _labels(metric):
    words = []
    for label, values in sorted(metric.labels.items()):
        what = OPEN.get(label) or " ".join(f"`{value}`" for value in sorted(values))
        words.append(f"`{label}`: {what}")
    return "; ".join(words)


def render(gathered):
    page = HEAD
    for service, metrics in gathered.items():
        page += f"## {service[0].upper()}{service[1:]}\n\n{COLUMNS}"
        for name, metric in metrics.items():
            page += f"| `{name}` | {metric.type} | {_labels(metric)} | {metric.help.rstrip('.')} |\n"
        page += "\n"
    return page.rstrip() + "\n"


def read(path=PAGE):
    """What the page says, as gather() gives it."""
    gathered = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            name = line[3:].lower()
            current = gathered.setdefault(name, {})
        elif line.startswith("| `"):
            name, kind, labels, says = (cell.strip() for cell in line.strip("|").split("|"))
            metric = Metric(kind, says)
            for part in filter(None, labels.split("; ")):
                label, _, values = part.partition(": ")
                found = set() if label.strip("`") in OPEN else set(re.findall(r"`([^`]*)`", values))
                metric.labels[label.strip("`")] = found
            current[name.strip("`")] = metric
    return gathered


def names(gathered):
    """All series' names that a query may use."""
    found = set()
    for metrics in gathered.values():
        for name, metric in metrics.items():
            found.add(name)
            if metric.type == "histogram":
                found |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return found


def differences(page, running, complete):
    """What of the running services is not as the page says; with `complete` also what they lack."""
    found = []
    for service, metrics in running.items():
        own = page.get(service, {})
        known = {**page.get(ALL, {}), **own}
        for name, metric in metrics.items():
            if name not in known:
                found.append(f"{service}: {name} is not in the table")
                continue
            if (known[name].type, known[name].help) != (metric.type, metric.help.rstrip(".")):
                found.append(f"{service}: {name}: type or help differs")
            for label, values in metric.labels.items():
                if label not in known[name].labels:
                    found.append(f"{service}: {name}: the label {label} is not in the table")
                elif label not in OPEN and values - known[name].labels[label]:
                    more = ", ".join(sorted(values - known[name].labels[label]))
                    found.append(f"{service}: {name}: {label} has values beyond its set: {more}")
        if complete:
            found += [f"{service}: {name} is not exported" for name in own if name not in metrics]
    return found
