"""Time the decoding of captions on CPU: all regions at once against one region after the other.

The same language model describes the same regions, greedily and by beam search, in three ways:

* ours: all regions at once;
* all regions in a batch through ``nn.LSTM``, step by step (greedy only);
* one region at a time through ``nn.LSTM``, with the beam as a Python list that is sorted in each step.

``<END>`` is made improbable, so every caption has the maximum number of words. The ways take turns, with each number
of threads. The slow ways describe only one region in ``--every``, because their time is proportional to the number of
regions. The captions are compared first. Prints and writes the median words per second and the speedup of ours.

    python benchmarks/caption_decoding.py
"""

import argparse
from collections.abc import Callable

import torch
from timing import median_seconds, write
from torch import Tensor

from lit_cv.bench.cost import device_name
from lit_cv.models.rcnn.language_model import LanguageModel
from lit_cv.ops.vocabulary import END, START

REGIONS, WORDS, VOCABULARY, FEATURES, HIDDEN, BEAM = 300, 15, 10_000, 4096, 512, 3
Hypothesis = tuple[float, list[int], tuple[Tensor, Tensor]]


def language_model() -> LanguageModel:
    """Return a network of the paper's size with random weights; no caption ends early."""
    torch.manual_seed(0)
    network = LanguageModel(FEATURES, VOCABULARY, HIDDEN, HIDDEN, dropout=0.0).eval()
    network.output.weight.data *= 20  # far from uniform, as after training: captions differ, and ties are rare
    network.output.bias.data[0] = -1e4
    return network


def after_code(network: LanguageModel, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state of the LSTM after it has read the codes (N, D)."""
    state: tuple[Tensor, Tensor] = network.lstm(network.encoder(codes)[:, None])[1]
    return state


def next_word(
    network: LanguageModel, words: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the logits (N, V) after the words, int64 (N,), and the new state of ``nn.LSTM``."""
    answers, state = network.lstm(network.words(words)[:, None], state)
    return network.output(answers[:, 0]), state


def batched(network: LanguageModel, codes: Tensor) -> Tensor:
    """Describe regions greedily, all at once."""
    state, words, written = after_code(network, codes), torch.full((len(codes),), START), []
    for _ in range(WORDS):
        logits, state = next_word(network, words, state)
        words = logits.argmax(dim=1) + END
        written.append(words)
    return torch.stack(written, dim=1)


def one_by_one(network: LanguageModel, codes: Tensor) -> Tensor:
    """Describe regions greedily, one after the other."""
    captions = []
    for code in codes:
        state, word, caption = after_code(network, code[None]), START, list[int]()
        while len(caption) < WORDS:
            logits, state = next_word(network, torch.tensor([word]), state)
            word = int(logits.argmax()) + END
            if word == END:
                break
            caption.append(word)
        captions.append(caption)
    return torch.tensor(captions)


def beam_of_lists(network: LanguageModel, codes: Tensor) -> Tensor:
    """Describe regions one after the other, with a list of the ``BEAM`` best hypotheses of each."""
    captions = []
    for code in codes:
        beam: list[Hypothesis] = [(0.0, [START], after_code(network, code[None]))]
        for _ in range(WORDS):
            candidates: list[Hypothesis] = []
            for score, caption, state in beam:
                if caption[-1] == END:
                    candidates.append((score, caption, state))
                    continue
                logits, state = next_word(network, torch.tensor(caption[-1:]), state)
                best = logits[0].log_softmax(dim=0).topk(BEAM)
                for gain, word in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                    candidates.append((score + gain, [*caption, word + END], state))
            beam = sorted(candidates, key=lambda candidate: -candidate[0])[:BEAM]
        captions.append(beam[0][1][1:])
    return torch.tensor(captions)


def measure(threads: int, repeats: int, every: int) -> dict[str, object]:
    """Compare the captions and time all ways with the given number of threads."""
    torch.set_num_threads(threads)
    network, codes = language_model(), torch.randn(REGIONS, FEATURES, generator=torch.Generator().manual_seed(1)).relu()
    few = codes[::every]
    ours, ours_beam = network.write(codes, WORDS), network.write(codes, WORDS, BEAM)
    assert torch.equal(ours, batched(network, codes))
    assert torch.equal(ours[::every], one_by_one(network, few))
    assert torch.equal(ours_beam[::every], beam_of_lists(network, few))
    assert not torch.equal(ours, ours_beam)
    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "greedy/ours": (len(codes), lambda: network.write(codes, WORDS)),
        "greedy/nn.LSTM in a batch": (len(codes), lambda: batched(network, codes)),
        "greedy/one region at a time": (len(few), lambda: one_by_one(network, few)),
        "beam/ours": (len(codes), lambda: network.write(codes, WORDS, BEAM)),
        "beam/lists, one region at a time": (len(few), lambda: beam_of_lists(network, few)),
    }
    taken = median_seconds({name: call for name, (_, call) in calls.items()}, repeats, warmup=1)
    words = {name: count * WORDS / taken[name] for name, (count, _) in calls.items()}
    speedup = {name: words[f"{name.split('/')[0]}/ours"] / words[name] for name in words if not name.endswith("ours")}
    return {
        "threads": threads,
        "words_per_second": words,
        "ours_times_as_fast_as": speedup,
        "distinct_captions": {"greedy": len(ours.unique(dim=0)), "beam": len(ours_beam.unique(dim=0))},
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=15, help="the slow ways describe one region in EVERY (default 15)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    with torch.no_grad():
        rows = [measure(threads, arguments.repeats, arguments.every) for threads in arguments.threads]
    for row in rows:
        print(f"{row['threads']} threads, {row['distinct_captions']} different captions")
        for title in ("words_per_second", "ours_times_as_fast_as"):
            print(title)
            for name, value in row[title].items():
                print(f"  {name:34s} {value:8.1f}")
    setting = {"regions": REGIONS, "words": WORDS, "vocabulary": VOCABULARY, "features": FEATURES}
    write(
        "caption_decoding-cpu",
        {
            "setting": {**vars(arguments), **setting, "hidden": HIDDEN, "embedding": HIDDEN, "beam": BEAM},
            "hardware": device_name(torch.device("cpu")),
            "versions": {"torch": torch.__version__},
            "results": rows,
        },
    )


if __name__ == "__main__":
    main()
