# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A Prometheus that scrapes the services of the demo, with the chart's rules."""

import json
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from installation import DemoError, keep_free_port, start_process, stop_process

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "charts" / "fieldloop" / "files" / "rules"
SCRAPE_S = 1
START_S = 60
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")

CONFIG = """\
global:
  scrape_interval: {scrape}s
  evaluation_interval: {scrape}s
rule_files:
  - {rules}/*.yaml
scrape_configs:
  - job_name: fieldloop
    static_configs:
"""
TARGET = """\
      - targets: ["{address}"]
        labels: {{component: {component}}}
"""


def metrics_addresses(home):
    """{service: host:port}, from the ready files of `fieldloop up`."""
    folder = pathlib.Path(home) / "run"
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["metrics"]
        for name in SERVICES
    }


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read().decode("utf-8")


class Prometheus:
    """Runs until stop(). `program` is the server's; everything else lies in `folder`."""

    def __init__(self, program, folder):
        self.program = pathlib.Path(program)
        self.folder = pathlib.Path(folder)
        self.address = None
        self.begun = None
        self._keeper = None
        self._process = None

    def start(self, home):
        self.folder.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(scrape=SCRAPE_S, rules=RULES)
        for component, address in metrics_addresses(home).items():
            text += TARGET.format(address=address, component=component)
        config = self.folder / "prometheus.yml"
        config.write_text(text, encoding="utf-8")
        self._keeper = keep_free_port()
        self.address = f"127.0.0.1:{self._keeper.getsockname()[1]}"
        self.begun = time.time()
        self._process = start_process(
            [
                self.program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=warn",
            ],
            self.folder / "prometheus.log",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        while not self._ready():
            if self._process.poll() is not None:
                raise DemoError(f"Prometheus ended; see {self.folder / 'prometheus.log'}")
            if time.monotonic() > deadline:
                raise DemoError(f"Prometheus is not ready after {START_S} s")
            time.sleep(0.1)
        return f"http://{self.address}"

    def stop(self):
        if self._process is not None:
            stop_process(self._process, 10)
            self._keeper.close()

    def _ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def query_range(self, expression):
        """Series of an expression since the start: [{"metric": {...}, "values": [[time, "text"]]}]."""
        end = time.time()
        step = max(SCRAPE_S, (end - self.begun) / 5000)
        form = urllib.parse.urlencode(
            {"query": expression, "start": self.begun, "end": end, "step": f"{step:.3f}"}
        )
        url = f"http://{self.address}/api/v1/query_range"
        try:
            with urllib.request.urlopen(url, data=form.encode(), timeout=60) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise DemoError(f"Prometheus refuses {expression!r}: {text}") from error


def numbers(series):
    """How many finite values the series of an answer have."""
    return sum(
        1
        for one in series
        for _, text in one["values"]
        if not re.fullmatch(r"NaN|[+-]Inf", text)
    )
