"""The webhook, against real servers that are slow, refuse, fail and hang."""

from __future__ import annotations

import itertools
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import diagnose
from diagnose.hooks.receivers import LogRecords, Webhook

SECRET = "T0P/S3CR3T"


def finding(number=1, layers=("stem", "<!channel>")):
    return diagnose.Finding(
        "divergence", diagnose.Severity.CRITICAL, 0.98, (310, 350 + number), "The loss climbs to 88.2 & stays.",
        evidence={"loss_after": 88.2}, layers=layers,
    )  # fmt: skip


class Server:
    """Answers with one status after the other, the last one for ever; None never answers."""

    def __init__(self, *statuses, wait_s=0.0, headers=()):
        self.received, self.paths, self.at = [], [], []
        self.released = threading.Event()
        server = self
        left = list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                server.at.append(time.monotonic())
                server.paths.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(wait_s)
                status = left.pop(0) if len(left) > 1 else left[0]
                if status is None:
                    server.released.wait(30)
                    return
                if status == 200:
                    server.received.append(json.loads(body))
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/{SECRET}"
        threading.Thread(target=self._http.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve():
    servers = []

    def serving(*statuses, **how):
        servers.append(Server(*statuses, **how))
        return servers[-1]

    yield serving
    for server in servers:
        server.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_slack_gets_a_line_and_blocks(serve):
    server = serve(200)
    webhook = Webhook(server.url, about="resnet")
    webhook(finding())
    assert webhook.flush(10)
    (message,) = server.received
    assert message["text"] == "✖ Divergence in resnet: The loss climbs to 88.2 &amp; stays."
    section, context = message["blocks"]
    assert section["text"]["text"].startswith("*✖ Divergence in resnet*\nThe loss climbs")
    assert "steps 310–351" in context["elements"][0]["text"]
    assert "stem, &lt;!channel&gt;" in context["elements"][0]["text"]  # a name calls nobody
    assert (webhook.sent, webhook.dropped) == (1, 0)


def test_a_failed_post_is_tried_again_after_pauses_that_grow(serve):
    server = serve(500, 503, 429, 200)
    webhook = Webhook(server.url, first_pause_s=0.05)
    webhook(finding())
    assert webhook.flush(20)
    assert (webhook.sent, webhook.dropped) == (1, 0)
    pauses = [after - before for before, after in itertools.pairwise(server.at)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True))


@pytest.mark.parametrize("status", [302, 400, 404])
def test_what_is_refused_for_good_is_asked_once(serve, status, caplog):
    server = serve(status, headers=[("Location", "http://127.0.0.1:9/elsewhere")])
    webhook = Webhook(server.url, first_pause_s=0.01)
    webhook(finding())
    assert webhook.flush(10)
    assert len(server.at) == 1
    assert webhook.dropped == 1
    assert f"it answered {status}" in caplog.text


def test_a_server_that_is_away_is_told_of_once_and_without_its_address(caplog):
    webhook = Webhook(f"http://127.0.0.1:{free_port()}/{SECRET}", attempts=2, first_pause_s=0.01)
    for number in range(3):
        webhook(finding(number))
    assert webhook.flush(10)
    assert (webhook.sent, webhook.dropped) == (0, 3)
    assert len(caplog.records) == 1
    assert "ConnectionRefusedError" in caplog.text
    assert SECRET not in caplog.text + repr(webhook) + str(webhook)
    assert "127.0.0.1" not in caplog.text + repr(webhook)


def test_a_server_that_hangs_holds_nobody_up(serve):
    webhook = Webhook(serve(None).url, attempts=1, timeout_s=0.2)
    webhook(finding())
    assert webhook.flush(10)
    assert webhook.dropped == 1


def test_a_flood_is_dropped_and_counted(serve):
    webhook = Webhook(serve(None).url, timeout_s=20)
    for number in range(130):
        webhook(finding(number))
    assert 28 <= webhook.dropped <= 30  # one is under way, a hundred wait
    assert not webhook.flush(0.01)


def test_training_goes_on_while_the_server_is_slow_and_the_end_waits_for_it(serve, training, tmp_path):
    server = serve(200, wait_s=0.3)
    webhook = Webhook(server.url)
    options = {"criterion": training.criterion, "run_dir": tmp_path, "on_finding": webhook}
    with diagnose.attach(training.model, training.optimizer, **options):
        training.x[:] = float("nan")
        training.run(150)
    assert [message["text"].split(":")[0] for message in server.received] == ["✖ NaN loss"]


TERMINATED = """
import signal, sys, threading, torch, diagnose
from diagnose.hooks.receivers import Webhook
model, criterion = torch.nn.Linear(3, 1), torch.nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
webhook = Webhook(sys.argv[1], timeout_s=30)
diagnose.attach(model, optimizer, criterion=criterion, run_dir=sys.argv[2], on_finding=webhook)
for step in range(40):  # too few to be written, and so looked at, before the end
    optimizer.zero_grad()
    criterion(model(torch.full((4, 3), torch.nan)), torch.zeros(4, 1)).backward()
    optimizer.step()
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize("wait_s", [1.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_terminated_process_tells_what_it_has_found_and_is_not_held_up_for_long(serve, tmp_path, wait_s):
    server = serve(200, wait_s=wait_s)
    process = subprocess.Popen([sys.executable, "-c", TERMINATED, server.url, str(tmp_path)])
    assert process.wait(40) == -signal.SIGTERM
    assert diagnose.load(tmp_path).ending.by == "SIGTERM"
    assert len(server.received) == (1 if wait_s < 3 else 0)


@pytest.mark.parametrize(
    "url", ["", "ftp://host/S3CR3T", "file:///S3CR3T", "http://", "http://[S3CR3T", "http://host/S3CR3T\n"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(url):
    with pytest.raises(diagnose.InvalidArgumentError, match="http:// or https://") as refused:
        Webhook(url)
    assert "S3CR3T" not in str(refused.value)


def test_an_address_that_is_given_in_place_of_a_webhook_is_refused_without_being_shown(training):
    with pytest.raises(diagnose.InvalidArgumentError, match="attach\\(on_finding=str") as refused:
        diagnose.attach(training.model, training.optimizer, on_finding=f"https://host/{SECRET}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("numbers", [{"attempts": 0}, {"timeout_s": 0}, {"first_pause_s": -1.0}])
def test_numbers_that_nothing_could_be_sent_with_are_refused(numbers):
    with pytest.raises(diagnose.InvalidArgumentError, match="at least one attempt") as refused:
        Webhook(f"http://host/{SECRET}", **numbers)
    assert SECRET not in str(refused.value)


def test_a_forked_child_sends_its_own(serve):
    server = serve(200)
    webhook = Webhook(server.url)
    webhook(finding(1))
    assert webhook.flush(10)

    def in_child():
        assert webhook.flush()
        webhook(finding(2))
        os._exit(0 if webhook.flush(10) and webhook.sent == 1 else 1)

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert len(server.received) == 2


def test_a_logger_of_the_users_gets_records(caplog):
    LogRecords("my.training")(finding())
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("my.training", logging.ERROR)
    assert record.getMessage() == "Divergence: The loss climbs to 88.2 & stays."
    assert record.diagnose["window"] == (310, 351)
