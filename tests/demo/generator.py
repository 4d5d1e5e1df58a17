# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes plausible recordings of an accelerometer and a gyroscope that a person wears.

Every recording is a walk from a chair and back, worn twice at the same time: a phone in a trouser
pocket ("sp") and a watch on a wrist ("sw"). The two see the same person: the thigh and the forearm
are rigid segments that hang from a body which rises, walks, turns and sits; a sensor measures the
acceleration of its place less gravity, and its own angular velocity, both in its own axes. What
people differ in (gait, posture, how the pocket holds the phone, how the arm swings) is drawn once for
each person, what recordings differ in once for each of them, all from one seed.

The files have the layout of real recordings: sNN/sNN_EE_{sp|sw}.csv with the columns of COLUMNS,
timestamps in Unix milliseconds that are as uneven as those of real devices.
"""

import concurrent.futures
import dataclasses
import math
import os
import pathlib
import random

COLUMNS = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro", "timestamp", "label")
LABELS = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
KINDS = ("sp", "sw")

GRAVITY = 9.81
STEP_S = 0.00975  # Between two readings.
START_MS = 1_700_000_000_000
DEGREE = math.pi / 180


@dataclasses.dataclass(frozen=True)
class Person:
    """What stays the same in all recordings of a person. Angles in radians."""

    stride_hz: float  # Two steps.
    bounce: float  # Vertical acceleration of the body in walking, m/s2.
    strike: float  # Shock of a heel, m/s2.
    thigh_swing: float
    thigh_twist: float
    shock_forward: float  # Shares of the shock that go forward and to the side.
    shock_left: float
    seat_pitch: float  # Of the thigh on the chair; 90 degrees is level.
    lean: float
    stand_s: float
    sit_s: float
    turn_s: float
    pocket: tuple  # How the phone lies in the pocket.
    arm_swing: float
    arm_hang: float
    arm_seat: float  # Pitch of the forearm on the lap.
    wrist_roll_seat: float  # On the lap; the hand lies on its edge.
    wrist_roll: float
    wrist_twist: float  # How the strap sits.
    push_off: float  # Use of the hands when standing up.


def draw_person(rng):
    gauss, uniform = rng.gauss, rng.uniform
    return Person(
        stride_hz=min(1.12, max(0.78, gauss(0.93, 0.07))),
        bounce=max(1.4, gauss(2.4, 0.5)),
        strike=max(4.0, gauss(8.5, 1.8)),
        thigh_swing=max(14, gauss(22, 3)) * DEGREE,
        thigh_twist=gauss(12, 3) * DEGREE,
        shock_forward=uniform(0.6, 1.2),
        shock_left=rng.choice((-1, 1)) * uniform(0.5, 1.1),
        seat_pitch=gauss(84, 10) * DEGREE,
        lean=gauss(6, 4) * DEGREE,
        stand_s=max(0.9, gauss(1.22, 0.15)),
        sit_s=max(1.0, gauss(1.5, 0.2)),
        turn_s=max(0.8, gauss(1.15, 0.15)),
        # About the phone's z, x and y: the pocket is at the front or more to the side.
        pocket=(gauss(0, 8) * DEGREE, gauss(0, 8) * DEGREE, gauss(25, 14) * DEGREE),
        arm_swing=max(8, gauss(20, 7)) * DEGREE,
        arm_hang=gauss(-72, 5) * DEGREE,
        arm_seat=gauss(-15, 12) * DEGREE,
        wrist_roll_seat=gauss(-65, 18) * DEGREE,
        wrist_roll=gauss(-80, 14) * DEGREE,
        wrist_twist=gauss(0, 8) * DEGREE,
        push_off=uniform(0.3, 1.0),
    )


# Ways of putting a phone in a pocket, screen in or out, top up or down: turns by 180 degrees.
HALF_TURNS = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))


def draw_script(person, rng):
    """Activities of one recording: [(label, seconds)]."""

    def around(mean, deviation, low):
        return max(low, rng.gauss(mean, deviation))

    script = [
        ("SEATED", around(0.95, 0.35, 0.3)),
        ("STANDING_UP", around(person.stand_s, 0.15, 0.75)),
        ("WALKING", around(2.6, 0.45, 1.4)),
        ("TURNING", around(person.turn_s, 0.2, 0.65)),
        ("WALKING", around(2.4, 0.45, 1.2)),
        ("TURNING", around(person.turn_s, 0.2, 0.65)),
    ]
    if rng.random() < 0.12:
        script.append(("WALKING", around(0.9, 0.2, 0.4)))
    script.append(("SITTING_DOWN", around(person.sit_s, 0.2, 0.9)))
    if rng.random() > 0.2:
        script.append(("SEATED", around(0.8, 0.4, 0.1)))
    return script


def smooth(x):
    """A movement from 0 to 1 with the least jerk."""
    x = min(1.0, max(0.0, x))
    return x * x * x * (10 - 15 * x + 6 * x * x)


class Motion:
    """The body of one recording: angles of its segments and acceleration of its middle over time."""

    def __init__(self, person, script, rng):
        self.person = person
        self.segments = []
        at = 0.0
        for label, seconds in script:
            self.segments.append((label, at, at + seconds))
            at += seconds
        self.seconds = at
        self.turns = [
            (start, end, rng.choice((-1, 1)) * math.pi * rng.gauss(1.0, 0.05))
            for label, start, end in self.segments
            if label == "TURNING"
        ]
        self.stand = next(s[1:] for s in self.segments if s[0] == "STANDING_UP")
        self.sit = next(s[1:] for s in self.segments if s[0] == "SITTING_DOWN")
        self.walk_start = self.stand[1] - 0.1
        self.walk_end = self.sit[0] + 0.15
        self.stride_hz = person.stride_hz * rng.gauss(1, 0.03)
        self.phase = rng.uniform(0, 2 * math.pi)
        self.energy = rng.gauss(1, 0.07)
        self.side = rng.choice((-1, 1))
        self.phase_twist = rng.uniform(0, 2 * math.pi)
        self.waves = [
            (rng.uniform(0.2, 2.0) * 2 * math.pi, rng.uniform(0, 2 * math.pi)) for _ in range(4)
        ]

    def label(self, time):
        for label, _, end in self.segments:
            if time < end:
                return label
        return self.segments[-1][0]

    def upright(self, time):
        """0 seated, 1 standing."""
        rise = smooth((time - self.stand[0]) / (self.stand[1] - self.stand[0]))
        fall = smooth((time - self.sit[0]) / (self.sit[1] - self.sit[0]))
        return rise * (1 - fall)

    def unrest(self, time):
        """What no two moments have in common, about -1 to 1."""
        return 0.35 * sum(math.sin(rate * time + phase) for rate, phase in self.waves)

    def gait(self, time):
        """How much the person walks, 0 to 1."""
        amount = smooth((time - self.walk_start) / 0.5) * smooth((self.walk_end - time) / 0.5)
        for start, end, _ in self.turns:
            if start - 0.2 < time < end + 0.2:
                inside = smooth((time - start + 0.2) / 0.4) * smooth((end + 0.2 - time) / 0.4)
                amount *= 1 - 0.35 * inside
        return amount * self.energy

    def yaw(self, time):
        return sum(
            angle * smooth((time - start) / (end - start)) for start, end, angle in self.turns
        )

    def body(self, time):
        """Acceleration of the hip in the world: forward, left, up."""
        person = self.person
        gait = self.gait(time)
        stride = 2 * math.pi * self.stride_hz * time + self.phase
        step = 2 * stride
        since_strike = (step / (2 * math.pi)) % 1.0 / (2 * self.stride_hz)
        shock = math.exp(-since_strike / 0.05) * math.cos(2 * math.pi * 11 * since_strike)
        shock *= person.strike * (1 + self.unrest(time))
        up = gait * (person.bounce * math.cos(step) + shock)
        forward = gait * (0.6 * person.bounce * math.sin(step) - person.shock_forward * shock)
        left = gait * (0.9 * math.sin(stride) + person.shock_left * shock)
        # Rising and sinking: the body is thrown forward and up, and brakes.
        for (start, end), sign in ((self.stand, 1), (self.sit, -1)):
            length = end - start
            x = (time - start) / length
            if 0 < x < 1:
                up += sign * 2.5 / length**2 * math.sin(2 * math.pi * x)
                forward += sign * 1.8 / length**2 * math.sin(2 * math.pi * x)
        landing = time - self.sit[1] + 0.3
        if 0 < landing < 0.4:
            up += 5.0 * math.exp(-landing / 0.06) * math.cos(2 * math.pi * 8 * landing)
        return forward, left, up

    def thigh(self, time):
        """Pitch of the thigh (0 hangs, 90 degrees is level, knee forward) and roll."""
        person = self.person
        upright = self.upright(time)
        stride = 2 * math.pi * self.stride_hz * time + self.phase
        swing = self.gait(time) * person.thigh_swing
        pitch = person.seat_pitch * (1 - upright) + person.lean * upright
        pitch += swing * (math.sin(stride) + 0.22 * math.sin(2 * stride + 0.9))
        twist = self.gait(time) * person.thigh_twist
        roll = twist * (math.sin(stride + 0.7) + 0.5 * math.sin(2 * stride + self.phase_twist))
        unrest = self.unrest(time)
        pitch += (1 + 3 * upright) * DEGREE * unrest
        roll += (1 + 3 * upright) * DEGREE * unrest
        return pitch, roll

    def forearm(self, time):
        """Pitch of the forearm (0 level forward, -90 degrees hangs) and roll of the wrist."""
        person = self.person
        upright = self.upright(time)
        stride = 2 * math.pi * self.stride_hz * time + self.phase + math.pi
        swing = self.gait(time) * person.arm_swing
        pitch = person.arm_seat * (1 - upright) + person.arm_hang * upright
        pitch += swing * (math.sin(stride) + 0.15 * math.sin(2 * stride))
        roll = person.wrist_roll_seat * (1 - upright) + person.wrist_roll * upright
        roll += 0.5 * swing * math.sin(stride + 0.5)
        for (start, end), sign in ((self.stand, 1), (self.sit, -0.8)):
            x = (time - start) / (end - start)
            if 0 < x < 1:
                push = math.sin(2 * math.pi * x) * math.sin(math.pi * x) ** 2
                pitch += sign * person.push_off * 45 * DEGREE * push
                roll += sign * person.push_off * 30 * DEGREE * math.sin(math.pi * x) ** 2
        for start, end, angle in self.turns:
            if start < time < end:
                bend = math.sin(math.pi * (time - start) / (end - start)) ** 2
                roll += math.copysign(10 * DEGREE, angle) * bend
        pitch += 5 * DEGREE * self.unrest(time)
        roll += 8 * DEGREE * self.unrest(time + 7)
        return pitch, roll


def rotation(yaw, pitch, roll):
    """Rows of Rz(yaw) Ry(pitch) Rx(roll): axes of the segment, as columns, in the world."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )


