# coming from Keras: Dense kernels are [in, out], EinsumDense for the heads
import torch
from torch import nn

from detr_steps import Step3


class Dense(nn.Module):
    def __init__(self, units_in, units, activation=None):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(units_in, units))
        self.bias = nn.Parameter(torch.zeros(units))
        nn.init.xavier_uniform_(self.kernel)  # glorot_uniform
        self.activation = activation

    def forward(self, inputs):
        outputs = torch.matmul(inputs, self.kernel) + self.bias
        return outputs if self.activation is None else self.activation(outputs)


class LayerNormalization(nn.Module):
    def __init__(self, units, epsilon=1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(units))
        self.beta = nn.Parameter(torch.zeros(units))
        self.epsilon = epsilon

    def forward(self, inputs):
        mean = inputs.mean(-1, keepdim=True)
        variance = (inputs - mean).square().mean(-1, keepdim=True)
        normalized = (inputs - mean) * torch.rsqrt(variance + self.epsilon)
        return normalized * self.gamma + self.beta


class MultiHeadAttention(nn.Module):
    def __init__(self, num_heads, key_dim, dropout=0.0):
        super().__init__()
        width = num_heads * key_dim
        self.query_kernel = nn.Parameter(torch.empty(width, num_heads, key_dim))
        self.key_kernel = nn.Parameter(torch.empty(width, num_heads, key_dim))
        self.value_kernel = nn.Parameter(torch.empty(width, num_heads, key_dim))
        self.query_bias = nn.Parameter(torch.zeros(num_heads, key_dim))
        self.key_bias = nn.Parameter(torch.zeros(num_heads, key_dim))
        self.value_bias = nn.Parameter(torch.zeros(num_heads, key_dim))
        self.output_kernel = nn.Parameter(torch.empty(num_heads, key_dim, width))
        self.output_bias = nn.Parameter(torch.zeros(width))
        for kernel in (self.query_kernel, self.key_kernel, self.value_kernel, self.output_kernel):
            nn.init.uniform_(kernel, -((3 / width) ** 0.5), (3 / width) ** 0.5)
        self.key_dim = key_dim
        self.dropout_layer = nn.Dropout(dropout)

    def forward(self, query, value, key, attention_mask=None):
        # attention_mask as in Keras: True where a token MAY be attended to
        query = torch.einsum("btd,dnh->btnh", query, self.query_kernel) + self.query_bias
        key = torch.einsum("bsd,dnh->bsnh", key, self.key_kernel) + self.key_bias
        value = torch.einsum("bsd,dnh->bsnh", value, self.value_kernel) + self.value_bias
        scores = torch.einsum("btnh,bsnh->bnts", query, key) / self.key_dim**0.5
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask[:, None, None, :], float("-inf"))
        weights = self.dropout_layer(torch.softmax(scores, dim=-1))
        outputs = torch.einsum("bnts,bsnh->btnh", weights, value)
        return torch.einsum("btnh,nhd->btd", outputs, self.output_kernel) + self.output_bias


class EncoderLayer(nn.Module):
    def __init__(self, units, num_heads, dff, rate):
        super().__init__()
        self.mha = MultiHeadAttention(num_heads, units // num_heads, dropout=rate)
        self.ffn1 = Dense(units, dff, activation=torch.relu)
        self.ffn2 = Dense(dff, units)
        self.layernorm1 = LayerNormalization(units)
        self.layernorm2 = LayerNormalization(units)
        self.dropout1 = nn.Dropout(rate)
        self.dropout2 = nn.Dropout(rate)
        self.dropout3 = nn.Dropout(rate)

    def forward(self, x, positions, mask=None):
        attended = self.mha(query=x + positions, value=x, key=x + positions, attention_mask=mask)
        out1 = self.layernorm1(x + self.dropout1(attended))
        ffn_output = self.ffn2(self.dropout2(self.ffn1(out1)))
        return self.layernorm2(out1 + self.dropout3(ffn_output))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.enc_layers = nn.ModuleList(
            [EncoderLayer(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)]
        )

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        x = context["features"].permute(0, 2, 3, 1).flatten(1, 2)  # channels last
        positions = context["pos_emb"].permute(0, 2, 3, 1).flatten(1, 2)
        mask = None
        if "padding_mask" in context:
            mask = ~context["padding_mask"].flatten(1)
        for layer in self.enc_layers:
            x = layer(x, positions, mask=mask)
        context["mem"] = x
        context["mem_pos"] = positions
        return context
