"""Studies that train many models: what each part of DETR is worth."""
