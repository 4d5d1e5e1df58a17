#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Each service's main operation on PostgreSQL beside SQLite, both with every commit on the disk before its
acknowledgement; fails when PostgreSQL takes more than three times as long."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support" / "postgres"))

from postgres_server import PostgresServer  # noqa: E402

MOST = 3.0
OPERATIONS = {
    "provisioning": "make an enrolment token",
    "ingestion": "store a labelled sample's row",
    "build": "queue a build and claim it",
    "evaluation": "record a sketch",
    "distribution": "store a device's state",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    bench = parser.parse_args().bin / "bench_databases"
    with tempfile.TemporaryDirectory(prefix="fieldloop-bench-") as folder, PostgresServer(durable=True) as server:
        run = subprocess.run([bench, folder, server.uri()], check=True, stdout=subprocess.PIPE, text=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    missed = False
    print(f"{'median of 300':46} {'SQLite':>10} {'PostgreSQL':>12} {'ratio':>6}   goal: at most {MOST:.0f}")
    for service, what in OPERATIONS.items():
        sqlite, postgres = figures["sqlite"][service], figures["postgresql"][service]
        ratio = postgres / sqlite
        missed |= ratio > MOST
        print(f"{service:13} {what:32} {sqlite * 1e3:7.2f} ms {postgres * 1e3:9.2f} ms {ratio:6.2f}"
              f"{'   MISSED' if ratio > MOST else ''}")
    together = [figures[engine]["ingestion_together"] for engine in ("sqlite", "postgresql")]
    print(f"{'ingestion     rows a second, 16 callers':46} {together[0]:8.0f}/s {together[1]:10.0f}/s "
          f"{together[0] / together[1]:6.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
