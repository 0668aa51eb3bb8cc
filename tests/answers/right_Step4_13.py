import torch
from torch import nn

from detr_steps import Step3


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D].

    No class for a layer: everything of a layer stands in lists, by the letters of the page.
    """

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        D = self.emb_dim
        self.h = nhead
        linears = lambda i, o: nn.ModuleList([nn.Linear(i, o) for _ in range(enc_layers)])
        norms = lambda: nn.ModuleList([nn.LayerNorm(D) for _ in range(enc_layers)])
        self.W_Q, self.W_K, self.W_V, self.W_O = (linears(D, D) for _ in range(4))
        self.norm_1, self.norm_2 = norms(), norms()
        self.W_1, self.W_2 = linears(D, dim_feedforward), linears(dim_feedforward, D)
        self.dropout = nn.Dropout(dropout)

    def cut(self, x):
        """[B, T, D] -> [B, h, T, d_k]"""
        B, T, D = x.shape
        return x.view(B, T, self.h, D // self.h).permute(0, 2, 1, 3)

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        X = context["features"].flatten(start_dim=2).permute(0, 2, 1)
        P = context["pos_emb"].flatten(start_dim=2).permute(0, 2, 1)
        B, T, D = X.shape

        penalty = torch.zeros(B, 1, 1, T, dtype=X.dtype, device=X.device)
        if context.get("padding_mask") is not None:
            penalty[context["padding_mask"].view(B, 1, 1, T)] = float("-inf")

        for i in range(len(self.W_Q)):
            # (X + P) W = X W + P W, the bias only once
            Q = self.W_Q[i](X) + P @ self.W_Q[i].weight.T
            K = self.W_K[i](X) + P @ self.W_K[i].weight.T
            V = self.W_V[i](X)
            Q, K, V = self.cut(Q), self.cut(K), self.cut(V)
            d_k = Q.shape[-1]
            S = torch.einsum("bhid,bhjd->bhij", Q, K) / d_k**0.5 + penalty
            heads = torch.einsum("bhij,bhjd->bhid", self.dropout(S.softmax(-1)), V)
            A = self.W_O[i](heads.permute(0, 2, 1, 3).reshape(B, T, D))
            X = self.norm_1[i](X + self.dropout(A))
            G = self.W_2[i](self.dropout(self.W_1[i](X).relu()))
            X = self.norm_2[i](X + self.dropout(G))

        context["mem"] = X
        context["mem_pos"] = P
        return context
