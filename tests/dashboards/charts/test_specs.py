"""Charts contain the values that they draw; models differ by colour and dash."""

from dashboards.charts.specs import PALETTE, interval_chart, model_colours, model_styles
from dashboards.report.conclusions import group_rows
from tests.dashboards.studies import compared, row


def test_a_row_without_an_interval_is_drawn_as_a_dot_alone():
    whole_line = row(interval=[float("-inf"), float("inf")])
    rows = compared(rows=[whole_line]).rows
    (drawn,) = interval_chart(rows, {"RNN-GMM": "c"})["data"]["values"]
    assert (drawn["nats"], drawn["low"], drawn["high"]) == (whole_line["nats_per_sequence"], None, None)


def test_the_interval_chart_draws_every_row_in_the_order_of_the_table():
    group = group_rows(compared().rows)[0]
    chart = interval_chart(group.rows, model_colours(row.model for row in group.rows))
    drawn = chart["data"]["values"]
    assert [(d["nats"], d["low"], d["high"]) for d in drawn] == [(r.nats_per_sequence, *r.interval) for r in group.rows]
    assert chart["layer"][0]["encoding"]["y"]["sort"] == [d["label"] for d in drawn]
    shapes = chart["layer"][1]["encoding"]["shape"]["scale"]
    assert dict(zip(shapes["domain"], shapes["range"], strict=True)) == {
        "exact": "circle",
        "IWAE": "diamond",
        "ELBO": "triangle-right",
    }


def test_the_first_models_have_colours_of_their_own_and_many_models_are_still_drawn():
    colours = model_colours(f"model {i}" for i in range(len(PALETTE) + 2))
    assert list(colours.values())[: len(PALETTE)] == list(PALETTE)
    assert len(colours) == len(PALETTE) + 2


def test_models_of_one_colour_have_other_dashes():
    styles = list(model_styles(model_colours(f"model {i}" for i in range(40))).values())
    assert styles[0].colour == styles[len(PALETTE)].colour
    assert len({(style.colour, style.dash) for style in styles}) == 40
