"""The figures of a study, and how they are shown."""

from __future__ import annotations

import re
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Picture

from medsegdiff.evaluation.calibration_error import Reliability
from medsegdiff.evaluation.case import ALL, CaseFigures
from medsegdiff.evaluation.chart import Chart, extent
from medsegdiff.evaluation.columns import CONFIDENCE, UNCERTAINTY, cell_with_interval, known
from medsegdiff.evaluation.metrics import METRICS
from medsegdiff.evaluation.page import Section, render_page
from medsegdiff.evaluation.plots import draw_plots
from medsegdiff.evaluation.study import summarise_study
from medsegdiff.evaluation.summary import FEWEST
from medsegdiff.evaluation.worst import OURS, THEIRS, WorstCases, draw_case
from medsegdiff.image import Image

DICE = (0.9, 0.8, 0.7, 0.6)
EXPECTED = (0.88, 0.83, 0.6, 0.65)


def entry(number: int) -> dict:
    """A structure of the case of that number."""
    figures = dict.fromkeys(METRICS, 1.0) | {"dice": DICE[number], "expected_dice": EXPECTED[number]}
    volumes = {"volume_mm3": 100.0, "reference_volume_mm3": 104.0, "volume_interval_mm3": [90.0, 110.0]}
    return {**figures, **volumes, "label": 1, "covered": float(number != 3), "uncertainty": {"patch": 0.1 * number}}


@pytest.fixture
def cases() -> list[CaseFigures]:
    """Four cases of one structure; of their ten voxels of probability 0.9 one, two, three, four are wrong."""
    out = []
    for number in range(4):
        bins = Reliability.of(np.full(10, 0.9), np.arange(10) > number)
        whole = {**entry(number), "auroc": 0.5 + number / 10, "error_auroc": {"entropy": 0.5, "variance": None}}
        out.append(CaseFigures({1: entry(number)}, whole, {1: bins, ALL: bins}))
    return out


