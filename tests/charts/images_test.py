#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds the images with buildah, without a container engine or a registry, says what is in them, and tries each.

Their base, debian:12-slim, is made by debootstrap. The programs come from the build folder unless --compile has the
images compile them. What is in an image is written to NAME.spdx.json in the folder of the images, and into the image.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import sbom

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "demo"))

from installation import keep_free_port  # noqa: E402

BASE = "docker.io/library/debian:12-slim"
TARGETS = ("provisioning", "ingestion", "build", "evaluation", "distribution", "trainer")
SERVICES = TARGETS[:5]
PROGRAMS = ("fieldloop", "fieldloop-trainer", "fieldloop-trainer-runner", *(f"fieldloop-{service}" for service in SERVICES))
OPTIONS = argparse.Namespace(bin=None, work=None, compile=False, mirror=None, spdx_tools=None)
NOBODY = 65532
PATIENCE_S = 120
# Runs a program in the files of an image as the chart does: as nobody, on a root that cannot be written, with a folder
# for data on /mnt and one in memory on /tmp.
READ_ONLY = """set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount --bind "$2" "$1/mnt"
mount -t proc proc "$1/proc"
root=$1
shift 2
exec chroot --userspec=65532:65532 --groups= "$root" "$@"
"""


def buildah(*arguments, check=True):
    command = ["buildah", "--root", OPTIONS.work / "store", "--runroot", OPTIONS.work / "run", "--storage-driver", "vfs"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"buildah {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done


def make_base():
    if buildah("inspect", "--type", "image", BASE, check=False).returncode == 0:
        return
    folder = OPTIONS.work / "base"
    shutil.rmtree(folder, ignore_errors=True)
    packages = subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", folder, OPTIONS.mirror], capture_output=True, text=True, check=False
    )
    if packages.returncode != 0:
        raise AssertionError(f"debootstrap: {packages.stdout[-2000:]}{packages.stderr}")
    shutil.rmtree(folder / "var" / "cache" / "apt", ignore_errors=True)
    container = buildah("from", "scratch").stdout.strip()
    buildah("copy", container, folder, "/")
    buildah("commit", "--rm", container, BASE)
    shutil.rmtree(folder)


def bud(target, *more):
    buildah(
        *("bud", "--isolation", "chroot", "--pull-never", "--layers", "--force-rm", *more),
        *("--ignorefile", ROOT / ".containerignore", "--target", target, "-t", f"fieldloop/{target}", "-f", ROOT / "Containerfile", ROOT),
    )


def make_programs():
    """Puts the programs where the images take them from."""
    out = OPTIONS.work / "programs" / "out" / "bin"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if not OPTIONS.compile:
        for program in PROGRAMS:
            subprocess.run(["install", "-s", OPTIONS.bin / program, out / program], check=True)
        return
    # What ccache has of the same sources is not compiled again.
    cache = subprocess.run(["ccache", "--get-config", "cache_dir"], capture_output=True, text=True, check=True).stdout.strip()
    os.makedirs(cache, exist_ok=True)
    bud("programs", "--volume", f"{cache}:/ccache")
    # Taken out once: each image that took them from there itself would copy the compiler and all that it needs.
    container = buildah("from", "--pull-never", "fieldloop/programs").stdout.strip()
    shutil.copytree(pathlib.Path(buildah("mount", container).stdout.strip()) / "out" / "bin", out, dirs_exist_ok=True)
    buildah("rm", container)


def add_sbom(target):
    """Writes what is in an image into a file beside the images and into the image itself."""
    container = buildah("from", "--pull-never", f"fieldloop/{target}").stdout.strip()
    root = buildah("mount", container).stdout.strip()
    path = OPTIONS.work / f"{target}.spdx.json"
    path.write_text(json.dumps(sbom.describe(root, f"fieldloop/{target}"), indent=1), encoding="utf-8")
    buildah("copy", "--chmod", "644", container, path, "/usr/share/fieldloop/sbom.spdx.json")
    buildah("commit", "--rm", container, f"fieldloop/{target}")


class ImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        OPTIONS.work.mkdir(parents=True, exist_ok=True)
        make_base()
        make_programs()
        cls.containers = {}
        for target in TARGETS:
            bud(target, "--build-context", f"programs={OPTIONS.work / 'programs'}")
            add_sbom(target)
            cls.containers[target] = buildah("from", "--pull-never", f"fieldloop/{target}").stdout.strip()

    @classmethod
    def tearDownClass(cls):
        for container in cls.containers.values():
            buildah("rm", container)

    def run_in(self, target, script, check=True):
        return buildah("run", "--isolation", "chroot", self.containers[target], "--", "/bin/sh", "-c", script, check=check)

    def test_sizes(self):
        for target in TARGETS:
            image = json.loads(buildah("images", "--json", f"fieldloop/{target}").stdout)[0]
            print(f"\nimage {target}: {image['size']}", end="", flush=True)

    def test_images_run_as_nobody_and_can_write_nowhere(self):
        for target in TARGETS:
            with self.subTest(target=target):
                self.assertEqual(self.run_in(target, "id -u").stdout.strip(), "65532")
                found = self.run_in(
                    target,
                    "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /run"
                    " -o -path /var/lock \\) -prune -o \\( -type d -o -type f \\) -writable -print 2>/dev/null || true",
                ).stdout
                self.assertEqual(found, "")

    def test_there_is_no_compiler_and_no_program_of_another_service(self):
        for target in TARGETS:
            with self.subTest(target=target):
                self.assertEqual(self.run_in(target, "ls /usr/bin | grep -xE '(gcc|g\\+\\+|cc|c\\+\\+|ld|as|clang)(-[0-9]+)?' || true").stdout, "")
                own = {"fieldloop", f"fieldloop-{target}"}
                if target == "trainer":
                    own |= {"fieldloop-build", "fieldloop-trainer-runner"}
                self.assertEqual(set(self.run_in(target, "ls /usr/local/bin").stdout.split()), own)

    def test_programs_find_their_libraries(self):
        for target in TARGETS:
            with self.subTest(target=target):
                self.run_in(target, "for program in /usr/local/bin/*; do ! ldd $program | grep 'not found' || exit 1; done")
                self.run_in(target, "for program in /usr/local/bin/fieldloop*; do case $program in *trainer) ;; *) $program --help >/dev/null || exit 1;; esac; done")

    def test_what_is_in_an_image_is_listed_in_it_and_beside_it(self):
        for target in TARGETS:
            with self.subTest(target=target):
                path = OPTIONS.work / f"{target}.spdx.json"
                self.assertEqual(self.run_in(target, "cat /usr/share/fieldloop/sbom.spdx.json").stdout, path.read_text())
                packages = json.loads(path.read_text())["packages"]
                listed = {
                    f"{package['name']} {package['versionInfo']}"
                    for package in packages
                    if package["SPDXID"].startswith("SPDXRef-deb-")
                }
                installed = self.run_in(target, "dpkg-query -W -f '${Package} ${Version}\\n'").stdout.splitlines()
                self.assertEqual(listed, set(installed))
                self.assertIn("libssl3", {package["name"] for package in packages})
                sums = {
                    package["packageFileName"]: package["checksums"][0]["checksumValue"]
                    for package in packages
                    if package["SPDXID"].startswith("SPDXRef-program-")
                }
                told = self.run_in(target, "sha256sum /usr/local/bin/*").stdout.split()
                self.assertEqual(sums, dict(zip(told[1::2], told[0::2])))
                known = [package for package in packages if package["licenseDeclared"] != sbom.UNKNOWN]
                self.assertGreater(len(known), len(packages) / 2)
                print(f"\nsbom {target}: {len(packages)} packages, licences of {len(known)}", end="", flush=True)

    def test_the_lists_are_valid_spdx(self):
        if OPTIONS.spdx_tools is None:
            self.skipTest("the package spdx-tools of PyPI is not here")
        sys.path.insert(0, str(OPTIONS.spdx_tools))
        from spdx_tools.spdx.parser.parse_anything import parse_file
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

        for target in TARGETS:
            with self.subTest(target=target):
                messages = validate_full_spdx_document(parse_file(str(OPTIONS.work / f"{target}.spdx.json")))
                self.assertEqual([message.validation_message for message in messages], [])

    def read_only(self, target, *command, data, **more):
        """Starts a program of an image; see READ_ONLY."""
        root = buildah("mount", self.containers[target]).stdout.strip()
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", READ_ONLY, "sh", root, data, *command],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            text=True,
            **more,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def command(self, target, *command, data):
        """Runs a program of an image to its end; returns its exit code and what it wrote."""
        process = self.read_only(target, *command, data=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = process.communicate()[0]
        return process.returncode, text

    def test_all_services_run_as_nobody_on_a_root_that_cannot_be_written(self):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-images-")
        self.addCleanup(folder.cleanup)
        data = pathlib.Path(folder.name) / "data"
        for place in (data, *(data / name for name in SERVICES)):
            place.mkdir()
            os.chown(place, NOBODY, NOBODY)
        code, text = self.command("build", "sh", "-c", "touch /anywhere || touch /usr/local/bin/it || touch /mnt/it /tmp/it", data=data)
        self.assertEqual((code, text.count("Read-only file system")), (0, 2), text)

        self.assertEqual(self.command("build", "fieldloop", "trust", "init", "--out", "/mnt/trust", data=data)[0], 0)
        ports = {}
        for name in (*SERVICES, "device"):
            keeper = keep_free_port()
            self.addCleanup(keeper.close)
            ports[name] = f"127.0.0.1:{keeper.getsockname()[1]}"
        more = {
            "provisioning": ["--pki-dir", "/mnt/pki"],
            "ingestion": ["--http-listen", "127.0.0.1:0"],
            "build": ["--ingestion", ports["ingestion"], "--root", "/mnt/trust/root.bin", "--release-key", "/mnt/trust/release.key"],
            "evaluation": [
                *("--ingestion", ports["ingestion"], "--build", ports["build"], "--distribution", ports["distribution"]),
            ],
            "distribution": [
                *("--device-listen", ports["device"], "--device-ca", "/mnt/pki/devices-ca.crt"),
                *("--directive-key", "/mnt/trust/directive.key", "--ingestion", ports["ingestion"]),
                *("--build", ports["build"], "--evaluation", ports["evaluation"]),
            ],
        }
        for name in SERVICES:
            certificate = f"/mnt/pki/services/{name}"
            others = ["--tls-ca", "/mnt/pki/services-ca.crt", "--tls-cert", f"{certificate}.crt", "--tls-key", f"{certificate}.key"]
            log = (data.parent / f"{name}.log").open("w+", encoding="utf-8")
            self.addCleanup(log.close)
            process = self.read_only(
                name,
                *(f"fieldloop-{name}", "--listen", ports[name], "--metrics-listen", "127.0.0.1:0"),
                *("--data-dir", f"/mnt/{name}", "--ready-file", f"/mnt/{name}.ready"),
                *([] if name == "provisioning" else [*others, "--provisioning", ports["provisioning"]]),
                *more[name],
                data=data,
                stdout=log,
                stderr=log,
            )
            deadline = time.monotonic() + PATIENCE_S
            while not (data / f"{name}.ready").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    self.fail(f"{name} does not start:\n{(data.parent / f'{name}.log').read_text()}")
                time.sleep(0.01)
            # What stands in a container is what is asked for its health in the chart.
            health = ("fieldloop", "health", name, "--address", ports[name], "--ca", "/mnt/pki/services-ca.crt")
            code, text = self.command(name, *health, data=data)
            self.assertEqual((code, text.count("serving")), (0, 1), text)
            while self.command(name, *health, "--ready", data=data)[0] != 0:
                self.assertLess(time.monotonic(), deadline, f"{name} is not ready")
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            self.assertIn(f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n", status)
            self.assertIn("CapEff:\t0000000000000000\n", status)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for images; kept")
    parser.add_argument("--mirror", required=True, help="Debian archive for debootstrap")
    parser.add_argument("--spdx-tools", type=pathlib.Path, help="folder of the Python package spdx-tools")
    parser.add_argument("--compile", action="store_true", help="compile in the image, which takes long")
    parser.parse_known_args(namespace=OPTIONS)
    if os.geteuid() != 0:
        sys.exit("images: debootstrap and buildah's chroot isolation need root")
    unittest.main(argv=sys.argv[:1])
