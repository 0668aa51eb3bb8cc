# the TensorFlow tutorial "Neural machine translation with a Transformer", moved to PyTorch
import torch
from torch import nn

from detr_steps import Step4


class Dense(nn.Module):
    def __init__(self, n_in, n_out, activation=None):
        super().__init__()
        bound = (6 / (n_in + n_out)) ** 0.5
        self.kernel = nn.Parameter(torch.empty(n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.activation = activation

    def forward(self, x):
        x = x @ self.kernel + self.bias
        return self.activation(x) if self.activation else x


class LayerNormalization(nn.Module):
    def __init__(self, n, epsilon=1e-5):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
        self.epsilon = epsilon

    def forward(self, x):
        variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return self.gamma * (x - mean) / torch.sqrt(variance + self.epsilon) + self.beta


def scaled_dot_product_attention(q, k, v, mask, dropout):
    """q [.., T, depth], k and v [.., S, depth]; mask is 1 where a key is NOT to be used."""
    matmul_qk = torch.matmul(q, k.transpose(-1, -2))
    dk = k.shape[-1]
    scaled_attention_logits = matmul_qk / dk**0.5
    if mask is not None:
        scaled_attention_logits = scaled_attention_logits + mask * -1e9
    attention_weights = torch.softmax(scaled_attention_logits, dim=-1)
    return torch.matmul(dropout(attention_weights), v)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, rate):
        super().__init__()
        self.num_heads = num_heads
        self.depth = d_model // num_heads
        self.wq = Dense(d_model, d_model)
        self.wk = Dense(d_model, d_model)
        self.wv = Dense(d_model, d_model)
        self.dense = Dense(d_model, d_model)
        self.dropout = nn.Dropout(rate)

    def split_heads(self, x, batch_size):
        return x.reshape(batch_size, -1, self.num_heads, self.depth).permute(0, 2, 1, 3)

    def forward(self, v, k, q, mask=None):
        batch_size = q.shape[0]
        q = self.split_heads(self.wq(q), batch_size)
        k = self.split_heads(self.wk(k), batch_size)
        v = self.split_heads(self.wv(v), batch_size)
        scaled_attention = scaled_dot_product_attention(q, k, v, mask, self.dropout)
        scaled_attention = scaled_attention.permute(0, 2, 1, 3)
        concat_attention = scaled_attention.flatten(-2)
        return self.dense(concat_attention)


class DecoderLayer(nn.Module):
    def __init__(self, d_model, num_heads, dff, rate):
        super().__init__()
        self.mha1 = MultiHeadAttention(d_model, num_heads, rate)
        self.mha2 = MultiHeadAttention(d_model, num_heads, rate)
        self.ffn = nn.Sequential(
            Dense(d_model, dff, activation=torch.relu), nn.Dropout(rate), Dense(dff, d_model)
        )
        self.layernorm1 = LayerNormalization(d_model)
        self.layernorm2 = LayerNormalization(d_model)
        self.layernorm3 = LayerNormalization(d_model)
        self.dropout1 = nn.Dropout(rate)
        self.dropout2 = nn.Dropout(rate)
        self.dropout3 = nn.Dropout(rate)

    def forward(self, x, x_pos, enc_output, enc_pos, padding_mask):
        attn1 = self.mha1(x, x + x_pos, x + x_pos)
        out1 = self.layernorm1(self.dropout1(attn1) + x)
        attn2 = self.mha2(v=enc_output, k=enc_output + enc_pos, q=out1 + x_pos, mask=padding_mask)
        out2 = self.layernorm2(self.dropout2(attn2) + out1)
        ffn_output = self.dropout3(self.ffn(out2))
        return self.layernorm3(ffn_output + out2)


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        d_model, num_heads, dff, rate = self.layer_args
        self.dec_layers = nn.ModuleList(
            [DecoderLayer(d_model, num_heads, dff, rate) for _ in range(dec_layers)]
        )
        self.layernorm = LayerNormalization(d_model)

    def decode(self, context):
        x = super().decode(context)
        mask = context.get("padding_mask")
        if mask is not None:
            mask = mask.flatten(1)[:, None, None, :].to(x.dtype)  # [B, 1, 1, H'W']
        for layer in self.dec_layers:
            x = layer(x, context["query_pos"], context["mem"], context["mem_pos"], mask)
        return self.layernorm(x)
