# in the style of Hugging Face's modeling_detr.py
import torch
from torch import nn

from detr_steps import Step4


class DetrAttention(nn.Module):
    """Self-attention, or cross-attention if key_value_states are given."""

    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = dropout
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def _shape(self, x):
        batch, length, width = x.size()
        x = x.view(batch, length, self.num_heads, self.head_dim).transpose(1, 2)
        return x.reshape(batch * self.num_heads, length, self.head_dim)

    def forward(
        self,
        hidden_states,
        object_queries,
        key_value_states=None,
        spatial_position_embeddings=None,
        key_padding_mask=None,
    ):
        batch_size, target_len, embed_dim = hidden_states.size()
        is_cross_attention = key_value_states is not None

        queries = hidden_states + object_queries
        if is_cross_attention:
            keys = key_value_states + spatial_position_embeddings
            values = key_value_states
        else:
            keys = queries
            values = hidden_states

        query_states = self._shape(self.q_proj(queries) * self.scaling)
        key_states = self._shape(self.k_proj(keys))
        value_states = self._shape(self.v_proj(values))

        attn_weights = torch.bmm(query_states, key_states.transpose(1, 2))
        if key_padding_mask is not None:
            mask = key_padding_mask.repeat_interleave(self.num_heads, dim=0).unsqueeze(1)
            attn_weights = attn_weights.masked_fill(mask, float("-inf"))
        attn_probs = nn.functional.softmax(attn_weights, dim=-1)
        attn_probs = nn.functional.dropout(attn_probs, self.attention_dropout, self.training)

        attn_output = torch.bmm(attn_probs, value_states)
        attn_output = attn_output.view(batch_size, self.num_heads, target_len, self.head_dim)
        attn_output = attn_output.transpose(1, 2).reshape(batch_size, target_len, embed_dim)
        return self.out_proj(attn_output)


class DetrDecoderLayer(nn.Module):
    def __init__(self, d_model, num_heads, ffn_dim, dropout):
        super().__init__()
        self.dropout = dropout
        self.self_attn = DetrAttention(d_model, num_heads, dropout)
        self.self_attn_layer_norm = nn.LayerNorm(d_model)
        self.encoder_attn = DetrAttention(d_model, num_heads, dropout)
        self.encoder_attn_layer_norm = nn.LayerNorm(d_model)
        self.fc1 = nn.Linear(d_model, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def _drop(self, x):
        return nn.functional.dropout(x, p=self.dropout, training=self.training)

    def forward(
        self,
        hidden_states,
        query_position_embeddings,
        encoder_hidden_states,
        object_queries,
        encoder_attention_mask=None,
    ):
        # Self Attention
        residual = hidden_states
        hidden_states = self.self_attn(hidden_states, query_position_embeddings)
        hidden_states = self.self_attn_layer_norm(residual + self._drop(hidden_states))

        # Cross-Attention Block
        residual = hidden_states
        hidden_states = self.encoder_attn(
            hidden_states=hidden_states,
            object_queries=query_position_embeddings,
            key_value_states=encoder_hidden_states,
            spatial_position_embeddings=object_queries,
            key_padding_mask=encoder_attention_mask,
        )
        hidden_states = self.encoder_attn_layer_norm(residual + self._drop(hidden_states))

        # Fully Connected
        residual = hidden_states
        hidden_states = nn.functional.relu(self.fc1(hidden_states))
        hidden_states = self._drop(hidden_states)
        hidden_states = self.fc2(hidden_states)
        return self.final_layer_norm(residual + self._drop(hidden_states))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        d_model, heads, ffn_dim, dropout = self.layer_args
        self.decoder_layers = nn.ModuleList(
            [DetrDecoderLayer(d_model, heads, ffn_dim, dropout) for _ in range(dec_layers)]
        )
        self.layernorm = nn.LayerNorm(d_model)

    def decode(self, context):
        hidden_states = super().decode(context)
        attention_mask = None
        if "padding_mask" in context:
            attention_mask = context["padding_mask"].flatten(1)
        for layer in self.decoder_layers:
            hidden_states = layer(
                hidden_states,
                query_position_embeddings=context["query_pos"],
                encoder_hidden_states=context["mem"],
                object_queries=context["mem_pos"],
                encoder_attention_mask=attention_mask,
            )
        return self.layernorm(hidden_states)
