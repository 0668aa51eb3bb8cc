import torch
from torch import nn

from detr_steps import Step4


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D].

    No class for a layer: tensors with an axis for the layers, and einsum.
    """

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        D, h, F, p = self.layer_args
        L, k = dec_layers, D // h

        def weights(*shape):
            return nn.Parameter(torch.randn(*shape) * D**-0.5)

        def fill(value, *shape):
            return nn.Parameter(torch.full(shape, float(value)))

        d = {}
        for kind in ("self", "cross"):
            for x in ("q", "k", "v"):
                d[f"{kind}_{x}"] = weights(L, h, D, k)
                d[f"{kind}_{x}_bias"] = fill(0, L, h, 1, k)
            d[f"{kind}_o"] = weights(L, h, k, D)
            d[f"{kind}_o_bias"] = fill(0, L, D)
        d["up"], d["up_bias"] = weights(L, D, F), fill(0, L, F)
        d["down"], d["down_bias"] = weights(L, F, D), fill(0, L, D)
        d["gain"], d["shift"] = fill(1, L, 3, D), fill(0, L, 3, D)
        self.dec = nn.ParameterDict(d)
        self.dec_norm = nn.LayerNorm(D)
        self.n_layers, self.p, self.d_k = L, p, k

    def drop(self, x):
        return nn.functional.dropout(x, p=self.p, training=self.training)

    def norm(self, x, layer, which):
        gain, shift = self.dec["gain"][layer, which], self.dec["shift"][layer, which]
        return nn.functional.layer_norm(x, gain.shape, gain, shift)

    def attend(self, kind, layer, asks, keys, values, padding=None):
        w = lambda name: self.dec[f"{kind}_{name}"][layer]
        q = torch.einsum("bnd,hdk->bhnk", asks, w("q")) + w("q_bias")
        k = torch.einsum("btd,hdk->bhtk", keys, w("k")) + w("k_bias")
        v = torch.einsum("btd,hdk->bhtk", values, w("v")) + w("v_bias")
        s = torch.einsum("bhnk,bhtk->bhnt", q, k) * self.d_k**-0.5
        if padding is not None:
            s = s.masked_fill(padding[:, None, None, :], float("-inf"))
        a = self.drop(s.softmax(-1))
        return torch.einsum("bhnt,bhtk,hkd->bnd", a, v, w("o")) + w("o_bias")

    def decode(self, context):
        H = super().decode(context)
        Pq, M, Pm = context["query_pos"], context["mem"], context["mem_pos"]
        padding = context.get("padding_mask")
        padding = None if padding is None else padding.flatten(1)
        for i in range(self.n_layers):
            H = self.norm(H + self.drop(self.attend("self", i, H + Pq, H + Pq, H)), i, 0)
            H = self.norm(H + self.drop(self.attend("cross", i, H + Pq, M + Pm, M, padding)), i, 1)
            inner = torch.relu(H @ self.dec["up"][i] + self.dec["up_bias"][i])
            G = self.drop(inner) @ self.dec["down"][i] + self.dec["down_bias"][i]
            H = self.norm(H + self.drop(G), i, 2)
        return self.dec_norm(H)