def many(cases: list[CaseFigures]) -> list[CaseFigures]:
    """As many as it takes for intervals; the worst comes once."""
    return [*cases[:3] * (FEWEST // 3), cases[3]]


class TestStudy:
    """What only many cases can tell."""

    def test_by_hand(self, cases):
        (one,), overall = summarise_study(cases, {1: "thing"})
        assert (one["label"], one["name"]) == (1, "thing")
        assert one["dice"]["mean"] == pytest.approx(0.75) and one["dice"]["cases"] == 4
        assert one["coverage"]["mean"] == 0.75
        assert one["reliability"]["ece"] == pytest.approx(0.9 - 30 / 40)
        expected = one["expected_dice"]
        assert expected["mean_absolute_error"]["mean"] == pytest.approx(np.mean([0.02, 0.03, 0.1, 0.05]))
        assert expected["spearman"]["value"] == pytest.approx(0.8)  # one neighbouring pair is exchanged
        failure = one["failure"]
        assert failure["failed"] == 1 and failure["bound"] == pytest.approx(np.percentile(DICE, 10))
        tables = failure["confidences"]
        assert list(tables) == ["expected_dice", "uncertainty_patch"]
        assert tables["expected_dice"]["auroc"]["value"] == pytest.approx(2 / 3)  # one case of three is told worse
        assert tables["uncertainty_patch"]["auroc"]["value"] == 1 == tables["uncertainty_patch"]["spearman"]["value"]
        assert overall["auroc"]["mean"] == pytest.approx(0.65)
        assert overall["error_auroc"]["variance"]["mean"] is None

    def test_withheld_expectations_are_counted_and_left_out(self, cases):
        for one in (cases[2].structures[1], cases[2].whole):
            one |= {"expected_dice": None, "expected_dice_withheld": True}
        (one,), overall = summarise_study(cases, {1: "thing"})
        for entry in (one, overall):
            assert (
                entry["expected_dice"]["withheld"] == 1 and entry["expected_dice"]["mean_absolute_error"]["cases"] == 3
            )
            assert entry["failure"]["confidences"]["expected_dice"]["aurc"]["cases"] == 3
        for case in cases:
            case.structures[1] |= {"expected_dice": None, "expected_dice_withheld": True}
        (one,), _ = summarise_study(cases, {1: "thing"})
        assert one["expected_dice"]["withheld"] == 4 and one["expected_dice"]["spearman"]["value"] is None

    def test_a_bound_of_ones_own(self, cases):
        (one,), _ = summarise_study(cases, {1: "thing"}, failure_dice=0.75)
        assert one["failure"]["failed"] == 2 and one["failure"]["bound"] == 0.75

    def test_of_few_cases_no_correlation_is_shown(self, cases):
        shown = []
        for some in (many(cases)[1:], many(cases)):
            (one,), _ = summarise_study(some, {1: "thing"})
            titles = {column.title for column in known(UNCERTAINTY, [one])}
            assert {"expected Dice, mean error", "volume interval, coverage"} <= titles
            told = [(UNCERTAINTY, one), (CONFIDENCE, one["failure"]["confidences"]["expected_dice"])]
            columns = [(column, entry) for kind, entry in told for column in kind]
            of_pairs = [
                pair for pair in columns if re.search("Dice, Spearman|failure|AURC|^AUROC|to the Dice", pair[0].title)
            ]
            shown.append([cell_with_interval(*pair) for pair in of_pairs])
        assert set(shown[0]) == {"-"} and "-" not in shown[1] and len(shown[1]) == 6

    def test_what_is_not_known_is_not_told(self, cases):
        bare = [CaseFigures({1: dict.fromkeys(METRICS, 1.0)}, dict.fromkeys(METRICS, 1.0), {}) for _ in cases]
        (one,), overall = summarise_study(bare, {1: "thing"})
        assert set(overall) == set(METRICS) == set(one) - {"label", "name"}


class TestPage:
    """HTML, plots, pictures."""

    def section(self, cases: list[CaseFigures], **entries) -> Section:
        """The cases as a section of a page."""
        structures, overall = summarise_study(cases, {1: "<thing>"})
        plain = [
            {"case": f"case {n}", **case.whole, "structures": [{"name": "<thing>", **case.structures[1]}]}
            for n, case in enumerate(cases)
        ]
        return Section("run & run", plain, structures, overall, **entries)

    def test_every_plot_is_drawn(self, cases):
        section = self.section(many(cases))
        drawn = draw_plots(section.cases, section.structures, section.overall)
        plots = [ElementTree.fromstring(plot) for plot in drawn]
        titles = [plot.find("text").text for plot in plots]
        assert len(titles) == 5 and "Does it know its own Dice?" in titles
        dots = plots[1].findall("circle")
        assert [dot.find("title").text for dot in dots[:4]] == [f"case {n}, <thing>" for n in range(4)]

    def test_page(self, cases):
        section = self.section(many(cases), pictures=[("case 9", 0.6, b"png")])
        html = render_page([section, section])
        assert "<thing>" not in html and "&lt;thing&gt;" in html and "run &amp; run" in html
        assert html.count("<h2>") == 2 and html.count("case 9: Dice 0.600</figcaption>") == 2
        assert "0.1200" in html  # ECE of all voxels
        assert not re.search(r'(src|href)="(?!data:)', html)
        found = html[html.index("Failures found: 1 case(s) with a Dice below") :]
        assert found.index("uncertainty patch") < found.index("expected dice")  # the better one first
        table = html[html.index("worst first") :]
        assert table.index("case 9") < table.index("case 0")

    def test_of_few_cases_nothing_is_said_of_failures(self, cases):
        html = render_page([self.section(cases)])
        assert "<td>0.900</td>" in html and "Failures found" not in html and "Most confident" not in html

    def test_places_in_a_chart(self):
        chart = Chart("t", "x", "y", (0, 10), (0, 1))
        chart.dots([(0, 0), (10, 1), (5, 0.5)], "red")
        circles = ElementTree.fromstring(chart.render()).findall("circle")
        places = [(float(circle.get("cx")), float(circle.get("cy"))) for circle in circles]
        assert places[0][0] < places[2][0] < places[1][0] and places[0][1] > places[2][1] > places[1][1]
        assert places[2] == pytest.approx(tuple(np.mean(places[:2], axis=0)), abs=0.1)
        assert extent([1.0, 1.0])[0] < 1 < extent([1.0, 1.0])[1]

    @pytest.mark.parametrize("depth", [12, 1])
    def test_contours_of_both(self, depth: int):
        scan, ours, theirs = np.zeros((3, 30, 30, depth), np.uint8)
        ours[5:20, 5:20], theirs[5:25, 5:20] = 1, 1
        picture = draw_case(Image(scan[None], np.diag([1, 1, 2.0, 1])), ours, [theirs])
        pixels = np.asarray(picture).reshape(-1, 3)
        for color in (OURS, THEIRS):
            assert (np.abs(pixels - np.array(color)).sum(1) < 30).any()
        assert (picture.width > 2 * picture.height) == (depth > 1)  # three views, or one

    def test_the_picture_stands_as_if_facing_the_patient(self):
        scan, ours, theirs = np.zeros((3, 30, 30, 1), np.uint8)
        ours[2:6, 10:20], theirs[24:28, 10:20] = 1, 1  # i runs to the patient's left
        picture = np.asarray(draw_case(Image(scan[None], np.diag([-1, 1, 1.0, 1])), ours, [theirs])).astype(int)
        columns = [np.argwhere(np.abs(picture - np.array(color)).sum(2) < 30)[:, 1].mean() for color in (OURS, THEIRS)]
        assert columns[0] < columns[1]  # the patient's right is on the left of the picture

    def test_the_worst_are_kept(self):
        worst, read = WorstCases(2), []
        labels = np.zeros((8, 8, 1), np.uint8)
        labels[2:5, 2:5] = 1

        def scan() -> Image:
            read.append(1)
            return Image(labels[None], np.eye(4))

        for case, dice in (("a", 0.9), ("b", 0.5), ("c", 0.95), ("d", 0.7), ("e", None)):
            worst.offer(case, dice, labels, [labels], scan)
        assert [picture[:2] for picture in worst.pictures] == [("b", 0.5), ("d", 0.7)]
        assert len(read) == 3  # c is no candidate, e has no Dice
        assert Picture.open(BytesIO(worst.pictures[0][2])).format == "PNG"
