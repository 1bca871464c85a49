"""The same network, written for training on a CPU.

`forward` is a forward pass of our own over the variables of a transformers model: equal answers and equal gradients
(tests/models/test_keras_forward.py), less work around the matrix products. What it leaves out, in order of what it saves:

- in the last layer everything but the keys and values of tokens whose hidden state no head reads: only the first token's
  state goes into the classifier, so queries, attention output and feed-forward are computed for it alone;
- three matrix products of a third of the width each for queries, keys and values: one of full width;
- passes over (batch, heads, tokens, tokens): the mask is added inside the matrix product, and the softmax gradient's row sum
  is taken over the context instead (Dao et al. 2022, appendix B.4);
- random numbers of 32 bits where dropout needs 8;
- the layers' own __call__, which makes tracing take two to three times as long.

Shapes: B texts, L tokens of the longest of them, T = B * L, h hidden units, H heads of d = h / H units, f feed-forward units.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.models.randomness import next_seed
from halfbert.models.weights import DISTILBERT_EPSILON

Pair = tuple[tf.Variable, tf.Variable]  # kernel and bias of a dense layer, gamma and beta of a normalisation
MASKED = -1e9  # added to the score of a padding token


@dataclass(frozen=True)
class _Layer:
    """The variables of one encoder layer."""

    query: Pair
    key: Pair
    value: Pair
    attention_output: Pair
    attention_norm: Pair
    intermediate: Pair
    output: Pair
    output_norm: Pair


@dataclass(frozen=True)
class _Network:
    """What BERT and DistilBERT have in common, and the head of each."""

    words: tf.Variable
    positions: tf.Variable
    token_types: tf.Variable | None
    embedding_norm: Pair
    layers: list[_Layer]
    pooler: Pair  # BERT's pooler, DistilBERT's pre-classifier
    pooler_activation: Callable
    classifier: Pair
    heads: int
    epsilon: float
    dropout: float
    attention_output_dropout: float
    attention_dropout: float
    classifier_dropout: float


def forward(model: Any) -> Callable:
    """The forward pass of this module over the variables of a TFBert- or TFDistilBertForSequenceClassification.

    Returns a function of (features, training) to (B, labels) float32 logits, for use inside a tf.function. The features are
    {"input_ids", "attention_mask"}, (B, L) int32. The model itself is not changed.
    """
    both = states_and_logits(model)
    return lambda features, training: both(features, training)[1]


def states_and_logits(model: Any) -> Callable:
    """As `forward`, but the function returned gives (B, h) first-token states and (B, labels) logits, both float32."""

    def call(features: dict[str, tf.Tensor], training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        network = describe(model)
        states = first_token_states(network, features["input_ids"], features["attention_mask"], training)
        pooled = _dropout(network.pooler_activation(_dense(states, network.pooler)), network.classifier_dropout, training)
        return states, _dense(pooled, network.classifier)

    return tf.autograph.experimental.do_not_convert(call)  # nothing here branches on a tensor; converting only costs time


def supports(model: Any) -> bool:
    """Whether `forward` knows this model's details: exact GELU and absolute positions, as in the published checkpoints."""
    config = model.config
    activation = config.hidden_act if config.model_type == "bert" else config.activation
    return activation == "gelu" and getattr(config, "position_embedding_type", "absolute") == "absolute"


def first_token_states(network: _Network, input_ids: tf.Tensor, attention_mask: tf.Tensor, training: bool) -> tf.Tensor:
    """(B, h) float32: the last hidden state of each text's first token, all that the head reads."""
    x, mask_scores = _embedded(network, input_ids, attention_mask, training)
    for number, layer in enumerate(network.layers, start=1):
        x = _layer(x, layer, network, mask_scores, training, first_token_only=number == len(network.layers))
    return x


def last_states(network: _Network, input_ids: tf.Tensor, attention_mask: tf.Tensor, training: bool) -> tf.Tensor:
    """(B, L, h) float32: the last hidden states of all tokens."""
    x, mask_scores = _embedded(network, input_ids, attention_mask, training)
    for layer in network.layers:
        x = _layer(x, layer, network, mask_scores, training, first_token_only=False)
    return tf.reshape(x, [*tf.unstack(tf.shape(input_ids)), x.shape[-1]])


