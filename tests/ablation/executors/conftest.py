"""A real Slurm cluster of two nodes on this machine, for the tests in test_slurm.py."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "slurm"
CONFIG = Path("/etc/slurm/slurm.conf")


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Start nodes n1 and n2, with accounting."""
    if os.getuid() != 0:
        pytest.skip("only root can start a Slurm cluster")
    if missing := [name for name in ("slurmctld", "slurmdbd", "munged", "mariadbd") if not shutil.which(name)]:
        pytest.skip(f"{', '.join(missing)} not installed; tests/slurm/start-slurm.sh installs them")
    if CONFIG.exists() and "ClusterName=litcvtest" not in CONFIG.read_text():
        pytest.skip(f"{CONFIG} belongs to another cluster")
    started = subprocess.run([SCRIPTS / "start-slurm.sh"], capture_output=True, text=True, timeout=120, check=False)
    assert started.returncode == 0, started.stderr
    yield
    subprocess.run([SCRIPTS / "stop-slurm.sh"], timeout=60, check=True)
