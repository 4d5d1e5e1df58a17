# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The story: a fleet that was trained on phones starts to be worn as watches, and the loop mends it.

Everything goes through the `fieldloop` command, as a user's script would. What is true in the field
is known to the demo only, from the agents' truth logs, which are never sent.
"""

import concurrent.futures
import dataclasses
import datetime
import json
import os
import pathlib
import random
import shutil
import statistics
import threading
import time

import generator
import judging
import recordings
from installation import Agent, DemoError, Installation

PROJECT = "motion"
PERIOD_S = 300  # Signal in a sketch.
STRIDE_S = 0.5
PATIENCE_S = 600  # For any one thing to happen; a slow machine may need it.
LEAST_PURITY = 0.6  # Of a device's recording, to be given a label.
MARK = "made-by-the-demo"  # A file in the folder of a run.
FINAL = ("COMPLETED", "REJECTED", "ROLLED_BACK", "FAILED", "CANCELLED")

RECIPE = {
    "window": {"length": 50, "stride": 25, "frequency_hz": 50, "axes": list(recordings.AXES)},
    "blocks": [{"flatten": {"without_shape": True}}],
    "label_purity": 0.6,
    "learning": {
        "dense_units": [32, 16],
        "epochs": 30,
        "learning_rate": 0.002,
        "batch_size": 128,
        "weight_decay": 0.001,
        "augmentation": {
            "copies": 2,
            "half_turns": True,
            "rotation_degrees": 8,
            "gain": 0.06,
        },
        "balance_classes": True,
        "device_weight": 0.5,
        "training_stride": 10,
        "group_key": "device",
    },
}

POLICY = """\
version: 1
trigger:
  drift:
    baseline_periods: {baseline}
    recent_periods: {recent}
collect:
  from:
    attributes: {{share: "yes"}}
  samples_per_device_per_period: {per_period}
  samples_per_device: {per_device}
  random_share: 0.5
  until:
    labelled_samples: {labelled}
    per_class: {per_class}
    testing_samples: {testing}
  timeout: 30m
build:
  impulse: motion
  dataset: all
gate:
  - {{slice: source=device, metric: balanced_accuracy, test: superior}}
  - {{slice: source=upload, metric: balanced_accuracy, test: not_worse, margin: 0.05}}
