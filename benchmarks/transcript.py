"""Run a command in a real terminal (tmux) and print its screen while it runs and at its end, for the documentation.

python benchmarks/transcript.py --columns 80 litcv fit experiments/quickstart/ssd.yaml
"""

import argparse
import shlex
import subprocess
import time
import uuid


def main() -> None:
    """Print the screens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=80, help="width of the terminal (80)")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two screens (20)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args()
    server = f"transcript-{uuid.uuid4().hex}"  # its own, so that no other session is touched

    def tmux(*args: str) -> str:
        command = ["tmux", "-L", server, "-f", "/dev/null", *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    size = ("-x", str(options.columns), "-y", "50")
    tmux("new", "-d", *size, "sh", ";", "set", "-g", "remain-on-exit", "on")
    try:
        tmux("respawn-pane", "-k", shlex.join(options.command))
        shown = ""
        while True:
            last, ended = time.monotonic(), False
            while not ended and time.monotonic() - last < options.every:
                time.sleep(0.2)
                ended = tmux("display", "-p", "#{pane_dead}").strip() == "1"
            screen = tmux("capture-pane", "-p", "-S", "-").partition("\nPane is dead")[0].rstrip()
            if screen != shown:
                print(f"$ {shlex.join(options.command)}\n{screen}\n", flush=True)
            shown = screen
            if ended:
                break
    finally:
        tmux("kill-server")


if __name__ == "__main__":
    main()
