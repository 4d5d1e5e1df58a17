# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The report of a run: one HTML page with drawings in SVG, and nothing from outside."""

import dataclasses
import html
import math

WIDTH = 900
LEFT, RIGHT, TOP, BOTTOM = 58, 132, 16, 40

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #1d2129; --soft: #5d6470; --line: #d9d6cd;
  --one: #1d5fa8; --two: #c2410c; --three: #15803d; --four: #7c3aed; --band: #f1e4c8; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171c; --ink: #e7e6e2; --soft: #a0a5ae;
  --line: #363a43; --one: #7ab3ef; --two: #fb923c; --three: #5fcf8a; --four: #b79bff; --band: #3a3220;
  --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 Georgia, "Liberation Serif", "Times New Roman", serif; }
main { max-width: 940px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 22px; margin: 44px 0 4px; }
p { margin: 6px 0 12px; max-width: 68ch; }
.soft, figcaption { color: var(--soft); }
figure { margin: 10px 0 0; }
figcaption { font-size: 14px; max-width: 76ch; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 13px "Helvetica Neue", "Liberation Sans", Arial, sans-serif; fill: var(--ink); }
svg text.soft { fill: var(--soft); }
svg text.strong { font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin: 10px 0;
  font: 14px/1.45 "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
th, td { text-align: left; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.ok { color: var(--three); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
.verdict { font-size: 20px; } pre { white-space: pre-wrap; overflow-wrap: anywhere;
  font: 12.5px/1.55 "DejaVu Sans Mono", "Liberation Mono", monospace; color: var(--soft); }
"""


def escape(text):
    return html.escape(str(text), quote=True)


def nice_step(span, count):
    """A round distance between ticks so that about `count` fit into the span."""
    raw = span / max(1, count)
    if raw <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if factor * power >= raw:
            return factor * power
    return 10 * power


def ticks(low, high, step):
    first = math.ceil(low / step - 1e-9)
    values = []
    while first * step <= high + 1e-9 * step:
        values.append(round(first * step, 9))
        first += 1
    return values


@dataclasses.dataclass
class Line:
    name: str
    points: list  # (x, y)
    colour: str  # Name of a variable of the style.
    dashed: bool = False
    dots: bool = False


class Chart:
    """Axes with lines, bands and marks; y grows upwards."""

    def __init__(self, title, x_range, y_range, height=280):
        self.title = title
        self.x_low, self.x_high = x_range
        if self.x_high <= self.x_low:
            self.x_high = self.x_low + 1
        self.y_low, self.y_high = y_range
        self.height = height
        self.parts = []
        self._labels = []

    def x(self, value):
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def text(self, x, y, words, anchor="start", kind="", colour=None):
        fill = f' style="fill:var(--{colour})"' if colour else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{fill}>'
            f"{escape(words)}</text>"
        )

    def axes(self, x_step, x_text, y_step, y_text, x_title):
        for value in ticks(self.y_low, self.y_high, y_step):
            at = self.y(value)
            self.parts.append(
                f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" '
                'stroke="var(--line)" stroke-width="1"/>'
            )
            self.text(LEFT - 8, at + 4, y_text(value), "end", "soft")
        for value in ticks(self.x_low, self.x_high, x_step):
            self.text(self.x(value), self.height - BOTTOM + 18, x_text(value), "middle", "soft")
        self.text(WIDTH - RIGHT, self.height - 4, x_title, "end", "soft")

    def band(self, low, high, words="", low_down=False):
        low, high = max(low, self.x_low), min(high, self.x_high)
        if high < low:
            return
        width = max(1.5, self.x(high) - self.x(low))
        self.parts.append(
            f'<rect x="{self.x(low):.1f}" y="{TOP}" width="{width:.1f}" '
            f'height="{self.height - TOP - BOTTOM}" fill="var(--band)"/>'
        )
        if words:
            right = self.x(low) > WIDTH - RIGHT - 160
            self.text(
                self.x(low) - 5 if right else self.x(low) + width + 5,
                self.height - BOTTOM - 10 if low_down else TOP + 12,
                words,
                "end" if right else "start",
                "soft",
            )

    def line(self, line):
        if not line.points:
            return
        clipped = [
            (min(self.x_high, max(self.x_low, x)), min(self.y_high, max(self.y_low, y)))
            for x, y in line.points
        ]
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in clipped)
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="var(--{line.colour})" '
            f'stroke-width="2.2" stroke-linejoin="round"{dash}/>'
        )
        if line.dots:
            self.parts += [
                f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="2.6" '
                f'fill="var(--{line.colour})"/>'
                for x, y in clipped
            ]
        if line.name:
            self._labels.append((self.y(clipped[-1][1]), self.x(clipped[-1][0]), line))

    def _place_labels(self):
        """Names at the ends of lines, moved apart so that none covers another."""
        at = TOP
        for y, x, line in sorted(self._labels, key=lambda label: label[0]):
            at = max(at + 15, y + 4)
            self.text(min(x, WIDTH - RIGHT) + 7, at, line.name, "start", "strong", line.colour)

    def svg(self):
        self._place_labels()
        self._labels = []
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}">' + "".join(self.parts) + "</svg>"
        )


def percent_text(value):
    return f"{100 * value:.0f} %"


def hours_text(minutes):
    return f"{minutes / 60:g} h"


def hour_step(minutes):
    return max(30, 60 * round(minutes / 60 / 8)) if minutes > 90 else 15


MODEL_COLOURS = {"v1": "one", "v2": "three"}


def field_end(run):
    """Minutes of field time that the drawings share."""
    return max([x for _, _, points in run["truth"] for x, _ in points] + [60])


def accuracy_chart(run):
    end = field_end(run)
    chart = Chart("Field accuracy over field time", (0, end), (0, 1), 300)
    if run["switch_minutes"]:
        chart.band(*run["switch_minutes"], "phones become watches", low_down=True)
    chart.axes(hour_step(end), hours_text, 0.2, percent_text, "field time")
    for name, colour, points in run["estimate"]:
        chart.line(Line(name, points, colour, dashed=True))
    for name, colour, points in run["truth"]:
        chart.line(Line(name, points, colour, dots=True))
    return chart.svg()


def drift_chart(run):
    points = run["drift"]
    end = max([field_end(run)] + [x for x, *_ in points])
    top = max([value for _, s, limit, _ in points for value in (s, limit)] + [1]) * 1.2
    chart = Chart("Drift statistic and its limit", (0, end), (0, top), 260)
    if run["switch_minutes"]:
        chart.band(*run["switch_minutes"])
    step = nice_step(top, 5)
    chart.axes(hour_step(end), hours_text, step, lambda value: f"{value:g}", "field time")
    limits = [(x, limit) for x, _, limit, _ in points]
    chart.line(Line("limit", limits, "soft", dashed=True))
    chart.line(Line("statistic", [(x, s) for x, s, _, _ in points], "two", dots=True))
    alarm = next(((x, s) for x, s, _, drifted in points if drifted), None)
    if alarm:
        x, y = chart.x(alarm[0]), chart.y(alarm[1])
        chart.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="var(--bad)" '
            'stroke-width="2.5"/>'
        )
        chart.text(x - 12, y + 4, "first alarm", "end", "strong", "bad")
    return chart.svg()


def share_chart(run):
    """Devices by confirmed model over the seconds of the story, stacked."""
    samples = run["shares"]
    total = max([sum(shares.values()) for _, shares in samples] + [run["devices"], 1])
    end = max([seconds for seconds, _ in samples] + [run["story_s"] or 0, 1])
    chart = Chart("Devices by model", (0, end), (0, total), 230)
    base = [0] * len(samples)
    for name in ("v1", "v2"):
        tops = [low + shares.get(name, 0) for low, (_, shares) in zip(base, samples)]
        upper, lower = [], []
        for i, (seconds, _) in enumerate(samples):
            until = samples[i + 1][0] if i + 1 < len(samples) else end
            upper += [(seconds, tops[i]), (until, tops[i])]
            lower += [(seconds, base[i]), (until, base[i])]
        path = " ".join(f"{chart.x(x):.1f},{chart.y(y):.1f}" for x, y in upper + lower[::-1])
        if path:
            chart.parts.append(
                f'<polygon points="{path}" fill="var(--{MODEL_COLOURS[name]})" fill-opacity="0.75"/>'
            )
        with_it = [(seconds, shares.get(name, 0)) for seconds, shares in samples]
        most = max(with_it, key=lambda entry: entry[1], default=(0, 0))
        if most[1]:
            held = [seconds for seconds, count in with_it if count == most[1]]
            middle = (held[0] + held[-1]) / 2
            at = chart.y(total / 2)
            chart.parts.append(
                f'<text x="{chart.x(middle):.1f}" y="{at:.1f}" text-anchor="middle" class="strong" '
                f'style="fill:var(--paper)">{name}</text>'
            )
        base = tops
    chart.axes(
        nice_step(end, 8), lambda s: f"{s:g} s", nice_step(total, 4), lambda n: f"{n:g}", "story time"
    )
    return chart.svg()


def cycle_chart(run):
    """States of the cycle as bars over the seconds of the story."""
    spans = run["states"]
    end = max([stop for _, _, stop in spans] + [run["story_s"] or 0, 1])
    row = 26
    chart = Chart("States of the cycle", (0, end), (0, 1), TOP + BOTTOM + row * max(1, len(spans)))
    for value in ticks(0, end, nice_step(end, 8)):
        chart.text(chart.x(value), chart.height - BOTTOM + 18, f"{value:g} s", "middle", "soft")
    chart.text(WIDTH - RIGHT, chart.height - 4, "story time", "end", "soft")
    colours = {"COMPLETED": "three", "REJECTED": "bad", "FAILED": "bad", "ROLLED_BACK": "bad"}
    for i, (state, start, stop) in enumerate(spans):
        at = TOP + i * row
        width = max(3, chart.x(stop) - chart.x(start))
        colour = colours.get(state, "four" if state != "OBSERVING" else "line")
        chart.parts.append(
            f'<rect x="{chart.x(start):.1f}" y="{at + 4}" width="{width:.1f}" height="{row - 8}" '
            f'rx="2" fill="var(--{colour})"/>'
        )
        words = f"{state.replace('_', ' ').lower()}  {stop - start:.0f} s"
        right = chart.x(start) + width + 8
        if right > WIDTH - 170:
            chart.text(chart.x(start) - 8, at + row / 2 + 5, words, "end")
        else:
            chart.text(right, at + row / 2 + 5, words)
    return chart.svg()


def figures_table(figures):
    rows = "".join(
        f"<tr><td>{escape(f.title)}</td><td class=\"number\">{escape(f.value_text)}</td>"
        f"<td class=\"number\">{escape(f.goal_text)}</td>"
        f"<td class=\"{'ok' if f.ok else 'missed'}\">{'ok' if f.ok else 'missed'}</td></tr>"
        for f in figures
    )
    return (
        '<table><thead><tr><th>figure</th><th class="number">value</th>'
        f'<th class="number">goal</th><th></th></tr></thead><tbody>{rows}</tbody></table>'
    )


def gate_table(gates):
    rows = "".join(
        f"<tr><td>{escape(rule)}</td><td>{escape(verdict.lower())}</td><td>{escape(text)}</td></tr>"
        for rule, verdict, text in gates
    )
    return (
        "<table><thead><tr><th>rule</th><th>verdict</th><th>numbers</th></tr></thead>"
        f"<tbody>{rows or '<tr><td>no gate was judged</td><td></td><td></td></tr>'}</tbody></table>"
    )


def figure(drawing, caption):
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def render(run, figures):
    """The page. `run` is what story.report_data() gives."""
    good = bool(figures) and all(f.ok for f in figures)
    verdict = (
        '<span class="ok">All figures hold.</span>'
        if good
        else '<span class="missed">Some figures do not hold.</span>'
    )
    people = run["people"]
    events = "\n".join(f"{seconds:6.1f} s  {text}" for seconds, _, text in run["events"])
    body = [
        "<h1>One turn of the loop</h1>",
        f'<p class="verdict">{verdict}</p>',
        f"<p>A model was trained on the phones of {len(people['train'])} people and rolled out to "
        f"{run['devices']} devices of {len(people['send']) + len(people['judge'])} others. Then every "
        "device was worn as a watch. The drawings show how the loop noticed, and what it did. "
        f"Recordings: {escape(run['data'])}; seed {run['seed']}; the field ran "
        f"{run['speed']:g} times as fast as real time.</p>",
        "<h2>Figures</h2>",
        figures_table(figures),
        "<h2>Accuracy in the field</h2>",
        figure(
            accuracy_chart(run),
            "Balanced accuracy as it is in truth (dots; only the demo knows it) and accuracy as the "
            "services estimate it from the confidence of the model (dashed). The estimate is blind to "
            "new kinds of signal, which is why drift is looked for apart from it. Field time is that "
            "of the devices' sensors, which do not agree to the minute: the band reaches from the "
            "first device that became a watch to the last.",
        ),
        "<h2>Drift</h2>",
        figure(
            drift_chart(run),
            "The statistic of each look at the fleet under v1, and the limit that it must pass; enough "
            "devices that drift by themselves raise an alarm too. Looks begin when the devices' own "
            "baselines stand.",
        ),
        "<h2>Devices by model</h2>",
        figure(
            share_chart(run),
            "Devices that run a model confirmed after a boot. Stages of 15, 50 and 100 % of the fleet.",
        ),
        "<h2>The cycle</h2>",
        figure(cycle_chart(run), "States of the cycle that drift started, and how long each took."),
        "<h2>The gate</h2>",
        gate_table(run["gates"]),
        "<h2>What happened when</h2>",
        f"<pre>{escape(events)}</pre>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Fieldloop: one turn of the loop</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )
