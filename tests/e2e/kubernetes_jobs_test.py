#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Trainers as Jobs of a real API server: the contract of runners with the service account and exactly the role
that the chart has, that the role has nothing to spare, and builds of a whole installation."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/demo"))

from installation import Installation  # noqa: E402
from kill_services_test import PatientInstallation  # noqa: E402
from kubernetes_cluster import NAMESPACE, ApiError, Cluster, missing_programs  # noqa: E402
from trainers_test import PROJECT, RECIPE, write_recording  # noqa: E402

ARGUMENTS = None
SKIPPED = 77
ACCOUNT = "fieldloop-build"
# Tests that together need all that the role allows.
NEEDS_ALL = "*OutputsComeBackByteForByte*:*ACancelledRunIsEnded*"


def rules_of_the_chart():
    """The rules of the Role; its template has no expression among them."""
    text = (ROOT / "charts/fieldloop/templates/training.yaml").read_text(encoding="utf-8")
    role = next(part for part in text.split("---\n") if "kind: Role\n" in part)
    return yaml.safe_load(role[role.index("rules:"):])["rules"]


class OnCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-kubernetes-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "cluster").mkdir()
        cls.cluster = cls.enterClassContext(Cluster(ARGUMENTS.kubernetes, cls.folder / "cluster", ARGUMENTS.bin))
        cls.credentials = cls.cluster.make_account(ACCOUNT)


class ContractTest(OnCluster):

    def run_contract(self, tests):
        """The suite of trainer_runner_contract.h, from outside of the cluster with the account's token."""
        where = {"api": self.cluster.url, "credentials": str(self.credentials)}
        return subprocess.run(
            [ARGUMENTS.contract, f"--gtest_filter={tests}"], capture_output=True, text=True, check=False,
            env=os.environ | {"FIELDLOOP_TEST_KUBERNETES": json.dumps(where)}, timeout=600)

    def test_jobs_pass_the_contract_of_runners_with_the_role_of_the_chart(self):
        self.cluster.bind_role(ACCOUNT, rules_of_the_chart())
        done = self.run_contract("Runners/TrainerRunnerContract.*")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("/Kubernetes", done.stdout)
        self.assertNotIn("SKIPPED", done.stdout)

    def test_a_role_with_one_verb_less_is_not_enough(self):
        rules = rules_of_the_chart()
        for rule in rules:
            for verb in rule["verbs"]:
                with self.subTest(resources=rule["resources"], verb=verb):
                    less = [other if other is not rule else rule | {"verbs": [v for v in rule["verbs"] if v != verb]}
                            for other in rules]
                    self.cluster.bind_role(ACCOUNT, [one for one in less if one["verbs"]])
                    done = self.run_contract(NEEDS_ALL)
                    self.assertNotEqual(done.returncode, 0, done.stdout)
                    self.assertIn("forbidden", done.stdout)
                    self.assertIn(rule["resources"][0].split("/")[0], done.stdout)

    def test_a_pod_that_is_not_restricted_is_refused_here(self):
        # What the contract shows of pods' security is worth something only then.
        with self.assertRaisesRegex(ApiError, "violates PodSecurity"):
            self.cluster.api("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {
                "metadata": {"name": "free"}, "spec": {"containers": [{"name": "a", "image": "b"}]}})


