import pytest
import tiny_predictors


@pytest.fixture
def folder(tmp_path):
    """A tiny BERT predictor of three labels, to be spoilt."""
    return tiny_predictors.copy("bert", "multiclass", tmp_path / "predictor")
