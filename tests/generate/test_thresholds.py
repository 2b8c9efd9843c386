from __future__ import annotations

import dataclasses

import pytest
import yaml

from costspan.errors import SettingsError
from costspan.generate import rules, thresholds
from costspan.generate.thresholds import Duration


def test_the_shipped_file_is_complete():
    assert thresholds.read().run_in_flight == thresholds.RunLimits(cost_usd=5, calls=200, tokens=1_000_000)


def test_a_file_of_ones_own_needs_only_what_differs(tmp_path):
    file = tmp_path / "t.yml"
    file.write_text("workflow_spend: {usd_per_hour: 7.5}\n")
    read = thresholds.read(file)
    assert (read.workflow_spend.usd_per_hour, read.workflow_spend.for_) == (7.5, "10m")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spikes: {}", "did you mean 'spike'?"),
        ("spike: {sigma: 2}", "did you mean 'sigmas'?"),
        ("spike: {for: 5 minutes}", "write it like 90s, 15m, 6h or 7d"),
        ("spike: {sigmas: many}", "'many' is not a number"),
        ("spike: {sigmas: true}", "True is not a number"),
        ("rules: {jobs: 3}", "3 is not a text"),
        ("- a\n- b", "expected names with values below"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_bad_file_says_where_and_what(tmp_path, text, said):
    file = tmp_path / "t.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        thresholds.read(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "number"), [("90s", 90), ("1h30m", 5400), ("7d", 604800), ("500ms", 0.5)])
def test_durations_have_seconds(text, number):
    assert thresholds.seconds(text) == number


@pytest.mark.parametrize(("number", "text"), [(5400, "90m"), (3570, "3570s"), (86400, "1d"), (0.5, "500ms"), (0, "0ms")])
def test_seconds_have_a_notation(number, text):
    assert thresholds.notation(number) == text


def _knobs():
    read = thresholds.read()
    for section in dataclasses.fields(read):
        for knob in dataclasses.fields(getattr(read, section.name)):
            yield section.name, knob.name


@pytest.mark.parametrize(("section", "knob"), list(_knobs()))
def test_every_knob_changes_the_rules(section, knob):
    read = thresholds.read()
    value = getattr(getattr(read, section), knob)
    other = Duration("17m") if isinstance(value, Duration) else "other" if isinstance(value, str) else value + 3
    changed = dataclasses.replace(read, **{section: dataclasses.replace(getattr(read, section), **{knob: other})})
    assert rules.render(changed) != rules.render(read)


def test_every_knob_is_explained_where_it_is_not_plain():
    text = next(place for place in thresholds.SHIPPED if place.is_file()).read_text()
    assert set(yaml.safe_load(text)) == {field.name for field in dataclasses.fields(thresholds.Thresholds)}
