# as in Mask2Former (Detectron2): three lists of sublayers, [length, batch, channels]
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_steps import Step4


class SelfAttentionLayer(nn.Module):
    def __init__(self, d_model, nhead, dropout=0.0):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self._reset_parameters()

    def _reset_parameters(self):
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, tgt, query_pos: Optional[Tensor] = None):
        q = k = tgt if query_pos is None else tgt + query_pos
        tgt2 = self.self_attn(q, k, value=tgt)[0]
        return self.norm(tgt + self.dropout(tgt2))


class CrossAttentionLayer(nn.Module):
    def __init__(self, d_model, nhead, dropout=0.0):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tgt, memory, memory_mask=None, pos=None, query_pos=None):
        tgt2 = self.multihead_attn(
            query=tgt + query_pos,
            key=memory + pos,
            value=memory,
            attn_mask=memory_mask,
        )[0]
        return self.norm(tgt + self.dropout(tgt2))


class FFNLayer(nn.Module):
    def __init__(self, d_model, dim_feedforward=2048, dropout=0.0):
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tgt):
        tgt2 = self.linear2(self.dropout(F.relu(self.linear1(tgt))))
        tgt = tgt + self.dropout(tgt2)
        return self.norm(tgt)


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        hidden_dim, nheads, dim_feedforward, dropout = self.layer_args
        self.num_heads = nheads
        self.num_layers = dec_layers
        self.transformer_self_attention_layers = nn.ModuleList()
        self.transformer_cross_attention_layers = nn.ModuleList()
        self.transformer_ffn_layers = nn.ModuleList()
        for _ in range(self.num_layers):
            self.transformer_self_attention_layers.append(
                SelfAttentionLayer(d_model=hidden_dim, nhead=nheads, dropout=dropout)
            )
            self.transformer_cross_attention_layers.append(
                CrossAttentionLayer(d_model=hidden_dim, nhead=nheads, dropout=dropout)
            )
            self.transformer_ffn_layers.append(
                FFNLayer(d_model=hidden_dim, dim_feedforward=dim_feedforward, dropout=dropout)
            )
        self.decoder_norm = nn.LayerNorm(hidden_dim)

    def decode(self, context):
        output = super().decode(context).permute(1, 0, 2)  # QxNxC
        src = context["mem"].permute(1, 0, 2)
        pos = context["mem_pos"].permute(1, 0, 2)
        query_embed = context["query_pos"].unsqueeze(1)  # Qx1xC, the same for every image

        attn_mask = None
        if "padding_mask" in context:
            # [B, H', W'] -> [B * heads, Q, H'W']
            attn_mask = context["padding_mask"].flatten(1)[:, None, None, :]
            attn_mask = attn_mask.expand(-1, self.num_heads, output.shape[0], -1).flatten(0, 1)

        for i in range(self.num_layers):
            output = self.transformer_self_attention_layers[i](output, query_pos=query_embed)
            output = self.transformer_cross_attention_layers[i](
                output, src, memory_mask=attn_mask, pos=pos, query_pos=query_embed
            )
            output = self.transformer_ffn_layers[i](output)
        return self.decoder_norm(output).transpose(0, 1)
