def my_corners(boxes):
    # "... (part xy) -> ... part xy", part 0 is the centre and part 1 the size
    parts = boxes.unflatten(-1, (2, 2))
    centre, size = parts.select(-2, 0), parts.select(-2, 1)
    signs = boxes.new_tensor([-1.0, 1.0])[:, None]  # [corner, 1]
    corners = centre.unsqueeze(-2) + signs * size.unsqueeze(-2) / 2  # [..., corner, xy]
    return corners.flatten(-2)
