"""What the notebooks show: source, differences, shapes, costs, pictures, explorers; their runner.

Nothing here is needed to build, train or use a model. What a learner writes is checked in
`exercises`.
"""
