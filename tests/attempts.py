"""What learners might write: for each task a right solution that is written differently from the
package's, and changes of it that make a mistake, with the name that the checker must give.
"""

FPN = (
    """
class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        widths = list(in_channels.values())
        self.side = nn.ModuleList([nn.Conv2d(width, emb_dim, kernel_size=1) for width in widths])
        self.smooth = nn.ModuleList([nn.Conv2d(emb_dim, emb_dim, 3, 1, 1) for _ in widths])

    def forward(self, features):
        above, result = None, []
        for c, side, smooth in list(zip(features, self.side, self.smooth))[::-1]:
            here = side(c)
            if above is not None:
                here = here + F.interpolate(above, here.shape[2:])
            result.insert(0, smooth(here))
            above = here
        return result
""",
    [
        ("here = here + F.interpolate(above, here.shape[2:])", "pass", "top-down path left out"),
        ("above = here", "above = side(c)", "neighbour alone added"),
        (
            "here.shape[2:])",
            "here.shape[2:], mode='bilinear')",
            "bilinear in place of nearest",
        ),
        ("(above, here.shape[2:])", "(above, scale_factor=2)", "doubled in place of fitted"),
        (
            "            here = side(c)",
            "            here = smooth(side(c))",
            [("smooth(here)", "here")],
            "3x3 before the sum",
        ),
        ("emb_dim, 3, 1, 1)", "emb_dim, 3)", "3x3 without padding"),
        (
            "smooth(here)",
            "here",
            [("[nn.Conv2d(emb_dim, emb_dim, 3, 1, 1) for _ in widths]", "[nn.Identity()] * 3")],
            "3x3 left out",
        ),
        (
            "[nn.Conv2d(emb_dim, emb_dim, 3, 1, 1) for _ in widths]",
            "[nn.Conv2d(emb_dim, emb_dim, 3, 1, 1)] * len(widths)",
            "one 3x3 convolution for all levels",
        ),
        (
            "result.insert(0, smooth(here))",
            "result.append(smooth(here))",
            "levels in reverse order",
        ),
        (
            "        super().__init__()",
            "        super().__init__()\n        emb_dim = 256",
            "width fixed at 256",
        ),
        (
            "[::-1]:",
            ":",
            [
                ("result.insert(0, ", "result.append("),
                ("side(c)\n", "side(c) if above is None else side(c)\n"),
            ],
            "bottom-up in place of top-down",
        ),
    ],
)

RESNET_FPN = (
    """
class MyResNetFPN(nn.Module):
    def __init__(self, pretrained=False, emb_dim=256, backbone="resnet50"):
        super().__init__()
        weights = "DEFAULT" if pretrained else None
        net = torchvision.models.get_model(backbone, weights=weights)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        widths = {2: 64, 3: 128, 4: 256, 5: 512}
        self.pyramid = FPN(widths, emb_dim)

    def forward(self, x):
        maps = [x := stage(self.stem(x) if i == 0 else x) for i, stage in enumerate(self.stages)]
        return self.pyramid(maps)
""",
    [
        (
            "net = torchvision.models.get_model(backbone, weights=weights)",
            "net = getattr(torchvision.models, backbone)(pretrained=pretrained)",
            "deprecated pretrained argument",
        ),
        ("FPN(widths, emb_dim)", "FPN(widths)", "width fixed at 256"),
        ("self.stem = ", "self.head = net.fc\n        self.stem = ", "classifier kept"),
        ("net.relu, net.maxpool", "net.relu", "max pooling left out"),
        ("return self.pyramid(maps)", "return maps", "pyramid left out"),
    ],
)

STEP0 = (
    """
class MyStep0(ResNetFPN):
    def forward(self, images):
        from detr_steps.inputs import check_images
        check_images(images)
        return super().forward(images)
""",
    [
        ("        check_images(images)\n", "", "bad images accepted"),
        ("super().forward(images)", "super().forward(images)[-1]", "one level in place of all"),
        ("super().forward(images)", "super().forward(images)[::-1]", "levels in reverse order"),
        (
            "super().forward(images)",
            "{i: p for i, p in enumerate(super().forward(images))}",
            "a dict in place of a list",
        ),
        ("super().forward(images)", "super().forward(images / 255.0)", "images normalised again"),
    ],
)

STEP1 = (
    """
class MyStep1(Step0):
    levels = [5]

    def __init__(self, emb_dim=256, **others):
        super().__init__(**others, emb_dim=emb_dim)
        self.emb_dim = emb_dim

    def forward(self, x):
        return super().forward(x)[0]
""",
    [
        ("    levels = [5]\n", "", [("[0]", "[3]")], "levels that nobody reads"),
        ("**others, emb_dim=emb_dim", "**others", "width fixed at 256"),
        ("    levels = [5]\n", "", "finest level in place of the coarsest"),
        ("[5]", "[2]", "finest level in place of the coarsest"),
        ("(x)[0]", "(x)", "a list in place of the map"),
        (
            "return super().forward(x)[0]",
            "return list(self.fpn.lateral.values())[-1](self.backbone(x))",
            "3x3 left out",
        ),
        ("return super().forward(x)[0]", "return self.backbone(x)", "C5 in place of P5"),
        ("        self.emb_dim = emb_dim\n", "", "emb_dim not kept"),
        ("(x)[0]", "(x)[0].flatten(2).mean(-1)", "averaged over the cells"),
    ],
)

