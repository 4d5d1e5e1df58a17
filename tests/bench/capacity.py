#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""What a device costs: CPU of the services for each operation, memory for each connection, disk for each row; and
from that the tables of docs/operations.md.

CPU is the time that the kernel counts for the processes, less what they use while nothing happens, so that other
load on the machine matters little. All devices come from one process over loopback, with TLS 1.2 as the agent has it.
"""

import argparse
import json
import math
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "demo"), str(TESTS / "e2e")]

from installation import DemoError, Installation  # noqa: E402
from registry_test import RATE_HZ, RECIPE, write_recording  # noqa: E402

PROJECT = "motion"
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")
QUIET_S = 5  # While nothing happens, to know what that costs.

# What the tables assume of each device.
CHECK_IN_MINUTES = (1, 5, 60)
SKETCHES_PER_DAY = 24
SAMPLES_PER_DAY = 2
CONNECTS_PER_DAY = 4  # Sessions begun anew, resumed.
DAYS_KEPT = 90
BUSY = 0.5  # Cores are planned to be busy for at most this share of the time.
REPLICA_CONNECTIONS = 50_000
REPLICA_CORES = 4


def service_pids(up_pid):
    """The services among the children of `fieldloop up`: {name: pid}."""
    pids = {}
    for child in pathlib.Path(f"/proc/{up_pid}/task/{up_pid}/children").read_text().split():
        words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        pids[pathlib.Path(os.fsdecode(words[0])).name.removeprefix("fieldloop-")] = int(child)
    return {name: pids[name] for name in SERVICES}


def cpu_seconds(pid):
    """User and system time of a process since its start, threads that ended included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid):
    """Anonymous memory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def database_bytes(path):
    """Of the pages that are in use, those in the log included."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


class Load:
    """The process of the devices."""

    def __init__(self, program, up, client, devices, model):
        metadata = model["metadata"]
        reference = metadata["reference"]
        self.devices = devices
        self.process = subprocess.Popen(
            [
                program,
                *("--listener", client["addresses"]["device"]),
                *("--provisioning", client["addresses"]["provisioning"]),
                *("--ca", client["ca_file"]),
                *("--token", pathlib.Path(client["token_file"]).read_text(encoding="utf-8").strip()),
                *("--project", PROJECT),
                *("--devices", str(devices)),
                *("--model-digest", model["digest"]),
                *("--reference", str(reference["id"])),
                *("--classes", str(len(metadata["classes"]))),
                *("--bins", ",".join(str(len(channel["edges"]) + 1) for channel in reference["channels"])),
                *("--axes", str(len(RECIPE["window"]["axes"]))),
                *("--readings", str(RECIPE["window"]["length"])),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what, count=None):
        """Runs a command; returns how many operations it was."""
        self.process.stdin.write(what if count is None else f"{what} {count}")
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"capacity_load ended with {self.process.wait()}")
        result = json.loads(line)
        if result["failed"]:
            raise RuntimeError(f"{what}: {result['failed']} of {result['devices']} failed: {result['failure']}")
        return self.devices * (count or 1)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, up, load, client):
        self.up = up
        self.load = load
        self.pids = service_pids(up._up.pid)  # noqa: SLF001
        self.idle = {}
        self.figures = {}
        self.client = client

    def cpu(self):
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def rest(self):
        """Learns what the services use while nothing happens."""
        before, start = self.cpu(), time.monotonic()
        time.sleep(QUIET_S)
        seconds = time.monotonic() - start
        self.idle = {name: (after - before[name]) / seconds for name, after in self.cpu().items()}

    def measure(self, key, what, count=None):
        """CPU seconds of each service for one operation."""
        before, start = self.cpu(), time.monotonic()
        operations = self.load.tell(what, count)
        seconds = time.monotonic() - start
        self.figures[key] = {
            name: max(0.0, after - before[name] - self.idle[name] * seconds) / operations
            for name, after in self.cpu().items()
        }
        parts = ", ".join(f"{name} {cost * 1e6:.0f}" for name, cost in self.figures[key].items() if cost >= 5e-7)
        print(f"  {key:34} {self.total(key) * 1e6:8.0f} us of CPU ({parts}); {operations} times", flush=True)

    def total(self, key):
        return sum(self.figures[key].values())

    def sizes(self):
        return {name: database_bytes(self.up.home / name / f"{name}.db") for name in SERVICES}

    def blobs(self):
        return sum(path.stat().st_size for path in (self.up.home / "ingestion").rglob("*.pack"))


