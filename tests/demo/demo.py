#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Closes the loop before your eyes: a fleet, drift, a better model. See docs/demo.md."""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import sys

import judging
import report
from installation import DemoError, missing_programs
from prometheus import Prometheus, metrics_addresses, numbers, scrape
from recordings import DataError
from story import MARK, Plan, Story
from timeline import Timeline

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "charts"))

import dashboards  # noqa: E402
import metrics_table  # noqa: E402

EXIT_MISSED = 1  # A figure, a panel or a metric is not as it should be.
EXIT_FAILED = 2  # The story did not come to its end.
EXIT_STOPPED = 130


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder of the programs")
    parser.add_argument(
        "--data", type=pathlib.Path, help="recordings sNN/sNN_EE_{sp|sw}.csv; default: made up"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("fieldloop-demo"))
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--agents", type=int, help="devices of the fleet (default 24)")
    parser.add_argument("--speed", type=float, help="field time over real time (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of recordings, people and training")
    parser.add_argument("--short", action="store_true", help="fewer people and devices, less time")
    parser.add_argument(
        "--untimed", action="store_true", help="the time is told and decides nothing, as on a machine with other work"
    )
    parser.add_argument("--keep", action="store_true", help="keep the services' folders and logs")
    parser.add_argument(
        "--with-prometheus", action="store_true", help="start a Prometheus that scrapes the services"
    )
    parser.add_argument(
        "--check-dashboards",
        action="store_true",
        help="with Prometheus; fail unless every panel has data and docs/metrics.md is right",
    )
    parser.add_argument(
        "--write-metrics", action="store_true", help="write docs/metrics.md from what is exported"
    )
    parser.add_argument("--prometheus", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.with_prometheus |= options.check_dashboards
    if options.with_prometheus and options.prometheus is None:
        options.prometheus = shutil.which("prometheus")
        if options.prometheus is None:
            parser.error("--with-prometheus: there is no prometheus; ./dev demo fetches it")
    if options.agents is not None and not 8 <= options.agents <= 200:
        parser.error(f"--agents: got {options.agents}, want 8 to 200")
    if options.speed is not None and not 1 <= options.speed <= 2000:
        parser.error(f"--speed: got {options.speed:g}, want 1 to 2000")
    if options.seed < 0:
        parser.error(f"--seed: got {options.seed}, want at least 0")
    return options


def plan_of(options):
    chosen = {
        name: value
        for name, value in (
            ("agents", options.agents),
            ("speed", options.speed),
            ("seed", options.seed),
        )
        if value is not None
    }
    return Plan.shortened(**chosen) if options.short else Plan(**chosen)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def tell_failure(story, error):
    print(f"\nthe demo failed: {error}", file=sys.stderr)
    for name, lines in story.installation.last_log_lines():
        print(f"\nlast lines of {name}:", file=sys.stderr)
        for line in lines:
            print(f"  {line}", file=sys.stderr)
    for agent in story.agents:
        if not agent.running and agent.log_path.exists():
            end = agent.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            print(f"\nlast lines of {agent.name}:", *end, sep="\n  ", file=sys.stderr)
            break


def judged(options, figures):
    """The figures that decide about the exit code."""
    return [figure for figure in figures if not (options.untimed and figure.key == "story_seconds")]


def monitoring_is_right(options, story):
    """Checks, or writes, what the run says about metrics and dashboards."""
    right = True
    if options.write_metrics or options.check_dashboards:
        addresses = metrics_addresses(story.installation.home)
        gathered = metrics_table.gather({n: scrape(a) for n, a in addresses.items()})
    if options.write_metrics:
        write(metrics_table.PAGE, metrics_table.render(gathered))
        print(f"written: {metrics_table.PAGE}")
    if options.check_dashboards:
        found = metrics_table.differences(metrics_table.read(), gathered, complete=True)
        for difference in found:
            print(f"docs/metrics.md: {difference}")
        right = dashboards.check(lambda query: numbers(story.prometheus.query_range(query)))
        right = right and not found
    return right


def linger(address):
    """Lets a person look at Prometheus as long as they like."""
    try:
        input(f"\nPrometheus is at {address}, the services still run; Enter ends them ")
    except (EOFError, KeyboardInterrupt):
        print()


def more_figures(story):
    """What --json says beside the figures."""
    return {
        "seed": story.plan.seed,
        "short": story.plan.short,
        "agents": len(story.agents),
        "speed": story.plan.speed,
        "data": "generator" if story.generated else str(story.data),
        "people": dataclasses.asdict(story.split) if story.split else None,
        "phases": [
            {"name": name, "seconds": round(end - start, 1)} for name, start, end in story.phases
        ],
    }


def main(arguments):
    options = parse(arguments)
    missing = missing_programs(options.bin)
    if missing:
        print(f"--bin: {options.bin} lacks {', '.join(missing)}; run ./dev build", file=sys.stderr)
        return EXIT_FAILED

    def on_terminate(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_terminate)
    timeline = Timeline()
    code = EXIT_FAILED
    with Story(plan_of(options), timeline, options.bin, options.out, options.data) as story:
        if options.with_prometheus:
            story.prometheus = Prometheus(options.prometheus, story.work / "prometheus")
        try:
            story.run()
            code = 0
        except KeyboardInterrupt:
            print("\nstopping", file=sys.stderr)
            code = EXIT_STOPPED
        except (DemoError, DataError, OSError) as error:
            tell_failure(story, error)
        if code != EXIT_STOPPED and story.split is not None:
            figures = story.figures()
            timeline.table(figures)
            page = story.out / "report.html"
            write(page, report.render(story.report_data(), figures))
            print(f"\nreport: {page}")
            if options.json:
                text = json.dumps(judging.figures_json(figures, more_figures(story)), indent=2)
                write(options.json, text + "\n")
            code = code or judging.exit_code(judged(options, figures))
            if story.client and not monitoring_is_right(options, story):
                code = code or EXIT_MISSED
            if options.with_prometheus and sys.stdin.isatty() and not options.check_dashboards:
                linger(f"http://{story.prometheus.address}")
        keep = options.keep or code != 0
    if (story.work / MARK).exists():
        if keep:
            print(f"kept: {story.work}")
        else:
            shutil.rmtree(story.work)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
