#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""What it costs to count a fleet of 100,000 devices by model, as the distribution does every 15 seconds.

Runs the statements of SqlFleetCensus over the tables of the distribution in SQLite, beside a count that no index
serves; CPU time, since all of it is computing. The goal: a hundredth of the time of one database connection.
"""

import argparse
import pathlib
import random
import re
import sqlite3
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STORAGE = ROOT / "services" / "distribution" / "storage"
DEVICES = 100_000
PROJECTS = 4
MODELS = 30  # Of each project.
RUNS = 21
PERIOD_MS = 15_000  # kCensusTurns of services/distribution/app/background.cc.
GOAL_SHARE = 0.01


def statements():
    """The SELECTs of the source, as they are sent."""
    source = (STORAGE / "sql_fleet_census.cc").read_text(encoding="utf-8")
    found = []
    for text in re.findall(r'prepare << ((?:"[^"]*"\s*)+)', source):
        found.append("".join(re.findall(r'"([^"]*)"', text)))
    if len(found) != 2:
        raise SystemExit(f"sql_fleet_census.cc: {len(found)} statements, want 2")
    return found


def fleet():
    database = sqlite3.connect(":memory:")
    for path in sorted((STORAGE / "migrations").glob("*.sql")):
        database.executescript(path.read_text(encoding="utf-8"))
    rng = random.Random(1)
    digests = [[rng.randbytes(32).hex() for _ in range(MODELS)] for _ in range(PROJECTS)]
    columns = (
        "device, project, model_digest, confirmed, release_sequence, hardware_id, agent_version, boot_count,"
        " dropped_uplinks, last_seen_micros, connected_until_micros"
    )
    database.executemany(
        f"INSERT INTO device_states ({columns}) VALUES (?, ?, ?, 1, 7, 'posix', '1.0.0', 3, 0, 0, 0)",
        (
            (f"projects/p{i % PROJECTS}/devices/{i:06}", f"projects/p{i % PROJECTS}", rng.choice(digests[i % PROJECTS]))
            for i in range(DEVICES)
        ),
    )
    database.commit()
    return database


def median_ms(database, queries):
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        for query in queries:
            database.execute(query).fetchall()
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", help="not needed")
    parser.parse_args()
    database = fleet()
    plans = [row[3] for query in statements() for row in database.execute(f"EXPLAIN QUERY PLAN {query}")]
    indexed = any("COVERING INDEX device_states_by_model" in plan for plan in plans)
    ours = median_ms(database, statements())
    scan = median_ms(database, ["SELECT hardware_id, COUNT(*) FROM device_states GROUP BY hardware_id"])
    share = ours / PERIOD_MS
    print(f"{DEVICES} devices, {PROJECTS * MODELS} models: {ours:.1f} ms of CPU; a count that no index serves: {scan:.1f} ms")
    print(f"share of one connection: {share:.3%} (goal: at most {GOAL_SHARE:.0%}); read from an index alone: {indexed}")
    return 0 if indexed and share <= GOAL_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
