"""The teacher's side: copies of the notebooks with and without solutions, pages, grading.

What is right and what a mistake is called is decided in `exercises`, which learners use as well.
"""
