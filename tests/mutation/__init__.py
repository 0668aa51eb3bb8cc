"""Mutation testing: does a test notice when one token of the package is another?

`python -m tests.mutation --help` says how to run it. cosmic-ray makes the mutants. What came of
them stands in `results.csv`, a row for each function, and in `survivors.toml`, each with the reason
why it changes nothing that a test should hold.

    mutants     which mutants there are
    covering    which tests run which line, and how long they take
    server      a process that has imported the tests, and forks for each mutant
    running     the work, on several servers at a time
    results     what came of it, kept in files and printed as a table
"""
