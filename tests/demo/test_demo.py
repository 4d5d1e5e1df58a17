# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Tests of the demo's own parts; none needs the services."""

import io
import json
import pathlib
import statistics
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import demo  # noqa: E402
import generator  # noqa: E402
import judging  # noqa: E402
import recordings  # noqa: E402
import report  # noqa: E402
import story  # noqa: E402
import timeline  # noqa: E402


def values_of(paths, label, column):
    """One list for each recording: a column where the label stands."""
    found = []
    for path in paths:
        rows = recordings.read_rows(path)
        found.append([float(values[column]) for values, _, name in rows if name == label])
    return [values for values in found if len(values) > 20]


class GeneratorTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name) / "data"
        generator.generate(cls.folder, people=8, recordings=3, seed=5, processes=2)
        cls.phones = sorted(cls.folder.glob("*/*_sp.csv"))
        cls.watches = sorted(cls.folder.glob("*/*_sw.csv"))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_the_layout_is_that_of_real_recordings(self):
        people = recordings.discover(self.folder)
        self.assertEqual(list(people), [f"s{i:02d}" for i in range(1, 9)])
        self.assertEqual([len(kinds["sp"]) for kinds in people.values()], [3] * 8)
        self.assertEqual(
            self.phones[0].read_text().splitlines()[0],
            "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label",
        )

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self):
        with tempfile.TemporaryDirectory() as folder:
            generator.write_person(pathlib.Path(folder) / "again", 1, 1, 5)
            generator.write_person(pathlib.Path(folder) / "other", 1, 1, 6)
            name = pathlib.Path("s01") / "s01_01_sp.csv"
            first = (pathlib.Path(folder) / "again" / name).read_bytes()
            self.assertTrue((self.folder / name).read_bytes() == first)
            self.assertFalse((pathlib.Path(folder) / "other" / name).read_bytes() == first)

    def test_a_recording_is_a_walk_from_a_chair_and_back_of_about_eleven_seconds(self):
        lengths = []
        for path in self.phones:
            rows = recordings.read_rows(path)
            ranges = [entry["label"] for entry in recordings.label_ranges(rows)]
            self.assertEqual(
                ranges[:6],
                ["SEATED", "STANDING_UP", "WALKING", "TURNING", "WALKING", "TURNING"],
            )
            self.assertIn("SITTING_DOWN", ranges)
            lengths.append((rows[-1][1] - rows[0][1]) / 1000)
        self.assertTrue(10 < statistics.mean(lengths) < 13, lengths)
        self.assertTrue(7 < min(lengths) and max(lengths) < 17, lengths)

    def test_readings_come_about_a_hundred_times_a_second_and_unevenly(self):
        for paths, uneven in ((self.phones, 2.0), (self.watches, 0.7)):
            lines = paths[0].read_text().splitlines()[1:]
            times = [int(line.split(",")[6]) for line in lines]
            gaps = [b - a for a, b in zip(times, times[1:])]
            self.assertTrue(9 < statistics.mean(gaps) < 11)
            self.assertGreater(statistics.pstdev(gaps), uneven)
            self.assertEqual(min(gaps), 0)

    def test_a_device_at_rest_measures_gravity(self):
        for paths in (self.phones, self.watches):
            lengths = []
            axes = [values_of(paths, "SEATED", column) for column in range(3)]
            for x, y, z in zip(*axes):
                lengths += [(a * a + b * b + c * c) ** 0.5 for a, b, c in zip(x, y, z)]
            self.assertAlmostEqual(statistics.median(lengths), 9.81, delta=0.3)

    def test_walking_weighs_on_the_long_axis_of_a_phone_and_on_x_of_a_watch(self):
        phone = [abs(statistics.mean(v)) for v in values_of(self.phones, "WALKING", 1)]
        watch = [statistics.mean(v) for v in values_of(self.watches, "WALKING", 0)]
        self.assertGreater(statistics.mean(phone), 8)
        self.assertLess(statistics.mean(watch), -8)

    def test_a_phone_is_shaken_more_by_walking_than_a_watch_and_least_on_the_chair(self):
        def unrest(paths, label):
            return statistics.mean(
                statistics.pstdev(values)
                for column in range(3)
                for values in values_of(paths, label, column)
            )

        self.assertGreater(unrest(self.phones, "WALKING"), 1.2 * unrest(self.watches, "WALKING"))
        self.assertGreater(unrest(self.phones, "WALKING"), 5 * unrest(self.phones, "SEATED"))

    def test_a_turn_is_half_a_circle_about_the_vertical(self):
        for paths, column in ((self.phones, 1), (self.watches, 0)):
            angles = []
            for path in paths[:6]:
                rows = recordings.read_rows(path)
                angle = 0.0
                for (_, before, _), (values, at_ms, label) in zip(rows, rows[1:]):
                    if label == "TURNING":
                        angle += float(values[column + 3]) * (at_ms - before) / 1000
                    elif angle:
                        angles.append(abs(angle))
                        angle = 0.0
            self.assertTrue(2.2 < statistics.mean(angles) < 3.6, angles)

    def test_people_differ(self):
        means = [statistics.mean(v) for v in values_of(self.phones, "WALKING", 1)]
        self.assertGreater(statistics.pstdev(means), 1)