STEP2 = (
    """
class MyStep2(Step1):
    def __init__(self, num_classes=80, num_queries=100, **others):
        super().__init__(**others)
        d = self.emb_dim
        self.num_classes = num_classes
        self.query_content = nn.Embedding(num_queries, d)
        self.classify = nn.Linear(d, 1 + num_classes)
        self.locate = torchvision.ops.MLP(d, [d, d, 4])

    def forward(self, images):
        features = super().forward(images)
        h = torch.stack([self.query_content.weight] * images.shape[0])
        boxes = torch.sigmoid(self.locate(h))
        return dict(class_logits=self.classify(h), bbox_pred=boxes, features=features)
""",
    [
        ("torch.sigmoid(self.locate(h))", "self.locate(h)", "sigmoid forgotten"),
        ("1 + num_classes", "num_classes", "class head without no object"),
        ("self.classify(h),", "torch.softmax(self.classify(h), 2),", "softmax on the logits"),
        ("self.classify(h),", "torch.sigmoid(self.classify(h)),", "sigmoid on the logits"),
        (
            "torch.sigmoid(self.locate(h))",
            'torchvision.ops.box_convert(torch.sigmoid(self.locate(h)), "cxcywh", "xyxy")',
            "corners in place of centre and size",
        ),
        (
            "torch.sigmoid(self.locate(h))",
            "torch.sigmoid(self.locate(h))[..., [2, 3, 0, 1]]",
            "width and height before the centre",
        ),
        (
            "nn.Embedding(num_queries, d)",
            "torch.zeros(num_queries, d)",
            [("query_content.weight", "query_content")],
            "queries that do not learn",
        ),
        ("nn.Embedding(num_queries, d)", "nn.Embedding(1, d)", "one query for all"),
        (
            "torch.stack([self.query_content.weight] * images.shape[0])",
            "self.query_content.weight",
            "batch axis left out",
        ),
        ("* images.shape[0])", ")", "batch axis left out"),
        ("* images.shape[0])", "* images.shape[0], 1)", "batch and queries swapped"),
        ("MLP(d, [d, d, 4])", "MLP(d, [4])", "box head of one layer"),
        (
            "MLP(d, [d, d, 4])",
            "MLP(d, [d, d, 4], activation_layer=nn.Identity)",
            "no ReLU in the box head",
        ),
        (
            "torch.stack([self.query_content.weight] * images.shape[0])",
            "features.permute(0, 2, 3, 1).flatten(1, 2)",
            "cells in place of queries",
        ),
        (", features=features", "", "map left out"),
    ],
)

EMBEDDING = (
    """
class MyEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        self.d, self.t = emb_dim // 2, temperature

    def forward(self, features, padding_mask=None):
        b, _, h, w = features.shape
        if padding_mask is None:
            padding_mask = torch.zeros(b, h, w, dtype=torch.bool)
        ones = 1.0 - padding_mask.float()
        halves = []
        for axis in (1, 2):
            place = torch.cumsum(ones, axis)
            last = place.narrow(axis, place.shape[axis] - 1, 1)
            place = place / (last + 1e-6) * 2 * math.pi
            i = torch.arange(self.d)
            angle = place[..., None] / self.t ** (2 * (i // 2) / self.d)
            halves.append(torch.where(i % 2 == 0, angle.sin(), angle.cos()))
        return torch.einsum("bhwd->bdhw", torch.cat(halves, -1))
""",
    [
        ("(1, 2)", "(2, 1)", "x and y swapped"),
        ("angle.sin(), angle.cos()", "angle.cos(), angle.sin()", "sine and cosine swapped"),
        (
            "torch.where(i % 2 == 0, angle.sin(), angle.cos())",
            "torch.cat((angle[..., ::2].sin(), angle[..., ::2].cos()), -1)",
            "sines and cosines in halves",
        ),
        ("(2 * (i // 2) / self.d)", "(4 * (i // 2) / self.d)", "exponent runs to 2"),
        ("(2 * (i // 2) / self.d)", "((i // 2) / self.d)", "exponent runs to 1/2"),
        (
            "            place = place / (last + 1e-6) * 2 * math.pi\n",
            "",
            "coordinates not normalised",
        ),
        (
            "place / (last + 1e-6) * 2 * math.pi",
            "place - 1",
            "coordinates not normalised",
        ),
        (
            "place / (last + 1e-6) * 2 * math.pi",
            "place - 1",
            [("(2 * (i // 2) / self.d)", "(4 * (i // 2) / self.d)")],
            "exponent runs to 2, coordinates not normalised",
        ),
        (" * 2 * math.pi", "", "2 pi forgotten"),
        ("torch.cumsum(ones, axis)", "torch.cumsum(ones, axis) - 1", "counted from 0"),
        (
            "        ones =",
            "        else:\n            padding_mask = ~padding_mask\n        ones =",
            "mask inverted",
        ),
        ("1.0 - padding_mask.float()", "padding_mask.float()", "mask inverted"),
        ("1.0 - padding_mask.float()", "torch.ones(b, h, w)", "mask ignored"),
        (
            "(2 * (i // 2) / self.d)",
            "(i / self.d)",
            "sine and cosine of different wavelengths",
        ),
        ("bhwd->bdhw", "bhwd->bhwd", "channels last"),
    ],
)

STEP3 = (
    """
class MyStep3(Step2):
    def __init__(self, temperature=10000.0, **others):
        super().__init__(**others)
        self.where = PositionEmbedding2D(self.emb_dim, temperature)
        self.places = nn.Embedding(len(self.queries), self.emb_dim)

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        small = None
        if padding_mask is not None:
            h, w = out["features"].shape[2:]
            rows = torch.arange(h) * padding_mask.shape[1] // h
            columns = torch.arange(w) * padding_mask.shape[2] // w
            small = padding_mask[:, rows][:, :, columns]
            out["padding_mask"] = small
        out["pos_emb"] = self.where(out["features"], small)
        out["query_pos"] = self.places.weight
        return out
""",
    [
        (
            'self.where(out["features"], small)',
            "self.where(images)",
            "positions of pixels",
        ),
        (
            "nn.Embedding(len(self.queries), self.emb_dim)",
            "torch.randn(len(self.queries), self.emb_dim)",
            [("self.places.weight", "self.places")],
            "query positions that do not learn",
        ),
        (
            "        self.places = nn.Embedding(len(self.queries), self.emb_dim)\n",
            "",
            [("self.places.weight", "self.queries")],
            "queries and their positions are one",
        ),
        ('self.where(out["features"], small)', 'self.where(out["features"])', "mask ignored"),
        (
            '        out["query_pos"] = self',
            '        out["padding_mask"] = small\n        out["query_pos"] = self',
            "a mask where none was given",
        ),
        ("[:, rows][:, :, columns]", "[:, rows][:, :, columns].logical_not()", "mask inverted"),
        (
            "small = padding_mask[:, rows][:, :, columns]",
            "small = padding_mask",
            "mask not resized",
        ),
        (
            "        return out",
            '        out["features"] = out["features"] + out["pos_emb"]\n        return out',
            "positions added to the map",
        ),
        (
            'self.where(out["features"], small)',
            'self.where(out["features"], small)[0][None]',
            "positions of the first image for all",
        ),
        (
            "self.places.weight",
            "self.places.weight[None].repeat(len(images), 1, 1)",
            "query positions for every image",
        ),
    ],
)

