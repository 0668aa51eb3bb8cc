# in the style of Hugging Face's modeling_detr.py
from typing import Optional

import torch
from torch import Tensor, nn

from detr_steps import Step3


class DetrAttention(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.head_dim = embed_dim // num_heads
        self.scaling = self.head_dim**-0.5
        self.k_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.v_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.q_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)

    def _shape(self, tensor: Tensor, seq_len: int, batch_size: int):
        tensor = tensor.view(batch_size, seq_len, self.num_heads, self.head_dim)
        return tensor.transpose(1, 2).contiguous()

    def forward(self, hidden_states: Tensor, object_queries: Tensor, attention_mask: Optional[Tensor]):
        batch_size, target_len, embed_dim = hidden_states.size()
        hidden_states_original = hidden_states
        hidden_states = hidden_states + object_queries

        query_states = self.q_proj(hidden_states) * self.scaling
        key_states = self._shape(self.k_proj(hidden_states), target_len, batch_size)
        value_states = self._shape(self.v_proj(hidden_states_original), target_len, batch_size)

        proj_shape = (batch_size * self.num_heads, -1, self.head_dim)
        query_states = self._shape(query_states, target_len, batch_size).view(*proj_shape)
        key_states = key_states.view(*proj_shape)
        value_states = value_states.view(*proj_shape)

        attn_weights = torch.bmm(query_states, key_states.transpose(1, 2))
        if attention_mask is not None:
            attn_weights = attn_weights.view(batch_size, self.num_heads, target_len, target_len)
            attn_weights = attn_weights.masked_fill(attention_mask[:, None, None, :], float("-inf"))
            attn_weights = attn_weights.view(batch_size * self.num_heads, target_len, target_len)
        attn_weights = nn.functional.softmax(attn_weights, dim=-1)
        attn_probs = nn.functional.dropout(attn_weights, p=self.dropout, training=self.training)
        attn_output = torch.bmm(attn_probs, value_states)

        attn_output = attn_output.view(batch_size, self.num_heads, target_len, self.head_dim)
        attn_output = attn_output.transpose(1, 2)
        attn_output = attn_output.reshape(batch_size, target_len, embed_dim)
        return self.out_proj(attn_output)


class DetrEncoderLayer(nn.Module):
    def __init__(self, d_model, encoder_attention_heads, encoder_ffn_dim, dropout):
        super().__init__()
        self.dropout = dropout
        self.self_attn = DetrAttention(d_model, encoder_attention_heads, dropout=dropout)
        self.self_attn_layer_norm = nn.LayerNorm(d_model)
        self.activation_fn = nn.functional.relu
        self.fc1 = nn.Linear(d_model, encoder_ffn_dim)
        self.fc2 = nn.Linear(encoder_ffn_dim, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def forward(self, hidden_states, attention_mask, object_queries):
        residual = hidden_states
        hidden_states = self.self_attn(hidden_states, object_queries, attention_mask)
        hidden_states = nn.functional.dropout(hidden_states, p=self.dropout, training=self.training)
        hidden_states = residual + hidden_states
        hidden_states = self.self_attn_layer_norm(hidden_states)

        residual = hidden_states
        hidden_states = self.activation_fn(self.fc1(hidden_states))
        hidden_states = nn.functional.dropout(hidden_states, self.dropout, self.training)
        hidden_states = self.fc2(hidden_states)
        hidden_states = nn.functional.dropout(hidden_states, p=self.dropout, training=self.training)
        hidden_states = residual + hidden_states
        return self.final_layer_norm(hidden_states)


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.encoder_layers = nn.ModuleList(
            [DetrEncoderLayer(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)]
        )

    def encode(self, images, padding_mask=None):
        outputs = super().encode(images, padding_mask)
        flattened_features = outputs["features"].flatten(2).permute(0, 2, 1)
        object_queries = outputs["pos_emb"].flatten(2).permute(0, 2, 1)
        flattened_mask = None
        if outputs.get("padding_mask", None) is not None:
            flattened_mask = outputs["padding_mask"].flatten(1)

        hidden_states = flattened_features
        for encoder_layer in self.encoder_layers:
            hidden_states = encoder_layer(hidden_states, flattened_mask, object_queries)
        outputs["mem"], outputs["mem_pos"] = hidden_states, object_queries
        return outputs
