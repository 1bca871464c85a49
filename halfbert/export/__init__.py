"""A saved predictor as other runtimes read it: `course` tells the story, and each target is a module with a `TARGET`."""
