# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A device on bare metal: the firmware of tests/qemu/firmware in QEMU, with its flash in a file.

Its UART is tied to the device listener of the services by `-chardev socket`: TLS goes from the
firmware's mbedTLS to the distribution service, with nothing in between. QEMU dials again a second
after a connection ended.
"""

import pathlib
import re
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "demo"))

from installation import start_process, stop_process  # noqa: E402

FLASH_BYTES = 512 * 1024
IMAGE_OFFSET = 52 * 4096  # Of the firmware that comes from the factory: see bootloader.h.


def firmware_image(version, starts=True):
    """An image for the simulated bootloader."""
    body = version.encode().ljust(16, b"\0") + bytes([starts]) + version.encode() * 1000
    return b"FLFW" + struct.pack("<I", len(body) + 8) + body


class Emulator:
    """One device. `lines` is what its console said since the power came on."""

    def __init__(self, name, folder, firmware, client, home, project, readings):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token_path = self.folder / "token"
        self.log_path = self.folder / "console.log"
        image = firmware_image("1.0")
        flash = b"\xff" * IMAGE_OFFSET + image
        if not (self.folder / "flash.bin").exists():
            (self.folder / "flash.bin").write_bytes(flash.ljust(FLASH_BYTES, b"\xff"))
        ca = pathlib.Path(client["ca_file"]).read_text(encoding="ascii")
        (self.folder / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(ca))
        (self.folder / "root.bin").write_bytes((pathlib.Path(home) / "trust/root.bin").read_bytes())
        (self.folder / "recording.f32").write_bytes(struct.pack(f"<{len(readings)}f", *readings))
        host, port = client["addresses"]["device"].rsplit(":", 1)
        console = f"enable=on,target=native,chardev=console,arg=firmware,arg={project},arg={name}"
        self.command = [
            *("qemu-system-arm", "-M", "mps2-an386", "-kernel", firmware),
            *("-display", "none", "-monitor", "none"),
            *("-chardev", f"socket,id=modem,host={host},port={port},reconnect=1,nodelay=on"),
            *("-serial", "chardev:modem"),
            *("-chardev", "stdio,id=console,signal=off", "-semihosting-config", console),
        ]
        self.lines = []
        self.news = threading.Condition()
        self.process = None
        self.follower = None

    def start(self):
        """Power on. To be called from the main thread."""
        self.lines = []
        self.process = start_process(
            self.command, self.log_path, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.follower = threading.Thread(target=self._follow, args=(self.process,), daemon=True)
        self.follower.start()

    def _follow(self, process):
        with open(self.log_path, "a", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                with self.news:
                    self.lines.append(line.rstrip())
                    self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def wait_for(self, pattern, timeout_s=300):
        """Waits until a line of the console matches; returns the match."""

        def find():
            found = next((m for m in (re.search(pattern, line) for line in self.lines) if m), None)
            return found or self.process.poll() is not None

        with self.news:
            found = self.news.wait_for(find, timeout_s)
        if not isinstance(found, re.Match):
            why = "ended" if found else f"did not in {timeout_s} s"
            raise AssertionError(f"{self.name} should have said '{pattern}' and {why}; it said {self.lines}")
        return found

    def wait_for_end(self, timeout_s=300):
        """Waits until the firmware ends the emulator; returns its exit code."""
        code = self.process.wait(timeout_s)
        self.follower.join()
        self.process.stdout.close()
        return code

    def cut_power(self):
        """SIGKILL: what has not reached the file of the flash is lost."""
        self.process.kill()
        self.process.wait()
        self.follower.join()
        self.process.stdout.close()

    def stop(self):
        if self.process is not None:
            stop_process(self.process, 2)