STEP4 = (
    """
class Layer(nn.Module):
    def __init__(self, d, nhead, width, dropout):
        super().__init__()
        self.heads = nhead
        self.qkv_weight = nn.Parameter(torch.empty(3 * d, d))
        self.qkv_bias = nn.Parameter(torch.zeros(3 * d))
        self.out = nn.Linear(d, d)
        self.linear1, self.linear2 = nn.Linear(d, width), nn.Linear(width, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.drop = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.qkv_weight)

    def attend(self, q, k, v, padding):
        (wq, wk, wv), (bq, bk, bv) = self.qkv_weight.chunk(3), self.qkv_bias.chunk(3)
        q, k, v = q @ wq.T + bq, k @ wk.T + bk, v @ wv.T + bv
        q, k, v = (x.unflatten(-1, (self.heads, -1)) for x in (q, k, v))
        scores = torch.einsum("bqhc,bkhc->bhqk", q, k) / q.shape[-1] ** 0.5
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None], -torch.inf)
        seen = torch.einsum("bhqk,bkhc->bqhc", self.drop(scores.softmax(-1)), v)
        return self.out(seen.flatten(2))

    def forward(self, x, pos, padding):
        x = self.norm1(x + self.drop(self.attend(x + pos, x + pos, x, padding)))
        return self.norm2(x + self.drop(self.linear2(self.drop(self.linear1(x).relu()))))


class MyStep4(Step3):
    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **others):
        super().__init__(**others)
        sizes = self.emb_dim, nhead, dim_feedforward, dropout
        self.layers = nn.ModuleList([Layer(*sizes) for _ in range(enc_layers)])

    def forward(self, images, padding_mask=None):
        out = super().forward(images, padding_mask)
        padding = out["padding_mask"].flatten(1) if "padding_mask" in out else None
        x = torch.einsum("bdhw->bhwd", out["features"]).flatten(1, 2)
        pos = torch.einsum("bdhw->bhwd", out["pos_emb"]).flatten(1, 2)
        for layer in self.layers:
            x = layer(x, pos, padding)
        out["mem"], out["mem_pos"] = x, pos
        return out
""",
    [
        (
            "x + pos, x + pos, x, padding",
            "x + pos, x + pos, x + pos, padding",
            "positions on values",
        ),
        ("x + pos, x + pos, x, padding", "x, x, x, padding", "positions left out"),
        (
            "x = layer(x, pos, padding)",
            "x = layer(x, 0, padding)",
            [("        for layer", "        x = x + pos\n        for layer")],
            "positions added once",
        ),
        ("x + pos, x + pos, x, padding", "x + pos, x, x, padding", "positions on queries alone"),
        ("x + pos, x + pos, x, padding", "x, x + pos, x, padding", "positions on keys alone"),
        (
            'out["mem_pos"] = x, pos',
            'out["mem_pos"] = x + pos, pos',
            "positions left in the memory",
        ),
        (
            'bdhw->bhwd", out["features"]',
            'bdhw->bwhd", out["features"]',
            [('bdhw->bhwd", out["pos_emb"]', 'bdhw->bwhd", out["pos_emb"]')],
            "tokens column by column",
        ),
        (
            'bdhw->bhwd", out["features"]',
            'bdhw->bwhd", out["features"]',
            "tokens and positions in different order",
        ),
        (
            'torch.einsum("bdhw->bhwd", out["features"]).flatten(1, 2)',
            'out["features"].reshape(len(images), -1, self.emb_dim)',
            [
                (
                    'torch.einsum("bdhw->bhwd", out["pos_emb"]).flatten(1, 2)',
                    'out["pos_emb"].reshape(len(images), -1, self.emb_dim)',
                )
            ],
            "reshaped in place of transposed",
        ),
        ("padding[:, None, None]", "~padding[:, None, None]", "mask inverted"),
        ("if padding is not None:", "if False:", "mask ignored"),
        (
            "bqhc,bkhc->bhqk",
            "qbhc,kbhc->bhqk",
            [("bhqk,bkhc->bqhc", "bhqk,kbhc->qbhc"), ("if padding is not None:", "if False:")],
            "batch and tokens swapped",
        ),
        (
            "[Layer(*sizes) for _ in range(enc_layers)]",
            "[Layer(*sizes)] * enc_layers",
            "one layer, used again",
        ),
        (
            "        x = self.norm1(x + self.drop(self.attend(x + pos, x + pos, x, padding)))\n"
            "        return self.norm2(x + self.drop(self.linear2(self.drop(self.linear1(x).relu()))))",
            "        n = self.norm1(x)\n"
            "        x = x + self.drop(self.attend(n + pos, n + pos, n, padding))\n"
            "        n = self.norm2(x)\n"
            "        return x + self.drop(self.linear2(self.drop(self.linear1(n).relu())))",
            "norm before in place of after",
        ),
        ("self.norm1(x + self", "self.norm1(self", "residual left out"),
        ("self.norm2(x + self", "self.norm2(self", "residual left out"),
        (".relu()", "", "feed-forward without ReLU"),
        ("nn.Dropout(dropout)", "lambda x: F.dropout(x, dropout)", "dropout in evaluation mode"),
        ("nn.Dropout(dropout)", "nn.Identity()", "dropout left out"),
        ("self.drop(scores.softmax(-1))", "scores.softmax(-1)", "dropout in other places"),
        (
            "return self.norm2(x + self.drop(self.linear2(self.drop(self.linear1(x).relu()))))",
            "return self.drop(self.norm2(x + self.linear2(self.drop(self.linear1(x).relu()))))",
            "dropout in other places",
        ),
    ],
)

