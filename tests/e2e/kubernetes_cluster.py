# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A cluster on this machine: a real kube-apiserver with etcd, RBAC and admission of pods, and the real
controllers of Jobs, of what they leave and of service accounts. The node is played by this file: a pod is a
process of this machine, whose mounted folders are replaced by folders in its arguments, and its log is served
as the kubelet serves it."""

import base64
import datetime
import http.client
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

NAMESPACE = "loop"
NODE = "machine"
PROGRAMS = "fieldloop.test/programs"  # Annotation of a pod: a folder that is first in its PATH.


def missing_programs(folder):
    """Those that ./dev kubernetes has not made."""
    return [name for name in ("etcd", "kube-apiserver", "kube-controller-manager")
            if not (pathlib.Path(folder) / name).exists()]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def permissions(rules):
    """{(group, resource, verb)} of the rules of a Role."""
    return {(group, resource, verb) for rule in rules
            for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}


class ApiError(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """Calls of one user. Thread-safe."""

    def __init__(self, port, token, ca):
        self._port, self._token = port, token
        self._context = ssl.create_default_context(cafile=ca)

    def __call__(self, method, path, body=None, content_type="application/json"):
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Authorization": f"Bearer {self._token}", "Content-Type": content_type})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            said = json.loads(text)
        except ValueError:
            said = {"message": text.decode(errors="replace")}
        if answer.status >= 300:
            raise ApiError(answer.status, said.get("message", text))
        return said


class Cluster:
    def __init__(self, programs, folder, runner_folder=None):
        """`programs` has the servers; `runner_folder` the programs of containers."""
        self._programs = pathlib.Path(programs).resolve()
        self.folder = pathlib.Path(folder).resolve()
        self._runner_folder = runner_folder and pathlib.Path(runner_folder).resolve()
        self._processes = []
        self._token = secrets.token_hex(16)
        self._given = set()  # What bind_role() let an account do.
        self.node = None
        self.api = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.node:
            self.node.stop()
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _start(self):
        run = {"cwd": self.folder, "check": True, "capture_output": True}
        subprocess.run(["openssl", "genrsa", "-out", "accounts.key", "2048"], **run)
        subprocess.run(["openssl", "rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"], **run)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", "node.key", "-out", "node.crt", "-days", "2", "-subj", "/CN=node",
                        "-addext", "subjectAltName=IP:127.0.0.1"], **run)
        (self.folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n', encoding="ascii")
        # The servers take no port 0: one that was free is taken, and another one if it no longer is.
        for _ in range(3):
            etcd, peers, self.port = free_port(), free_port(), free_port()
            started = [
                self._run("etcd", "--data-dir", self.folder / f"etcd-{etcd}", "--name", "one",
                          "--listen-client-urls", f"http://127.0.0.1:{etcd}",
                          "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
                          "--listen-peer-urls", f"http://127.0.0.1:{peers}",
                          "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
                          "--initial-cluster", f"one=http://127.0.0.1:{peers}", "--unsafe-no-fsync"),
                self._run("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}",
                          f"--secure-port={self.port}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
                          "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.99.0.0/24",
                          f"--cert-dir={self.folder}/certs", f"--token-auth-file={self.folder}/tokens.csv",
                          "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
                          f"--service-account-key-file={self.folder}/accounts.pub",
                          f"--service-account-signing-key-file={self.folder}/accounts.key",
                          "--kubelet-preferred-address-types=InternalIP",
                          f"--kubelet-certificate-authority={self.folder}/node.crt",
                          f"--kubelet-client-certificate={self.folder}/node.crt",
                          f"--kubelet-client-key={self.folder}/node.key"),
            ]
            if self._is_ready(started):
                break
            for process in started:
                process.kill()
                process.wait()
        else:
            raise RuntimeError(f"the API server does not start: {self.log('kube-apiserver')[-2000:]}")
        self.ca = self.folder / "certs" / "apiserver.crt"
        kubeconfig = {
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "clusters": [{"name": "one", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "admin"}}],
        }
        (self.folder / "kubeconfig").write_text(json.dumps(kubeconfig), encoding="ascii")
        self._run("kube-controller-manager", f"--kubeconfig={self.folder}/kubeconfig", "--leader-elect=false",
                  "--secure-port=0", f"--service-account-private-key-file={self.folder}/accounts.key",
                  "--controllers=job-controller,garbage-collector-controller,serviceaccount-controller,"
                  "ttl-after-finished-controller")
        # As strict as Kubernetes can be about what pods may do.
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted"}}})
        self._wait_for(lambda: self.api("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"))
        if self._runner_folder:
            self.node = Node(self.api, self.folder, self._runner_folder)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _run(self, name, *arguments):
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen([self._programs / name, *arguments], stdout=log, stderr=log,
                                       cwd=self.folder, start_new_session=True)
        self._processes.append(process)
        return process

    def _is_ready(self, processes):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and all(process.poll() is None for process in processes):
            try:
                self.api = Api(self.port, self._token, self.folder / "certs" / "apiserver.crt")
                self.api("GET", "/readyz")
                return True
            except (OSError, ApiError):
                time.sleep(0.1)
        return False

    def _wait_for(self, call):
        deadline = time.monotonic() + 180
        while True:
            try:
                return call()
            except ApiError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def make_account(self, name):
        """A service account; returns a folder as a pod of it has one."""
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        self.api("POST", path, {"metadata": {"name": name}})
        token = self.api("POST", f"{path}/{name}/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        folder = self.folder / "credentials"
        folder.mkdir()
        (folder / "token").write_text(token, encoding="ascii")
        (folder / "namespace").write_text(NAMESPACE, encoding="ascii")
        (folder / "ca.crt").write_bytes(self.ca.read_bytes())
        return folder

    def bind_role(self, account, rules):
        """Lets a service account do what `rules` of a Role say, and nothing else; returns when it is so."""
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
        role = {"metadata": {"name": account}, "rules": rules}
        try:
            self.api("POST", f"{path}/roles", role)
            self.api("POST", f"{path}/rolebindings", {
                "metadata": {"name": account},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]})
        except ApiError as error:
            if error.code != 409:
                raise
            self.api("PUT", f"{path}/roles/{account}", role)
        # The server takes up a role a moment after it has stored it.
        may = permissions(rules)
        for permission in sorted(may | self._given):
            self._wait_until(lambda p=permission: self._allows(account, *p) == (p in may))
        self._given = may

    def _allows(self, account, group, resource, verb):
        resource, _, subresource = resource.partition("/")
        attributes = {"namespace": NAMESPACE, "group": group, "resource": resource, "subresource": subresource,
                      "verb": verb}
        review = self.api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{account}", "resourceAttributes": attributes}})
        return review["status"]["allowed"]

    @staticmethod
    def _wait_until(is_so):
        deadline = time.monotonic() + 180
        while not is_so():
            if time.monotonic() > deadline:
                raise RuntimeError("the API server does not take up the role")
            time.sleep(0.02)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Pod:
    """A pod of the node: a process and its log, whose lines begin with their time."""

    def __init__(self, node, manifest):
        self.node, self.manifest = node, manifest
        self.name, self.uid = manifest["metadata"]["name"], manifest["metadata"]["uid"]
        self.path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name}"
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.process = None
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        with self.changed:
            self.stopping = True
            if self.process and self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _report(self, phase, state):
        container = self.manifest["spec"]["containers"][0]
        status = {"phase": phase, "startTime": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                  "conditions": [{"type": "Ready", "status": "True" if phase == "Running" else "False"}],
                  "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "",
                                         "ready": phase == "Running", "restartCount": 0, "state": state}]}
        try:
            self.node.api("PATCH", f"{self.path}/status", {"status": status}, "application/merge-patch+json")
        except ApiError as error:
            if error.code != 404:  # Deleted meanwhile.
                raise

    def _secret(self, name):
        """None if the pod is to end before its secret is there."""
        while not self.stopping:
            try:
                data = self.node.api("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")["data"]
                return {key: base64.b64decode(value) for key, value in data.items()}
            except ApiError as error:
                if error.code != 404:
                    raise
                time.sleep(0.05)
        return None

    def _run(self):
        spec = self.manifest["spec"]
        container = spec["containers"][0]
        folder = self.node.folder / self.uid
        places = {}
        for volume in spec["volumes"]:
            place = folder / volume["name"]
            place.mkdir(parents=True)
            places[volume["name"]] = place
            if "secret" in volume:
                secret = self._secret(volume["secret"]["secretName"])
                for item in volume["secret"]["items"] if secret else []:
                    (place / item["path"]).write_bytes(secret[item["key"]])
        environment = {"PATH": f"{self.manifest['metadata'].get('annotations', {}).get(PROGRAMS, '')}:/usr/bin:/bin"}
        for variable in container["env"]:
            if "value" in variable:
                environment[variable["name"]] = variable["value"]
                continue
            reference = variable["valueFrom"]["secretKeyRef"]
            secret = self._secret(reference["name"])
            if secret:
                environment[variable["name"]] = secret[reference["key"]].decode()
        arguments = container["args"]
        for mount in container["volumeMounts"]:
            arguments = [re.sub(f"={mount['mountPath']}(?=$|/)", f"={places[mount['name']]}", a) for a in arguments]
        with self.changed:
            if not self.stopping:
                self.process = subprocess.Popen(
                    [self.node.programs / container["command"][0], *arguments], env=environment, cwd=folder,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        code = 143
        if self.process:
            self._report("Running", {"running": {"startedAt": now().strftime("%Y-%m-%dT%H:%M:%SZ")}})
            for line in self.process.stdout:
                with self.changed:
                    stamp = now().strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
                    self.lines.append((stamp, line.rstrip(b"\n")))
                    self.changed.notify_all()
            code = self.process.wait()
            code = 128 - code if code < 0 else code
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        tail = b"\n".join(line for _, line in self.lines[-20:]).decode(errors="replace") if code else ""
        self._report("Succeeded" if code == 0 else "Failed", {"terminated": {
            "exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": tail[-2000:],
            "finishedAt": now().strftime("%Y-%m-%dT%H:%M:%SZ")}})

    def log(self, since, follow):
        """The lines, from the second `since` on."""
        at = 0
        while True:
            with self.changed:
                while follow and at == len(self.lines) and not self.ended:
                    self.changed.wait(0.5)
                taken, ended = self.lines[at:], self.ended
                at += len(taken)
            yield from ((stamp, line) for stamp, line in taken if not since or stamp[:19] >= since[:19])
            if (ended or not follow) and at == len(self.lines):
                return


class Node:
    """Binds every pod of the namespace to itself, runs it, and ends it when it is deleted."""

    def __init__(self, api, folder, programs):
        self.api, self.programs = api, programs
        self.folder = folder / "pods"
        self.folder.mkdir()
        self.pods = {}
        self._stopping = threading.Event()
        self._server = self._serve(folder)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        api("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        api("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_address[1]}}}},
            "application/merge-patch+json")
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self._thread.join()
        self._server.shutdown()
        self._server.server_close()
        for pod in self.pods.values():
            pod.kill()

    def _work(self):
        while not self._stopping.wait(0.1):
            try:
                self._look()
            except (ApiError, OSError):
                pass  # A pod that is gone meanwhile; a server that ends.

    def _look(self):
        for manifest in self.api("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]:
            metadata = manifest["metadata"]
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{metadata['name']}"
            pod = self.pods.get(metadata["uid"])
            if "deletionTimestamp" in metadata:
                if pod:
                    pod.stop()
                if not pod or not pod.thread.is_alive():
                    self.api("DELETE", path, {"gracePeriodSeconds": 0})
            elif "nodeName" not in manifest["spec"]:
                self.api("POST", f"{path}/binding", {"metadata": {"name": metadata["name"]},
                                                     "target": {"kind": "Node", "name": NODE}})
            elif not pod:
                self.pods[metadata["uid"]] = Pod(self, manifest)

    def _serve(self, folder):
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):  # noqa: N802, as the library calls it.
                url = urllib.parse.urlparse(self.path)
                query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
                found = [pod for pod in list(node.pods.values())
                         if url.path == f"/containerLogs/{NAMESPACE}/{pod.name}/trainer"]
                self.send_response(200 if found else 404)
                self.end_headers()
                since, stamps = query.get("sinceTime", "").encode(), query.get("timestamps") == "true"
                try:
                    for stamp, line in found[0].log(since, query.get("follow") == "true") if found else []:
                        self.wfile.write((stamp + b" " if stamps else b"") + line + b"\n")
                except OSError:
                    pass  # Whoever read it is gone.

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "node.crt", folder / "node.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server