class BuildsTest(OnCluster):
    """Builds of a whole installation whose trainers run as Jobs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.bind_role(ACCOUNT, rules_of_the_chart())
        cls.up = PatientInstallation(ARGUMENTS.bin, cls.folder / "home", PROJECT)
        # Ports are the system's choice: the service learns its address with its second start.
        jobs = cls.folder / "jobs.json"
        cls.write_jobs(jobs, "127.0.0.1:1")
        with mock.patch.dict(os.environ, {"FIELDLOOP_JOBS": str(jobs)}):
            cls.up.start()
        cls.addClassCleanup(cls.up.stop)
        cls.write_jobs(jobs, json.loads((cls.folder / "home/run/build.json").read_text(encoding="utf-8"))["grpc"])
        cls.kill_build_service()
        run = cls.up.run
        run("projects", "create", PROJECT)
        for i in range(6):
            for label in ("WALK", "SIT"):
                path = cls.folder / f"{label}.{i}.csv"
                write_recording(path, label, f"{label}/{i}")
                run("samples", "upload", path, "--label", label, "--split", "testing" if i % 3 == 0 else "training")
        run("datasets", "create", "all")
        run("datasets", "fix", "all")
        learning = {"dense_units": [8], "epochs": 1000}
        cls.write_recipe("recipe", learning)
        run("impulses", "create", "motion", "--recipe", cls.folder / "recipe.json")
        # Its training is not over before somebody has cancelled it.
        cls.write_recipe("long", learning | {"dense_units": [64, 64], "augmentation": {"copies": 20, "gain": 0.05}})
        run("impulses", "create", "long", "--recipe", cls.folder / "long.json")

    @classmethod
    def write_recipe(cls, name, learning):
        (cls.folder / f"{name}.json").write_text(json.dumps(RECIPE | {"learning": learning}), encoding="utf-8")

    @classmethod
    def write_jobs(cls, path, service):
        path.write_text(json.dumps({
            "namespace": NAMESPACE, "name": "e2e", "image": "fieldloop/trainer:test", "service": service,
            "api": cls.cluster.url, "credentials": str(cls.credentials)}), encoding="utf-8")

    @classmethod
    def kill_build_service(cls):
        process = cls.up.process_of("build")
        os.kill(process, signal.SIGKILL)
        cls.wait_for(lambda: cls.up.process_of("build") not in (None, process))

    @staticmethod
    def wait_for(is_so, seconds=240):
        deadline = time.monotonic() + seconds
        while not (found := is_so()):
            if time.monotonic() > deadline:
                raise AssertionError("it does not happen")
            time.sleep(0.05)
        return found

    def create(self, seed, impulse):
        return self.up.run("builds", "create", "--dataset", "all/versions/1", "--impulse", impulse, "--seed", seed)[0]

    def number(self, build):
        return build["name"].split("/")[-1]

    def state(self, build):
        return self.up.one("builds", "get", self.number(build))["state"].removeprefix("STATE_")

    def job_of(self, build):
        try:
            name = f"e2e-{PROJECT}-{self.number(build)}"
            return self.cluster.api("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}")
        except ApiError:
            return None

    def pods_of(self, build):
        return [pod for pod in list(self.cluster.node.pods.values())
                if pod.name.startswith(f"e2e-{PROJECT}-{self.number(build)}-")]

    def train(self, seed, impulse="motion"):
        """A build whose trainer has begun."""
        build = self.create(seed, impulse)
        self.wait_for(lambda: any(b'"epoch"' in line for pod in self.pods_of(build) for _, line in pod.lines))
        return build

    def test_a_job_makes_the_model_that_the_service_makes_itself_although_it_is_killed(self):
        build = self.train(7)
        job = self.job_of(build)
        self.kill_build_service()
        self.wait_for(lambda: self.state(build) in ("SUCCEEDED", "FAILED"), 600)
        self.assertEqual(self.state(build), "SUCCEEDED", self.up.one("builds", "get", self.number(build)))
        # One pod trained, before the service died and after.
        self.assertEqual(len(self.pods_of(build)), 1)
        self.assertEqual(self.job_of(build)["metadata"]["uid"], job["metadata"]["uid"])
        done = self.up.one("builds", "get", self.number(build))
        self.assertEqual(len(done["history"]), 1000)
        log = subprocess.run(self.up._command(["builds", "log", self.number(build)]),
                             capture_output=True, text=True, check=True).stdout
        self.assertIn("prepared 12 samples", log)
        self.assertRegex(log, "epoch 1000")
        # The same by a process of the service, which a build without Jobs has.
        with tempfile.TemporaryDirectory(prefix="fieldloop-processes-") as folder:
            up = Installation(ARGUMENTS.bin, pathlib.Path(folder) / "home", PROJECT)
            up.start()
            self.addCleanup(up.stop)
            up.run("projects", "create", PROJECT)
            for path in sorted(self.folder.glob("*.csv"), key=lambda p: (p.name.split(".")[1], p.name[0] == "S")):
                label, number = path.name.split(".")[:2]
                split = "testing" if int(number) % 3 == 0 else "training"
                up.run("samples", "upload", path, "--label", label, "--split", split)
            up.run("datasets", "create", "all")
            up.run("datasets", "fix", "all")
            up.run("impulses", "create", "motion", "--recipe", self.folder / "recipe.json")
            other = up.run("builds", "create", "--dataset", "all/versions/1", "--impulse", "motion", "--seed", 7,
                           "--watch", timeout_s=600)[-1]["build"]
            digest = up.one("models", "get", other["model"].split("/")[-1])["digest"]
            up.stop()
        self.assertEqual(self.up.one("models", "get", done["model"].split("/")[-1])["digest"], digest)

    def test_a_cancelled_build_ends_its_job_its_pod_and_its_process(self):
        build = self.train(8, "long")
        pod = self.pods_of(build)[0]
        self.up.run("builds", "cancel", self.number(build))
        self.wait_for(lambda: self.job_of(build) is None)
        self.wait_for(lambda: pod.process.poll() is not None)
        self.wait_for(lambda: not any(s["metadata"]["name"].startswith(f"e2e-{PROJECT}-{self.number(build)}-")
                                      for s in self.cluster.api("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets")["items"]))
        self.assertEqual(self.state(build), "CANCELLED")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="has fieldloop-trainer-runner")
    parser.add_argument("--contract", type=pathlib.Path, required=True, help="build_runner_test")
    parser.add_argument("--kubernetes", type=pathlib.Path, required=True, help="has the servers")
    ARGUMENTS, rest = parser.parse_known_args()
    if missing := missing_programs(ARGUMENTS.kubernetes):
        print(f"Jobs were not tested on Kubernetes: there is no {', '.join(missing)} in {ARGUMENTS.kubernetes}; "
              "./dev kubernetes makes them")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
