"""A trained model in use: made ready, written for other programs, its outputs as detections."""

from .detections import detections
from .exported import export
from .ready import fold_norms, for_inference

__all__ = ["detections", "export", "fold_norms", "for_inference"]
