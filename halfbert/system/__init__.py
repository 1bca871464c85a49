"""What every layer stands on: errors, console, files, TensorFlow's set-up, the machine."""
