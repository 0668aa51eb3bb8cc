"""How fast Step8 is beside Hugging Face's DETR: `python -m detr_steps benchmarks`."""
