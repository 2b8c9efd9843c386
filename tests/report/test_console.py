"""The summary fits, tells the truth about what it does not know, and cannot be broken by a name."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costspan.account.totals import total
from costspan.records import ESTIMATED, NO_USAGE, ModelTotals, Owner, Run, Step, ToolTotals, Totals, Unpriced, Usage
from costspan.report.console import print_summary, render
from costspan.report.names import width
from made_runs import NOON, SECOND, full_run, made_call, made_run, pipeline
from page_runs import team_run

HOSTILE = "Dev\n\x1b[31m\x1b]0;owned\x07[bold red]x[/]\r\t\u202e\u200b"


def line(text: str, start: str) -> str:
    return next(found for found in text.splitlines() if found.strip().startswith(start))


def numbers(text: str) -> list[str]:
    return re.findall(r"\$?[\d,]*\d(?:\.\d+)?", text)


def test_the_pipeline_shows_its_known_figures():
    text = render(pipeline())
    assert numbers(line(text, "PM")) == ["1,234", "2,456", "3,690", "$0.0037"]
    assert numbers(line(text, "Dev")) == ["2,345", "4,567", "6,912", "$0.0069"]
    assert numbers(line(text, "QA")) == ["1,890", "1,234", "3,124", "$0.0031"]
    assert numbers(line(text, "total")) == ["5,469", "8,257", "13,726", "$0.0137"]
    assert "average 4,575.33 tokens, most 6,912 (Dev)" in text
    assert "context window peak 3.46 %" in text
    assert "input/output 0.662" in text
    assert "$0.0137, 100 % reported and priced\n" in text


def test_cached_input_is_a_ratio_and_unknown_when_nobody_told_of_the_cache():
    assert "cache-hit ratio ?" in render(pipeline())
    cached = made_run((made_call(usage=Usage(1000, 10, cache_read_tokens=329)),))
    assert "cache-hit ratio 32.9 %" in render(cached)
    assert "cache-hit ratio 0.0 %" in render(made_run((made_call(usage=Usage(1000, 10, cache_read_tokens=0)),)))


def test_unknown_is_a_question_mark_and_never_zero():
    silent = made_call("QA", NO_USAGE, None, missing_reason="stream_without_usage", dialect="langchain")
    row = line(render(made_run((silent,))), "QA")
    assert re.split(r"\s+", row.strip()) == ["QA", "?", "+", "?", "=", "?", "(unknown)"]


def test_what_is_missing_is_told_with_the_line_that_mends_it():
    told = made_call("PM")
    silent = made_call("QA", NO_USAGE, None, number=2, missing_reason="stream_without_usage", dialect="langchain")
    text = " ".join(render(made_run((told, silent))).split())
    assert "$0.0010+?, 50 % reported and priced (1 of 2 calls)" in text
    assert "1 call streamed without usage (gpt-5-mini in QA) mend: ChatOpenAI(..., stream_usage=True)" in text
    assert "= 15+? ($0.0010+?)" in text


@pytest.mark.parametrize(
    ("dialect", "mend"),
    [
        ("langchain", "ChatOpenAI(..., stream_usage=True)"),
        ("openai", 'create(..., stream_options={"include_usage": True})'),
        ("pydantic_ai", "ChatOpenAI(..., stream_usage=True), or stream_options="),
    ],
)
def test_the_mending_line_is_that_of_the_library_in_use(dialect, mend):
    silent = made_call("QA", NO_USAGE, None, missing_reason="stream_without_usage", dialect=dialect)
    assert mend in " ".join(render(made_run((silent,))).split())


def test_an_unknown_price_an_estimate_and_a_contradiction_are_told():
    calls = (
        made_call("A", Usage(5, 5), None, number=1, model="acme-9", unpriced=Unpriced("unknown_model")),
        made_call("A", Usage(5, 5, source=ESTIMATED), number=2, estimator="toktok"),
        made_call("A", Usage(5, 5), None, number=3, unpriced=Unpriced("invalid_usage", "cached exceeds input")),
    )
    text = " ".join(render(made_run(calls)).split())
    assert "1 call without a known price (acme-9 in A) mend: add a price and set COSTSPAN_PRICES to its file" in text
    assert "1 call estimated by toktok (gpt-5-mini in A)" in text
    assert "1 call not priced: cached exceeds input (gpt-5-mini in A)" in text
    assert "= ~30 (~$0.0010+?)" in text


def test_a_call_of_a_model_without_a_name_is_not_mended_by_a_price():
    nameless = made_call("A", Usage(5, 5), None, number=1, model=None, unpriced=Unpriced("unknown_model"))
    text = " ".join(render(made_run((nameless,))).split())
    assert "1 call without a known price (unnamed model in A) mend: give the model its name" in text
    assert "COSTSPAN_PRICES" not in text


def test_waste_says_what_it_bought_nothing_for():
    calls = (
        made_call("A", cost="0.0015", number=1, waste="failed_parse"),
        made_call("A", cost="0.0003", number=2, waste="retry"),
        made_call("B", cost="0.0003", number=3, waste="retry"),
    )
    assert "$0.0021 bought nothing: 1 failed parse, 2 retries\n" in render(made_run(calls))


def test_asking_the_same_again_is_told_and_not_judged():
    text = render(made_run((made_call("A", cost="0.0015"), made_call("A", cost="0.0015", number=2, waste="repeated_call"))))
    assert "bought nothing" not in text
    assert "$0.0015 for asking again what was answered: 1 repeated call (fine if you are sampling)" in " ".join(text.split())


def test_calls_of_nobody_have_a_row_of_their_own():
    text = render(made_run((made_call("PM"), made_call(None, Usage(7, 1), number=2))))
    assert numbers(line(text, "(unattributed)"))[:3] == ["7", "1", "8"]
    assert 'unattributed: 1 call of no agent, 8 tokens, $0.0010 mend: with costspan.agent("name"):' in " ".join(text.split())
    assert "unattributed" not in render(made_run((made_call("PM"),)))


def test_an_agent_that_called_others_shows_what_they_spent_with_it():
    run = made_run((made_call("Dev"), made_call("Researcher", Usage(100, 50), "0.02", number=2)))
    dev, researcher = run.agents
    run = replace(run, agents=(replace(dev, subtree=run.totals), researcher))
    assert "with the agents it called: 165 tokens ($0.0210)" in render(run)


def test_the_tool_table_has_calls_errors_tokens_average_and_time():
    nested = total([made_call("Researcher", Usage(5000, 763))])
    tools = (
        ToolTotals("run_tests", 2, 1, 1.2, result_tokens=512),
        ToolTotals("ask_researcher", 1, 0, 62.7, nested=nested),
        ToolTotals("nothing_known", 1, 0, 0.0027),
    )
    text = render(made_run((made_call(),), tools=tools))
    assert line(text, "run_tests").split() == ["run_tests", "2", "1", "512", "256.0", "1.20", "s"]
    assert line(text, "ask_researcher").split() == ["ask_researcher", "1", "0", "5,763", "5,763.0", "1", "m", "03", "s"]
    assert line(text, "nothing_known").split() == ["nothing_known", "1", "0", "?", "?", "3", "ms"]


def test_500_steps_are_folded_and_what_they_spent_is_told():
    calls = tuple(made_call("Dev", Usage(10, 5), number=number) for number in range(500))
    text = render(made_run(calls))
    assert ".. 476 more steps: 7,140 tokens, 7 m 56 s" in text
    assert len(text.splitlines()) < 60
    assert re.search(r"^0 .*\n(.*\n){11}\.\. 476", text, re.MULTILINE)
    assert re.search(r"^499 ", text, re.MULTILINE)


def test_many_agents_are_cut_and_still_add_up():
    calls = tuple(made_call(f"agent {number:03}", Usage(10, 5), number=number) for number in range(100))
    text = render(made_run(calls))
    assert ".. 60 more agents: 900 tokens ($0.0600)" in text
    assert numbers(line(text, "total"))[2] == "1,500"


def test_folded_steps_say_0_where_nothing_was_called_and_more_than_known_where_a_call_did_not_tell():
    run = made_run((made_call(),))
    for totals, told in ((Totals(), "0 tokens"), (total([made_call(), made_call(usage=NO_USAGE, cost=None)]), "240+? tokens")):
        steps = tuple(Step(place, "PM", f"node {place}", SECOND, 2 * SECOND, totals) for place in range(40))
        assert f".. 16 more steps: {told}, 16.00 s" in render(replace(run, steps=steps))


def test_an_agent_that_was_refused_took_and_gave_nothing():
    refused = made_call("A", NO_USAGE, None, refused=True, outcome="error")
    assert line(render(made_run((refused, made_call("B", number=2)))), "A ").split() == "A 0 + 0 = 0 ($0)".split()


def test_what_is_reckoned_from_partly_known_tokens_says_so():
    silent = made_call("QA", NO_USAGE, None, number=2)
    tool = ToolTotals("ask_QA", 2, nested=total([made_call("QA"), silent]))
    run = made_run((made_call("PM"), silent, made_call(None, number=3)), tools=(tool,))
    step = replace(run.steps[0], totals=tool.nested)
    text = render(replace(run, steps=(step,)))
    assert "average 7.50+? tokens, most 15+? (PM)" in text
    assert line(text, "ask_QA").split()[3:5] == ["15+?", "7.5+?"]
    assert line(text, "0 ").split()[-1] == "15.0+?"
    # Nobody's calls are not the agents'.
    assert "average 15.00 tokens, most 15 (PM)" in render(made_run((made_call("PM"), replace(silent, owner=Owner()))))


def test_one_model_of_two_providers_is_told_apart():
    calls = (made_call(), made_call(provider="azure", number=2))
    models = tuple(ModelTotals(call.provider, call.model, total([call])) for call in calls)
    run = replace(made_run(calls), models=models)
    assert "models: openai/gpt-5-mini 15 ($0.0010), azure/gpt-5-mini 15 ($0.0010)" in render(run)


def test_a_long_name_does_not_fill_the_page():
    calls = tuple(made_call("研" * 300, NO_USAGE, None, number=number, model="究" * 300) for number in range(3))
    assert len(render(made_run(calls)).splitlines()) < 30


def test_hostile_names_stay_on_their_line_and_do_nothing():
    call = made_call(HOSTILE, model=HOSTILE, waste=HOSTILE)
    silent = made_call(HOSTILE, NO_USAGE, None, number=2, model=HOSTILE, missing_reason=HOSTILE, outcome=HOSTILE)
    tools = (ToolTotals(HOSTILE, 1),)
    run = made_run((call, silent), tools=tools, workflow=HOSTILE, outcome=HOSTILE * 9, notes=(HOSTILE,))
    run = replace(run, models=(*run.models, ModelTotals("x", HOSTILE, run.totals)))
    for color in (False, True):
        text = render(run, color=color, ascii_only=False)
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        assert "\x1b" not in plain
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", plain)
        assert "Dev [bold red]x[/]" in plain
        assert "owned" not in plain
        assert all(width(found) <= 80 for found in plain.splitlines())
        assert plain.startswith("costspan: Dev [bold red]x[/]  Dev")
    assert "\x1b" not in render(run)


def test_two_long_names_that_differ_at_the_end_stay_apart():
    calls = tuple(made_call("an agent with a name of great length, number " + end, number=n) for n, end in enumerate("12"))
    first, second = [text for text in render(made_run(calls)).splitlines() if text.startswith("  an agent")]
    assert first.split("  ")[1] != second.split("  ")[1]


def test_an_empty_run_says_that_nothing_was_billed():
    empty = Run("r", None, 0, 0, "ok", (), Totals())
    assert render(empty) == "costspan: run  ok, 0 calls\n\nno billed model calls\n"


NAMES = st.text(max_size=90)
COUNTS = st.one_of(st.none(), st.integers(0, 10**12))
CALLS = st.lists(
    st.builds(
        lambda agent, given, made, cost, model, source: made_call(
            agent, Usage(given, made, source=source), None if cost is None else str(cost), model=model
        ),
        st.one_of(st.none(), NAMES),
        COUNTS,
        COUNTS,
        st.one_of(st.none(), st.decimals(0, Decimal(10) ** 12, places=9)),
        NAMES,
        st.sampled_from(["reported", "estimated", "missing"]),
    ),
    max_size=8,
)
TOOLS = st.lists(
    st.builds(ToolTotals, NAMES, st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e9), result_tokens=COUNTS),
    max_size=4,
)


@settings(deadline=None, max_examples=150)
@given(CALLS, TOOLS, NAMES, st.sampled_from([80, 60, 100]), st.integers(0, 10**7))
def test_whatever_the_run_every_line_fits(calls, tools, name, columns, lasted):
    run = made_run(tuple(calls), tools=tuple(tools), workflow=name, notes=(name,), ended_ns=lasted * SECOND)
    text = render(run, width=columns)
    assert text.isascii()
    assert all(len(found) <= columns for found in text.split("\n"))
    wide = render(run, width=columns, ascii_only=False)
    assert all(width(found) <= columns for found in wide.split("\n"))


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    run = made_run((made_call("Müller"),))
    terminal, pipe = _Terminal(), io.StringIO()
    print_summary(run, terminal)
    print_summary(run, pipe, record="/tmp/x.json")
    assert "\x1b[" in terminal.getvalue()
    assert "Müller" in terminal.getvalue()
    assert pipe.getvalue() == render(run) + "record /tmp/x.json\n"
    assert pipe.getvalue().isascii()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = _Terminal()
    print_summary(run, plain)
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize("columns", ["40", "50"])
def test_a_narrow_terminal_costs_names_and_never_figures(monkeypatch, columns):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    run = team_run()
    run = replace(run, agents=tuple(replace(agent, name=f"{agent.name} with a long name") for agent in run.agents))
    terminal = _Terminal()
    print_summary(run, terminal)
    text = terminal.getvalue()
    assert set(numbers(render(run))) <= set(numbers(text))
    assert text.startswith("costspan: release-notes\n")
    assert all(len(found) <= int(columns) + 5 for found in text.splitlines())


def test_a_header_of_many_facts_has_a_line_for_them():
    calls = tuple(made_call(outcome="error", number=number) for number in range(1200))
    calls += tuple(made_call(cache_hit=True, cost=None, number=number) for number in range(1200, 2500))
    run = made_run(calls, workflow="weekly-report-of-everything", outcome="cancelled", ended_ns=NOON + 10**7 * SECOND)
    for columns in (60, 80):
        head = render(run, width=columns).split("\n\n")[0].splitlines()
        assert head[0] == "costspan: weekly-report-of-everything"
        facts = " ".join(" ".join(head[1:]).split())
        assert facts == "cancelled, 2,777 h 46 m, 1,200 calls, 1,200 errors, 1,300 cached answers"
        assert all(len(found) <= columns for found in head)


def test_a_colourless_summary_loads_no_rich():
    code = (
        "import sys; sys.path.insert(0, 'tests'); from made_runs import pipeline; "
        "from costspan.report.console import print_summary; print_summary(pipeline()); assert 'rich' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "13,726" in done.stderr
    assert done.stdout == ""


def test_no_figure_stands_on_another_line_than_what_it_is_of():
    run = full_run()
    for columns in range(60, 101):
        lines = render(run, width=columns).splitlines()
        (held,) = [line for line in lines if "output tokens/s" in line]
        assert re.search(r"[\d.?] output tokens/s$", held), held
        assert not [line for line in lines if re.match(r"  \(\$", line)]
