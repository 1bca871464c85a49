"""A smaller model taught by a larger one."""

# Raise it when the same rows, options, teacher and checkpoint would give another student: the teacher's answers, the losses,
# their weights. What training has in common is counted by `halfbert.training.RECIPE_VERSION`.
RECIPE_VERSION = 1
