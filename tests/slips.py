"""Slips: wrong answers that are a right one, of the folder `answers`, with a mistake made in it."""

SLIPS = [  # the right answer, what the mistake is, and what is replaced
    (
        "right_FPN_1",
        "the smoothed P goes down to the next level, not the sum M",
        [
            (
                "            merged = here\n            results[i] = self.outer[i](merged)\n",
                "            merged = self.outer[i](here)\n            results[i] = merged\n",
            )
        ],
    ),
    (
        "right_FPN_2",
        "bilinear enlargement in place of nearest",
        [
            ("from torch import nn\n", "from torch import nn\nimport torch.nn.functional as F\n"),
            (
                "    # nearest by hand: cell i of the fine map takes cell floor(i * coarse / fine)\n    rows = torch.arange(h, device=m.device) * m.shape[-2] // h\n    cols = torch.arange(w, device=m.device) * m.shape[-1] // w\n    return m[:, :, rows][:, :, :, cols]\n",
                '    return F.interpolate(m, size=(h, w), mode="bilinear", align_corners=False)\n',
            ),
        ],
    ),
    (
        "right_PositionEmbedding2D_1",
        "all sines first, then all cosines, not alternating",
        [
            ("        out = []\n", "        sines, cosines = [], []\n"),
            (
                "            out += [a.sin(), a.cos()]\n        return torch.stack(out, dim=1)\n",
                "            sines.append(a.sin())\n            cosines.append(a.cos())\n        return torch.stack(sines + cosines, dim=1)\n",
            ),
        ],
    ),
    (
        "right_PositionEmbedding2D_2",
        "rows and columns counted from 0",
        [
            (
                "            theta = 2 * math.pi * t / (t.amax(dim=axis, keepdim=True) + 1e-6)\n",
                "            theta = 2 * math.pi * (t - 1) / (t.amax(dim=axis, keepdim=True) + 1e-6)\n",
            )
        ],
    ),
    (
        "right_Step1_1",
        "all four levels are kept, only the last is used",
        [
            ("    levels = [5]\n\n", ""),
            ("        (only,) = maps\n        return only\n", "        return maps[-1]\n"),
        ],
    ),
    (
        "right_Step1_1",
        "emb_dim is not passed on to the pyramid",
        [('        kwargs["emb_dim"] = emb_dim\n', "")],
    ),
    (
        "right_Step2_1",
        'C classes, no extra one for "no object"',
        [
            (
                "        self.classify = nn.Linear(d, num_classes + 1)\n",
                "        self.classify = nn.Linear(d, num_classes)\n",
            )
        ],
    ),
    (
        "right_Step2_2",
        "ReLU after the last box layer too, before the sigmoid",
        [
            (
                "            if i < len(self.layers) - 1:\n                x = x.clamp(min=0)\n",
                "            x = x.clamp(min=0)\n",
            )
        ],
    ),
    (
        "right_Step3_1",
        "the mask is resized and returned, but not given to the embedding",
        [
            (
                '        result["pos_emb"] = self.cell_positions(fmap, small)\n',
                '        result["pos_emb"] = self.cell_positions(fmap)\n',
            )
        ],
    ),
    (
        "right_Step4_2",
        "positions in the values, too",
        [
            (
                "        v = self.to_v(x).view(B, T, self.heads, n)\n",
                "        v = self.to_v(x + pos).view(B, T, self.heads, n)\n",
            )
        ],
    ),
    (
        "right_Step4_3",
        "scaled by the root of D, not of the channels of a head",
        [
            (
                "            s = qi @ ki.transpose(1, 2) * qi.shape[-1] ** -0.5\n",
                "            s = qi @ ki.transpose(1, 2) * x.shape[-1] ** -0.5\n",
            )
        ],
    ),
    (
        "right_Step4_1",
        "no dropout in the attention weights",
        [
            (
                "        self.attn = nn.MultiheadAttention(d, heads, dropout=p, batch_first=True)\n",
                "        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)\n",
            )
        ],
    ),
    (
        "right_Step5_1",
        "positions are in the values of the cross-attention, too",
        [
            (
                "        read = self.image(h + pq, mem + pm, mem, key_padding_mask=pad, need_weights=False)[0]\n",
                "        read = self.image(h + pq, mem + pm, mem + pm, key_padding_mask=pad, need_weights=False)[0]\n",
            )
        ],
    ),
    (
        "right_Step6_1",
        "aux_outputs hold the last layer, too",
        [
            (
                "        return self.norm(torch.stack(list(states), dim=0))\n",
                "        return torch.stack([self.norm(state) for state in states])\n",
            ),
            (
                '        everything = []\n        for layer in range(hidden.shape[0]):\n            everything.append(Step5.predict(self, hidden[layer]))\n        final = dict(everything.pop())\n        final["aux_outputs"] = everything\n        return final\n',
                '        outputs = [Step5.predict(self, state) for state in hidden]\n        return {**outputs[-1], "aux_outputs": outputs}\n',
            ),
        ],
    ),
    (
        "right_Step7_1",
        "GIoU of (cx, cy, w, h), not of corners",
        [
            (
                "from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou\n",
                "from detr_steps import Step6, generalized_box_iou\n",
            ),
            (
                "        giou = generalized_box_iou(box_cxcywh_to_xyxy(flat), box_cxcywh_to_xyxy(objects))\n",
                "        giou = generalized_box_iou(flat, objects)\n",
            ),
        ],
    ),
    (
        "right_Step8_1",
        "the last layer's matching is used for all layers",
        [
            (
                "        for layer, pairs in zip(layers, self.match_layers(layers, targets)):\n",
                "        pairs = self.match_layers(layers, targets)[-1]\n        for layer in layers:\n",
            )
        ],
    ),
    (
        "right_Step8_2",
        "class term divided by the number of queries, not by the sum of the weights",
        [
            (
                "        loss_class = (w * nll).sum() / w.sum()\n",
                "        loss_class = (w * nll).mean()\n",
            )
        ],
    ),
    (
        "right_Step5_2",
        "cross-attention comes before self-attention",
        [
            (
                '        self.self_attention = Attend(dim, nhead, dropout)\n        self.cross_attention = Attend(dim, nhead, dropout)\n        self.fc1 = nn.Linear(dim, hidden)\n        self.fc2 = nn.Linear(hidden, dim)\n        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])\n        self.drops = nn.ModuleList([nn.Dropout(dropout) for _ in range(4)])\n\n    def forward(self, x, context, mask):\n        place, memory = context["query_pos"], context["mem"]\n        a = self.self_attention(x + place, x + place, x)\n        x = self.norms[0](x + self.drops[0](a))\n        a = self.cross_attention(x + place, memory + context["mem_pos"], memory, mask)\n',
                '        self.cross_attention = Attend(dim, nhead, dropout)\n        self.self_attention = Attend(dim, nhead, dropout)\n        self.fc1 = nn.Linear(dim, hidden)\n        self.fc2 = nn.Linear(hidden, dim)\n        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])\n        self.drops = nn.ModuleList([nn.Dropout(dropout) for _ in range(4)])\n\n    def forward(self, x, context, mask):\n        place, memory = context["query_pos"], context["mem"]\n        a = self.cross_attention(x + place, memory + context["mem_pos"], memory, mask)\n        x = self.norms[0](x + self.drops[0](a))\n        a = self.self_attention(x + place, x + place, x)\n',
            )
        ],
    ),
]