on_inconclusive: approve
rollout:
  approval: automatic
  stages:
    - {{percent: 15}}
    - {{percent: 50}}
    - {{percent: 100}}
  failure_percent: 10
  device_timeout: 10m
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How large and how long the story is."""

    agents: int = 24
    speed: float = 300
    seed: int = 1
    people: int = 12  # That the generator makes.
    executions: int = 10
    baseline_periods: int = 36
    recent_periods: int = 8
    healthy_s: float = 3600  # Field time of looks without an alarm.
    measure_s: float = 3 * PERIOD_S  # Field time on which v2 is judged.
    samples_per_device: int = 150
    alarm_minutes: float = 60
    limit_s: float = 240
    short: bool = False

    @classmethod
    def shortened(cls, **more):
        return cls(
            **{
                "agents": 20,
                "people": 8,
                "executions": 8,
                "baseline_periods": 12,
                "recent_periods": 4,
                "healthy_s": 1200,
                "measure_s": 2 * PERIOD_S,
                "samples_per_device": 60,
                "limit_s": 90,
                "short": True,
                **more,
            }
        )


def seconds_of(timestamp):
    """Unix seconds of a JSON timestamp."""
    text = timestamp.rstrip("Z")
    whole, _, part = text.partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float(f"0.{part or 0}")


def state_of(message, prefix="STATE_"):
    return message.get("state", "STATE_UNSPECIFIED").removeprefix(prefix)


def short_name(name):
    return name.rsplit("/", 1)[-1]


class Recorder(threading.Thread):
    """Looks at the installation about once a second, as a dashboard would, and tells what changed."""

    def __init__(self, installation, timeline, interval_s=1.0):
        super().__init__(daemon=True)
        self.installation = installation
        self.timeline = timeline
        self.interval_s = interval_s
        self.shares = []  # (seconds, {digest: confirmed devices})
        self.reports = {}  # Drift reports by name, oldest first.
        self.cycles = {}  # By name.
        self.transitions = []  # (seconds, cycle, transition)
        self.names = {}  # "v1" by digest.
        self.error = None
        self._end = threading.Event()
        self._told = set()

    def run(self):
        while not self._end.is_set():
            begun = time.monotonic()
            try:
                self.look()
                self.error = None
            except DemoError as error:
                self.error = error
            self._end.wait(max(0.05, self.interval_s - (time.monotonic() - begun)))

    def stop(self):
        self._end.set()
        if self.is_alive():
            self.join(20)

    def look(self):
        summary = self.installation.one("fleet", "summary")
        shares = {
            model.get("model_digest", ""): int(model.get("confirmed_count", 0))
            for model in summary.get("models", [])
        }
        self.shares.append((self.timeline.elapsed, shares))
        for report in reversed(self.installation.run("metrics", "drift")):
            if report["name"] not in self.reports:
                self.reports[report["name"]] = report
                self._tell_report(report)
        for cycle in reversed(self.installation.run("cycles", "list")):
            before = len(self.cycles.get(cycle["name"], {}).get("transitions", []))
            self.cycles[cycle["name"]] = cycle
            for transition in cycle.get("transitions", [])[before:]:
                self.transitions.append((self.timeline.elapsed, cycle["name"], transition))
                self._tell_transition(cycle, transition)

    def _tell_report(self, report):
        """The first look of each verdict; the others are in the report."""
        verdict = report.get("verdict", "").removeprefix("VERDICT_")
        if verdict in self._told:
            return
        self._told.add(verdict)
        numbers = (
            f"look {report.get('look')} at {report.get('device_count')} devices, statistic "
            f"{report.get('statistic', 0):.2f} against a limit of {report.get('limit', 0):.2f}, "
            f"{report.get('drifted_devices', 0)} devices drifted by themselves"
        )
        if verdict == "DRIFT":
            self.timeline.say(f"DRIFT ALARM: {numbers}")
        elif verdict == "STEADY":
            self.timeline.say(f"the devices' baselines stand; steady: {numbers}")

    def _tell_transition(self, cycle, transition):
        state = transition["to"].removeprefix("STATE_")
        text = f"cycle {short_name(cycle['name'])} {state}: {transition.get('reason', '')}"
        if state == "TRIGGERED":
            evidence = sorted(transition.get("evidence", {}).items())
            text += "\n" + "; ".join(f"{key} {value}" for key, value in evidence)
        self.timeline.say(text)

    def of_verdict(self, verdict):
        return [r for r in list(self.reports.values()) if r.get("verdict") == f"VERDICT_{verdict}"]

    def active_cycle(self):
        """The first cycle that has begun, or None."""
        for cycle in list(self.cycles.values()):
            if state_of(cycle) != "OBSERVING":
                return cycle
        return None


class Story:
    """One run of the demo. Use as a context: leaving it stops every process."""

    def __init__(self, plan, timeline, binaries, out, data=None):
        self.plan = plan
        self.timeline = timeline
        self.binaries = pathlib.Path(binaries).resolve()
        self.out = pathlib.Path(out).resolve()
        self.data = pathlib.Path(data) if data else None
        self.generated = data is None
        self.people = {}
        self.work = self.out / "work"
        self.installation = Installation(self.binaries, self.work / "home", PROJECT)
        self.recorder = Recorder(self.installation, timeline)
        self.prometheus = None  # Started with the services if the caller sets it.
        self.agents = []
        self.logs = {}
        self.phases = []  # (name, start, end)
        self.models = {}  # "v1": {"name", "digest"}
        self.rollouts = {}
        self.rollout_events = {}
        self.rollout_devices = {}
        self.healthy_alarms = None
        self.switch_ms = None
        self.switch_elapsed = None
        self.cycle = None
        self.field_metrics = []
        self.labels = generator.LABELS
        self.fleet_final = None
        self.story_s = None
        self.client = None
        self.split = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.recorder.stop()
        for agent in self.agents:
            agent.terminate()
        for agent in self.agents:
            agent.stop()
        if self.prometheus is not None:
            self.prometheus.stop()
        self.installation.stop()

    # --- Small parts ---

    def phase(self, name):
        now = self.timeline.elapsed
        if self.phases:
            before, start, _ = self.phases[-1]
            self.phases[-1] = (before, start, now)
        self.phases.append((name, now, now))
        self.timeline.chapter(name)

    def tell(self, text):
        self.timeline.say(text)

    def read_truth(self):
        for log in self.logs.values():
            log.read()
        seconds = [
            (log.periods[-1].end_ms - log.periods[0].start_ms) / 1000
            for log in self.logs.values()
            if log.periods
        ]
        if seconds:
            self.timeline.field_s = statistics.median(seconds)

    def periods(self, model=None, source=None, judges_only=False):
        digest = self.models[model]["digest"] if model else None
        found = []
        for agent in self.agents:
            if judges_only and agent.shares:
                continue
            for period in self.logs[agent.name].periods:
                if (digest is None or period.model == digest) and (
                    source is None or period.source == source
                ):
                    found.append(period)
        return found

    def check_alive(self):
        if not self.installation.running:
            raise DemoError("fieldloop up has ended")
        for agent in self.agents:
            if not agent.running:
                raise DemoError(f"the agent {agent.name} has ended; see {agent.log_path}")

    def wait_for(self, what, condition, progress=None):
        """Waits until the condition gives something true, and returns it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.read_truth()
            result = condition()
            if result:
                return result
            self.check_alive()
            if time.monotonic() > deadline:
                more = f"; last error: {self.recorder.error}" if self.recorder.error else ""
                raise DemoError(f"{what}: not within {PATIENCE_S} s{more}")
            if progress:
                text, share = progress()
                self.timeline.progress(text, share)
            time.sleep(0.1)

    # --- Chapters ---

    def make_work_folder(self):
        """Takes the place of the run before, and of nothing else."""
        if self.work.exists():
            if not (self.work / MARK).exists():
                raise DemoError(f"--out: {self.work} is not of a demo; want a folder without it")
            shutil.rmtree(self.work)
        self.work.mkdir(parents=True)
        (self.work / MARK).touch()

    def prepare(self):
        self.phase("Recordings")
        if self.data is None:
            self.data = self.work / "data"
            generator.generate(
                self.data, self.plan.people, self.plan.executions, self.plan.seed, os.cpu_count()
            )
            self.tell(f"made recordings of {self.plan.people} people with a phone and a watch")
        people = recordings.discover(self.data)
        self.split = recordings.split_people(people, self.plan.seed)
        self.people = people
        self.tell(
            f"{len(people)} people: {len(self.split.train)} train "
            f"({', '.join(self.split.train)}), {len(self.split.send)} send "
            f"({', '.join(self.split.send)}), {len(self.split.judge)} only judge "
            f"({', '.join(self.split.judge)})"
        )

    def start_services(self):
        self.phase("Services")
        self.client = self.installation.start()
        if self.prometheus is not None:
            self.tell(f"Prometheus: {self.prometheus.start(self.installation.home)}")
        self.tell("the five services are ready")
        self.installation.run("projects", "create", PROJECT, "--title", "Motion of people")
        self.installation.run(
            *("fleet", "set", "--check-in", 1, "--sketch-period", PERIOD_S),
            *("--trial-windows", 30, "--trial-timeout", 600),
        )

    def upload(self):
        self.phase("First model")
        folder = self.work / "upload"
        folder.mkdir(parents=True)
        lines = []
        labels = set()
        for person in self.split.train:
            for index, recording in enumerate(self.people[person]["sp"], 1):
                target = folder / recording.path.name
                ranges = recordings.write_upload(recording, target)
                labels.update(entry["label"] for entry in ranges)
                lines.append(
                    {
                        "path": target.name,
                        "split": "testing" if index % 4 == 0 else "training",
                        "ranges": ranges,
                        "metadata": {
                            "person": person,
                            "device": f"phone-{person}",
                            "device_kind": "phone",
                        },
                    }
                )
        manifest = folder / "manifest.jsonl"
        manifest.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
        for count, _ in enumerate(
            self.installation.watch("samples", "upload", "--manifest", manifest), 1
        ):
            self.timeline.progress(f"upload: {count} of {len(lines)}", count / len(lines))
        self.labels = sorted(labels)
        self.tell(f"{len(lines)} phone recordings uploaded, with {len(labels)} labels")

    def first_model(self):
        self.installation.run("datasets", "create", "all")
        version = self.installation.one("datasets", "fix", "all")
        recipe = self.work / "recipe.json"
        recipe.write_text(json.dumps(RECIPE, indent=2), encoding="utf-8")
        impulse = self.installation.one("impulses", "create", "motion", "--recipe", recipe)
        build = {}
        for message in self.installation.watch(
            *("builds", "create", "--dataset", version["name"], "--impulse", impulse["name"]),
            *("--seed", self.plan.seed, "--watch"),
        ):
            build = message["build"]
            self.timeline.progress(f"build: {build.get('activity', '')}", build.get("progress", 0))
        self.note_model("v1", build["model"])
        metrics = ", ".join(
            f"{m['name']} {m.get('value', 0):.3f}" for m in build.get("metrics", [])[:4]
        )
        self.tell(f"v1 is built; the trainer says {metrics}")
        release = self.installation.one("releases", "create", self.models["v1"]["name"])
        self.installation.run(
            *("models", "alias", "champion", self.models["v1"]["name"]),
            *("--reason", "the first model"),
        )
        return release["name"]

    def note_model(self, key, name):
        model = self.installation.one("models", "get", name)
        self.models[key] = {"name": model["name"], "digest": model["digest"]}
        self.recorder.names[model["digest"]] = key

    def set_policy(self):
        sharing = sum(1 for agent in self.agents if agent.shares)
        expected = sharing * self.plan.samples_per_device
        policy = self.work / "policy.yaml"
        policy.write_text(
            POLICY.format(
                baseline=self.plan.baseline_periods,
                recent=self.plan.recent_periods,
                per_period=max(1, self.plan.samples_per_device // 2),
                per_device=self.plan.samples_per_device,
                labelled=expected // 3,
                per_class=5,
                testing=expected // 16,
            ),
            encoding="utf-8",
        )
        self.installation.run("policies", "set", policy)
        self.tell(
            "policy: drift starts a cycle; devices with share=yes are asked for recordings; a model "
            "must be superior on devices and not worse on uploads; stages of 15, 50 and 100 %"
        )

    def make_fleet(self):
        """Prepares the agents' folders: recordings to replay and enrolment tokens."""
        rng = random.Random(f"skips/{self.plan.seed}")
        fleet = recordings.assign_devices(self.split, self.plan.agents, self.plan.seed)
        for name, person, shares in fleet:
            folder = self.work / "agents" / name
            for source, kind in (("phone", "sp"), ("watch", "sw")):
                (folder / source).mkdir(parents=True)
                for recording in self.people[person][kind]:
                    skip_ms = rng.uniform(0, 1000 * STRIDE_S)
                    recordings.write_replay(
                        recording, folder / source / recording.path.name, skip_ms
                    )
            agent = Agent(name, person, shares, folder)
            self.agents.append(agent)
            self.logs[name] = judging.TruthLog(name, agent.truth_path)

    def enrol(self):
        def token(agent):
            self.installation.run(
                *("tokens", "create", "--device", agent.name, "--out", agent.token_path),
                *("--attribute", f"wearer={agent.person}"),
                *("--attribute", f"share={'yes' if agent.shares else 'no'}"),
            )

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(token, self.agents))
        for index, agent in enumerate(self.agents):
            agent.start(
                self.binaries,
                self.client,
                self.installation.home,
                PROJECT,
                self.plan.speed,
                self.plan.seed * 1000 + index,
                "phone",
            )
        self.recorder.start()
        count = len(self.agents)
        self.wait_for(
            "enrolment of the fleet",
            lambda: len(self.installation.run("devices", "list")) == count,
        )
        wearers = len({agent.person for agent in self.agents})
        self.tell(f"{count} devices of {wearers} people have enrolled, all worn as phones")

    def first_rollout(self, release):
        for message in self.installation.watch(
            *("rollouts", "create", release, "--stages", "15,50,100"),
            *("--device-timeout", "10m", "--watch"),
        ):
            rollout = message["rollout"]
            self.tell_rollout("v1", rollout)
            self.read_truth()
        self.keep_rollout("v1", rollout["name"])
        self.tell(f"all {rollout.get('confirmed_count', 0)} devices run v1, confirmed after a boot")

    def tell_rollout(self, key, rollout):
        offered = int(rollout.get("offered_count", 0))
        confirmed = int(rollout.get("confirmed_count", 0))
        target = int(rollout.get("target_count", 0)) or 1
        self.timeline.progress(
            f"rollout of {key}: stage {int(rollout.get('stage', 0)) + 1}, "
            f"offered {offered} of at most {rollout.get('quota', 0)}, confirmed {confirmed}",
            confirmed / target,
        )

    def keep_rollout(self, key, name):
        self.rollouts[key] = self.installation.one("rollouts", "get", name)
        self.rollout_events[key] = self.installation.run("rollouts", "events", name)
        self.rollout_devices[key] = self.installation.run("rollouts", "devices", name)

    def healthy(self):
        self.phase("Healthy")
        self.tell("the fleet runs; each device learns what is usual for it")

        def looks_done():
            ends = sorted(
                seconds_of(report["recent_end_time"]) for report in self.recorder.of_verdict("STEADY")
            )
            if self.recorder.of_verdict("DRIFT"):
                return True
            return len(ends) > 1 and ends[-1] - ends[0] >= self.plan.healthy_s

        needed = (self.plan.baseline_periods + self.plan.recent_periods) * PERIOD_S
        needed += self.plan.healthy_s
        self.wait_for(
            "an hour of looks for drift without an alarm",
            looks_done,
            lambda: (
                f"healthy: {len(self.recorder.of_verdict('STEADY'))} looks",
                self.timeline.field_s / needed,
            ),
        )
        self.healthy_alarms = len(self.recorder.of_verdict("DRIFT"))
        steady = self.recorder.of_verdict("STEADY")
        truth = judging.balanced_accuracy(judging.confusion(self.periods("v1", "phone")), self.labels)
        self.tell(
            f"{len(steady)} looks, {self.healthy_alarms} alarms; "
            f"in truth v1 has {percent(truth)} balanced accuracy on these phones"
        )

    def switch(self):
        self.phase("The world changes")
        for agent in self.agents:
            agent.wear("watch")
        self.switch_elapsed = self.timeline.elapsed
        self.tell("every device is worn as a watch from now on")

        self.wait_for(
            "first windows from watches",
            lambda: len({p.device for p in self.periods(source="watch")}) == len(self.agents),
        )
        # A device that was told later than the median of the others does not move it.
        self.switch_ms = judging.first_start(self.periods(source="watch"), "watch")

    def alarm(self):
        began_s = self.timeline.field_s

        def alarm_or_too_late():
            if len(self.recorder.of_verdict("DRIFT")) > self.healthy_alarms:
                return True
            if self.timeline.field_s - began_s > 3 * 60 * self.plan.alarm_minutes:
                raise DemoError("no drift alarm within three times the field time that is allowed")
            return False

        self.wait_for(
            "drift alarm",
            alarm_or_too_late,
            lambda: (f"waiting for the alarm: {len(self.recorder.reports)} looks", None),
        )
        truth = judging.balanced_accuracy(judging.confusion(self.periods("v1", "watch")), self.labels)
        self.tell(
            f"alarm {self.alarm_minutes():.0f} field minutes after the change; "
            f"in truth v1 has {percent(truth)} on watches"
        )

    def alarm_minutes(self):
        """Field minutes from the change to the end of the signal that raised the alarm."""
        after = [
            seconds_of(report["recent_end_time"])
            for report in self.recorder.of_verdict("DRIFT")[self.healthy_alarms or 0 :]
        ]
        if not after or self.switch_ms is None:
            return None
        return (min(after) - self.switch_ms / 1000) / 60

    def mend(self):
        self.phase("The loop")
        # "labelled": how many had arrived when labels were imported last.
        state = {"labelled": 0, "approved": False, "arrived": 0, "since": time.monotonic()}
        expected = self.plan.samples_per_device * sum(1 for agent in self.agents if agent.shares)

        def step():
            cycle = self.recorder.active_cycle()
            if cycle is None:
                return None
            now = state_of(cycle)
            if now in FINAL:
                return cycle
            if now == "COLLECTING":
                arrived = self.arrived()
                if arrived != state["arrived"]:
                    state.update(arrived=arrived, since=time.monotonic())
                still_s = time.monotonic() - state["since"]
                quiet = still_s > max(3, 2 * PERIOD_S / self.plan.speed)
                # Those that were late, as on a busy machine, get theirs as well.
                if arrived > state["labelled"] and (arrived >= expected or quiet):
                    self.import_labels(at_all=state["labelled"] == 0)
                    state["labelled"] = arrived
            if now == "AWAITING_APPROVAL" and not state["approved"]:
                self.approve(cycle)
                state["approved"] = True
            return None

        def progress():
            cycle = self.recorder.active_cycle() or {}
            if state_of(cycle) == "COLLECTING" and not state["labelled"]:
                text = f"recordings come back: {state['arrived']} of {expected}"
                return text, state["arrived"] / expected
            return f"{state_of(cycle)}: {cycle.get('activity', '')}", None

        self.cycle = self.wait_for("a finished cycle", step, progress)
        if state_of(self.cycle) != "COMPLETED":
            reason = self.cycle["transitions"][-1].get("reason", "")
            raise DemoError(f"the cycle ended as {state_of(self.cycle)}: {reason}")
        self.note_model("v2", self.cycle["candidate_model"])
        self.keep_rollout("v2", self.cycle["rollout"])
        for result in self.cycle.get("gate_results", []):
            verdict = result.get("verdict", "").removeprefix("VERDICT_")
            self.tell(f"gate {verdict}: {result.get('rule')}: {result.get('explanation', '')}")

    def arrived(self):
        count = self.installation.one("samples", "count", "--source", "device")
        return int(count.get("total", 0))

    def import_labels(self, at_all):
        """Where a person would label: looks up in the truth logs what each recording shows.

        With at_all it is an error if there is no label to give.
        """
        self.read_truth()
        known = {
            (sample.device, sample.start_ms): sample
            for log in self.logs.values()
            for sample in log.samples
        }
        lines = []
        unsure = unknown = 0
        for sample in self.installation.run(
            "samples", "list", "--source", "device", "--unlabelled"
        ):
            device = sample["device"]
            start_ms = round(1000 * seconds_of(device["start_time"]))
            truth = known.get((short_name(device["device"]), start_ms))
            if truth is None:
                unknown += 1
            elif truth.purity < LEAST_PURITY or not truth.label:
                unsure += 1
            else:
                lines.append({"sample": sample["name"], "label": truth.label, "source": "import"})
        if not lines:
            if at_all:
                raise DemoError(f"no recording of a device could be labelled ({unknown} are unknown)")
            return
        path = self.work / "labels.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
        result = self.installation.one("labels", "import", path)
        self.tell(
            f"where a person would label, the demo imports the labels that the recordings carry: "
            f"{result.get('stored', len(lines))} labelled, {unsure} left out because they show "
            f"two things" + (f", {unknown} unknown" if unknown else "")
        )

    def approve(self, cycle):
        self.installation.run(
            *("cycles", "approve", cycle["name"]),
            *("--comment", "the demo stands in for a person who has read the gate's numbers"),
        )
        self.tell("the gate is not sure: where a person would decide, the demo approves")

    def measure(self):
        self.phase("Well again")
        self.measure_on("watch", "watches")
        for agent in self.agents:
            if not agent.shares:
                agent.wear("phone")
        self.measure_on("phone", "phones")
        self.recorder.stop()
        self.fleet_final = self.installation.one("fleet", "summary")
        self.field_metrics = self.installation.run("metrics", "field", "--span", PERIOD_S)

    def measure_on(self, source, noun):
        judges = [agent for agent in self.agents if not agent.shares]

        def least():
            spans = {agent.name: 0 for agent in judges}
            for period in self.periods("v2", source, judges_only=True):
                spans[period.device] += period.period_ms / 1000
            return min(spans.values())

        self.wait_for(
            f"field time of v2 on {noun}",
            lambda: least() >= self.plan.measure_s,
            lambda: (f"measuring {noun} with v2: judges only", least() / self.plan.measure_s),
        )
        truth = judging.balanced_accuracy(
            judging.confusion(self.periods("v2", source, judges_only=True)), self.labels
        )
        self.tell(
            f"in truth v2 has {percent(truth)} on {noun} of people whose recordings never trained "
            "anything"
        )

    # --- What came of it ---

    def truth_of(self, model, source, judges_only=False):
        if model not in self.models:
            return None
        pairs = judging.confusion(self.periods(model, source, judges_only))
        return judging.balanced_accuracy(pairs, self.labels)

    def figures(self):
        plan = self.plan
        before = self.truth_of("v1", "phone", judges_only=True)
        after = self.truth_of("v2", "phone", judges_only=True)
        alarm = self.alarm_minutes() if self.healthy_alarms is not None else None
        figures = [
            judging.Figure(
                "v1_phones",
                "v1 on phones of people it was not trained on",
                self.truth_of("v1", "phone"),
                ">=",
                0.78,
                "%",
            ),
            judging.Figure("healthy_alarms", "alarms in the healthy phase", self.healthy_alarms, "<=", 0),
            judging.Figure(
                "v1_watches", "v1 when the devices become watches", self.truth_of("v1", "watch"), "<", 0.5, "%"
            ),
            judging.Figure(
                "alarm_minutes", "drift alarm after the change", alarm, "<=", plan.alarm_minutes, "field min"
            ),
            judging.Figure(
                "cycle_by_itself", "the cycle started by itself, with evidence", self.began_by_itself(), "is", True
            ),
            judging.Figure(
                "v2_watches",
                "v2 on watches of people who never trained anything",
                self.truth_of("v2", "watch", judges_only=True),
                ">=",
                0.75,
                "%",
            ),
            judging.Figure(
                "phones_change",
                "phones of the same people, v2 against v1",
                None if before is None or after is None else after - before,
                ">=",
                -0.03,
                "points",
            ),
            judging.Figure(
                "confirmed_devices",
                "devices that report v2 from a confirmed boot",
                self.confirmed_on_v2(),
                ">=",
                len(self.agents) or plan.agents,
            ),
            judging.Figure(
                "offers_over_quota",
                "offers beyond what a stage allows",
                sum(len(judging.offers_over_quota(e)) for e in self.rollout_events.values())
                if len(self.rollout_events) == 2
                else None,
                "<=",
                0,
            ),
            judging.Figure(
                "story_seconds", "the whole story", self.story_s, "<=", plan.limit_s, "s"
            ),
        ]
        return figures

    def began_by_itself(self):
        if self.cycle is None:
            return None
        for transition in self.cycle.get("transitions", []):
            if transition["to"] == "STATE_TRIGGERED":
                author = transition.get("author", "")
                return author.startswith("services/") and bool(transition.get("evidence"))
        return False

    def confirmed_on_v2(self):
        """Devices that run v2 confirmed now, and that the rollout saw confirm it after a boot."""
        if self.fleet_final is None:
            return None
        running = sum(
            int(model.get("confirmed_count", 0))
            for model in self.fleet_final.get("models", [])
            if model.get("model_digest") == self.models["v2"]["digest"]
        )
        confirmed = sum(
            1 for device in self.rollout_devices["v2"] if state_of(device) == "CONFIRMED"
        )
        return min(running, confirmed)

    def report_data(self):
        """What the report draws; as far as the story came."""
        starts = [log.periods[0].start_ms for log in self.logs.values() if log.periods]
        origin_ms = min(starts, default=0)
        truth, estimate = [], []
        for name, model in self.models.items():
            # A fleet of v1 changes from phones to watches: one line. Under v2 both are judged apart.
            for source in [None] if name == "v1" else ["watch", "phone"]:
                found = self.periods(name, source, judges_only=source == "phone")
                points = judging.over_time(found, 1000 * PERIOD_S, origin_ms)
                title = {None: "", "watch": " watches", "phone": " phones"}[source]
                colour = {None: "one", "watch": "three", "phone": "four"}[source]
                truth.append((f"{name}{title}", colour, points))
            rows = [
                (
                    (seconds_of(row["start_time"]) - origin_ms / 1000 + PERIOD_S / 2) / 60,
                    row.get("estimated_accuracy", 0),
                )
                for row in self.field_metrics
                if row.get("model_digest") == model["digest"] and row.get("estimated_accuracy")
            ]
            colour = "one" if name == "v1" else "three"
            estimate.append((f"{name} estimated", colour, sorted(rows)))
        changes = [
            min((p.start_ms for p in log.periods if p.source == "watch"), default=None)
            for log in self.logs.values()
        ]
        changes = [(ms - origin_ms) / 60000 for ms in changes if ms is not None]
        drift = [
            (
                (seconds_of(report["recent_end_time"]) - origin_ms / 1000) / 60,
                report.get("statistic", 0),
                report.get("limit", 0),
                report["verdict"] == "VERDICT_DRIFT",
            )
            for report in self.recorder.reports.values()
            if report["verdict"] in ("VERDICT_STEADY", "VERDICT_DRIFT")
            and report.get("model_digest") == self.models.get("v1", {}).get("digest")
        ]
        names = self.recorder.names
        shares = [
            (seconds, {names[d]: count for d, count in by_digest.items() if d in names})
            for seconds, by_digest in self.recorder.shares
        ]
        cycle = self.cycle or self.recorder.active_cycle() or {}
        return {
            "truth": truth,
            "estimate": estimate,
            "switch_minutes": (min(changes), max(changes)) if changes else None,
            "drift": sorted(drift),
            "shares": shares,
            "states": self.states_of(cycle),
            "gates": [
                (
                    gate.get("rule", ""),
                    gate.get("verdict", "").removeprefix("VERDICT_"),
                    gate.get("explanation", ""),
                )
                for gate in cycle.get("gate_results", [])
            ],
            "events": self.timeline.events,
            "devices": len(self.agents),
            "people": dataclasses.asdict(self.split)
            if self.split
            else {"train": [], "send": [], "judge": []},
            "data": "made by the generator" if self.generated else self.data.name,
            "seed": self.plan.seed,
            "speed": self.plan.speed,
            "story_s": self.story_s or self.timeline.elapsed,
        }

    def states_of(self, cycle):
        """[(state, from, to)] in seconds of the story."""
        if "create_time" not in cycle:
            return []
        start = self.timeline.start_unix_s
        moments = [("OBSERVING", seconds_of(cycle["create_time"]) - start)]
        for transition in cycle.get("transitions", []):
            moments.append(
                (
                    transition["to"].removeprefix("STATE_"),
                    seconds_of(transition["create_time"]) - start,
                )
            )
        end = self.story_s or self.timeline.elapsed
        stops = [at for _, at in moments[1:]] + [max(end, moments[-1][1])]
        return [(state, at, stop) for (state, at), stop in zip(moments, stops)]

    def run(self):
        self.make_work_folder()
        self.prepare()
        self.start_services()
        self.upload()
        # Folders of the fleet are made while the trainer works.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            making = pool.submit(self.make_fleet)
            release = self.first_model()
            making.result()
        self.set_policy()
        self.phase("Fleet")
        self.enrol()
        self.first_rollout(release)
        self.healthy()
        self.switch()
        self.alarm()
        self.mend()
        self.measure()
        self.story_s = self.timeline.elapsed
        name, start, _ = self.phases[-1]
        self.phases[-1] = (name, start, self.story_s)


def percent(share):
    return "no" if share is None else f"{100 * share:.1f} %"
