"""What is made of executed notebooks for readers without Jupyter: a site, and slides.

Both work without a network.
"""