class RecordingsTest(unittest.TestCase):
    def write(self, folder, text, name="s01/s01_01_sp.csv"):
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return recordings.Recording(path, "s01", "01", "sp")

    TEXT = (
        "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label\n"
        "1,2,3,4,5,6,1000,SEATED\n"
        "1,2,3,4,5,6,1000,SEATED\n"
        "1,2,3,4,5,7,1010,SEATED\n"
        "1,2,3,4,5,8,1005,SEATED\n"
        "1,2,3,4,5,9,1030,WALKING\n"
        "1,2,3,4,5,9,1040,WALKING\n"
    )

    def test_an_upload_has_rising_times_and_label_ranges_in_milliseconds(self):
        with tempfile.TemporaryDirectory() as folder:
            recording = self.write(folder, self.TEXT)
            target = pathlib.Path(folder) / "upload.csv"
            ranges = recordings.write_upload(recording, target)
            self.assertEqual(
                ranges,
                [
                    {"start_ms": 0, "end_ms": 30, "label": "SEATED"},
                    {"start_ms": 30, "end_ms": 41, "label": "WALKING"},
                ],
            )
            self.assertEqual(
                target.read_text().splitlines(),
                [
                    "timestamp,x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro",
                    "1000,1,2,3,4,5,6",
                    "1010,1,2,3,4,5,7",
                    "1030,1,2,3,4,5,9",
                    "1040,1,2,3,4,5,9",
                ],
            )

    def test_a_replay_lacks_its_first_moments_and_keeps_labels(self):
        with tempfile.TemporaryDirectory() as folder:
            target = pathlib.Path(folder) / "replay.csv"
            recordings.write_replay(self.write(folder, self.TEXT), target, 15)
            self.assertEqual(target.read_text().splitlines()[1], "1,2,3,4,5,9,1030,WALKING")

    def test_a_broken_file_is_named_with_line_and_expectation(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = self.write(folder, self.TEXT + "1,2,zwei,4,5,6,1050,SEATED\n")
            with self.assertRaisesRegex(recordings.DataError, r"line 8: .*zwei.*want x_acc"):
                recordings.read_rows(broken.path)
            headless = self.write(folder, "a,b\n1,2\n")
            with self.assertRaisesRegex(recordings.DataError, "line 1: no column 'x_acc'"):
                recordings.read_rows(headless.path)

    def test_too_few_people_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.write(folder, self.TEXT)
            with self.assertRaisesRegex(recordings.DataError, "0 people; want at least 8"):
                recordings.discover(folder)
            with self.assertRaisesRegex(recordings.DataError, "is not a folder"):
                recordings.discover(pathlib.Path(folder) / "nothing")

    def test_people_are_dealt_out_by_their_number_alone(self):
        for count, expected in ((8, (3, 2, 3)), (10, (5, 2, 3)), (12, (6, 3, 3)), (15, (8, 4, 3)), (24, (14, 6, 4))):
            people = {f"s{i:02d}": None for i in range(count)}
            split = recordings.split_people(people, 7)
            sizes = (len(split.train), len(split.send), len(split.judge))
            self.assertEqual(sizes, expected)
            self.assertEqual(sorted(split.train + split.fleet), sorted(people))
            self.assertEqual(split, recordings.split_people(dict(reversed(people.items())), 7))
        self.assertNotEqual(split, recordings.split_people(people, 8))

    def test_every_person_of_the_fleet_wears_a_device_and_fifteen_devices_send(self):
        split = recordings.Split(["a"], ["b", "c"], ["d", "e", "f"])
        devices = recordings.assign_devices(split, 24, 1)
        self.assertEqual(len(devices), 24)
        self.assertEqual(len({name for name, _, _ in devices}), 24)
        self.assertEqual({person for _, person, _ in devices}, set("bcdef"))
        self.assertEqual(sum(shares for _, _, shares in devices), 15)
        for _, person, shares in devices:
            self.assertEqual(shares, person in "bc")
        few = recordings.assign_devices(split, 8, 1)
        self.assertEqual({person for _, person, _ in few}, set("bcdef"))


def period(pairs, device="d", start_ms=0, source="phone", model="m"):
    return judging.Period(device, start_ms, 1000, model, source, pairs)


class JudgingTest(unittest.TestCase):
    def test_balanced_accuracy_is_the_mean_recall_over_pooled_windows(self):
        pairs = judging.confusion(
            [period({"A": {"A": 6, "B": 2}}), period({"A": {"A": 0, "B": 2}, "B": {"B": 9, "A": 1}})]
        )
        self.assertEqual(pairs, {"A": {"A": 6, "B": 4}, "B": {"B": 9, "A": 1}})
        self.assertAlmostEqual(judging.balanced_accuracy(pairs), 0.75)
        self.assertEqual(judging.windows(pairs), 20)

    def test_a_label_that_never_occurred_leaves_the_figure_open(self):
        pairs = {"A": {"A": 3}}
        self.assertEqual(judging.balanced_accuracy(pairs), 1.0)
        self.assertIsNone(judging.balanced_accuracy(pairs, ["A", "B"]))
        self.assertIsNone(judging.balanced_accuracy({}))

    def test_a_truth_log_is_read_line_by_line_as_it_grows(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "truth.jsonl"
            log = judging.TruthLog("dev-01", path)
            log.read()
            one = {
                "type": "period",
                "start_ms": 5,
                "period_ms": 10,
                "model": "m",
                "source": "phone",
                "pairs": {"A": {"B": 2}},
            }
            other = {"type": "sample", "start_ms": 7, "label": "A", "purity": 0.8, "model": "m"}
            text = json.dumps(one) + "\n" + json.dumps(other) + "\n"
            path.write_text(text[:-9])
            log.read()
            self.assertEqual((len(log.periods), len(log.samples)), (1, 0))
            path.write_text(text)
            log.read()
            log.read()
            self.assertEqual((len(log.periods), len(log.samples)), (1, 1))
            self.assertEqual(log.periods[0].end_ms, 15)
            self.assertEqual(log.samples[0], judging.SentSample("dev-01", 7, "A", 0.8))

    def test_the_change_is_the_median_of_what_devices_saw(self):
        periods = [
            period({}, device=name, start_ms=at, source=source)
            for name, at, source in (
                ("a", 1, "phone"),
                ("a", 10, "watch"),
                ("a", 20, "watch"),
                ("b", 14, "watch"),
                ("c", 90, "watch"),
            )
        ]
        self.assertEqual(judging.first_start(periods, "watch"), 14)
        self.assertIsNone(judging.first_start(periods, "glove"))

    def test_accuracy_over_time_is_cut_into_spans(self):
        periods = [
            period({"A": {"A": 1}}, start_ms=100_000),
            period({"A": {"B": 1}}, start_ms=130_000),
            period({"A": {"A": 1}}, start_ms=170_000),
        ]
        points = judging.over_time(periods, 60_000, 100_000)
        self.assertEqual(points, [(0.5, 0.5), (1.5, 1.0)])
        few = period({"A": {"A": 1}}, start_ms=220_000)
        many = [period({"A": {"A": 10}}, start_ms=at) for at in (100_000, 160_000)]
        self.assertEqual(len(judging.over_time([*many, few], 60_000, 100_000)), 2)
        self.assertEqual(judging.over_time([], 60_000, 0), [])

    def test_offers_are_held_against_the_quota_of_their_stage(self):
        events = [
            {"kind": "CREATED"},
            {"kind": "OFFERED", "offered_count": 4, "quota": 4},
            {"kind": "OFFERED", "offered_count": 5, "quota": 4},
        ]
        self.assertEqual(judging.offers_over_quota(events), events[2:])


class FigureTest(unittest.TestCase):
    def test_each_test_is_held_at_its_edge(self):
        def ok(value, test, goal):
            return judging.Figure("k", "t", value, test, goal).ok

        self.assertTrue(ok(0.78, ">=", 0.78))
        self.assertFalse(ok(0.779, ">=", 0.78))
        self.assertTrue(ok(0, "<=", 0))
        self.assertFalse(ok(1, "<=", 0))
        self.assertFalse(ok(0.5, "<", 0.5))
        self.assertTrue(ok(True, "is", True))
        self.assertFalse(ok(False, "is", True))
        self.assertFalse(ok(None, "<=", 0))

    def test_the_exit_code_is_zero_only_when_all_figures_hold(self):
        good = judging.Figure("a", "a", 1, ">=", 1)
        bad = judging.Figure("b", "b", None, ">=", 1)
        self.assertEqual(judging.exit_code([good]), 0)
        self.assertEqual(judging.exit_code([good, bad]), 1)
        self.assertEqual(judging.exit_code([]), 1)

    def test_json_has_value_goal_and_verdict_of_each(self):
        figure = judging.Figure("v1", "title", 0.8, ">=", 0.78, "%")
        data = json.loads(json.dumps(judging.figures_json([figure], {"seed": 3})))
        self.assertTrue(data["ok"])
        self.assertEqual(data["seed"], 3)
        self.assertEqual(data["figures"]["v1"]["value"], 0.8)
        self.assertEqual(figure.value_text, "80.0 %")
        self.assertEqual(figure.goal_text, "at least 78.0 %")


class StoryTest(unittest.TestCase):
    def make(self, **plan):
        out = pathlib.Path(tempfile.gettempdir()) / "no-such-demo"
        return story.Story(story.Plan(**plan), timeline.Timeline(io.StringIO()), out, out)

    def test_a_story_that_did_not_run_has_no_figure_that_holds(self):
        figures = self.make().figures()
        self.assertEqual(len({figure.key for figure in figures}), 10)
        self.assertEqual([figure.key for figure in figures if figure.ok], [])

    def test_a_cycle_counts_as_begun_by_itself_only_with_its_author_and_evidence(self):
        one = self.make()
        one.cycle = {
            "transitions": [
                {"to": "STATE_TRIGGERED", "author": "services/evaluation", "evidence": {"p": "1"}}
            ]
        }
        self.assertTrue(one.began_by_itself())
        one.cycle["transitions"][0]["author"] = "people/admin"
        self.assertFalse(one.began_by_itself())
        one.cycle["transitions"][0].update(author="services/evaluation", evidence={})
        self.assertFalse(one.began_by_itself())

    def test_a_device_counts_only_when_rollout_and_fleet_agree(self):
        one = self.make()
        one.models = {"v2": {"name": "n", "digest": "d"}}
        one.rollout_devices = {"v2": [{"state": "STATE_CONFIRMED"}] * 3 + [{"state": "STATE_TRIAL"}]}
        one.fleet_final = {"models": [{"model_digest": "d", "confirmed_count": 4}]}
        self.assertEqual(one.confirmed_on_v2(), 3)
        one.fleet_final = {"models": [{"model_digest": "old", "confirmed_count": 4}]}
        self.assertEqual(one.confirmed_on_v2(), 0)

    def test_a_folder_that_is_not_of_a_demo_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            one = story.Story(story.Plan(), timeline.Timeline(io.StringIO()), out, out)
            one.make_work_folder()
            (one.work / "old").touch()
            one.make_work_folder()
            self.assertFalse((one.work / "old").exists())
            (one.work / story.MARK).unlink()
            (one.work / "mine").touch()
            with self.assertRaisesRegex(story.DemoError, "is not of a demo"):
                one.make_work_folder()
            self.assertTrue((one.work / "mine").exists())

    def test_times_of_messages_are_unix_seconds(self):
        self.assertEqual(story.seconds_of("1970-01-01T00:00:10Z"), 10)
        self.assertAlmostEqual(story.seconds_of("1970-01-01T00:01:00.250Z"), 60.25)

    def test_the_shortened_plan_keeps_every_part_and_the_goals_of_accuracy(self):
        whole, short = story.Plan(), story.Plan.shortened(seed=4)
        self.assertEqual(short.seed, 4)
        self.assertLess(short.limit_s, whole.limit_s)
        self.assertEqual(short.alarm_minutes, whole.alarm_minutes)
        self.assertGreaterEqual(short.baseline_periods, 3 * short.recent_periods)


class ReportTest(unittest.TestCase):
    RUN = {
        "truth": [
            ("v1", "one", [(2.5, 0.9), (7.5, 0.3)]),
            ("v2 watches", "three", [(12.5, 0.85)]),
            ("v2 phones", "four", []),
        ],
        "estimate": [
            ("v1 estimated", "one", [(2.5, 0.88), (7.5, 0.7)]),
            ("v2 estimated", "three", []),
        ],
        "switch_minutes": (4.0, 5.0),
        "drift": [(3.0, 0.5, 3.2, False), (8.0, 6.0, 3.4, True)],
        "shares": [(0.0, {}), (5.0, {"v1": 4}), (9.0, {"v1": 1, "v2": 3}), (12.0, {"v2": 4})],
        "states": [("OBSERVING", 1, 6), ("AWAITING_APPROVAL", 6, 6.1), ("COMPLETED", 6.1, 12)],
        "gates": [("source=device: superior", "PASS", "difference 0.5 <0.4, 0.6>")],
        "events": [(1.0, 0, "first & <second>")],
        "devices": 4,
        "people": {"train": ["a"], "send": ["b"], "judge": ["c"]},
        "data": "made",
        "seed": 1,
        "speed": 300.0,
        "story_s": 12.5,
    }

    def parse(self, page):
        return xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])

    def test_the_page_is_well_formed_and_holds_four_drawings(self):
        figures = [judging.Figure("a", "one <figure>", 0.9, ">=", 0.8, "%")]
        tree = self.parse(report.render(self.RUN, figures))
        self.assertEqual(len(tree.findall(".//svg")), 4)
        text = "".join(tree.itertext())
        for words in ("All figures hold.", "one <figure>", "90.0 %", "first & <second>"):
            self.assertIn(words, text)

    def test_the_page_takes_nothing_from_outside(self):
        page = report.render(self.RUN, [])
        for word in ("http:", "https:", "url(", "<script", "<img", "<link", "@import"):
            self.assertNotIn(word, page)

    def test_every_line_stays_inside_its_drawing(self):
        tree = self.parse(report.render(self.RUN, []))
        for drawing in tree.findall(".//svg"):
            _, _, width, height = map(float, drawing.get("viewBox").split())
            for line in drawing.findall(".//polyline") + drawing.findall(".//polygon"):
                for point in line.get("points").split():
                    x, y = map(float, point.split(","))
                    self.assertTrue(0 <= x <= width and 0 <= y <= height, point)

    def test_a_run_that_failed_early_has_a_report_too(self):
        empty = {
            **self.RUN,
            "truth": [],
            "estimate": [],
            "switch_minutes": None,
            "drift": [],
            "shares": [],
            "states": [],
            "gates": [],
            "events": [],
        }
        tree = self.parse(report.render(empty, [judging.Figure("a", "a", None, ">=", 1)]))
        self.assertIn("not measured", "".join(tree.itertext()))


