from lit_cv.runs.failure import excerpt

LEAKS = "\n".join(["nanobind: leaked 2 types!", ' - leaked type "hotcoco.Eval"', " - ... skipped remainder",
                   "nanobind: this is likely caused by a reference counting issue in the binding code.",
                   "See https://nanobind.readthedocs.io/en/latest/refleaks.html for details."])  # fmt: skip
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    fit()\n'


def test_the_sentence_of_an_expected_failure_is_found_wherever_it_stands():
    log = f"step 1\nlitcv: error: data.batch_size is 1000, above the 24 images; lower it.\n{LEAKS}\nwandb: bye\n"
    assert excerpt(log) == ["data.batch_size is 1000, above the 24 images; lower it."]
    assert excerpt(TRACEBACK + "ValueError: 1\n" + log)[-1].startswith("data.batch_size is 1000")


def test_the_end_of_the_last_traceback_is_shown():
    log = f"{TRACEBACK}ValueError: first\n\nDuring handling ...\n"
    log += f"{TRACEBACK}torch.OutOfMemoryError: CUDA out of memory.\n{LEAKS}"
    assert excerpt(log)[-2:] == ["    fit()", "torch.OutOfMemoryError: CUDA out of memory."]
    assert len(excerpt("x\n" * 50 + log)) == 12
    assert excerpt(f"{TRACEBACK}AssertionError\nsome library says good-bye\n")[-1] == "AssertionError"
    assert excerpt(f"[rank1]: {TRACEBACK}[rank1]: RuntimeError: gloo\n")[-1] == "[rank1]: RuntimeError: gloo"


def test_without_an_error_the_last_lines_are_shown():
    assert excerpt("") == []
    assert excerpt(f"step 1\nstep 2\n{LEAKS}\n") == ["step 1", "step 2"]
    assert excerpt("an Error of no kind\nend") == ["an Error of no kind", "end"]
