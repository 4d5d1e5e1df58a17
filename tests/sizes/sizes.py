#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""What the agent costs on a Cortex-M4, in agent/docs/SIZES.md.

Links small firmwares with the preset agent-cortex-m4 (-Os) and reads from the linker's map what is kept
of each library, and from the compiler's call graphs how deep the stack gets. Without --check the document
is written anew; with it, the build must be within the limits, and within the tolerance of the document.
"""

import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/qemu"))
import cross_build  # noqa: E402

SKIPPED = 77
BUILD = ROOT / "build" / "sizes"
DOCUMENT = ROOT / "agent" / "docs" / "SIZES.md"
# A product has no use for them; see config.h.
WITHOUT_TEXTS = "-DFIELDLOOP_AGENT_LOG_TEXT=0 -DFIELDLOOP_AGENT_STATUS_TEXT=0"
GOALS = {"core flash": 16 * 1024, "core RAM": 4 * 1024}
LIMITS = GOALS  # Never to be raised.
TOLERANCE = 256  # Bytes by which the document may be behind.
NESTING = 3  # Messages within messages: a form in a component in a manifest.
# Functions of the agent that it calls by a pointer of its own, from fl_flash_each().
PIECES = {"compare", "add_to_crc", "add_to_hash", "copy_piece"}

# Where an object file of a map belongs.
PARTS = [
    ("agent", r"libfieldloop_agent_core\.a|libfieldloop_status_c\.a"),
    ("messages", r"libfieldloop_agent_proto\.a"),
    ("nanopb", r"libfieldloop_nanopb\.a"),
    ("impulse", r"libfieldloop_impulse\.a|libfieldloop_"),
    ("mbedtls", r"libfieldloop_mbedtls"),
    ("port", r"agent/ports/mbedtls"),
    ("program", r"tests/sizes/"),
    ("c", r"lib(c|m|gcc|nosys|c_nano|g_nano|g)\.a|crt[a-z0-9]*\.o"),
]
SECTION = re.compile(
    r"^ (\.(?:text|rodata|data|bss|ARM\.exidx|ARM\.extab)\S*|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$")


def part_of(name, file):
    if name == "impulse" and re.search(r"libfieldloop_(impulse|dsp|network)", file):
        return "impulse"
    for part, pattern in PARTS:
        if part != "impulse" and re.search(pattern, file):
            return part
    return "impulse"


def read_map(name):
    """{part: [flash, ram]} and {object file: flash} of a program."""
    text = (BUILD / "tests/sizes" / f"{name}.map").read_text()
    text = text[text.index("Linker script and memory map"):]
    text = re.sub(r"^( \.\S+)\n\s+", r"\1 ", text, flags=re.M)
    parts = collections.defaultdict(lambda: [0, 0])
    files = collections.Counter()
    for line in text.splitlines():
        found = SECTION.match(line)
        if not found:
            continue
        section, _, size, file = found.groups()
        size = int(size, 16)
        part = part_of(name, file)
        is_ram = section.startswith((".bss", "COMMON"))
        if not is_ram:
            parts[part][0] += size
            files[re.sub(r"^.*[/(]|\.obj\)?$|\.o\)?$", "", file)] += size
        if is_ram or section.startswith(".data"):
            parts[part][1] += size
    return parts, files


def size_of(program, symbol):
    lines = subprocess.run(["arm-none-eabi-nm", "-S", BUILD / "bin" / program], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.split()[-1] == symbol)


def call_graph():
    """{function: (frame, callees)} of the agent, nanopb and the impulse."""
    frames, calls = {}, collections.defaultdict(set)
    for path in BUILD.rglob("*.ci"):
        if not re.search(r"fieldloop_(agent_core|status_c|nanopb|agent_proto|impulse)\.dir", str(path)):
            continue
        for line in path.read_text().splitlines():
            node = re.match(r'node: \{ title: "([^"]+)" label: "(?:.*\\n)?(\d+) bytes \((\w+)', line)
            edge = re.match(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', line)
            if node:
                frames[node.group(1)] = int(node.group(2))
            elif edge:
                calls[edge.group(1)].add(edge.group(2))
    pieces = {name for name in frames if name.rsplit(":", 1)[-1] in PIECES}
    if len(pieces) != len(PIECES):
        sys.exit(f"of the functions {sorted(PIECES)} only {sorted(pieces)} are in the call graphs")
    calls["fl_flash_each"] |= pieces
    return frames, calls


def deepest(frames, calls, root):
    """Bytes of the deepest chain of calls from a function, and its functions. A function that calls
    itself, by others or not, is counted as often as messages can be nested."""
    memory = {}

    def visit(function, path):
        if function in memory:
            return memory[function]
        best, chain, recursive = 0, [], False
        for callee in sorted(calls.get(function, ())):
            if callee in path:
                recursive = True
                continue
            depth, below = visit(callee, path | {callee})
            if depth > best:
                best, chain = depth, below
        own = frames.get(function, 0)
        result = (own + best * (NESTING if recursive else 1), [function] + chain)
        if not recursive:
            memory[function] = result
        return result

    return visit(root, {root})


def kb(size):
    return f"{size:,}"


def chain_text(chain):
    return " > ".join(name.rsplit(":", 1)[-1].split(".")[0] for name in chain)


def measure():
    core, _ = read_map("core")
    impulse, impulse_files = read_map("impulse")
    mutual, _ = read_map("tls_mutual")
    psk, _ = read_map("tls_psk")
    frames, calls = call_graph()
    found = {
        "core flash": core["agent"][0] + core["messages"][0] + core["nanopb"][0],
        "core RAM": size_of("size_core", "size_agent") + core["agent"][1],
        "C library": core["c"][0],
        "impulse": impulse["impulse"][0],
        "impulse messages": impulse["messages"][0] + impulse["nanopb"][0],
        "fl_impulse_t": size_of("size_impulse", "size_impulse"),
        "mutual": mutual["mbedtls"][0],
        "mutual port": mutual["port"][0],
        "mutual client": size_of("size_tls_mutual", "size_client"),
        "psk": psk["mbedtls"][0],
        "psk client": size_of("size_tls_psk", "size_ssl") + size_of("size_tls_psk", "size_config"),
    }
    stacks = {}
    for function in ("fl_agent_init", "fl_agent_poll", "fl_agent_observe", "fl_agent_flush",
                     "fl_impulse_open", "fl_impulse_run"):
        stacks[function] = deepest(frames, calls, function)
        found[f"stack {function}"] = stacks[function][0]
    return found, stacks, impulse_files


def document(found, stacks, impulse_files):
    n = {name: kb(value) for name, value in found.items()}
    impulse_rows = "\n".join(
        f"| `{name}` | {kb(size)} |" for name, size in sorted(impulse_files.items(), key=lambda f: -f[1])
        if (ROOT / "agent/impulse" / name).exists())
    stack_rows = "\n".join(f"| `{name}` | {kb(depth)} | {chain_text(chain)} |"
                           for name, (depth, chain) in stacks.items())
    goals, limits = (" / ".join(kb(value) for value in wanted.values()) for wanted in (GOALS, LIMITS))
    over = [f"{name} is {kb(found[name] - goal)} bytes above its goal" for name, goal in GOALS.items()
            if found[name] > goal]
    verdict = f"\nOpen: {', '.join(over)}.\n" if over else ""
    compiler = subprocess.run(["arm-none-eabi-gcc", "-dumpversion"], check=True, capture_output=True,
                              text=True).stdout.strip()
    return f"""# Sizes