def integrated_gradients(model: Any, ids: tf.Tensor, baseline: tf.Tensor, label: tf.Tensor, steps: int) -> tf.Tensor:
    """(L,) what each token adds to the log-odds of a label, one of several, or to the logit of one that is alone.

    Gradients along the straight line from the word embeddings of the tokens `baseline`, (L,) int32 like `ids`, to those of the
    text, at the middles of so many `steps` (Sundararajan et al. 2017, arXiv:1703.01365). They nearly add up to the text's worth
    less the baseline's.
    """
    network, tokens = describe(model), tf.size(ids)
    begin = tf.gather(network.words, baseline)  # (L, h)
    way = tf.gather(network.words, ids) - begin
    places = (tf.cast(tf.range(steps), tf.float32) + 0.5) / tf.cast(steps, tf.float32)
    line = tf.reshape(begin + places[:, None, None] * way, [steps * tokens, -1])
    numbers = tf.reshape(tf.range(steps * tokens), [steps, tokens])
    with tf.GradientTape() as tape:
        tape.watch(line)
        states = first_token_states(replace(network, words=line), numbers, tf.ones_like(numbers), training=False)
        logits = _dense(network.pooler_activation(_dense(states, network.pooler)), network.classifier)
        worth = logits[:, label]
        if model.config.problem_type != "multi_label_classification":
            others = tf.where(tf.range(logits.shape[1]) == label, float("-inf"), logits)
            worth -= tf.reduce_logsumexp(others, axis=1)
    gradients = tf.reshape(tf.convert_to_tensor(tape.gradient(worth, line)), [steps, tokens, -1])
    return tf.reduce_sum(tf.reduce_mean(gradients, axis=0) * way, axis=1)