def into(matrix, vector):
    """A vector of the world in the axes of the matrix: its transpose times the vector."""
    x, y, z = vector
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return (a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z)


def times(one, other):
    return tuple(
        tuple(sum(row[k] * other[k][column] for k in range(3)) for column in range(3))
        for row in one
    )


@dataclasses.dataclass(frozen=True)
class Sensor:
    """A device on a segment: how it sits, where, and its errors."""

    mount: tuple  # Rotation from the segment's axes to the device's.
    signs: tuple
    reach: float  # Metres from the joint about which the segment turns.
    acc_bias: tuple
    gyro_bias: tuple
    acc_noise: float
    gyro_noise: float
    gain: float
    jitter_ms: float
    burst: float  # Chance that a reading is handed over together with the next one.


def draw_sensors(person, half_turn, rng):
    def biases(deviation):
        return tuple(rng.gauss(0, deviation) for _ in range(3))

    # A phone's long axis is y and lies along the thigh; a watch's x lies along the forearm.
    about_z, about_x, about_y = (angle + rng.gauss(0, 5) * DEGREE for angle in person.pocket)
    phone = Sensor(
        mount=times(((0, 1, 0), (-1, 0, 0), (0, 0, 1)), rotation(about_z, about_y, about_x)),
        signs=half_turn,
        reach=0.25,
        acc_bias=biases(0.12),
        gyro_bias=biases(0.01),
        acc_noise=0.15,
        gyro_noise=0.03,
        gain=1.0,
        jitter_ms=4.5,
        burst=0.12,
    )
    watch = Sensor(
        mount=rotation(person.wrist_twist + rng.gauss(0, 3) * DEGREE, 0, 0),
        signs=(1, 1, 1),
        reach=0.3,
        acc_bias=biases(0.2),
        gyro_bias=biases(0.02),
        acc_noise=0.2,
        gyro_noise=0.04,
        gain=0.35,  # Shocks lose strength on the way from the hip to the wrist.
        jitter_ms=1.6,
        burst=0.01,
    )
    return {"sp": phone, "sw": watch}


def measure(motion, kind, sensor, rng):
    """Readings of a device over a recording: [(six values, ms from the start, label)]."""
    phone = kind == "sp"
    angles_at = motion.thigh if phone else motion.forearm
    count = int(motion.seconds / STEP_S)
    angles = [angles_at(i * STEP_S) for i in range(-1, count + 1)]
    yaws = [motion.yaw(i * STEP_S) for i in range(-1, count + 1)]
    readings = []
    delay = 0.0
    last_ms = 0
    half = 1 / (2 * STEP_S)
    gauss = rng.gauss
    for i in range(count):
        time = i * STEP_S
        (pitch0, roll0), (pitch, roll), (pitch1, roll1) = angles[i : i + 3]
        yaw0, yaw, yaw1 = yaws[i : i + 3]
        pitch_rate, roll_rate = (pitch1 - pitch0) * half, (roll1 - roll0) * half
        yaw_rate = (yaw1 - yaw0) * half
        pitch_jolt = (pitch1 - 2 * pitch + pitch0) / STEP_S**2
        forward, left, up = (sensor.gain * a for a in motion.body(time))
        # The segment's axes without the yaw, for acceleration, which is given along the heading.
        # A hanging thigh points down: its x axis is forward when it is level.
        tilt = pitch - math.pi / 2 if phone else pitch
        axes = rotation(0, -tilt, roll)
        cosine, sine = math.cos(tilt), math.sin(tilt)
        along = -sensor.reach * pitch_rate**2
        across = sensor.reach * pitch_jolt
        force = (
            forward + along * cosine - across * sine,
            left + yaw_rate**2 * 0.1,
            up + along * sine + across * cosine + GRAVITY,
        )
        acc = into(sensor.mount, into(axes, force))
        # Rates of the angles as an angular velocity in the segment's axes.
        cr, sr = math.cos(roll), math.sin(roll)
        ct, st = math.cos(-tilt), math.sin(-tilt)
        rates = (
            roll_rate - yaw_rate * st,
            -pitch_rate * cr + yaw_rate * ct * sr,
            pitch_rate * sr + yaw_rate * ct * cr,
        )
        gyro = into(sensor.mount, rates)
        values = [
            sign * value + bias + gauss(0, sensor.acc_noise)
            for value, sign, bias in zip(acc, sensor.signs, sensor.acc_bias)
        ] + [
            sign * value + bias + gauss(0, sensor.gyro_noise)
            for value, sign, bias in zip(gyro, sensor.signs, sensor.gyro_bias)
        ]
        # Readings are handed over late, and sometimes several at once.
        delay = max(0.0, 0.5 * delay + gauss(0, sensor.jitter_ms))
        stamp = time * 1000 + (STEP_S * 1000 if rng.random() < sensor.burst else delay)
        last_ms = max(last_ms, int(stamp))
        readings.append((values, last_ms, motion.label(time)))
    return readings


