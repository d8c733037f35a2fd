import random
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from lit_cv.errors import UserError
from lit_cv.metrics import meteor as module
from lit_cv.metrics.meteor import Pair, exact_match_meteor, find_meteor, meteor

needs_meteor = pytest.mark.skipif(
    shutil.which("java") is None or find_spec("pycocoevalcap") is None,
    reason="METEOR needs Java and the extra `captions`",
)
PHRASES = (
    "a small red circle left of a large blue square", "the man is wearing a hat", "a man wears a black hat",
    "two dogs run on the grass", "dogs running across a green lawn", "a white car parked on the street",
    "the street has parked cars", "trees behind the building", "a tree in front of a building", "the sky is clear",
    "clear blue sky", "a woman holding an umbrella", "the umbrella is red and white", "a sign on the pole",
    "the pole has two signs", "windows of a brick building", "a bike leaning on a wall", "the the a the a",
    "shadow of the person on the sidewalk", "sidewalk",
)  # fmt: skip


def random_pairs(count: int, most: int = 4) -> list[Pair]:
    rng = random.Random(3)
    pairs: list[Pair] = [(phrase, (phrase,)) for phrase in PHRASES]
    while len(pairs) < count:
        phrase = rng.choice(PHRASES)
        shuffled = " ".join(rng.sample(phrase.split(), len(phrase.split())))
        references = rng.sample(PHRASES, rng.randint(1, most - 1))
        pairs.append((rng.choice([shuffled, rng.choice(PHRASES)]), tuple([*references, phrase][:most])))
    return pairs


def command_line(folder: Path, pairs: list[Pair], *options: str) -> list[float]:
    """Return the scores that the program prints for files; short lists of references are filled by repetition."""
    java, jar = find_meteor()
    most = max(len(references) for _, references in pairs)
    (folder / "hypotheses").write_text("".join(f"{candidate}\n" for candidate, _ in pairs))
    filled = [(references * most)[:most] for _, references in pairs]
    (folder / "references").write_text("".join(f"{text}\n" for references in filled for text in references))
    files = [str(folder / "hypotheses"), str(folder / "references")]
    command = [java, "-Xmx2G", "-jar", str(jar), *files, "-l", "en", "-norm", "-r", str(most), *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(line.split("\t")[1]) for line in printed.splitlines() if line.startswith("Segment")]


@needs_meteor
def test_meteor_equals_the_program_on_its_command_line(tmp_path: Path) -> None:
    pairs = random_pairs(300)  # more than one batch; the first 20 are the phrases themselves
    scores = meteor([*pairs, ("", ("a dog",)), ("a dog", ()), ("a dog", ("", " ")), ("a ||| dog\n", ("a dog",))])
    assert scores[:300] == command_line(tmp_path, pairs)
    assert scores[:17] == [1.0] * 17
    assert len(set(scores)) > 50
    assert scores[300:] == [0.0, 0.0, 0.0, 1.0]


@needs_meteor
def test_exact_matches_equal_the_program_with_only_that_matcher(tmp_path: Path) -> None:
    pairs = random_pairs(300)
    expected = command_line(tmp_path, pairs, "-m", "exact", "-w", "1.0", "-p", "0.85 0.2 0.6 0.5")
    assert exact_match_meteor(pairs) == pytest.approx(expected, abs=1e-12)


def test_exact_matches_worked_by_hand() -> None:
    # One of two words matches one of three: P = 1/2, R = 1/3, F = (1/6) / (.85 / 2 + .15 / 3), one chunk of one match.
    assert exact_match_meteor([("the tree", ("a green tree",))])[0] == pytest.approx((1 / 6) / 0.475 * 0.4)
    # Two matches in one chunk: P = 1, R = 2/3.
    halved = 1 - 0.6 * 0.5**0.2
    assert exact_match_meteor([("red car", ("a red car",))])[0] == pytest.approx((2 / 3) / 0.95 * halved)
    # The better reference counts; no match; no words.
    assert exact_match_meteor([("Red car", ("a bus", "red car")), ("cat", ("a dog",)), ("", ("a",)), ("a", ())]) == [
        *(1.0, 0.0, 0.0, 0.0)
    ]


def test_a_phrase_with_many_repeated_words_is_aligned_quickly() -> None:
    assert 0 < exact_match_meteor([("a " * 40, ("a b " * 30,))])[0] < 1


def test_missing_programs_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="openjdk-17-jre-headless"):
        find_meteor()
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"lit-cv\[captions\]"):
        find_meteor()


@needs_meteor
def test_a_program_that_stops_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java, _ = find_meteor()
    monkeypatch.setattr(module, "find_meteor", lambda: (java, tmp_path / "missing.jar"))
    with pytest.raises(UserError, match=r"has stopped \(Error: Unable to access jarfile"):
        meteor([("a", ("a",))])
