# Keras habits: Dense with a kernel [in, out], add_weight, build, call.
import torch
from torch import nn

from detr_steps import Step1


class Dense(nn.Module):
    def __init__(self, input_dim, units, activation=None):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(input_dim, units))
        nn.init.xavier_uniform_(self.kernel)
        self.bias = nn.Parameter(torch.zeros(units))
        self.activation = activation

    def forward(self, inputs):
        outputs = torch.matmul(inputs, self.kernel) + self.bias
        return outputs if self.activation is None else self.activation(outputs)


class MyStep2(Step1):
    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.build(num_queries)

    def build(self, num_queries):
        units = self.emb_dim
        self.query_embeddings = self.add_weight((num_queries, units))
        self.dense_1 = Dense(units, units, activation=torch.relu)
        self.dense_2 = Dense(units, units, activation=torch.relu)
        self.bbox_dense = Dense(units, 4, activation=torch.sigmoid)
        self.class_dense = Dense(units, self.num_classes + 1)

    def add_weight(self, shape):
        return nn.Parameter(torch.normal(0.0, 1.0, size=shape))

    def call(self, batch_size):
        x = torch.tile(self.query_embeddings[None, ...], (batch_size, 1, 1))
        class_logits = self.class_dense(x)
        x = self.dense_1(x)
        x = self.dense_2(x)
        bbox_pred = self.bbox_dense(x)
        return class_logits, bbox_pred

    def forward(self, images):
        features = super().forward(images)
        class_logits, bbox_pred = self.call(images.shape[0])
        return {"bbox_pred": bbox_pred, "features": features, "class_logits": class_logits}