def write_recording(path, readings, start_ms):
    lines = [",".join(COLUMNS)]
    for values, at_ms, label in readings:
        numbers = ",".join(f"{value:.5f}" for value in values)
        lines.append(f"{numbers},{start_ms + at_ms},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def write_person(folder, number, recordings, seed):
    """Writes all recordings of one person. The seed and the number decide everything."""
    rng = random.Random(f"{seed}/{number}")
    person = draw_person(rng)
    usual = rng.choice(HALF_TURNS)
    name = f"s{number:02d}"
    target = pathlib.Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    start_ms = START_MS + number * 86_400_000
    for execution in range(1, recordings + 1):
        motion = Motion(person, draw_script(person, rng), rng)
        half_turn = usual if rng.random() < 0.8 else rng.choice(HALF_TURNS)
        sensors = draw_sensors(person, half_turn, rng)
        for kind in KINDS:
            readings = measure(motion, kind, sensors[kind], rng)
            write_recording(target / f"{name}_{execution:02d}_{kind}.csv", readings, start_ms)
        start_ms += int(motion.seconds * 1000) + rng.randint(20_000, 60_000)


def generate(folder, people=12, recordings=10, seed=1, processes=1):
    """Writes recordings of `people` people into `folder`; the same seed gives the same bytes."""
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        made = [
            pool.submit(write_person, folder, number, recordings, seed)
            for number in range(1, people + 1)
        ]
        for one in made:
            one.result()


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--recordings", type=int, default=10, help="of each person")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generate(
        arguments.folder, arguments.people, arguments.recordings, arguments.seed, os.cpu_count()
    )
