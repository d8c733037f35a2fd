import json

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from lit_cv.ablation.plots.speed_accuracy import Design, design, speed_accuracy
from lit_cv.ablation.plots.style import COLORS, MARKERS, pareto
from lit_cv.ablation.report.report import find_baseline
from lit_cv.ablation.results.comparability import check
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.commands.report import run_report
from lit_cv.runs.files import write_json
from lit_cv.runs.settings import distinct
from tests.helpers.fake_project import write_run

BACKBONE = "model.network.backbone"
# name, class, settings of the network, milliseconds per image, score
ARMS = [
    ("faster_rcnn_100", "FasterRCNN", {"min_size": [96, 128], "max_size": 128, "rpn_post_nms_test": 100}, 8.0, 0.9),
    ("faster_rcnn_10", "FasterRCNN", {"min_size": 128, "max_size": 256, "rpn_post_nms_test": 10}, 5.0, 0.7),
    ("ssd_128", "SSD", {"size": 128}, 4.0, 0.75),
    ("ssd_96", "SSD", {"size": 96}, 2.0, 0.6),
    ("retinanet", "RetinaNet", {"min_size": 300, "max_size": 96}, 2.0, 0.5),
]


@pytest.fixture
def make_group(tmp_path):
    """Write the runs of a sweep over experiment files, on two backbones and two seeds."""

    def make(arms=ARMS, backbones=("tiny", "vgg16"), seeds=(1, 2), name="study", folder="experiments/x"):
        group, plan = tmp_path / name, []
        for place, (file, network, settings, milliseconds, score) in enumerate(arms):
            for column, backbone in enumerate(backbones):
                values = {"config": f"{folder}/{file}.yaml", BACKBONE: backbone}
                plan.append({"values": values, "runs": []})
                for seed in seeds:
                    run = f"{place}{column}{seed}"
                    inner = {"class_path": f"lit_cv.models.{network}", "init_args": {"backbone": backbone, **settings}}
                    write_run(
                        group / run,
                        seed=seed,
                        score=score - 0.1 * column + 0.01 * seed,
                        seconds_per_image=(milliseconds + 3 * column) / 1000,
                        config={"model": {"init_args": {"network": inner, "optimizer": {"lr": 0.1}}}},
                        command=["fit", f"--config={values['config']}", f"--model.network.backbone={backbone}"],
                    )
                    plan[-1]["runs"].append({"seed": seed, "id": run})
        several = {"config": len(arms) > 1, BACKBONE: len(backbones) > 1}
        content = {
            "name": name,
            "description": "",
            "file": str(tmp_path / "sweep.yaml"),
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "swept": [key for key, many in several.items() if many],
            "arms": plan,
        }
        write_json(group / "sweep.json", content)
        return group

    return make


def table_of(*groups):
    study = load_study(groups)
    facts = MetricFacts(percent=True, higher_is_better=True)
    return make_table(study, "val/map_50", facts=facts, baseline=study.arms[0], published=None)


def change(folder, old, new):
    text = (folder / "config.yaml").read_text()
    assert old in text
    (folder / "config.yaml").write_text(text.replace(old, new))


def refusals(group):
    return [finding.text for finding in check(load_study([group])) if finding.refuses]


def points(figure):
    """Map the position of each error bar to its marker, color and size."""
    (axis,) = figure.axes
    lines = [bar.lines[0] for bar in axis.containers if isinstance(bar, ErrorbarContainer)]
    return {
        (round(float(line.get_xdata()[0]), 3), round(float(line.get_ydata()[0]), 3)): (
            line.get_marker(),
            to_hex(line.get_color()).upper(),
            line.get_markersize(),
        )
        for line in lines
    }


