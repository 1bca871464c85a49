"""How fast predictors answer."""
