from __future__ import annotations

import yaml
from typer.testing import CliRunner

from costspan.cli import build

RUN = CliRunner()


def test_rules_go_to_a_folder_and_their_paths_to_stdout(tmp_path):
    done = RUN.invoke(build(), ["rules", "--out", str(tmp_path / "rules")])
    assert done.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "rules").iterdir())
    assert names == ["costspan-quality.yml", "costspan-spend.yml", "costspan-telemetry.yml"]
    assert sorted(done.stdout.split()) == [str(tmp_path / "rules" / name) for name in names]
    assert "no budgets given" in done.stderr


def test_budgets_become_rules(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets: [{name: mine, day_usd: 12.5}]")
    done = RUN.invoke(build(), ["rules", "--budgets", str(file)])
    assert done.exit_code == 0
    assert "vector(12.5)" in done.stdout


def test_one_kubernetes_object_can_be_piped():
    done = RUN.invoke(build(), ["rules", "--kubernetes"])
    assert yaml.safe_load(done.stdout)["kind"] == "PrometheusRule"


def test_a_bad_budget_file_is_one_line(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets: [{name: mine, dayly_usd: 1}]")
    done = RUN.invoke(build(), ["rules", "--budgets", str(file)])
    assert "did you mean 'day_usd'?" in str(done.exception)


def test_a_budget_file_that_is_not_there_is_told_in_words(tmp_path):
    done = RUN.invoke(build(), ["rules", "--budgets", str(tmp_path / "nope")])
    assert f"budget file {tmp_path / 'nope'}: cannot be read (No such file or directory)" in str(done.exception)
    assert "Errno" not in str(done.exception)
