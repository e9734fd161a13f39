"""TensorBoard's own text plugin shows the diagnosis."""

from __future__ import annotations

from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.text import text_plugin
from werkzeug.test import Client

import diagnose
from diagnose.hooks.integrations.tensorboard import write_diagnosis


def text_tab(root):
    """What the Text tab asks its server for."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    context = base_plugin.TBContext(
        logdir=str(root),
        data_provider=data_provider.MultiplexerDataProvider(multiplexer, str(root)),
        multiplexer=multiplexer,
    )
    plugin = text_plugin.TextPlugin(context)
    tags = Client(plugin.tags_route).get("/tags").json
    asked = {"run": "ill", "tag": "diagnose/diagnosis"}
    return tags, Client(plugin.text_route).get("/text", query_string=asked).json


def test_the_text_tab_shows_the_diagnosis(ill):
    write_diagnosis(ill)
    tags, (shown,) = text_tab(ill.parent)
    assert "diagnose/diagnosis" in tags["ill"]
    assert "<h2>What to change</h2>" in shown["text"]
    assert "Learning rate too high" in shown["text"]
    assert "<table>" in shown["text"]
    assert shown["step"] == 60


def test_a_later_diagnosis_replaces_the_earlier_and_the_run_reads_as_before(ill):
    before = diagnose.examine(ill)
    write_diagnosis(ill)
    write_diagnosis(ill, before)
    assert len(text_tab(ill.parent)[1]) == 1
    after = diagnose.examine(ill)
    assert after.to_dict() == before.to_dict()
    assert after.run.closed