def test_a_swept_experiment_file_may_change_the_network(make_group, capsys):
    group = make_group()
    assert refusals(group) == []
    assert run_report([group]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "controlled: yes" in lines[2]
    assert "config: the arms are whole networks; only the network and its loss weights may differ." in lines
    assert lines[4].startswith("| config          | backbone | val/map_50 ")
    assert lines[6].startswith("| faster_rcnn_100 | tiny     | 91.5 ± 0.7 | baseline")


def test_a_swept_experiment_file_must_not_change_other_settings(make_group):
    group = make_group()
    for seed in (1, 2):
        change(group / f"20{seed}", "lr: 0.1", "lr: 0.2")
    expected = "Arm config=ssd_128, backbone=tiny: model.optimizer.lr is 0.2, expected 0.1 as in 18 of 20 runs."
    assert refusals(group) == [expected]


def test_networks_of_the_same_file_must_agree(make_group):
    group = make_group()
    change(group / "301", "size: 96", "size: 112")
    expected = (
        "Run study/301 (seed 1) of arm config=ssd_96, backbone=tiny: model.network.size is 112, expected 96 as in 3 of "
        "4 runs."
    )
    assert refusals(group) == [expected]


def test_without_a_swept_file_networks_must_agree(make_group):
    group = make_group(ARMS[:1])
    change(group / "001", "rpn_post_nms_test: 100", "rpn_post_nms_test: 50")
    (text,) = refusals(group)
    assert "model.network.rpn_post_nms_test is 50" in text


def test_groups_with_one_file_each_become_arms_by_file(make_group):
    first = make_group(ARMS[:1], ("tiny", "vgg16"), name="one")
    second = make_group(ARMS[2:4], ("tiny",), name="two")
    plan = load_study([first, second])
    assert plan.swept == ["config", BACKBONE]
    labels = [arm.label for arm in plan.arms]
    assert labels[0] == "config=faster_rcnn_100, backbone=tiny"
    assert labels[-1] == "config=ssd_96, backbone=tiny"
    assert [finding.text for finding in check(plan) if finding.refuses] == []


def test_the_baseline_may_be_given_as_shown_in_the_table(make_group):
    study = load_study([make_group()])
    for name in ("ssd_96", "experiments/x/ssd_96.yaml"):
        assert find_baseline(study, f"config={name},backbone=vgg16").label == "config=ssd_96, backbone=vgg16"


def test_the_design_is_read_from_the_resolved_configuration(make_group):
    designs = [design(row) for row in table_of(make_group(backbones=("tiny",))).rows]
    assert designs == [
        Design("FasterRCNN", "tiny", 128, 100),
        Design("FasterRCNN", "tiny", 128, 10),
        Design("SSD", "tiny", 128, None),
        Design("SSD", "tiny", 96, None),
        Design("RetinaNet", "tiny", 96, None),
    ]


def test_distinct_values_keep_the_order_of_their_first_appearance():
    assert distinct(["tiny", "vgg16", 1, "tiny", 1.0]) == ["tiny", "vgg16", 1]


def test_pareto_front_by_hand(make_group):
    """In (8, .9) (5, .7) (4, .75) (2, .6) (2, .5) the third point beats the second, and the fourth the last."""
    rows = table_of(make_group(backbones=("tiny",))).rows
    assert [row.arm.values["config"] for row in pareto(rows, maximize=True)] == [
        f"experiments/x/{name}.yaml" for name in ("ssd_96", "ssd_128", "faster_rcnn_100")
    ]
    lowest = [row.arm.values["config"] for row in pareto(rows, maximize=False)]
    assert lowest == ["experiments/x/retinanet.yaml"]


def test_markers_show_architectures_colors_show_backbones_and_sizes_show_image_sizes(make_group):
    figure = speed_accuracy(table_of(make_group()))
    drawn = points(figure)
    small, large = sorted({size for *_, size in drawn.values()})
    expected = {}
    markers = dict(zip(("FasterRCNN", "SSD", "RetinaNet"), MARKERS, strict=False))
    for _, network, settings, milliseconds, score in ARMS:
        size = large if 128 in settings.values() else small
        for column in range(2):
            place = (milliseconds + 3 * column, round(100 * (score - 0.1 * column + 0.015), 3))
            expected[place] = (markers[network], COLORS[column], size)
    assert drawn == expected


def test_the_legend_names_every_look_and_the_front(make_group):
    figure = speed_accuracy(table_of(make_group()))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [
        *("meta-architecture", "FasterRCNN", "SSD", "RetinaNet"),
        *("feature extractor", "tiny", "vgg16"),
        *("image size", "96 px", "128 px"),
        *("numbers: proposals", ""),
        *("Pareto front", "A  SSD tiny 96", "B  SSD tiny 128", "C  FasterRCNN tiny 128 100"),
    ]
    (axis,) = figure.axes
    written = [text.get_text() for text in axis.texts]
    assert sorted(written) == sorted(["A", "B", "C", *["100"] * 2, *["10"] * 2])
    (front,) = [line for line in axis.lines if line.get_label() == "Pareto front"]
    assert np.allclose(front.get_xdata(), [2, 4, 8])
    assert np.allclose(front.get_ydata(), [61.5, 76.5, 91.5])


def test_a_large_spread_of_times_is_logarithmic(make_group):
    assert speed_accuracy(table_of(make_group())).axes[0].get_xscale() == "linear"
    slow = [(*ARMS[0][:3], 80.0, 0.9), *ARMS[1:]]
    figure = speed_accuracy(table_of(make_group(slow, name="slow")))
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    figure.draw_without_rendering()
    low, high = axis.get_xlim()
    labels = [text.get_text() for text in axis.get_xticklabels() if low <= text.get_position()[0] <= high]
    assert labels == ["2", "5", "10", "20", "50"]


def test_arms_of_one_architecture_keep_a_legend_of_arms(make_group):
    figure = speed_accuracy(table_of(make_group(ARMS[:2])))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "config=faster_rcnn_10, backbone=vgg16" in labels
    assert len(points(figure)) == 4


def test_no_front_is_drawn_through_noise(make_group):
    """The ranges of the measured times overlap, so the better one is kept; a gain within the spread does not count."""
    noisy = [
        ("a", "SSD", {"size": 96}, 4.0, 0.70),
        ("b", "SSD", {"size": 97}, 4.4, 0.75),
        ("c", "SSD", {"size": 98}, 9.0, 0.755),
    ]
    group = make_group(noisy, backbones=("tiny",))
    for place, (_, _, _, milliseconds, _) in enumerate(noisy):
        folder = group / f"{place}02"  # the second seed
        result = json.loads((folder / "result.json").read_text())
        write_json(folder / "result.json", result | {"seconds_per_image": (milliseconds + 1) / 1000})
    table = table_of(group)
    assert [row.mean for row in pareto(table.rows, maximize=True)] == [pytest.approx(0.765)]  # b alone
    (axis,) = speed_accuracy(table).axes
    assert "no Pareto front" in axis.get_title(loc="left")