def prepare(up, work):
    """A project with a model and a release of it."""
    up.run("projects", "create", PROJECT)
    for i in range(3):
        for label in ("WALK", "SIT"):
            path = work / f"{label}.{i}.csv"
            write_recording(path, label, f"{label}/{i}")
            up.run("samples", "upload", path, "--label", label, "--split", "testing" if i == 0 else "training")
    up.run("datasets", "create", "all")
    up.run("datasets", "fix", "all")
    recipe = work / "recipe.json"
    recipe.write_text(json.dumps(RECIPE), encoding="utf-8")
    up.run("impulses", "create", "motion", "--recipe", recipe)
    up.run("builds", "create", "--dataset", "all/versions/1", "--impulse", "motion", "--watch")
    return up.one("models", "get", 1), up.one("releases", "create", 1)


def measure(options, work):
    up = Installation(options.bin, work / "home", PROJECT)
    client = up.start()
    client.setdefault("token_file", str(up.home / "pki" / "admin.token"))
    load = None
    try:
        model, release = prepare(up, work)
        load = Load(options.bin / "capacity_load", up, client, options.devices, model)
        bench = Bench(up, load, client)
        device_pid = bench.pids["distribution"]
        bench.rest()

        print(f"{options.devices} devices, CPU for each time:")
        before_size = bench.sizes()
        bench.figures["base_memory"] = sum(memory_bytes(pid) for pid in bench.pids.values())
        bench.measure("enrolment", "enroll")
        after_size = bench.sizes()
        bench.figures["device_bytes"] = {
            name: (after_size[name] - before_size[name]) / options.devices for name in SERVICES
        }
        bench.measure("handshake, full", "handshake")
        bench.measure("handshake, resumed", "resume")
        before_connect = memory_bytes(device_pid)
        bench.measure("session begun, full handshake", "connect")
        bench.figures["connection_bytes"] = (memory_bytes(device_pid) - before_connect) / options.devices
        bench.rest()
        bench.figures["idle_cores"] = sum(bench.idle.values())
        after_connect = bench.sizes()
        bench.figures["device_bytes"]["distribution"] = (
            after_connect["distribution"] - before_size["distribution"]
        ) / options.devices
        bench.measure("check-in, nothing new", "check-in", options.rounds)
        bench.measure("state report", "state", 2)
        before = bench.sizes()
        bench.measure("sketch", "sketch", 2)
        bench.figures["sketch_bytes"] = (bench.sizes()["evaluation"] - before["evaluation"]) / (2 * options.devices)
        before, blobs = bench.sizes(), bench.blobs()
        bench.measure("recording of 25 x 3 values", "sample", 2)
        bench.figures["sample_bytes"] = (bench.sizes()["ingestion"] - before["ingestion"]) / (2 * options.devices)
        bench.figures["sample_blob_bytes"] = (bench.blobs() - blobs) / (2 * options.devices)
        before = bench.sizes()
        up.run("rollouts", "create", release["name"], "--stages", "100")
        print(f"  the model of the update has {int(model['size_bytes']):,} bytes")
        bench.measure("update to its end", "update")
        bench.figures["update_bytes"] = (bench.sizes()["distribution"] - before["distribution"]) / options.devices
        return bench
    except DemoError:
        for name, lines in up.last_log_lines(20):
            print(f"-- {name}", *lines, sep="\n", file=sys.stderr)
        raise
    finally:
        if load is not None:
            load.stop()
        up.stop()


def measure_rollouts(options):
    rows = []
    for devices in options.rollout_devices:
        with tempfile.TemporaryDirectory(prefix="fieldloop-bench-", dir=options.dir) as folder:
            run = subprocess.run(
                [options.bin / "bench_rollout", folder, str(devices)], check=True, stdout=subprocess.PIPE, text=True
            )
        rows.append(json.loads(run.stdout.splitlines()[-1]))
    return rows


def amount(number, unit=""):
    """Three digits are more than enough."""
    for limit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {name}{unit}"
    return f"{number:.3g} {unit}".strip()


