#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""How fast a registry with 10,000 versions answers: one client, over gRPC and TLS, call after call.

The versions are written through the store of the build service into the database of an installation, which then
serves them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))

from installation import Installation  # noqa: E402

VERSIONS = 10_000
PROJECT = "bench"
# (what, call, largest median in seconds)
GOALS = [
    ("list the newest page of 50", "list", 0.010),
    ("list the next page of 50", "list_next", 0.010),
    ("resolve an alias", "alias", 0.010),
    ("find a version by its digest", "list_digest", 0.010),
    ("list what descends from a dataset version", "list_dataset", None),
    ("lineage of a model with 50 ancestors", "lineage", None),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    binaries = parser.parse_args().bin
    bench = binaries / "bench_registry"
    with tempfile.TemporaryDirectory(prefix="fieldloop-bench-") as folder:
        home = pathlib.Path(folder) / "home"
        installation = Installation(binaries, home, PROJECT)
        installation.start()
        try:
            installation.run("projects", "create", PROJECT)
        finally:
            installation.stop()
        database = next(home.rglob("build.db"))
        subprocess.run([bench, "seed", database, PROJECT, str(VERSIONS)], check=True)
        installation = Installation(binaries, home, PROJECT)
        client = installation.start()
        try:
            run = subprocess.run(
                [bench, "measure", client["addresses"]["build"], client["ca_file"],
                 client["token_file"], PROJECT],
                check=True, capture_output=True, text=True,
            )
        finally:
            installation.stop()
    figures = json.loads(run.stdout)
    missed = False
    print(f"{VERSIONS} versions; {'what':43} {'median':>10} {'99 %':>10} {'goal':>10}")
    for what, call, goal in GOALS:
        median, worst = figures[call]["median"], figures[call]["p99"]
        late = goal is not None and median > goal
        missed |= late
        limit = "" if goal is None else f"{goal * 1e3:7.1f} ms"
        print(f"{what:59} {median * 1e3:7.2f} ms {worst * 1e3:7.2f} ms {limit:>10}{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