STEP5 = (
    """
class Block(nn.Module):
    def __init__(self, d, nhead, width, dropout):
        super().__init__()
        self.talk = nn.MultiheadAttention(d, nhead, dropout, batch_first=True)
        self.look = nn.MultiheadAttention(d, nhead, dropout, batch_first=True)
        self.up, self.down = nn.Linear(d, width), nn.Linear(width, d)
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(3)])
        self.drop = nn.Dropout(dropout)

    def forward(self, q, q_pos, mem, mem_pos, padding):
        a, _ = self.talk(q + q_pos, q + q_pos, q)
        q = self.norms[0](q + self.drop(a))
        b, _ = self.look(q + q_pos, mem + mem_pos, mem, key_padding_mask=padding)
        q = self.norms[1](q + self.drop(b))
        return self.norms[2](q + self.drop(self.down(self.drop(torch.relu(self.up(q))))))


class MyStep5(Step4):
    def __init__(self, dec_layers=6, **others):
        super().__init__(**others)
        self.blocks = nn.ModuleList([Block(*self.layer_args) for _ in range(dec_layers)])
        self.final = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        q = start = self.queries[None].repeat(len(context["features"]), 1, 1)
        mem, mem_pos, q_pos = context["mem"], context["mem_pos"], context["query_pos"]
        padding = context.get("padding_mask")
        padding = None if padding is None else padding.flatten(1)
        for block in self.blocks:
            q = block(q, q_pos, mem, mem_pos, padding)
        return self.final(q)
""",
    [
        ("mem + mem_pos, mem, key", "mem + mem_pos, mem + mem_pos, key", "positions on values"),
        ("q + q_pos, q + q_pos, q)", "q + q_pos, q + q_pos, q + q_pos)", "positions on values"),
        (
            "mem + mem_pos, mem, key",
            "mem + mem_pos, mem + mem_pos, key",
            [("q + q_pos, q + q_pos, q)", "q + q_pos, q + q_pos, q + q_pos)")],
            "positions on values",
        ),
        (
            'context["mem"],',
            'context["mem"] + context["mem_pos"],',
            "positions added to the memory again",
        ),
        (
            "q + q_pos, q + q_pos, q)",
            "q, q, q)",
            [("self.look(q + q_pos,", "self.look(q,")],
            "query positions left out",
        ),
        (
            "q + q_pos, q + q_pos, q)",
            "q, q, q)",
            [
                ("self.look(q + q_pos,", "self.look(q,"),
                ("        for block", "        q = q + q_pos\n        for block"),
            ],
            "query positions added once",
        ),
        (
            "q + q_pos, q + q_pos, q)",
            "q, q, q)",
            [
                ("self.look(q + q_pos, mem + mem_pos, mem", "self.look(q, mem, mem"),
                (
                    "        for block",
                    "        q, mem = q + q_pos, mem + mem_pos\n        for block",
                ),
            ],
            "all positions added at the input",
        ),
        ("mem + mem_pos, mem, key", "mem, mem, key", "memory positions left out"),
        (
            'mem, mem_pos, q_pos = context["mem"]',
            'mem, mem_pos, q_pos = context["features"].flatten(2).mT',
            "map in place of the memory",
        ),
        ("return self.final(q)", "return q", "final norm left out"),
        (
            "return self.final(q)",
            "return q",
            [("        self.final = nn.LayerNorm(self.emb_dim)\n", "")],
            "final norm left out",
        ),
        ("self.norms[0](q + self.drop(a))", "self.norms[0](q)", "self-attention left out"),
        (
            "        a, _ = self.talk(q + q_pos, q + q_pos, q)\n"
            "        q = self.norms[0](q + self.drop(a))\n",
            "",
            [
                (
                    "        q = self.norms[1](q + self.drop(b))\n",
                    "        q = self.norms[1](q + self.drop(b))\n"
                    "        a, _ = self.talk(q + q_pos, q + q_pos, q)\n"
                    "        q = self.norms[0](q + self.drop(a))\n",
                )
            ],
            "cross-attention before self-attention",
        ),
        ("else padding.flatten(1)", "else ~padding.flatten(1)", "mask inverted"),
        (", key_padding_mask=padding", "", "mask ignored"),
        (
            "[Block(*self.layer_args) for _ in range(dec_layers)]",
            "[Block(*self.layer_args)] * dec_layers",
            "one layer, used again",
        ),
        ("q = block(q, q_pos", "q = block(start, q_pos", "every layer starts anew"),
        ("nn.Dropout(dropout)", "lambda x: F.dropout(x, dropout)", "dropout in evaluation mode"),
        ("dropout, batch_first=True)", "0.0, batch_first=True)", "dropout in other places"),
        (
            "dropout, batch_first=True)",
            "0.0, batch_first=True)",
            [("nn.Dropout(dropout)", "nn.Identity()")],
            "dropout left out",
        ),
    ],
)

INTERMEDIATES = (
    """
class MyDecoder(TransformerDecoder):
    def forward(self, hidden, query_pos, mem, mem_pos, padding=None):
        seen = []
        for layer in self.layers:
            hidden = layer(hidden, query_pos, mem, mem_pos, padding)
            seen.append(self.norm(hidden)[None])
        return torch.cat(seen, 0)
""",
    [
        (
            "self.norm(hidden)[None]",
            "(self.norm(hidden) if layer is self.layers[-1] else hidden)[None]",
            "no final norm for the intermediate layers",
        ),
        ("self.norm(hidden)[None]", "hidden[None]", "final norm left out"),
        ("torch.cat(seen, 0)", "seen[-1][0]", "last layer alone"),
        ("torch.cat(seen, 0)", "torch.cat(seen, 0).flip(0)", "layers in reverse order"),
        ("torch.cat(seen, 0)", "torch.cat(seen, 0).transpose(0, 1)", "layers along the wrong axis"),
    ],
)

