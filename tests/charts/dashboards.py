# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The dashboards of the chart as values: their panels and queries."""

import dataclasses
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "charts" / "fieldloop" / "files" / "dashboards"

# What Grafana would put in for a look at the whole demo.
VARIABLES = {"$__rate_interval": "30s", "$project": ".*"}


@dataclasses.dataclass(frozen=True)
class Panel:
    dashboard: str
    title: str
    queries: tuple


def panels():
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            if panel["type"] != "row":
                queries = tuple(target["expr"] for target in panel["targets"])
                found.append(Panel(path.stem, panel["title"], queries))
    return found


def filled_in(query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    left = re.search(r"\$\w+", query)
    if left:
        raise ValueError(f"{query}: nothing is known of {left[0]}")
    return query


def check(count_numbers):
    """Asks for every query of every panel; prints and returns whether all have data.

    `count_numbers` takes an expression and says how many finite values it has.
    """
    passed = 0
    every = panels()
    for panel in every:
        empty = [query for query in panel.queries if count_numbers(filled_in(query)) == 0]
        passed += not empty
        for query in empty:
            print(f"no data: {panel.dashboard} / {panel.title}: {query}")
    print(f"dashboards: {passed} panels passed of {len(every)}")
    return bool(every) and passed == len(every)
