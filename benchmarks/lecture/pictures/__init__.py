"""Pictures of the methods of the lecture: ``python -m benchmarks.lecture.pictures [NAME ...]`` draws them.

Each function draws one picture on an empty figure; its name is that of the sweep.
"""
