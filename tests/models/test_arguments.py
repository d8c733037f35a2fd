"""Arguments of the networks, of which many are inherited: the help shows all, and Python refuses unknown ones."""

import pytest
from jsonargparse import ArgumentParser

from lit_cv import models
from lit_cv.models import Network

NETWORKS = [
    value
    for value in vars(models).values()
    if isinstance(value, type) and issubclass(value, Network) and not value.__abstractmethods__
]
SHARED = ("backbone", "weights", "trainable_layers", "norm")


def test_all_networks_are_found() -> None:
    assert len(NETWORKS) == 19


@pytest.mark.parametrize("network", NETWORKS)
def test_the_help_describes_every_argument(network: type[Network]) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(network, "network")
    actions = {action.dest: action for action in parser._actions if action.dest.startswith("network.")}
    assert "network.channels_last" in actions
    if network not in (models.DownUpFCN, models.FullResolutionFCN, models.SlidingWindowSegmenter):
        assert {f"network.{name}" for name in SHARED} <= actions.keys()
    for name, action in actions.items():
        assert action.help, name
        assert not action.help.startswith("("), name  # the type alone


@pytest.mark.parametrize("network", NETWORKS)
def test_unknown_arguments_are_refused(network: type[Network]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        network(4, colour=1)
