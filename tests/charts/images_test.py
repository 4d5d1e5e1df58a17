#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds the images with buildah, without a container engine or a registry, and tries each.

Their base, debian:12-slim, is made by debootstrap. The programs come from the build folder unless --compile has the
images compile them.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "docker.io/library/debian:12-slim"
TARGETS = ("provisioning", "ingestion", "build", "evaluation", "distribution", "trainer")
PROGRAMS = ("fieldloop", "fieldloop-trainer", *(f"fieldloop-{target}" for target in TARGETS[:5]))
OPTIONS = argparse.Namespace(bin=None, work=None, compile=False, mirror=None)


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


def build(target):
    context = []
    if not OPTIONS.compile:
        context = ["--build-context", f"programs={OPTIONS.work / 'programs'}"]
    buildah(
        *("bud", "--isolation", "chroot", "--pull-never", "--layers", *context),
        *("--ignorefile", ROOT / ".containerignore", "--target", target, "-t", f"fieldloop/{target}", "-f", ROOT / "Containerfile", ROOT),
    )


class ImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        OPTIONS.work.mkdir(parents=True, exist_ok=True)
        out = OPTIONS.work / "programs" / "out" / "bin"
        out.mkdir(parents=True, exist_ok=True)
        if not OPTIONS.compile:
            for program in PROGRAMS:
                subprocess.run(["install", "-s", OPTIONS.bin / program, out / program], check=True)
        make_base()
        cls.containers = {}
        for target in TARGETS:
            build(target)
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
                own = {"fieldloop", "fieldloop-build", "fieldloop-trainer"} if target == "trainer" else {"fieldloop", f"fieldloop-{target}"}
                self.assertEqual(set(self.run_in(target, "ls /usr/local/bin").stdout.split()), own)

    def test_programs_find_their_libraries(self):
        for target in TARGETS:
            with self.subTest(target=target):
                self.run_in(target, "for program in /usr/local/bin/*; do ! ldd $program | grep 'not found' || exit 1; done")
                self.run_in(target, "for program in /usr/local/bin/fieldloop*; do case $program in *trainer) ;; *) $program --help >/dev/null || exit 1;; esac; done")

    def test_a_service_starts_in_its_image_and_its_probe_answers(self):
        done = self.run_in(
            "provisioning",
            """folder=$(mktemp -d) && cd $folder
            fieldloop-provisioning --data-dir $folder/data --pki-dir $folder/pki --ready-file $folder/ready 2>$folder/log &
            server=$!
            while [ ! -f ready ]; do kill -0 $server || { cat log; exit 1; }; done
            address=$(sed 's/.*"grpc":"\\([^"]*\\)".*/\\1/' ready)
            fieldloop health provisioning --address $address --ca pki/services-ca.crt; code=$?
            kill $server; wait $server; rm -r $folder; exit $code""",
        )
        self.assertIn("serving", done.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for images; kept")
    parser.add_argument("--mirror", required=True, help="Debian archive for debootstrap")
    parser.add_argument("--compile", action="store_true", help="compile in the image, which takes long")
    parser.parse_known_args(namespace=OPTIONS)
    if os.geteuid() != 0:
        sys.exit("images: debootstrap and buildah's chroot isolation need root")
    unittest.main(argv=sys.argv[:1])
