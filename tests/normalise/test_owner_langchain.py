from __future__ import annotations

import pytest

from costspan.normalise.owner_langchain import node_path, owner_from_metadata

PM = "pm:e95cebde-e955-8bf1-e063-51690947f654"
MODEL = "model:cf10124c-c18d-1d45-c879-e875f360a74d"
TOOLS = "tools:ec2bbf16-1bff-5c84-211c-507bc7ff1313"


@pytest.mark.parametrize(
    ("namespace", "path"),
    [
        (f"{PM}|{MODEL}", "pm/model"),
        (f"{PM}|{TOOLS}|1|{MODEL}", "pm/tools/model"),
        ("qa", "qa"),
        ("", ""),
        ("|:|::|7", ""),
    ],
)
def test_a_path_has_no_task_ids(namespace: str, path: str) -> None:
    assert node_path(namespace) == path


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"lc_agent_name": "PM", "langgraph_node": "model", "langgraph_checkpoint_ns": f"{PM}|{MODEL}"}, ("PM", "pm")),
        ({"lc_agent_name": "PM", "agent_name": "other"}, ("PM", None)),
        ({"agent_name": "Writer", "langgraph_node": "write"}, ("Writer", "write")),
        ({"langgraph_node": "qa", "langgraph_checkpoint_ns": "qa:39a9c474"}, ("qa", "qa")),
        ({"langgraph_node": "model", "langgraph_checkpoint_ns": f"{PM}|{MODEL}"}, ("pm", "pm")),
        ({"langgraph_node": "agent", "langgraph_checkpoint_ns": f"{PM}|agent:1-2"}, ("pm", "pm")),
        ({"langgraph_node": "Todo.before_model", "checkpoint_ns": f"{PM}|Todo.before_model:1"}, ("pm", "pm")),
        ({"langgraph_node": "model", "langgraph_checkpoint_ns": MODEL}, ("model", "model")),
        ({"langgraph_checkpoint_ns": MODEL}, ("model", "model")),
        ({"langgraph_node": "qa"}, ("qa", "qa")),
        ({"thread_id": "thread-42"}, (None, None)),
        ({"lc_agent_name": 7, "langgraph_node": ["x"], "langgraph_checkpoint_ns": None}, (None, None)),
        ({"lc_agent_name": "", "langgraph_node": ""}, (None, None)),
    ],
)
def test_the_order_of_evidence(metadata: dict[str, object], owner: tuple[str | None, str | None]) -> None:
    assert owner_from_metadata(metadata) == owner
