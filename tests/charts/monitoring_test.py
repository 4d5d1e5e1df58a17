#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Rules, dashboards, runbooks and the table of metrics fit each other and the services."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "demo")]

import dashboards  # noqa: E402
import metrics_table  # noqa: E402
from installation import Installation  # noqa: E402
from prometheus import RULES, metrics_addresses, scrape  # noqa: E402

RUNBOOKS = ROOT / "docs" / "runbooks"
OPTIONS = argparse.Namespace(bin=None, promtool=None)


def rules():
    return [
        rule
        for path in sorted(RULES.glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def unknown_metrics(query):
    """Names in a query that no service exports and no rule records."""
    known = metrics_table.names(metrics_table.read()) | {"up"}
    known |= {rule["record"] for rule in rules() if "record" in rule}
    found = re.findall(r"\b(?:component:)?(?:fieldloop|process)_\w+(?::\w+)*|\bup\b", query)
    return sorted(set(found) - known)


class RulesTest(unittest.TestCase):
    def promtool(self, *arguments):
        if OPTIONS.promtool is None:
            self.skipTest("there is no promtool; ./dev test fetches it")
        done = subprocess.run(
            [OPTIONS.promtool, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_prometheus_takes_the_rules(self):
        self.promtool("check", "rules", *sorted(RULES.glob("*.yaml")))

    def test_every_alert_fires_when_it_must_and_is_silent_when_it_must(self):
        self.promtool("test", "rules", HERE / "rules" / "alerts_test.yaml")

    def test_every_alert_is_tested_for_firing_and_for_silence(self):
        tests = yaml.safe_load((HERE / "rules" / "alerts_test.yaml").read_text(encoding="utf-8"))
        fires, silent = set(), set()
        for case in tests["tests"]:
            for one in case["alert_rule_test"]:
                (fires if one["exp_alerts"] else silent).add(one["alertname"])
        self.assertEqual(fires, set(alerts()))
        self.assertEqual(silent, set(alerts()))

    def test_every_alert_has_a_runbook_and_every_runbook_an_alert(self):
        pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
        self.assertEqual(pages, set(alerts()))
        index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
        for name, rule in alerts().items():
            self.assertEqual(rule["annotations"]["runbook"], f"docs/runbooks/{name}.md")
            self.assertIn(f"]({name}.md) | {rule['labels']['severity']} |", index)
            page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
            for part in (f"# {name}\n", "\n## Look\n", "\n## Mend\n"):
                self.assertIn(part, page)
            self.assertIn("".join(rule["expr"].split()), "".join(page.split()))

    def test_runbooks_name_commands_that_exist(self):
        for page in RUNBOOKS.glob("*.md"):
            for command in re.findall(r"`fieldloop ([a-z]+ [a-z]+)", page.read_text(encoding="utf-8")):
                with self.subTest(page=page.stem, command=command):
                    done = subprocess.run(
                        [OPTIONS.bin / "fieldloop", *command.split(), "--help"], capture_output=True, check=False
                    )
                    self.assertEqual(done.returncode, 0)

    def test_rules_use_metrics_that_services_export(self):
        for rule in rules():
            self.assertEqual(unknown_metrics(rule["expr"]), [], rule["expr"])


class DashboardsTest(unittest.TestCase):
    def test_panels_ask_for_metrics_that_services_export(self):
        for panel in dashboards.panels():
            for query in panel.queries:
                self.assertEqual(unknown_metrics(dashboards.filled_in(query)), [], query)

    def test_each_dashboard_has_its_own_name_and_panels_that_do_not_overlap(self):
        names = set()
        for path in dashboards.FOLDER.glob("*.json"):
            board = json.loads(path.read_text(encoding="utf-8"))
            names |= {board["uid"], board["title"]}
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)), path.name)
            places = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24)
                cells = {
                    (x, y)
                    for x in range(at["x"], at["x"] + at["w"])
                    for y in range(at["y"], at["y"] + at["h"])
                }
                self.assertFalse(places & cells, f"{path.name}: {panel['title']}")
                places |= cells
        self.assertEqual(len(names), 2 * len(list(dashboards.FOLDER.glob("*.json"))))


class MetricsTest(unittest.TestCase):
    def test_what_services_export_is_in_the_table_and_names_no_device(self):
        with tempfile.TemporaryDirectory() as folder:
            installation = Installation(OPTIONS.bin, pathlib.Path(folder) / "home", "motion")
            try:
                installation.start()
                addresses = metrics_addresses(installation.home)
                running = metrics_table.gather({n: scrape(a) for n, a in addresses.items()})
            finally:
                installation.stop()
        page = metrics_table.read()
        self.assertEqual(metrics_table.differences(page, running, complete=False), [])
        for metrics in page.values():
            for name, metric in metrics.items():
                self.assertFalse({"device", "sample", "build", "rollout"} & set(metric.labels), name)

    def test_a_metric_that_the_table_lacks_or_tells_otherwise_is_found(self):
        text = '# HELP a Says a.\n# TYPE a counter\na{kind="x"} 1\n# HELP b B\n# TYPE b gauge\nb 2\n'
        page = {"build": metrics_table.parse(text)}
        for metric in page["build"].values():
            metric.help = metric.help.rstrip(".")
        same = {"build": metrics_table.parse(text)}
        self.assertEqual(metrics_table.differences(page, same, complete=True), [])
        for old, new, complete, words in (
            ("# TYPE b gauge", "# TYPE b counter", False, "type or help differs"),
            ('kind="x"', 'kind="y"', False, "beyond its set: y"),
            ('kind="x"', 'kind="x",device="d"', False, "the label device"),
            ("# HELP b B\n# TYPE b gauge\nb 2\n", "", True, "b is not exported"),
        ):
            other = {"build": metrics_table.parse(text.replace(old, new))}
            found = metrics_table.differences(page, other, complete)
            self.assertEqual(len(found), 1, found)
            self.assertIn(words, found[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--promtool", type=pathlib.Path)
    parser.parse_known_args(namespace=OPTIONS)
    if OPTIONS.promtool is not None and not OPTIONS.promtool.exists():
        OPTIONS.promtool = None
    unittest.main(argv=sys.argv[:1])