STEP6 = (
    """
class Decoder(TransformerDecoder):
    def collect(self, states):
        self.states = [self.norm(s) for s in states]
        return self.states[-1]


class MyStep6(Step5):
    decoder_class = Decoder

    def read(self, h, i):
        return {"class_logits": self.class_head(h), "bbox_pred": self.bbox_head(h).sigmoid()}

    def decode(self, context):
        super().decode(context)
        return self.decoder.states

    def predict(self, states):
        guesses = [self.read(h, i) for i, h in enumerate(states)]
        return guesses[-1] | {"aux_outputs": guesses[:-1]}
""",
    [
        (
            "[self.norm(s) for s in states]",
            "states[:-1] + [self.norm(states[-1])]",
            "no final norm for the intermediate layers",
        ),
        ("[self.norm(s) for s in states]", "states", "final norm left out"),
        (
            "    decoder_class = Decoder\n",
            "    def __init__(self, **kwargs):\n"
            "        super().__init__(**kwargs)\n"
            "        self.decoder = Decoder(len(self.decoder.layers), *self.layer_args)\n",
            "decoder built twice",
        ),
        (
            "guesses[:-1]}",
            "[{k: v.detach() for k, v in g.items()} for g in guesses[:-1]]}",
            "auxiliary outputs detached",
        ),
        ("guesses[:-1]}", "[]}", "no auxiliary outputs"),
        ("guesses[:-1]}", "guesses}", "last layer among the auxiliary outputs"),
        ("guesses[:-1]}", "guesses[:-1][::-1]}", "layers in reverse order"),
        ("guesses[:-1]}", "[guesses[-1]] * (len(guesses) - 1)}", "last layer repeated"),
        (
            "guesses[-1] |",
            "guesses[0] |",
            [("guesses[:-1]}", "guesses[1:]}")],
            "prediction of the first layer",
        ),
        (
            "    decoder_class = Decoder\n",
            "    decoder_class = Decoder\n\n"
            "    def __init__(self, dec_layers=6, **kwargs):\n"
            "        super().__init__(dec_layers=dec_layers, **kwargs)\n"
            "        from copy import deepcopy\n"
            "        self.aux_class = nn.ModuleList(deepcopy(self.class_head) for _ in range(dec_layers - 1))\n"
            "        self.aux_bbox = nn.ModuleList(deepcopy(self.bbox_head) for _ in range(dec_layers - 1))\n",
            "heads of its own for each layer",
        ),
        ("guesses[:-1]}", "states[:-1]}", "states in place of predictions"),
        (
            "guesses[:-1]}",
            "[dict(class_logits=g['class_logits']) for g in guesses[:-1]]}",
            "auxiliary outputs without boxes",
        ),
    ],
)

CORNERS = (
    """
def my_corners(boxes):
    cx, cy, w, h = boxes.unbind(-1)
    return torch.stack([cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h], dim=-1)
""",
    [
        (
            "[cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h]",
            "[cx - w, cy - h, cx + w, cy + h]",
            "whole size in place of half",
        ),
        (
            "[cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h]",
            "[cx, cy, cx + w, cy + h]",
            "centre taken for the corner",
        ),
        (
            "[cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h]",
            "[cx + w / 2, cy + h / 2, cx - w / 2, cy - h / 2]",
            "corners in the wrong order",
        ),
        ("cx, cy, w, h =", "cy, cx, h, w =", "x and y swapped"),
        ("cy - 0.5 * h, cx + 0.5 * w", "cx + 0.5 * w, cy - 0.5 * h", "both x before both y"),
        ("cx, cy, w, h =", "w, h, cx, cy =", "centre and size swapped"),
        (
            "boxes.unbind(-1)",
            "boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]",
            "only two axes thought of",
        ),
        (
            "    return",
            "    boxes[..., :2] -= boxes[..., 2:] / 2\n    boxes[..., 2:] += boxes[..., :2]\n    return boxes\n    return",
            [("def my_corners(boxes):", "@torch.no_grad()\ndef my_corners(boxes):")],
            "inputs changed in place",
        ),
    ],
)

IOU_BODY = """
def overlap_and_union(a, b):
    x = torch.min(a[..., :, None, 2], b[..., None, :, 2]) - torch.max(a[..., :, None, 0], b[..., None, :, 0])
    y = torch.min(a[..., :, None, 3], b[..., None, :, 3]) - torch.max(a[..., :, None, 1], b[..., None, :, 1])
    overlap = x.clamp(min=0) * y.clamp(min=0)
    size_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    size_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return overlap, size_a[..., :, None] + size_b[..., None, :] - overlap


"""

IOU = (
    IOU_BODY
    + """
def my_iou(a, b):
    overlap, union = overlap_and_union(a, b)
    return overlap / union.clamp(min=1e-12)
""",
    [
        ("x.clamp(min=0) * y.clamp(min=0)", "x * y", "overlap below zero"),
        ("size_b[..., None, :] - overlap", "size_b[..., None, :]", "overlap counted twice"),
        ("union.clamp(min=1e-12)", "union", "0 divided by 0"),
        (
            "    return overlap / union",
            "    return (overlap / union.clamp(min=1e-12)).mT\n    return overlap / union",
            "axes of the pairs swapped",
        ),
        (
            "    overlap, union = overlap_and_union(a, b)\n    return",
            "    if a.dim() == b.dim() and a.shape[-2] > 1:\n"
            "        x = torch.min(a[..., 2], b[..., 2]) - torch.max(a[..., 0], b[..., 0])\n"
            "        y = torch.min(a[..., 3], b[..., 3]) - torch.max(a[..., 1], b[..., 1])\n"
            "        o = x.clamp(min=0) * y.clamp(min=0)\n"
            "        s, t = ((c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b))\n"
            "        return o / (s + t - o).clamp(min=1e-12)\n"
            "    overlap, union = overlap_and_union(a, b)\n    return",
            "pair by pair in place of all pairs",
        ),
        (
            "def my_iou(a, b):\n",
            "def my_iou(a, b):\n"
            "    a, b = (torchvision.ops.box_convert(c, 'cxcywh', 'xyxy') for c in (a, b))\n",
            "corners taken for centre and size",
        ),
        (
            "return overlap, size_a[..., :, None] + size_b[..., None, :] - overlap",
            "return overlap, size_a[..., :, None] + 0 * size_b[..., None, :]",
            "divided by the first box",
        ),
    ],
)

