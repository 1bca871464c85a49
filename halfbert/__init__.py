"""Fine-tune BERT and DistilBERT with ktrain, and answer fast: `halfbert.load(folder, engine="onnx").predict(texts)`."""


def __getattr__(name: str):
    if name == "load":  # imported when it is asked for: importing the package costs nothing
        from halfbert.predictor.classifier import load

        return load
    if name == "__version__":
        from halfbert.cli.command import version

        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
