# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""What the demo prints: a line for each event, a moving line for progress, a table at the end."""

import shutil
import sys
import textwrap
import threading
import time


MARGIN = 24  # Columns before the text of an event.


def clock_text(seconds):
    """Field time as "4 h 05 min"."""
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Timeline:
    """Prints events with the time since the start and the field's time. Threads may share it."""

    def __init__(self, out=sys.stdout):
        self._out = out
        self._lock = threading.Lock()
        self._terminal = out.isatty()
        self._moving = False
        self._said = ""
        self.start = time.monotonic()
        self.start_unix_s = time.time()
        self.field_s = 0.0
        self.events = []  # (seconds, field seconds, text)

    @property
    def elapsed(self):
        return time.monotonic() - self.start

    def _clear(self):
        if self._moving:
            self._out.write("\r\033[K")
            self._moving = False

    def chapter(self, title):
        with self._lock:
            self._clear()
            bold, plain = ("\033[1m", "\033[0m") if self._terminal else ("", "")
            self._out.write(f"\n{bold}{title}{plain}\n")
            self._out.flush()

    def say(self, text):
        with self._lock:
            self._clear()
            seconds = self.elapsed
            self.events.append((seconds, self.field_s, text))
            field = clock_text(self.field_s) if self.field_s else ""
            width = max(60, min(140, shutil.get_terminal_size((120, 24)).columns)) - MARGIN
            lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width)]
            self._out.write(f"{seconds:6.1f} s  {field:>12}  {lines[0]}\n")
            for line in lines[1:]:
                self._out.write(f"{'':{MARGIN}}{line}\n")
            self._out.flush()

    def progress(self, text, share=None):
        """A line that the next one replaces; off a terminal, one line for each fourth of the way."""
        with self._lock:
            if self._terminal:
                bar = ""
                if share is not None:
                    full = int(20 * min(1.0, max(0.0, share)))
                    bar = f"[{'=' * full}{' ' * (20 - full)}] "
                line = f"{self.elapsed:6.1f} s  {clock_text(self.field_s):>12}  {bar}{text}"
                width = shutil.get_terminal_size().columns - 1
                self._out.write(f"\r\033[K{line[:width]}")
                self._moving = True
                self._out.flush()
            elif share is not None:
                step = f"{text.split(':')[0]} {int(4 * share)}"
                if share > 0 and step != self._said:
                    self._said = step
                    self._out.write(f"{self.elapsed:6.1f} s  {'':>12}  ... {text}\n")
                    self._out.flush()

    def table(self, figures):
        with self._lock:
            self._clear()
            rows = [("figure", "value", "goal", "")]
            rows += [(f.title, f.value_text, f.goal_text, "ok" if f.ok else "MISSED") for f in figures]
            widths = [max(len(row[i]) for row in rows) for i in range(4)]
            lines = [
                "  ".join(
                    cell.rjust(width) if 0 < i < 3 else cell.ljust(width)
                    for i, (cell, width) in enumerate(zip(row, widths))
                ).rstrip()
                for row in rows
            ]
            lines.insert(1, "-" * max(map(len, lines)))
            self._out.write("\n" + "\n".join(lines) + "\n")
            self._out.flush()