GIOU = (
    IOU_BODY
    + """
def my_giou(a, b):
    overlap, union = overlap_and_union(a, b)
    left = torch.min(a[..., :, None, :2], b[..., None, :, :2])
    right = torch.max(a[..., :, None, 2:], b[..., None, :, 2:])
    hull = (right - left).prod(-1)
    tiny = 1e-12
    return overlap / union.clamp(min=tiny) - 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)
""",
    [
        (
            "return overlap / union.clamp(min=tiny) - 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "return overlap / union.clamp(min=tiny) - (union - overlap) / union.clamp(min=tiny)",
            "GIoU that equals 2 IoU - 1",
        ),
        (
            "- 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "+ 1 - torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "penalty added",
        ),
        (
            "- 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "- (hull - union) / union.clamp(min=tiny)",
            "penalty divided by the union",
        ),
        (
            "- 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "- (hull - overlap) / hull.clamp(min=tiny)",
            "hull without the intersection alone",
        ),
        (
            " - 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
            "",
            "IoU in place of GIoU",
        ),
        ("overlap / union.clamp(min=tiny) - 1", "-1", "penalty alone"),
        (
            "torch.min(a[..., :, None, :2]",
            "torch.max(a[..., :, None, :2]",
            [
                ("torch.max(a[..., :, None, 2:]", "torch.min(a[..., :, None, 2:]"),
                ("(right - left).prod(-1)", "(right - left).clamp(min=0).prod(-1)"),
                (
                    " - 1 + torch.where(hull > 0, union / hull.clamp(min=tiny), 1)",
                    " - (hull - union) / hull.clamp(min=torch.finfo(torch.float32).tiny)",
                ),
            ],
            "hull from the inner corners",
        ),
        ("x.clamp(min=0) * y.clamp(min=0)", "x * y", "overlap below zero"),
        (
            "def my_giou(a, b):\n",
            "def my_giou(a, b):\n"
            "    a, b = (torchvision.ops.box_convert(c, 'cxcywh', 'xyxy') for c in (a, b))\n",
            "corners taken for centre and size",
        ),
    ],
)

GIOU_LOSS = (
    """
def my_loss(a, b):
    return torchvision.ops.generalized_box_iou_loss(a, b, eps=1e-12)
""",
    [
        ("return ", "return 1 - ", "GIoU in place of 1 - GIoU"),
        ("return ", "return -", "sign flipped"),
        ("eps=1e-12)", "eps=1e-12) - 1", "1 forgotten"),
        (
            "return torchvision.ops.generalized_box_iou_loss(a, b, eps=1e-12)",
            "return 1 - generalized_box_iou(a, b)",
            "all pairs in place of pair by pair",
        ),
        ("eps=1e-12)", "eps=1e-12, reduction='mean')", "averaged already"),
        (
            "return torchvision.ops.generalized_box_iou_loss(a, b, eps=1e-12)",
            "return 1 - box_iou(a[..., None, :], b[..., None, :]).squeeze((-1, -2))",
            "IoU in place of GIoU",
        ),
        (
            "def my_loss(a, b):\n",
            "def my_loss(a, b):\n"
            "    a, b = (torchvision.ops.box_convert(c, 'cxcywh', 'xyxy') for c in (a, b))\n",
            "corners taken for centre and size",
        ),
    ],
)

STEP7 = (
    """
class MyStep7(Step6):
    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **others):
        super().__init__(**others)
        self.weights = cost_class, cost_bbox, cost_giou

    @torch.no_grad()
    def match(self, outputs, targets):
        logits, boxes = outputs["class_logits"], outputs["bbox_pred"]
        check_targets(targets, *boxes.shape[:2], self.num_classes)
        labels = torch.cat([target["labels"] for target in targets])
        wanted = torch.cat([target["boxes"] for target in targets])
        a, b, c = self.weights
        prob = logits.softmax(-1)[:, :, labels]
        distance = (boxes[:, :, None] - wanted).abs().sum(-1)
        xyxy = box_cxcywh_to_xyxy
        giou = generalized_box_iou(xyxy(boxes).flatten(0, 1), xyxy(wanted)).view_as(distance)
        cost = b * distance - a * prob - c * giou
        counts = [len(target["labels"]) for target in targets]
        pairs = []
        for i, part in enumerate(cost.cpu().split(counts, -1)):
            rows, columns = scipy.optimize.linear_sum_assignment(part[i])
            pairs.append((torch.as_tensor(rows), torch.as_tensor(columns)))
        return pairs
""",
    [
        ("- a * prob", "+ a * prob", "class probability raises the cost"),
        ("- c * giou", "+ c * giou", "GIoU raises the cost"),
        ("b * distance -", "-b * distance -", "distance lowers the cost"),
        ("assignment(part[i])", "assignment(-part[i])", "maximised in place of minimised"),
        ("logits.softmax(-1)", "logits.softmax(1)", "softmax over the wrong axis"),
        ("logits.softmax(-1)", "logits", "logits in place of probabilities"),
        ("logits.softmax(-1)", "torch.sigmoid(logits)", "sigmoid in place of softmax"),
        (
            "logits.softmax(-1)",
            "logits.log_softmax(-1)",
            "log-probabilities in place of probabilities",
        ),
        ("logits.softmax(-1)", "logits[:, :, :-1].softmax(-1)", "softmax without no object"),
        ("[:, :, labels]", "[:, :, labels + 1]", "class index off by one"),
        (
            "(boxes[:, :, None] - wanted).abs()",
            "(box_cxcywh_to_xyxy(boxes)[:, :, None] - box_cxcywh_to_xyxy(wanted)).abs()",
            "L1 of corners",
        ),
        (
            "(boxes[:, :, None] - wanted).abs().sum(-1)",
            "(boxes[:, :, None] - wanted).square().sum(-1).sqrt()",
            "L2 in place of L1",
        ),
        (".abs().sum(-1)", ".abs().mean(-1)", "mean over the coordinates in place of the sum"),
        ("xyxy = box_cxcywh_to_xyxy", "xyxy = torch.clone", "GIoU of centres and sizes"),
        ("a, b, c = self.weights", "a = b = c = 1", "weights left out"),
        ("- a * prob", "", "class left out"),
        ("- c * giou", "", "GIoU left out"),
        ("b * distance -", "-", "L1 left out"),
        (
            "(torch.as_tensor(rows), torch.as_tensor(columns))",
            "(torch.as_tensor(columns), torch.as_tensor(rows))",
            "targets before queries",
        ),
        (
            "rows, columns = scipy.optimize.linear_sum_assignment(part[i])",
            "table, rows, columns = part[i].clone(), [], []\n"
            "            for j in range(table.shape[1]):\n"
            "                best = int(table[:, j].argmin())\n"
            "                rows.append(best)\n"
            "                columns.append(j)\n"
            "                table[best] = torch.inf\n"
            "            rows, columns = torch.tensor(rows).long(), torch.tensor(columns).long()",
            "greedy in place of the cheapest",
        ),
        (
            "        check_targets(targets, *boxes.shape[:2], self.num_classes)\n",
            "",
            "bad targets accepted",
        ),
        (
            "cost.cpu().split(counts, -1)",
            "cost.split(counts, -1)",
            [("part[i])", "part[i].cpu())")],
            "a copy for each image and layer",
        ),
        (
            "cost.cpu().split(counts, -1)",
            "cost.split(counts, -1)",
            [("part[i])", "part[i].to('cpu'))")],
            "a copy for each image and layer",
        ),
        ("    @torch.no_grad()\n", "", "gradient asked of the matching"),
    ],
)

