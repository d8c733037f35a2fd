"""The mode of a run on W&B: nothing asks for a key, and a server that does not answer delays no run."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_cv.errors import UserError
from lit_cv.tracking import run
from lit_cv.tracking import server as server_module
from lit_cv.tracking.run import default_project, mode

VARIABLES = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "NETRC")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # hides the user's key
    run._reachable.cache_clear()
    yield
    run._reachable.cache_clear()


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_without_a_key_a_run_is_offline_and_is_refused_where_it_shall_be_online(monkeypatch) -> None:
    assert mode("auto") == "offline"
    with pytest.raises(UserError, match=r"^--run.wandb=online needs a key for W&B at https://api.wandb.ai; set WANDB"):
        mode("online")
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UserError, match=r"^WANDB_MODE=online needs a key"):
        mode("auto")
    assert mode("disabled") == "disabled"


@pytest.mark.parametrize(("given", "expected"), [("dryrun", "offline"), ("disabled", "disabled"), ("", "offline")])
def test_variable_decides_what_the_option_leaves_open(monkeypatch, given: str, expected: str) -> None:
    monkeypatch.setenv("WANDB_MODE", given)
    assert mode("auto") == expected
    assert mode("offline") == "offline"


@pytest.mark.parametrize("wanted", ["auto", "offline"])
def test_unknown_mode_is_one_sentence_wherever_the_client_reads_it(monkeypatch, wanted) -> None:
    monkeypatch.setenv("WANDB_MODE", "foo")
    with pytest.raises(UserError, match=r"^WANDB_MODE is 'foo'; set it to online, offline or disabled, or unset it\.$"):
        mode(wanted)
    assert mode("disabled") == "disabled"


def test_empty_mode_is_hidden_from_the_client(monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "")
    assert mode("auto") == "offline"
    assert "WANDB_MODE" not in os.environ


def test_server_that_does_not_answer_makes_the_run_offline_after_a_while(monkeypatch, silent, capsys) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", silent)
    monkeypatch.setattr(server_module, "REACH_SECONDS", 0.5)
    start = time.monotonic()
    assert mode("auto") == mode("online") == "offline"
    assert time.monotonic() - start < 5
    said = capsys.readouterr().out
    assert said.count(f"note: W&B at {silent} cannot be reached; the run is logged offline") == 1


def test_refused_connection_makes_the_run_offline_and_an_answer_leaves_it_online(monkeypatch, server) -> None:
    assert mode("auto") == "online"
    run._reachable.cache_clear()
    server.hang_up()
    assert mode("auto") == "offline"


def test_project_of_the_environment_is_the_default(monkeypatch) -> None:
    assert default_project() == "lit-cv"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert default_project() == "mine"