Written by `./dev sizes`, which links small firmwares (`tests/sizes`) and reads from the linker's map what is kept of each library.
`./dev test` fails when a limit is passed or a number here is more than {TOLERANCE} bytes behind the build. Cortex-M4 with FPU,
arm-none-eabi-gcc {compiler}, -Os, newlib-nano; without the texts of the log and of the statuses, which `config.h` adds; bytes.

| | flash | RAM | goal | limit of the test |
|---|---|---|---|---|
| **agent core**, without TLS and impulse | **{n["core flash"]}** | **{n["core RAM"]}** | {goals} | {limits} |
| of the C library and the compiler | {n["C library"]} | 0 | | |
{verdict}
RAM is `sizeof(fl_agent_t)` with the frame buffer, and all static data. There is no heap. Flash is code and constants. The core
reads and writes its messages in place and links nothing of nanopb; the impulse does.

## Stack

The deepest chain of calls, from the compiler's own call graph (`-fcallgraph-info=su`). It ends where the port or the application is
called: what their functions need, mbedTLS among them, is not measured and comes on top. A function that calls itself is counted for {NESTING} nested messages.

| called | stack | by way of |
|---|---|---|
{stack_rows}

## Impulse

| | flash | RAM |
|---|---|---|
| all blocks and kernels | {n["impulse"]} | `fl_impulse_t` {n["fl_impulse_t"]}, and the arena that `fl_impulse_arena_size()` asks for |
| its messages and nanopb | {n["impulse messages"]} | |