STEP8 = (
    """
class MyStep8(Step7):
    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **others):
        super().__init__(**others)
        self.w = w_class, w_bbox, w_giou
        self.weight = torch.ones(self.num_classes + 1)
        self.weight[self.num_classes] = no_object_weight

    def compute_loss(self, outputs, targets):
        layers = outputs.get("aux_outputs", []) + [outputs]
        logits = torch.stack([layer["class_logits"] for layer in layers])
        boxes = torch.stack([layer["bbox_pred"] for layer in layers])
        pairs = self.match_layers(layers, targets)
        count = max(1, sum(len(target["labels"]) for target in targets))
        total = 0
        for layer_logits, layer_boxes, layer_pairs in zip(logits, boxes, pairs):
            classes = torch.full(layer_logits.shape[:2], self.num_classes)
            l1 = giou = 0
            for i, (q, t) in enumerate(layer_pairs):
                classes[i, q] = targets[i]["labels"][t]
                found, wanted = layer_boxes[i, q], targets[i]["boxes"][t]
                l1 = l1 + F.l1_loss(found, wanted, reduction="sum")
                found, wanted = box_cxcywh_to_xyxy(found), box_cxcywh_to_xyxy(wanted)
                giou = giou + giou_loss(found, wanted).sum()
            ce = F.cross_entropy(layer_logits.transpose(1, 2), classes, self.weight)
            a, b, c = self.w
            total = total + a * ce + b * l1 / count + c * giou / count
        return total
""",
    [
        (
            "        self.weight[self.num_classes] = no_object_weight\n",
            "",
            "no weight on no object",
        ),
        ("self.weight[self.num_classes]", "self.weight[0]", "weight on the first class"),
        (
            "shape[:2], self.num_classes)",
            "shape[:2], self.num_classes - 1)",
            "no-object index off by one",
        ),
        ("shape[:2], self.num_classes)", "shape[:2], 0)", "no object is class 0"),
        ("shape[:2], self.num_classes)", "shape[:2], -100)", "unmatched queries left out"),
        (
            "classes, self.weight)",
            'classes, self.weight, reduction="none").mean()',
            [("ce = F", "ce = F")],
            "class weights left out of the divisor",
        ),
        (
            'reduction="sum")',
            'reduction="sum") / 4',
            "mean over the coordinates in place of the sum",
        ),
        (
            'max(1, sum(len(target["labels"]) for target in targets))',
            "boxes[0, ..., 0].numel()",
            "divided by the number of queries",
        ),
        (
            'max(1, sum(len(target["labels"]) for target in targets))',
            "len(targets)",
            "divided by the number of images",
        ),
        ('max(1, sum(len(target["labels"]) for target in targets))', "1", "not divided at all"),
        (
            'max(1, sum(len(target["labels"]) for target in targets))',
            'torch.tensor(sum(len(target["labels"]) for target in targets))',
            "0 divided by 0",
        ),
        (
            "zip(logits, boxes, pairs)",
            "zip(logits, boxes, [pairs[-1]] * len(pairs))",
            "last layer's matching for all layers",
        ),
        ('outputs.get("aux_outputs", []) + [outputs]', "[outputs]", "auxiliary outputs left out"),
        ("return total", "return total / len(layers)", "layers averaged"),
        (
            '                l1 = l1 + F.l1_loss(found, wanted, reduction="sum")\n'
            "                found, wanted = box_cxcywh_to_xyxy(found), box_cxcywh_to_xyxy(wanted)\n",
            "                found, wanted = box_cxcywh_to_xyxy(found), box_cxcywh_to_xyxy(wanted)\n"
            '                l1 = l1 + F.l1_loss(found, wanted, reduction="sum")\n',
            "L1 of corners",
        ),
        (
            "                found, wanted = box_cxcywh_to_xyxy(found), box_cxcywh_to_xyxy(wanted)\n",
            "",
            "GIoU of centres and sizes",
        ),
        ("giou_loss(found, wanted).sum()", "(1 - giou_loss(found, wanted)).sum()", "GIoU rewarded"),
        ('targets[i]["boxes"][t]', 'targets[i]["boxes"]', "matched boxes in the wrong order"),
        ('targets[i]["labels"][t]', 'targets[i]["labels"]', "matched classes in the wrong order"),
        (
            'targets[i]["labels"][t]',
            'targets[i]["labels"]',
            [('targets[i]["boxes"][t]', 'targets[i]["boxes"]')],
            "matched objects in the wrong order",
        ),
        ("a, b, c = self.w", "a = b = c = 1", "weights left out"),
        ("return total", "return total.detach()", "predictions detached"),
        (
            "return total",
            "return total * torch.rand(1).item()",
            "loss that changes from call to call",
        ),
        (
            "pairs = self.match_layers(layers, targets)",
            "pairs = [self.match(layer, targets) for layer in layers]",
            "a copy for each image and layer",
        ),
        (
            "pairs = self.match_layers(layers, targets)",
            "good = [{'labels': t['labels'].clamp(0, 4), 'boxes': t['boxes'][:len(t['labels'])]"
            ".nan_to_num().clamp(0, 1)} for t in targets]\n"
            "        pairs = self.match_layers(layers, good)",
            "bad targets accepted",
        ),
    ],
)

