#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The chart: what it renders for each set of values, and what it refuses."""

import argparse
import base64
import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml
from kubernetes_schemas import Schemas

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "fieldloop"
SETS = ("small", "standard", "large")
SERVICES = ("provisioning", "ingestion", "build", "evaluation", "distribution")
OPTIONS = argparse.Namespace(helm=None, swagger=None, crd=[], kubernetes=None)
WORKLOADS = ("Deployment", "StatefulSet")
GIVEN = {"fieldloop-trust", "fieldloop-database", "fieldloop-bucket"}  # Secrets that exist before.


def helm(*arguments):
    return subprocess.run(
        [OPTIONS.helm, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def template(*arguments):
    return helm("template", "fieldloop", CHART, "--namespace", "loop", "--kube-version", OPTIONS.kubernetes, *arguments)


@functools.lru_cache
def rendered(values, *settings):
    # To --set a number with a point is a text.
    flags = ["--set-json" if re.search(r"=\d+\.\d+$", setting) else "--set" for setting in settings]
    arguments = [part for pair in zip(flags, settings) for part in pair]
    done = template("-f", CHART / f"values-{values}.yaml", *arguments)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests, kind, name):
    found = [m for m in of_kind(manifests, kind) if m["metadata"]["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} {kind} named {name}")
    return found[0]


def component(manifest):
    return manifest["metadata"]["labels"]["app.kubernetes.io/component"]


def pods(manifests):
    """(name, labels, spec) of every pod that may run."""
    for manifest in of_kind(manifests, *WORKLOADS):
        pod = manifest["spec"]["template"]
        yield manifest["metadata"]["name"], pod["metadata"]["labels"], pod["spec"]
    for manifest in of_kind(manifests, "Pod"):
        yield manifest["metadata"]["name"], manifest["metadata"]["labels"], manifest["spec"]


def workload(manifests, service):
    return next(m for m in of_kind(manifests, *WORKLOADS) if component(m) == service)


def container(manifests, service):
    return workload(manifests, service)["spec"]["template"]["spec"]["containers"][0]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class EverySetTest(unittest.TestCase):
    def each(self):
        return [rendered(values) for values in SETS]

    def test_lint_finds_nothing(self):
        for values in SETS:
            done = helm("lint", "--strict", CHART, "-f", CHART / f"values-{values}.yaml")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_kubernetes_and_the_operators_know_every_field(self):
        schemas = Schemas(OPTIONS.swagger, OPTIONS.crd)
        for manifests in self.each():
            for manifest in manifests:
                name = f"{manifest['kind']} {manifest['metadata']['name']}"
                self.assertEqual(schemas.problems(manifest), [], name)
        wrong = json.loads(json.dumps(named(rendered("small"), "StatefulSet", "fieldloop-build")))
        wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
        self.assertEqual(len(schemas.problems(wrong)), 1)

    def test_names_are_unique_and_labelled(self):
        for manifests in self.each():
            names = [(m["kind"], m["metadata"]["name"]) for m in manifests]
            self.assertEqual(len(names), len(set(names)))
            for manifest in manifests:
                self.assertEqual(manifest["metadata"]["labels"]["app.kubernetes.io/instance"], "fieldloop")

    def test_the_five_services_are_there(self):
        for manifests in self.each():
            self.assertEqual(sorted(map(component, of_kind(manifests, *WORKLOADS))), sorted(SERVICES))

    def test_pods_run_as_nobody_with_a_root_that_cannot_be_written(self):
        for manifests in self.each():
            for name, _, spec in pods(manifests):
                security = spec["securityContext"]
                self.assertTrue(security["runAsNonRoot"] and security["runAsUser"] > 0, name)
                self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"}, name)
                for one in spec["containers"]:
                    self.assertEqual(
                        one["securityContext"],
                        {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        name,
                    )

    def test_nobody_but_who_runs_jobs_may_do_anything_in_kubernetes(self):
        for manifests in self.each():
            runs_jobs = "--jobs=/training/jobs.json" in container(manifests, "build")["args"]
            self.assertEqual(of_kind(manifests, "ClusterRole", "ClusterRoleBinding"), [])
            roles = [m["metadata"]["name"] for m in of_kind(manifests, "Role", "RoleBinding")]
            self.assertEqual(roles, ["fieldloop-training"] * 2 if runs_jobs else [])
            for account in of_kind(manifests, "ServiceAccount"):
                self.assertFalse(account["automountServiceAccountToken"])
            accounts = {a["metadata"]["name"] for a in of_kind(manifests, "ServiceAccount")}
            for name, _, spec in pods(manifests):
                self.assertEqual(
                    spec["automountServiceAccountToken"], runs_jobs and name == "fieldloop-build", name
                )
                self.assertFalse(spec["enableServiceLinks"], name)
                self.assertTrue(spec.get("serviceAccountName") in accounts | {None}, name)

    def test_memory_is_limited_and_services_are_probed(self):
        for manifests in self.each():
            for service in SERVICES:
                one = container(manifests, service)
                self.assertIn("memory", one["resources"]["limits"])
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    command = one[probe]["exec"]["command"]
                    self.assertEqual(command[:3], ["fieldloop", "health", service])
                    self.assertEqual("--ready" in command, probe == "readinessProbe")

    def test_what_pods_mount_exists(self):
        for manifests in self.each():
            made = {m["metadata"]["name"] for m in of_kind(manifests, "Secret", "ConfigMap")}
            made |= {m["spec"]["secretName"] for m in of_kind(manifests, "Certificate")}
            for name, _, spec in pods(manifests):
                volumes = {volume["name"]: volume for volume in spec["volumes"]}
                for volume in volumes.values():
                    source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
                    if source:
                        self.assertIn(source, made | GIVEN, name)
                owner = next((w for w in of_kind(manifests, *WORKLOADS) if w["metadata"]["name"] == name), None)
                claims = owner["spec"].get("volumeClaimTemplates", []) if owner else []
                has = set(volumes) | {claim["metadata"]["name"] for claim in claims}
                for one in spec["containers"]:
                    used = {mount["name"] for mount in one["volumeMounts"]}
                    self.assertLessEqual(used, has, name)
                    for variable in one.get("env", []):
                        self.assertIn(variable["valueFrom"]["secretKeyRef"]["name"], made | GIVEN)

    def test_services_lead_to_ports_of_pods(self):
        for manifests in self.each():
            for service in of_kind(manifests, "Service"):
                found = [spec for _, labels, spec in pods(manifests) if selects(service["spec"]["selector"], labels)]
                self.assertEqual(len(found), 1, service["metadata"]["name"])
                ports = {port["name"] for port in found[0]["containers"][0]["ports"]}
                for port in service["spec"]["ports"]:
                    self.assertIn(port["targetPort"], ports)
            device = named(manifests, "Service", "fieldloop-devices")
            self.assertEqual(device["spec"]["type"], "LoadBalancer")

    def test_flags_are_those_of_the_programs(self):
        common = (ROOT / "services/common/server/service_options.cc").read_text(encoding="utf-8")
        for manifests in self.each():
            for service in SERVICES:
                main = (ROOT / f"services/{service}/app/main.cc").read_text(encoding="utf-8")
                known = set(re.findall(r'"(--[a-z][a-z-]*)"', common + main))
                for argument in container(manifests, service)["args"]:
                    self.assertIn(argument.split("=")[0], known, service)
                required = re.findall(r'"(--[a-z-]+)"[^;]*?->required\(\)', main)
                given = {argument.split("=")[0] for argument in container(manifests, service)["args"]}
                self.assertLessEqual(set(required), given, service)
                variables = {v["name"] for v in container(manifests, service).get("env", [])}
                named_ones = set(re.findall(r'"((?:FIELDLOOP|AWS)_[A-Z_]+)', common + main))
                blobs = (ROOT / "services/common/blob/open_blob_store.cc").read_text(encoding="utf-8")
                self.assertLessEqual(variables, named_ones | set(re.findall(r'"(AWS_[A-Z_]+)"', blobs)))

    def test_network_policies_allow_the_calls_that_services_make_and_no_others(self):
        for manifests in self.each():
            policies = {component(p): p["spec"] for p in of_kind(manifests, "NetworkPolicy")}
            policies.pop("trainer", None)
            self.assertEqual(sorted(policies), sorted(SERVICES))
            for service in SERVICES:
                labels = workload(manifests, service)["spec"]["template"]["metadata"]["labels"]
                self.assertTrue(selects(policies[service]["podSelector"]["matchLabels"], labels))
                self.assertEqual(policies[service]["policyTypes"], ["Ingress", "Egress"])
                called = {
                    argument.split("=")[0].removeprefix("--")
                    for argument in container(manifests, service)["args"]
                } & set(SERVICES)
                peers = [
                    peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
                    for rule in policies[service]["egress"]
                    for peer in rule.get("to", [])
                    if "podSelector" in peer
                ]
                self.assertEqual(sorted(peers), sorted(called), service)
                for other in SERVICES:
                    grpc = next(r for r in policies[other]["ingress"] if r["ports"] == [{"port": "grpc"}])
                    admitted = any(
                        selects(peer["podSelector"]["matchLabels"], labels) for peer in grpc["from"] if "podSelector" in peer
                    )
                    self.assertEqual(admitted, other in called, f"{service} to {other}")

    def test_clients_reach_every_replica_and_no_single_address(self):
        for manifests in self.each():
            client = json.loads(named(manifests, "ConfigMap", "fieldloop-client")["data"]["client.json"])
            addresses = list(client["addresses"].items())
            for service in SERVICES:
                for argument in container(manifests, service)["args"]:
                    flag, _, value = argument.removeprefix("--").partition("=")
                    if flag in SERVICES:
                        addresses.append((flag, value))
            self.assertEqual({name for name, _ in addresses}, set(SERVICES))
            for called, address in addresses:
                found = re.fullmatch(r"dns:///([a-z-]+):(\d+)", address)
                self.assertTrue(found, address)
                service = named(manifests, "Service", found[1])["spec"]
                self.assertEqual(service["clusterIP"], "None")
                self.assertNotIn("publishNotReadyAddresses", service)
                labels = workload(manifests, called)["spec"]["template"]["metadata"]["labels"]
                self.assertTrue(selects(service["selector"], labels))
                # A name brings no port: the pods' own is the one that is asked.
                ports = {p["name"]: p["containerPort"] for p in container(manifests, called)["ports"]}
                self.assertEqual(ports["grpc"], int(found[2]))
                self.assertIn(f"--listen=0.0.0.0:{found[2]}", container(manifests, called)["args"])

    def test_ports_open_to_everybody_are_those_of_devices_and_uploads(self):
        for manifests in self.each():
            opened = [
                port["port"]
                for policy in of_kind(manifests, "NetworkPolicy")
                for rule in policy["spec"].get("ingress", [])
                if "from" not in rule
                for port in rule["ports"]
            ]
            self.assertEqual(sorted(opened), ["device", "https"])

    def test_several_replicas_are_spread_and_disrupted_one_at_a_time(self):
        for manifests in self.each():
            scaled = {h["spec"]["scaleTargetRef"]["name"]: h["spec"] for h in of_kind(manifests, "HorizontalPodAutoscaler")}
            budgets = {component(b): b["spec"] for b in of_kind(manifests, "PodDisruptionBudget")}
            for one in of_kind(manifests, *WORKLOADS):
                scaler = scaled.pop(one["metadata"]["name"], None)
                self.assertNotEqual("replicas" in one["spec"], bool(scaler))
                replicas = one["spec"].get("replicas") or scaler["minReplicas"]
                if scaler:
                    self.assertEqual(scaler["scaleTargetRef"]["kind"], one["kind"])
                    self.assertGreaterEqual(scaler["maxReplicas"], replicas)
                budget = budgets.pop(component(one), None)
                self.assertEqual(replicas > 1, budget is not None)
                if budget:
                    self.assertEqual(budget["maxUnavailable"], 1)
                spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
                labels = one["spec"]["template"]["metadata"]["labels"]
                self.assertTrue(selects(spread["labelSelector"]["matchLabels"], labels))
                if replicas > 1 or scaler:
                    self.assertEqual(one["kind"], "Deployment")
            self.assertEqual((scaled, budgets), ({}, {}))

    def test_helm_test_asks_every_service(self):
        for manifests in self.each():
            test = of_kind(manifests, "Pod")[0]
            self.assertEqual(test["metadata"]["annotations"]["helm.sh/hook"], "test")
            asked = [c["command"][2] for c in test["spec"]["containers"] if c["command"][1] == "health"]
            self.assertEqual(sorted(asked), sorted(SERVICES))

    def test_notes_tell_the_first_three_commands(self):
        with tempfile.TemporaryDirectory() as folder:
            # Helm shows notes only after it has installed; here a template carries them.
            copy = pathlib.Path(folder) / "fieldloop"
            shutil.copytree(CHART, copy)
            (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
            (copy / "templates" / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n')
            for values in SETS:
                done = helm(
                    *("template", "fieldloop", copy, "--namespace", "loop", "--kube-version", OPTIONS.kubernetes),
                    *("-f", CHART / f"values-{values}.yaml", "--show-only", "templates/notes.yaml"),
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                notes = yaml.safe_load(done.stdout)["notes"]
                commands = re.findall(r"^\d\. .*\n\n     (.*)$", notes, re.M)
                self.assertEqual(
                    [" ".join(command.split()[:2]) for command in commands],
                    ["helm test", "kubectl run", "fieldloop projects"],
                )
                shell = json.loads(re.search(r"--overrides='(.*)'", notes)[1])["spec"]
                made = {m["metadata"]["name"] for m in rendered(values) if m["kind"] in ("Secret", "ConfigMap")}
                made |= {m["spec"]["secretName"] for m in of_kind(rendered(values), "Certificate")}
                for volume in shell["volumes"]:
                    source = volume.get("secret", {}).get("secretName") or volume["configMap"]["name"]
                    self.assertIn(source, made)


class TrainingTest(unittest.TestCase):
    JOBS = ("training.runner=kubernetes",)

    def config(self, manifests):
        return json.loads(named(manifests, "ConfigMap", "fieldloop-training")["data"]["jobs.json"])

    def test_the_file_of_jobs_says_image_service_and_namespace(self):
        config = self.config(rendered("small", *self.JOBS, "image.registry=r.example", "imagePullSecrets={registry}"))
        self.assertEqual(config["namespace"], "loop")
        self.assertEqual(config["image"], container(rendered("small", "image.registry=r.example"), "build")["image"])
        self.assertEqual(config["service"], "dns:///fieldloop-build-replicas:7400")
        self.assertEqual(config["pod"]["imagePullSecrets"], [{"name": "registry"}])
        self.assertEqual(config["pod"]["imagePullPolicy"], "IfNotPresent")
        self.assertNotIn("nodeSelector", config["pod"])

    def test_nodes_and_gpus_are_passed_on(self):
        config = self.config(
            rendered(
                "small", *self.JOBS, "training.pod.resources.limits.nvidia\\.com/gpu=1",
                "training.pod.nodeSelector.pool=gpu", "training.pod.tolerations[0].key=gpu", "training.pod.workSize=5Gi",
            )
        )
        self.assertEqual(config["pod"]["resources"], {"limits": {"nvidia.com/gpu": 1}})
        self.assertEqual(config["pod"]["nodeSelector"], {"pool": "gpu"})
        self.assertEqual(config["pod"]["tolerations"], [{"key": "gpu"}])
        self.assertEqual(config["pod"]["workSize"], "5Gi")

    def test_the_role_is_the_one_of_the_build_service_in_its_namespace(self):
        manifests = rendered("small", *self.JOBS)
        binding = named(manifests, "RoleBinding", "fieldloop-training")
        self.assertEqual(
            binding["subjects"], [{"kind": "ServiceAccount", "name": "fieldloop-build", "namespace": "loop"}]
        )
        may = {
            (resource, verb)
            for rule in named(manifests, "Role", "fieldloop-training")["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        self.assertEqual(
            may,
            {("jobs", verb) for verb in ("create", "get", "list", "watch", "delete")}
            | {("pods", "list"), ("pods/log", "get"), ("secrets", "create")},
        )

    def test_a_trainers_pod_reaches_the_build_service_alone_and_nothing_reaches_it(self):
        manifests = rendered("small", *self.JOBS)
        policy = named(manifests, "NetworkPolicy", "fieldloop-trainer")["spec"]
        labels = {
            "app.kubernetes.io/name": "fieldloop",
            "app.kubernetes.io/instance": self.config(manifests)["name"],
            "app.kubernetes.io/component": "trainer",
        }
        self.assertTrue(selects(policy["podSelector"]["matchLabels"], labels))
        self.assertNotIn("ingress", policy)
        names, build = policy["egress"]
        self.assertEqual({port["port"] for port in names["ports"]}, {53})
        own = workload(manifests, "build")["spec"]["template"]["metadata"]["labels"]
        self.assertTrue(selects(build["to"][0]["podSelector"]["matchLabels"], own))
        self.assertEqual(build["ports"], [{"port": "grpc"}])
        admits = named(manifests, "NetworkPolicy", "fieldloop-build")["spec"]["ingress"][0]["from"]
        self.assertTrue(any(selects(peer["podSelector"]["matchLabels"], labels) for peer in admits))
        out = named(manifests, "NetworkPolicy", "fieldloop-build")["spec"]["egress"]
        self.assertIn([{"port": 443}, {"port": 6443}], [rule["ports"] for rule in out])

    def test_further_trainers_are_a_file_of_the_service(self):
        manifests = rendered("small", "training.trainers[0].id=mine", "training.trainers[0].command={train}")
        trainers = json.loads(named(manifests, "ConfigMap", "fieldloop-training")["data"]["trainers.json"])
        self.assertEqual(trainers, {"trainers": [{"id": "mine", "command": ["train"]}]})
        self.assertIn("--trainers=/training/trainers.json", container(manifests, "build")["args"])
        self.assertNotIn("--jobs=/training/jobs.json", container(manifests, "build")["args"])

    def test_a_change_of_the_files_restarts_the_service(self):
        def annotations(*settings):
            return workload(rendered("small", *settings), "build")["spec"]["template"]["metadata"]["annotations"]

        self.assertNotIn("checksum/training", annotations())
        first = annotations(*self.JOBS)["checksum/training"]
        self.assertNotEqual(first, annotations(*self.JOBS, "training.keepMinutes=5")["checksum/training"])

    def test_what_is_not_known_is_refused(self):
        for setting in ("training.runner=docker", "training.pod.hostNetwork=true", "training.startMinutes=0"):
            done = template("-f", CHART / "values-small.yaml", "--set", setting)
            self.assertNotEqual(done.returncode, 0, setting)

    def test_a_trainer_without_an_image_is_refused_with_jobs(self):
        trainer = ("training.trainers[0].id=mine", "training.trainers[0].command={train}")
        done = template("-f", CHART / "values-small.yaml", "--set", ",".join(self.JOBS + trainer))
        self.assertIn("training.trainers: mine has no image", done.stderr)
        rendered("small", *self.JOBS, *trainer, "training.trainers[0].image=r/torch@sha256:ab")


class SmallTest(unittest.TestCase):
    def test_everything_lies_on_volumes_of_single_replicas(self):
        for one in of_kind(rendered("small"), *WORKLOADS):
            self.assertEqual((one["kind"], one["spec"]["replicas"]), ("StatefulSet", 1))
            self.assertEqual(one["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "data")

    def test_certificates_are_of_one_ca_and_name_their_service(self):
        secrets = {m["metadata"]["name"]: m.get("data") for m in of_kind(rendered("small", "tls.names={loop.example}"), "Secret")}
        authorities = {secrets[f"fieldloop-{service}-tls"]["ca.crt"] for service in SERVICES}
        self.assertEqual(authorities, {secrets["fieldloop-services-ca"]["tls.crt"]})
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "ca.crt").write_bytes(base64.b64decode(authorities.pop()))
            for service in SERVICES:
                (folder / "tls.crt").write_bytes(base64.b64decode(secrets[f"fieldloop-{service}-tls"]["tls.crt"]))
                verified = subprocess.run(
                    ["openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.crt", folder / "tls.crt"],
                    capture_output=True, text=True, check=False,
                )
                self.assertEqual(verified.returncode, 0, verified.stderr)
                text = subprocess.run(
                    ["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName,extendedKeyUsage", "-in", folder / "tls.crt"],
                    capture_output=True, text=True, check=True,
                ).stdout
                self.assertIn(f"CN = {service}\n", text)
                for name in (service, f"fieldloop-{service}", "localhost", "loop.example"):
                    self.assertRegex(text, rf"DNS:{name}(,|\n)")
                self.assertIn("Server Authentication", text)
                self.assertIn("Client Authentication", text)

    def test_the_administrators_token_has_the_form_that_provisioning_takes(self):
        secret = named(rendered("small"), "Secret", "fieldloop-admin")
        self.assertRegex(base64.b64decode(secret["data"]["token"]).decode(), r"^fla_[0-9a-f]{12}_[A-Za-z0-9]{43}$")

    def test_secrets_that_must_not_be_lost_are_kept(self):
        for name in ("fieldloop-admin", "fieldloop-device-ca", "fieldloop-services-ca"):
            secret = named(rendered("small"), "Secret", name)
            self.assertEqual(secret["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")

    def test_no_pod_has_the_key_of_the_services_ca(self):
        for _, _, spec in pods(rendered("small")):
            mounted = {volume.get("secret", {}).get("secretName") for volume in spec["volumes"]}
            self.assertNotIn("fieldloop-services-ca", mounted)

    def test_secrets_of_ones_own_are_used_and_none_is_made(self):
        manifests = rendered(
            "small", "tls.mode=existing", "tls.existingSecretPrefix=mine", "deviceCa.existingSecret=ca", "admin.existingSecret=adm"
        )
        self.assertEqual(of_kind(manifests, "Secret"), [])
        sources = {
            volume["secret"]["secretName"]
            for _, _, spec in pods(manifests)
            for volume in spec["volumes"]
            if "secret" in volume
        }
        self.assertEqual(sources, {f"mine-{s}" for s in SERVICES} | {"ca", "adm", "fieldloop-trust"})


class LargerTest(unittest.TestCase):
    def test_database_and_bucket_come_from_secrets_and_nothing_lies_on_a_volume(self):
        for values in ("standard", "large"):
            manifests = rendered(values)
            for service in SERVICES:
                one = workload(manifests, service)
                self.assertEqual(one["kind"], "Deployment")
                env = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in container(manifests, service)["env"]}
                self.assertEqual(env["FIELDLOOP_DATABASE"], {"name": "fieldloop-database", "key": service})
                self.assertEqual("FIELDLOOP_BLOBS" in env, service in ("ingestion", "build"))

    def test_spans_go_to_the_collector_that_is_named_and_nowhere_otherwise(self):
        for url, port in (
            ("http://tempo.observability:4318", 4318),
            ("https://traces.example.com/v1/traces", 443),
            ("http://tempo4", 80),
        ):
            manifests = rendered("standard", f"traces.url={url}", "traces.sample=0.01")
            for service in SERVICES:
                arguments = container(manifests, service)["args"]
                self.assertIn(f"--traces={url}", arguments)
                self.assertIn("--trace-sample=0.01", arguments)
                policy = next(p for p in of_kind(manifests, "NetworkPolicy") if component(p) == service)
                self.assertIn({"ports": [{"port": port}]}, policy["spec"]["egress"])
        for service in SERVICES:
            self.assertFalse([a for a in container(rendered("standard"), service)["args"] if "trace" in a])

    def test_a_volume_is_left_for_blobs_where_there_is_no_bucket(self):
        manifests = rendered("small", "database.existingSecret=fieldloop-database")
        kinds = {component(one): one["kind"] for one in of_kind(manifests, *WORKLOADS)}
        self.assertEqual(
            kinds,
            {s: "StatefulSet" if s in ("ingestion", "build") else "Deployment" for s in SERVICES},
        )

    def test_cert_manager_issues_for_every_service(self):
        manifests = rendered("standard")
        issued = {c["spec"]["commonName"]: c["spec"] for c in of_kind(manifests, "Certificate")}
        self.assertEqual(set(issued), set(SERVICES) | {"Fieldloop services"})
        for service in SERVICES:
            self.assertIn(service, issued[service]["dnsNames"])
            self.assertIn("client auth", issued[service]["usages"])
        self.assertEqual([s for s in of_kind(manifests, "Secret") if "tls" in s["metadata"]["name"]], [])
        own = rendered("standard", "tls.issuerRef.name=ours", "tls.issuerRef.kind=ClusterIssuer")
        self.assertEqual(of_kind(own, "Issuer"), [])

    def test_rules_and_dashboards_are_those_of_the_files(self):
        manifests = rendered("large")
        for path in (CHART / "files/rules").glob("*.yaml"):
            rule = named(manifests, "PrometheusRule", f"fieldloop-{path.stem}")
            self.assertEqual(rule["spec"], yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (CHART / "files/dashboards").glob("*.json"):
            board = named(manifests, "ConfigMap", f"fieldloop-dashboard-{path.stem}")
            self.assertEqual(board["data"][path.name], path.read_text(encoding="utf-8"))

    def test_prometheus_gives_the_labels_that_rules_ask_for(self):
        monitor = of_kind(rendered("large"), "ServiceMonitor")[0]["spec"]
        targets = {r["targetLabel"]: r for r in monitor["endpoints"][0]["relabelings"]}
        self.assertEqual(targets["job"]["replacement"], "fieldloop")
        self.assertIn("component", targets)

    def test_a_release_key_that_is_kept_offline_is_not_asked_for(self):
        arguments = container(rendered("large"), "build")["args"]
        self.assertFalse([a for a in arguments if a.startswith("--release-key")])


class BackupTest(unittest.TestCase):
    """Backups are off in every set of values; here they are on."""

    BUCKET = ("backup.enabled=true", "backup.bucketSecret=fieldloop-backups", "backup.passphraseSecret=fieldloop-phrase")

    def job(self, *settings):
        manifests = rendered("standard", *settings)
        schemas = Schemas(OPTIONS.swagger, OPTIONS.crd)
        for manifest in manifests:
            self.assertEqual(schemas.problems(manifest), [])
        return manifests, named(manifests, "CronJob", "fieldloop-backup")["spec"]["jobTemplate"]["spec"]["template"]

    def test_nothing_is_backed_up_unasked(self):
        for values in SETS:
            self.assertEqual(of_kind(rendered(values), "CronJob", "PersistentVolumeClaim"), [])

    def test_flags_and_variables_are_those_of_the_command(self):
        command = (ROOT / "services/cli/commands/backup_commands.cc").read_text(encoding="utf-8")
        main = (ROOT / "services/cli/app/main.cc").read_text(encoding="utf-8")
        place = (ROOT / "services/cli/backup/backup_place.cc").read_text(encoding="utf-8")
        variables = set(re.findall(r'"(FIELDLOOP_[A-Z_]+)"', command))
        variables |= {f"FIELDLOOP_DATABASE_{service.upper()}" for service in SERVICES}
        prefix = re.search(r'kVariables\[\] = "([A-Z_]+)"', place)[1]
        variables |= {p + n for p in ("", prefix) for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        for settings in (self.BUCKET, ("backup.enabled=true",)):
            one = self.job(*settings)[1]["spec"]["containers"][0]
            flags = {word.split("=")[0] for word in one["command"] + one["args"] if word.startswith("--")}
            self.assertLessEqual(flags, set(re.findall(r'"(--[a-z-]+)"', command + main)))
            self.assertLessEqual({variable["name"] for variable in one["env"]}, variables)
            given = {variable["name"] for variable in one["env"]} | flags
            self.assertTrue(given & {"--to", "FIELDLOOP_BACKUP_TO"})

    def test_what_it_mounts_is_there_and_it_runs_as_nobody(self):
        for settings in (self.BUCKET, ("backup.enabled=true",)):
            manifests, pod = self.job(*settings)
            spec = pod["spec"]
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            self.assertFalse(spec["automountServiceAccountToken"])
            self.assertTrue(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"])
            mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
            self.assertEqual(mounted, {volume["name"] for volume in spec["volumes"]})
            policy = next(p for p in of_kind(manifests, "NetworkPolicy") if component(p) == "backup")["spec"]
            self.assertTrue(selects(policy["podSelector"]["matchLabels"], pod["metadata"]["labels"]))
            self.assertEqual(policy["ingress"], [])
            # Nobody takes its pods for those of a service.
            for service in of_kind(manifests, "Service"):
                self.assertFalse(selects(service["spec"]["selector"], pod["metadata"]["labels"]))

    def test_keys_go_into_it_only_sealed_and_the_release_key_never(self):
        plain = self.job("backup.enabled=true")[1]["spec"]
        self.assertIn("--without-secrets", plain["containers"][0]["args"])
        secrets = {v["secret"]["secretName"] for v in plain["volumes"] if "secret" in v}
        self.assertEqual(secrets, {"fieldloop-bucket"})
        sealed = self.job(*self.BUCKET)[1]["spec"]
        self.assertIn("--passphrase-file=/passphrase/passphrase", sealed["containers"][0]["args"])
        trust = next(v for v in sealed["volumes"] if v["name"] == "trust")["secret"]
        self.assertEqual([item["key"] for item in trust["items"]], ["root.bin", "directive.key"])

    def test_a_volume_is_made_and_kept_unless_there_is_one(self):
        manifests, pod = self.job("backup.enabled=true")
        claim = named(manifests, "PersistentVolumeClaim", "fieldloop-backup")
        self.assertEqual(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        manifests, pod = self.job("backup.enabled=true", "backup.volume.existingClaim=mine")
        self.assertEqual(of_kind(manifests, "PersistentVolumeClaim"), [])
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "backups")
        self.assertEqual(volume["persistentVolumeClaim"], {"claimName": "mine"})


class RefusalTest(unittest.TestCase):
    def refused(self, words, *settings, values="small"):
        arguments = [part for setting in settings for part in ("--set", setting)]
        done = template("-f", CHART / f"values-{values}.yaml", *arguments)
        self.assertNotEqual(done.returncode, 0, settings)
        self.assertIn(words, done.stderr)

    def test_what_cannot_work_is_refused_with_advice(self):
        self.refused("fieldloop trust init", "trust.existingSecret=")
        self.refused("need a PostgreSQL", "evaluation.replicas=2")
        self.refused("need a PostgreSQL", "distribution.autoscaling.enabled=true")
        self.refused("need a bucket", "ingestion.replicas=2", "database.existingSecret=db")
        self.refused("need a bucket", "build.replicas=2", "blobs.existingSecret=", values="large")
        self.refused("existingSecretPrefix", "tls.mode=existing")
        self.refused("wants a PostgreSQL and a bucket", "backup.enabled=true")

    def test_a_value_that_is_not_known_is_refused_wherever_it_stands(self):
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        places = []

        def walk(part, path):
            part = schema["definitions"]["service"] if "$ref" in part else part
            if part.get("properties"):
                self.assertIs(part["additionalProperties"], False, path)
                places.append(path)
                for name, inner in part["properties"].items():
                    walk(inner, [*path, name])

        walk(schema, [])
        self.assertGreater(len(places), 20)
        for path in places[:: max(1, len(places) // 6)]:
            self.refused("Additional property", ".".join([*path, "unknown=1"]))

    def test_every_value_of_the_manual_is_in_the_schema_and_the_other_way_round(self):
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

        def compare(value, part, path):
            part = schema["definitions"]["service"] if "$ref" in part else part
            if not part.get("properties") or path == "tls.issuerRef":
                return
            if path.endswith(".resources"):
                return
            self.assertEqual(set(value), set(part["properties"]), path)
            for name, inner in part["properties"].items():
                compare(value[name], inner, f"{path}.{name}".lstrip("."))

        compare(values, schema, "")

    def test_wrong_values_are_refused(self):
        for setting in ("tls.mode=none", "devicePort.port=0", "provisioning.replicas=0", "drainSeconds=9999",
                        "ingestion.storageSize=big", "logFormat=xml", "traces.url=tempo:4318", "traces.sample=2", "build.args={build-workers}"):
            self.refused("values don't meet the specifications", setting)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--kubernetes", required=True, help="version to render for")
    parser.add_argument("--swagger", required=True, help="swagger.json of that Kubernetes")
    parser.add_argument("--crd", action="append", default=[], help="definition of a custom resource")
    parser.parse_known_args(namespace=OPTIONS)
    unittest.main(argv=sys.argv[:1])