A model names its blocks and operators, so all of them are linked. By file:

| file | flash |
|---|---|
{impulse_rows}

## TLS

mbedTLS 2.28 as configured in `agent/ports/cortex_m`, with SHA-256 and the verification of signatures, which the agent needs without TLS too.

| profile | mbedTLS | of the port | state |
|---|---|---|---|
| TLS 1.2, mutual, ECDHE-ECDSA P-256, requests for certificates | {n["mutual"]} | {n["mutual port"]} | {n["mutual client"]} and the heap of the handshake |
| TLS 1.2, pre-shared key | {n["psk"]} | | {n["psk client"]} and the heap of the handshake |

## Beside others

Figures that the projects publish or that were measured of them at -Os with gcc 12, in KB of flash and RAM.

| client | flash | RAM | what it does |
|---|---|---|---|
| **Fieldloop agent core** | **{found["core flash"] / 1024:.1f}** | **{found["core RAM"] / 1024:.1f}**, no heap | updates of sets with signatures, trial and revert; sketches; chosen recordings; enrolment |
| Memfault SDK | 5 | 1.5 | metrics and traces in chunks; updates are the platform's |
| AWS MQTT streams / OTA library | 7 / 11.6 | | download of a job's file; MQTT apart |
| Golioth SDK | 32.5 | 1.6 and 18.8 of heap | updates, settings, streams over CoAP |
| mender-mcu | 33 | 15 | updates; no signatures, no delta |
"""


def numbers(text):
    return [int(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d[\d,]*(?![\w.])", text)]


def check(found, text):
    """What is wrong, a line each."""
    wrong = [f"{name} is {found[name]}, the limit is {limit}"
             for name, limit in LIMITS.items() if found[name] > limit]
    published = DOCUMENT.read_text()
    old, new = numbers(published), numbers(text)
    if len(old) != len(new) or any(abs(a - b) > TOLERANCE for a, b in zip(old, new)):
        wrong.append(f"{DOCUMENT.relative_to(ROOT)} is behind the build; ./dev sizes writes it anew")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    missing = cross_build.missing()
    if missing:
        print(f"skipped: {missing}")
        sys.exit(SKIPPED)
    programs = [f"size_{name}" for name in ("core", "impulse", "tls_mutual", "tls_psk")]
    for command in (["cmake", "--fresh", "--preset", "agent-cortex-m4", "-B", BUILD,
                     "-DPython3_EXECUTABLE=/usr/bin/python3"],
                    ["cmake", "--build", BUILD, "--target", *programs]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                              env={**os.environ, "CFLAGS": f"-fcallgraph-info=su {WITHOUT_TEXTS}",
                                   "CCACHE_DISABLE": "1"})  # It does not keep call graphs.
        if done.returncode != 0:
            sys.exit(f"the programs cannot be built:\n{done.stdout[-3000:]}{done.stderr}")
    found, stacks, impulse_files = measure()
    text = document(found, stacks, impulse_files)
    for name, value in found.items():
        print(f"{name:24} {value:8,}")
    if not arguments.check:
        DOCUMENT.write_text(text)
    wrong = check(found, text)
    print("\n".join(wrong) or "within the limits and as published")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