SMALL = {
    "merge": (
        """
def my_merge(fine, coarse):
    return F.interpolate(coarse, fine.shape[2:]) + fine
""",
        [
            ("fine.shape[2:])", "scale_factor=2)", "doubled in place of fitted"),
            ("fine.shape[2:])", "fine.shape[2:], mode='bilinear')", "bilinear in place of nearest"),
            (" + fine", "", "coarse map alone"),
            (
                "fine.shape[2:]) + fine",
                "fine.shape[2:]) / 2 + fine / 2",
                "mean in place of the sum",
            ),
        ],
    ),
    "map_size": (
        """
def my_map_size(height, width):
    return tuple(-(-side // 32) for side in (height, width))
""",
        [
            ("-(-side // 32)", "side // 32", "rounded down"),
            ("-(-side // 32)", "side // 32 + 1", "one too many"),
            ("(height, width))", "(width, height))", "width before height"),
            ("-(-side // 32)", "side / 32", "not rounded"),
            ("// 32", "// 16", "stride 16"),
        ],
    ),
    "read_query": (
        """
def my_read_query(logits):
    prob = logits.exp() / logits.exp().sum()
    label = prob[:-1].argmax().item()
    return label, prob[label].item()
""",
        [
            ("prob[:-1]", "prob", "no object can win"),
            (
                "prob = ",
                "prob = logits * 0 + ",
                [("logits.exp() / logits.exp().sum()", "logits")],
                "logit in place of the probability",
            ),
            (
                "logits.exp() / logits.exp().sum()",
                "logits.sigmoid()",
                "sigmoid in place of softmax",
            ),
            ("label, prob[label].item()", "prob[label].item(), label", "score before class"),
            (".sum()", "[:-1].sum()", "no object left out of the softmax"),
        ],
    ),
    "wave": (
        """
def my_wave(position, channel, d, temperature):
    k, odd = divmod(channel, 2)
    return torch.sin(position * temperature ** (-2 * k / d) + odd * math.pi / 2)
""",
        [
            ("-2 * k", "2 * k", "multiplied by the period"),
            ("odd *", "(1 - odd) *", "sine and cosine swapped"),
            ("-2 * k", "-channel", "sine and cosine of different wavelengths"),
            ("-2 * k", "-4 * k", "exponent runs to 2"),
            (" + odd * math.pi / 2", "", "sines alone"),
        ],
    ),
    "attention_weights": (
        """
def my_weights(query, key):
    similarity = torch.einsum("nd,md->nm", query, key) / math.sqrt(query.shape[1])
    return torch.nn.functional.softmax(similarity, dim=1)
""",
        [
            (" / math.sqrt(query.shape[1])", "", "not divided by the root of d"),
            ("math.sqrt(query.shape[1])", "query.shape[1]", "divided by d"),
            ("dim=1", "dim=0", "softmax over the queries"),
            ("torch.nn.functional.softmax(similarity, dim=1)", "similarity", "softmax left out"),
            (
                "math.sqrt(query.shape[1])",
                "math.sqrt(len(key))",
                "divided by the root of the number of keys",
            ),
        ],
    ),
    "read_memory": (
        """
def my_reading(query, mem, positions):
    key = mem + positions
    return F.scaled_dot_product_attention(query, key, mem)
""",
        [
            ("query, key, mem)", "query, key, key)", "positions on values"),
            ("mem + positions", "mem", "positions left out"),
            ("mem + positions", "positions", "positions as keys alone"),
            ("key, mem)", "key, mem, scale=1.0)", "not divided by the root of d"),
            (
                "F.scaled_dot_product_attention(query, key, mem)",
                "query @ key.T @ mem",
                "sum in place of the mean",
            ),
        ],
    ),
    "pair_cost": (
        """
def my_cost(prob, predicted, wanted, giou):
    return 5 * F.l1_loss(predicted, wanted, reduction="sum") - 2 * (prob + giou)
""",
        [
            (
                'reduction="sum"',
                'reduction="mean"',
                "mean over the coordinates in place of the sum",
            ),
            ("(prob + giou)", "(giou - prob)", "class probability raises the cost"),
            ("(prob + giou)", "(prob - giou)", "GIoU raises the cost"),
            ("F.l1_loss", "F.mse_loss", "squares in place of absolute values"),
            ("5 * F", "F", [("- 2 *", "-")], "weights left out"),
        ],
    ),
    "class_term": (
        """
def my_class_term(logits, classes, no_object_weight):
    p = logits.log_softmax(-1)[range(len(classes)), classes]
    w = torch.where(classes == logits.shape[1] - 1, no_object_weight, 1.0)
    return -(w * p).sum() / w.sum()
""",
        [
            ("no_object_weight, 1.0", "1.0, 1.0", "no weight on no object"),
            ("/ w.sum()", "/ len(w)", "class weights left out of the divisor"),
            ("no_object_weight, 1.0", "1.0, no_object_weight", "weights of the classes exchanged"),
            ("return -", "return ", "sign turned"),
            (" / w.sum()", "", "summed up"),
            ("no_object_weight, 1.0", "0.0, 1.0", "unmatched queries left out"),
        ],
    ),
}

ATTEMPTS = {
    **SMALL,
    "FPN": FPN,
    "ResNetFPN": RESNET_FPN,
    "Step0": STEP0,
    "Step1": STEP1,
    "Step2": STEP2,
    "PositionEmbedding2D": EMBEDDING,
    "Step3": STEP3,
    "Step4": STEP4,
    "Step5": STEP5,
    "TransformerDecoderWithIntermediates": INTERMEDIATES,
    "Step6": STEP6,
    "box_cxcywh_to_xyxy": CORNERS,
    "box_iou": IOU,
    "generalized_box_iou": GIOU,
    "giou_loss": GIOU_LOSS,
    "Step7": STEP7,
    "Step8": STEP8,
}