class CommandLineTest(unittest.TestCase):
    def test_flags_are_checked_and_make_a_plan(self):
        options = demo.parse(["--bin", "b", "--agents", "16", "--speed", "100", "--seed", "3"])
        plan = demo.plan_of(options)
        self.assertEqual((plan.agents, plan.speed, plan.seed, plan.short), (16, 100, 3, False))
        self.assertTrue(demo.plan_of(demo.parse(["--bin", "b", "--short"])).short)
        for wrong in (["--agents", "3"], ["--speed", "0"], ["--seed", "-1"]):
            with self.assertRaises(SystemExit), unittest.mock.patch("sys.stderr", io.StringIO()):
                demo.parse(["--bin", "b", *wrong])

    def test_the_time_decides_unless_the_run_is_untimed_and_all_else_always(self):
        slow = judging.Figure("story_seconds", "t", 100, "<=", 90)
        wrong = judging.Figure("v1_phones", "t", 0.5, ">=", 0.78)
        for flags, figures, code in (
            ([], [slow], 1),
            (["--untimed"], [slow, judging.Figure("v1_phones", "t", 0.8, ">=", 0.78)], 0),
            (["--untimed"], [slow, wrong], 1),
        ):
            options = demo.parse(["--bin", "b", *flags])
            self.assertEqual(judging.exit_code(demo.judged(options, figures)), code, flags)

    def test_missing_programs_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            errors = io.StringIO()
            with unittest.mock.patch("sys.stderr", errors):
                self.assertEqual(demo.main(["--bin", folder]), demo.EXIT_FAILED)
            self.assertIn("fieldloop-agent", errors.getvalue())
            self.assertIn("./dev build", errors.getvalue())


class TimelineTest(unittest.TestCase):
    def test_events_are_lines_and_the_table_names_what_was_missed(self):
        out = io.StringIO()
        line = timeline.Timeline(out)
        line.field_s = 3900
        line.say("something happened\nwith more")
        line.progress("build: x", 0.3)
        line.progress("build: y", 0.4)
        line.table([judging.Figure("a", "accuracy", 0.5, ">=", 0.8, "%")])
        text = out.getvalue()
        self.assertIn("1 h 05 min  something happened\n", text)
        self.assertEqual(text.count("... build"), 1)
        self.assertRegex(text, r"accuracy +50.0 % +at least 80.0 % +MISSED")


if __name__ == "__main__":
    unittest.main()