def plan(bench, devices, minutes):
    """What a fleet needs; the formulas are in docs/operations.md."""
    per_second = devices / 86400
    cpu = (
        devices / (60 * minutes) * bench.total("check-in, nothing new")
        + per_second * SKETCHES_PER_DAY * bench.total("sketch")
        + per_second * SAMPLES_PER_DAY * bench.total("recording of 25 x 3 values")
        + per_second
        * CONNECTS_PER_DAY
        * (
            bench.total("handshake, resumed")
            + bench.total("state report")
            + bench.total("check-in, nothing new")
        )
    )
    cores = (cpu + bench.figures["idle_cores"]) / BUSY
    listener_cores = (
        devices / (60 * minutes) * bench.figures["check-in, nothing new"]["distribution"]
        + per_second * SKETCHES_PER_DAY * bench.figures["sketch"]["distribution"]
        + per_second * SAMPLES_PER_DAY * bench.figures["recording of 25 x 3 values"]["distribution"]
    ) / BUSY
    replicas = max(2, math.ceil(devices / REPLICA_CONNECTIONS), math.ceil(listener_cores / REPLICA_CORES))
    memory = (
        bench.figures["base_memory"]
        + devices * bench.figures["connection_bytes"]
        + replicas * devices * bench.figures["known_bytes"]
    )
    disk = devices * (
        sum(bench.figures["device_bytes"].values())
        + DAYS_KEPT * SKETCHES_PER_DAY * bench.figures["sketch_bytes"]
        + DAYS_KEPT * SAMPLES_PER_DAY * (bench.figures["sample_bytes"] + bench.figures["sample_blob_bytes"])
    )
    return cores, memory, disk, replicas


def report(bench, rollouts):
    figures = bench.figures
    print("\n| operation | CPU of the services | a core does |\n|---|---|---|")
    for key, value in figures.items():
        if isinstance(value, dict) and key != "device_bytes":
            cost = bench.total(key)
            most = max(value, key=value.get)
            print(f"| {key} | {cost * 1e6:.0f} us, of which {most} {value[most] * 1e6:.0f} us | {amount(1 / cost)} a second |")
    print("\n| what | bytes |\n|---|---|")
    print(f"| memory of distribution for a device that is connected | {amount(figures['connection_bytes'], 'B')} |")
    print(f"| memory of each replica of distribution for a device that is known | {amount(figures['known_bytes'], 'B')} |")
    for name, size in figures["device_bytes"].items():
        if size >= 1:
            print(f"| database of {name} for a device | {amount(size, 'B')} |")
    print(f"| database of evaluation for a sketch | {amount(figures['sketch_bytes'], 'B')} |")
    print(f"| database of ingestion for a recording | {amount(figures['sample_bytes'], 'B')} |")
    print(f"| blobs of ingestion for a recording of 300 bytes | {amount(figures['sample_blob_bytes'], 'B')} |")
    print(f"| database of distribution for a device's update | {amount(figures['update_bytes'], 'B')} |")
    print("\n| devices of a rollout | to create it | an offer | a confirmation | a tick | database |\n|---|---|---|---|---|---|")
    for row in rollouts:
        print(
            f"| {row['devices']:,} | {row['create_seconds']:.2f} s | {row['offer_seconds'] * 1e3:.2f} ms |"
            f" {row['confirm_seconds'] * 1e3:.2f} ms | {row['tick_seconds'] * 1e3:.1f} ms |"
            f" {amount(row['database_bytes'], 'B')} |"
        )
    print("\n| devices | check-in each | cores | memory | disk | replicas of distribution |\n|---|---|---|---|---|---|")
    for devices in (1_000, 10_000, 100_000, 1_000_000):
        for minutes in CHECK_IN_MINUTES:
            cores, memory, disk, replicas = plan(bench, devices, minutes)
            print(
                f"| {devices:,} | {minutes} min | {max(cores, 0.1):.1f} | {amount(memory, 'B')} | {amount(disk, 'B')} |"
                f" {replicas} |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--devices", type=int, default=2000, help="that connect, 1 to 20000")
    parser.add_argument("--rounds", type=int, default=10, help="check-ins of each")
    parser.add_argument("--rollout-devices", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dir", type=pathlib.Path, help="folder on the disk to measure")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    rollouts = measure_rollouts(options)
    with tempfile.TemporaryDirectory(prefix="fieldloop-bench-", dir=options.dir) as folder:
        bench = measure(options, pathlib.Path(folder))
    bench.figures["known_bytes"] = max(row["known_bytes"] for row in rollouts)
    report(bench, rollouts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