def _embedded(
    network: _Network, input_ids: tf.Tensor, attention_mask: tf.Tensor, training: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the first layer reads, (T, h), and what is added to the attention scores of each token, (B, L)."""
    shape = tf.shape(input_ids)
    rows, tokens = shape[0], shape[1]
    x = tf.gather(network.words, input_ids) + network.positions[:tokens]  # (B, L, h)
    if network.token_types is not None:
        x += network.token_types[0]
    x = tf.reshape(x, [rows * tokens, x.shape[-1]])  # (T, h)
    x = _dropout(_normalise(x, network.embedding_norm, network.epsilon), network.dropout, training)
    return x, (1.0 - tf.cast(attention_mask, tf.float32)) * MASKED


def _layer(
    x: tf.Tensor, layer: _Layer, network: _Network, mask_scores: tf.Tensor, training: bool, first_token_only: bool
) -> tf.Tensor:
    """One encoder layer: (T, h) to (T, h), or to (B, h), the states of each text's first token."""
    shape = tf.shape(mask_scores)
    rows, tokens = shape[0], shape[1]
    used = tf.gather(x, tf.range(rows) * tokens) if first_token_only else x
    # Attention stays in the compute type: its arrays of (B, H, L, L) are the largest.
    if first_token_only:
        query = _dense(used, layer.query, _compute_type())[:, None]  # (B, 1, h)
        key, value = tf.split(_dense(x, _side_by_side(layer.key, layer.value), _compute_type()), 2, axis=1)
    else:
        together = _side_by_side(layer.query, layer.key, layer.value)
        query, key, value = tf.split(_dense(x, together, _compute_type()), 3, axis=1)

    def by_head(states: tf.Tensor) -> tf.Tensor:  # (T, h) to (B, H, L, d)
        return tf.transpose(tf.reshape(states, [rows, -1, network.heads, x.shape[-1] // network.heads]), [0, 2, 1, 3])

    context = _attention(by_head(query), by_head(key), by_head(value), mask_scores, network.attention_dropout, training)
    context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, x.shape[-1]])
    attended = _dropout(_dense(context, layer.attention_output), network.attention_output_dropout, training)
    used = _normalise(used + attended, layer.attention_norm, network.epsilon)
    kernel, bias = layer.intermediate
    hidden = _gelu(_product(used, kernel), tf.convert_to_tensor(bias))  # (T, f)
    output = _dropout(_dense(hidden, layer.output), network.dropout, training)
    return _normalise(used + output, layer.output_norm, network.epsilon)


def _attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask_scores: tf.Tensor, rate: float, training: bool
) -> tf.Tensor:
    """Scaled dot-product attention, (B, H, L', d) from (B, H, L', d), (B, H, L, d), (B, H, L, d) and scores (B, L)."""
    scale = query.shape[-1] ** -0.5
    keep = None
    if training and rate:
        shape = tf.concat([tf.shape(query)[:3], tf.shape(key)[2:3]], 0)
        keep, rate = _kept(shape, rate)
        value = value / (1.0 - rate)  # dropout's scaling, done on the smaller array

    def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Any:
        # [query, 1] · [key, mask score] is the masked score.
        query = query * scale
        ones = tf.ones_like(query[..., :1])
        masks = tf.broadcast_to(mask_scores[:, None, :, None], tf.shape(key[..., :1]))
        masks = tf.cast(masks, key.dtype)
        scores = tf.matmul(tf.concat([query, ones], -1), tf.concat([key, masks], -1), transpose_b=True)
        probabilities = tf.nn.softmax(scores)  # (B, H, L', L)
        kept = probabilities if keep is None else tf.where(keep, probabilities, tf.zeros([], probabilities.dtype))
        context = tf.matmul(kept, value)

        def gradient(d_context: tf.Tensor) -> Any:
            d_value = tf.matmul(kept, d_context, transpose_a=True)
            d_probabilities = tf.matmul(d_context, value, transpose_b=True)
            if keep is not None:
                d_probabilities = tf.where(keep, d_probabilities, tf.zeros([], d_probabilities.dtype))
            row_sums = tf.reduce_sum(d_context * context, -1, keepdims=True)
            d_scores = probabilities * (d_probabilities - row_sums)
            return tf.matmul(d_scores, key) * scale, tf.matmul(d_scores, query, transpose_a=True), d_value

        return context, gradient

    return tf.custom_gradient(attend)(query, key, value)


def _dense(x: tf.Tensor, parameters: Pair, result_type: tf.DType = tf.float32) -> tf.Tensor:
    kernel, bias = parameters
    return _product(x, kernel, result_type) + tf.cast(bias, result_type)


def _product(x: tf.Tensor, kernel: tf.Variable, result_type: tf.DType = tf.float32) -> tf.Tensor:
    """Matrix product in the policy's compute type."""
    return tf.cast(tf.matmul(tf.cast(x, _compute_type()), tf.cast(kernel, _compute_type())), result_type)


def _compute_type() -> tf.DType:
    return tf.as_dtype(tf.keras.mixed_precision.global_policy().compute_dtype)


def _side_by_side(*parameters: Pair) -> Pair:
    kernels, biases = zip(*parameters, strict=True)
    return tf.concat(kernels, axis=1), tf.concat(biases, axis=0)


def _gelu_and_gradient(x: tf.Tensor, bias: tf.Tensor) -> Any:
    """Exact GELU of x + bias (Hendrycks and Gimpel 2016), and its derivative, in as few passes as plain operations allow."""
    x = x + bias
    u = x * np.float32(1 / np.sqrt(2))
    cumulative = 0.5 + 0.5 * tf.math.erf(u)
    # u exp(-u²) / sqrt(pi), which is x times the normal density, with the constant inside the exponent.
    derivative = cumulative + u * tf.exp(np.float32(-0.5 * np.log(np.pi)) - tf.square(u))

    def gradient(upstream: tf.Tensor) -> Any:
        d_x = upstream * derivative
        return d_x, tf.reduce_sum(d_x, 0)

    return x * cumulative, gradient


_gelu = tf.custom_gradient(_gelu_and_gradient)


def _normalise(x: tf.Tensor, parameters: Pair, epsilon: float) -> tf.Tensor:
    """Layer normalisation over the last axis (Ba et al. 2016), with the closed form of its gradient."""

    def normalise(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)
        unit = centred * inverse

        def gradient(upstream: tf.Tensor) -> Any:
            d_gamma, d_beta = tf.reduce_sum(upstream * unit, 0), tf.reduce_sum(upstream, 0)
            d_unit = upstream * gamma
            means = tf.reduce_mean(d_unit, -1, keepdims=True), tf.reduce_mean(d_unit * unit, -1, keepdims=True)
            return inverse * (d_unit - means[0] - unit * means[1]), d_gamma, d_beta

        return unit * gamma + beta, gradient

    gamma, beta = parameters
    return tf.custom_gradient(normalise)(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def _dropout(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    if not training or not rate:
        return x
    keep, rate = _kept(tf.shape(x), rate)
    factor = tf.cast(keep, x.dtype) * (1.0 / (1.0 - rate))

    def drop(x: tf.Tensor) -> Any:
        return x * factor, lambda upstream: upstream * factor

    return tf.custom_gradient(drop)(x)


def _kept(shape: tf.Tensor, rate: float) -> tuple[tf.Tensor, float]:
    """Which elements dropout keeps, and the exact rate: a byte an element, so a rate is a multiple of 1/256."""
    threshold = min(255, max(1, round(rate * 256)))
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([(size + 7) // 8], next_seed(), None, None, tf.uint64)
    bytes_ = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
    return tf.reshape(bytes_ >= tf.constant(threshold, tf.uint8), shape), threshold / 256


def describe(model: Any) -> _Network:
    """The variables of a TFBert- or TFDistilBertForSequenceClassification, as the functions here take them."""
    config = model.config
    if config.model_type == "bert":
        encoder, pooler, activation = model.bert, model.bert.pooler.dense, tf.tanh
        hidden, classifier = config.hidden_dropout_prob, config.classifier_dropout
        dropouts = {"dropout": hidden, "attention_output_dropout": hidden}
        dropouts["attention_dropout"] = config.attention_probs_dropout_prob
        dropouts["classifier_dropout"] = hidden if classifier is None else classifier
        heads, epsilon = config.num_attention_heads, config.layer_norm_eps
        layers = []
        for layer in encoder.encoder.layer:
            attention, attended = layer.attention.self_attention, layer.attention.dense_output
            parts = [attention.query, attention.key, attention.value, attended.dense, attended.LayerNorm]
            layers.append([*parts, layer.intermediate.dense, layer.bert_output.dense, layer.bert_output.LayerNorm])
    else:
        encoder, pooler, activation = model.distilbert, model.pre_classifier, tf.nn.relu
        # transformers' DistilBERT makes a dropout of the attention output, and does not use it.
        dropouts = {"dropout": config.dropout, "attention_output_dropout": 0.0}
        dropouts |= {"attention_dropout": config.attention_dropout, "classifier_dropout": config.seq_classif_dropout}
        heads, epsilon = config.n_heads, DISTILBERT_EPSILON
        layers = []
        for layer in encoder.transformer.layer:
            attention = layer.attention
            parts = [attention.q_lin, attention.k_lin, attention.v_lin, attention.out_lin, layer.sa_layer_norm]
            layers.append([*parts, layer.ffn.lin1, layer.ffn.lin2, layer.output_layer_norm])
    return _Network(
        words=encoder.embeddings.weight,
        positions=encoder.embeddings.position_embeddings,
        token_types=getattr(encoder.embeddings, "token_type_embeddings", None),
        embedding_norm=_parameters(encoder.embeddings.LayerNorm),
        layers=[_Layer(*map(_parameters, parts)) for parts in layers],
        pooler=_parameters(pooler),
        pooler_activation=activation,
        classifier=_parameters(model.classifier),
        heads=heads,
        epsilon=epsilon,
        **dropouts,
    )


def _parameters(layer: Any) -> Pair:
    return (layer.kernel, layer.bias) if hasattr(layer, "kernel") else (layer.gamma, layer.beta)
