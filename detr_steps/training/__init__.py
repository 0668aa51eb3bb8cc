"""Training of a Step8: scenes and COCO data, batches, the trainer, evaluation, checkpoints.

The small model that a laptop trains and its shipped weights are here as well, and the way from a
picture to a model's input. What a trained model is used for is in `inference`; studies that train
many models are in `experiments/`, outside of the package.
"""
