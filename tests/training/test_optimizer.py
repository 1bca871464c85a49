"""Adam with decoupled weight decay and sparse updates, held against Keras' legacy Adam and against sums done by hand."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("tensorflow_ready")
STEPS = 6
# As the one-cycle changes them: a rate that rises and falls, a momentum that does the opposite.
RATES = [1e-3, 4e-3, 1e-2, 8e-3, 2e-3, 5e-4]
MOMENTA = [0.95, 0.91, 0.85, 0.87, 0.92, 0.95]


@pytest.fixture(scope="module")
def tf(tensorflow_ready):
    import tensorflow

    return tensorflow


def new_adam(**options):
    from halfbert.training.optimizer import Adam

    return Adam(**options)


def set_step(tf, optimizer, step: int) -> None:
    """Set learning rate and momentum as ktrain's one-cycle callback does."""
    tf.keras.backend.set_value(optimizer.lr, RATES[step])
    tf.keras.backend.set_value(optimizer.beta_1, MOMENTA[step])


def random(shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def slots(optimizer, variable) -> tuple[np.ndarray, np.ndarray]:
    return optimizer.get_slot(variable, "m").numpy(), optimizer.get_slot(variable, "v").numpy()


# -- dense gradients


@pytest.mark.parametrize("in_a_graph", [False, True])
def test_dense_updates_equal_keras_adam(tf, in_a_graph):
    ours, theirs = new_adam(), tf.keras.optimizers.legacy.Adam()
    variables = [[tf.Variable(random((4, 3), 0)), tf.Variable(random((3,), 1))] for _ in range(2)]

    def update_of(optimizer, owned):
        def update(gradients):
            optimizer.apply_gradients(zip(gradients, owned, strict=True))

        return tf.function(update) if in_a_graph else update

    updates = [update_of(*pair) for pair in zip((ours, theirs), variables, strict=True)]
    for step in range(STEPS):
        gradients = [tf.constant(random((4, 3), 10 + step)), tf.constant(random((3,), 20 + step))]
        for optimizer, update in zip((ours, theirs), updates, strict=True):
            set_step(tf, optimizer, step)
            update(gradients)
        for one, other in zip(*variables, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)
            for slot, expected in zip(slots(ours, one), slots(theirs, other), strict=True):
                np.testing.assert_allclose(slot, expected, rtol=1e-6)
    assert np.abs(variables[0][0].numpy() - random((4, 3), 0)).max() > 0.01


# -- gradients of an embedding: a few of its rows


def words(tf, rows: int = 8, width: int = 3):
    return tf.Variable(random((rows, width), 0), name="embeddings/word_embeddings/weight")


def slices(tf, gradient: np.ndarray, rows: list[int], table):
    return tf.IndexedSlices(tf.constant(gradient), tf.constant(rows), tf.constant(table.shape.as_list()))


def moments(optimizer, table) -> tuple[np.ndarray, np.ndarray]:
    return optimizer.get_slot(table, "v").numpy(), optimizer.get_slot(table, "last_step").numpy()


def test_a_word_goes_as_far_as_adam_would_take_it_in_the_end(tf):
    """One gradient after many steps without it: Adam spreads the way over the steps that follow, ours goes it at once."""
    ours, table = new_adam(learning_rate=0.01), words(tf)
    theirs, dense = tf.keras.optimizers.legacy.Adam(0.01), tf.Variable(random((8, 3), 0))
    nothing = np.zeros((8, 3), np.float32)
    late = nothing.copy()
    late[2] = [1.0, -2.0, 0.5]
    for step in range(700):
        rows = [2] if step == 500 else [5]
        ours.apply_gradients([(slices(tf, late[rows] if step == 500 else nothing[rows], rows, table), table)])
        theirs.apply_gradients([(tf.constant(late if step == 500 else nothing), dense)])
    way = [variable.numpy()[2] - random((8, 3), 0)[2] for variable in (table, dense)]
    np.testing.assert_allclose(way[0], way[1], rtol=0.02)
    assert np.abs(way[1]).min() > 0.1


def test_the_second_moment_of_a_word_decays_by_the_steps_gone_by(tf):
    optimizer, table = new_adam(), words(tf)
    gradient = np.ones((1, 3), np.float32)
    for rows in ([2], [5], [5], [2]):
        optimizer.apply_gradients([(slices(tf, gradient, rows, table), table)])
    v, last_step = moments(optimizer, table)
    np.testing.assert_allclose(v[2], 0.001 * (0.999**3 + 1), rtol=1e-4)
    np.testing.assert_allclose(v[5], 0.001 * (0.999 + 1), rtol=1e-4)
    assert [float(last_step[row, 0]) for row in (2, 5, 0)] == [4, 3, 0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_words_that_are_not_in_the_batch_stay_to_the_bit(tf, weight_decay):
    optimizer, table = new_adam(learning_rate=0.1, weight_decay=weight_decay), words(tf)
    for step, rows in enumerate([[0, 1, 2], [2, 3], [7]]):
        before = table.numpy()
        optimizer.apply_gradients([(slices(tf, random((len(rows), 3), 10 + step), rows, table), table)])
        others = [row for row in range(8) if row not in rows]
        assert np.array_equal(table.numpy()[others], before[others])
        assert (table.numpy()[rows] != before[rows]).all()


def test_a_word_that_stands_in_a_batch_twice_counts_the_sum_of_its_gradients(tf):
    results = []
    for rows, gradients in (
        ([2, 5, 2, 2], [[1.0, 2.0], [3.0, -1.0], [0.5, -4.0], [2.0, 1.0]]),
        ([2, 5], [[3.5, -1.0], [3.0, -1.0]]),
    ):
        optimizer, table = new_adam(learning_rate=0.1), words(tf, width=2)
        for _ in range(2):
            optimizer.apply_gradients([(slices(tf, np.array(gradients, np.float32), rows, table), table)])
        results.append([table.numpy(), *moments(optimizer, table)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_masked_update_is_the_sparse_one(tf):
    """With words that stand there twice, and words that pause, over the one-cycle's rates; other embeddings as well."""
    names = ("word_embeddings/weight", "position_embeddings/embeddings")
    variables = [[tf.Variable(random((8, 3), 0), name=name) for name in names] for _ in range(2)]
    optimizers = [new_adam(weight_decay=0.1, masked=masked) for masked in (False, True)]
    for step, rows in enumerate([[0, 1, 1, 2], [2, 3], [7, 7], [0], [2, 5], [5, 5, 5]]):
        gradient = random((len(rows), 3), 10 + step)
        for optimizer, owned in zip(optimizers, variables, strict=True):
            set_step(tf, optimizer, step)
            optimizer.apply_gradients([(slices(tf, gradient, rows, each), each) for each in owned])
        for one, other in zip(*variables, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)
        for one, other in zip(
            *(moments(each, owned[0]) for each, owned in zip(optimizers, variables, strict=True)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_other_embeddings_are_updated_as_if_the_gradient_were_dense(tf):
    tables = [tf.Variable(random((8, 3), 0), name="position_embeddings/embeddings") for _ in range(2)]
    optimizers = [new_adam(weight_decay=0.1) for _ in range(2)]
    for step, rows in enumerate([[0, 1, 2], [2, 3], [7]]):
        gradient = random((len(rows), 3), 10 + step)
        dense = np.zeros((8, 3), np.float32)
        dense[rows] = gradient
        both = (slices(tf, gradient, rows, tables[0]), tf.constant(dense))
        for optimizer, table, gradients in zip(optimizers, tables, both, strict=True):
            optimizer.apply_gradients([(gradients, table)])
        np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-6)


# -- weight decay


def test_weight_decay_of_a_matrix_by_hand(tf):
    rate, decay, start = 0.01, 0.1, random((4, 3), 0)
    plain, decayed = tf.Variable(start), tf.Variable(start)
    optimizers = tf.keras.optimizers.legacy.Adam(rate), new_adam(learning_rate=rate, weight_decay=decay)
    for step in range(3):
        gradient = tf.constant(random((4, 3), 10 + step))
        before = plain.numpy(), decayed.numpy()
        for optimizer, variable in zip(optimizers, (plain, decayed), strict=True):
            optimizer.apply_gradients([(gradient, variable)])
        adam_step = plain.numpy() - before[0]  # depends on the gradients only, not on the weights
        np.testing.assert_allclose(decayed.numpy(), before[1] * (1 - rate * decay) + adam_step, rtol=1e-5, atol=1e-7)
    for one, other in zip(slots(optimizers[0], plain), slots(optimizers[1], decayed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)  # the decay goes past the moments: it is decoupled


def test_weight_decay_follows_the_rate_of_the_moment(tf):
    optimizer, matrix = new_adam(weight_decay=0.1), tf.Variable([[1.0]])
    for rate in (0.5, 0.1):
        before = matrix.numpy()
        tf.keras.backend.set_value(optimizer.lr, rate)
        optimizer.apply_gradients([(tf.constant([[0.0]]), matrix)])
        assert matrix.numpy() == pytest.approx(before * (1 - rate * 0.1))


def test_weight_decay_of_an_embedding_by_hand(tf):
    rate, decay, start, rows = 0.01, 0.1, random((6, 3), 0), [0, 4]
    tables = [tf.Variable(start) for _ in range(2)]
    slices = tf.IndexedSlices(tf.constant(random((2, 3), 1)), tf.constant(rows), tf.constant([6, 3]))
    for table, weight_decay in zip(tables, (0.0, decay), strict=True):
        new_adam(learning_rate=rate, weight_decay=weight_decay).apply_gradients([(slices, table)])
    difference = tables[0].numpy() - tables[1].numpy()
    np.testing.assert_allclose(difference, rate * decay * start, rtol=1e-3, atol=2e-7)


def test_biases_and_normalisations_do_not_decay(tf):
    vectors = [tf.Variable(random((5,), 0)) for _ in range(2)]
    for vector, weight_decay in zip(vectors, (0.0, 0.5), strict=True):
        new_adam(learning_rate=0.1, weight_decay=weight_decay).apply_gradients([(tf.constant(random((5,), 1)), vector)])
    assert np.array_equal(vectors[0].numpy(), vectors[1].numpy())


# -- as Keras and ktrain use it


def test_ktrain_takes_it_for_an_adam(tf):
    optimizer = new_adam()
    assert isinstance(optimizer, tf.keras.optimizers.legacy.Optimizer)
    assert hasattr(optimizer, "lr") and hasattr(optimizer, "beta_1")  # what its one-cycle looks for and sets
    config = new_adam(learning_rate=0.02, weight_decay=0.3, epsilon=1e-6).get_config()
    assert type(optimizer).from_config(config).get_config() == config and config["weight_decay"] == 0.3
